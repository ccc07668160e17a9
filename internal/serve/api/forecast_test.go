package api

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

func TestForecast(t *testing.T) {
	const slots = 4
	for _, test := range []struct {
		history                     string // "seconds tokens" of completions
		running, waiting, maxTokens int
		want                        time.Duration
	}{
		{"", 4, 10, 100, 0}, // nothing is known
		{"10 100", 3, 0, 100, 0},
		{"10 100", 4, 0, 0, 2500 * time.Millisecond}, // one of four must end
		{"10 100", 4, 0, 50, 7500 * time.Millisecond},
		{"10 100", 4, 0, 100, 12500 * time.Millisecond},
		{"10 100", 4, 0, 4000, 12500 * time.Millisecond}, // it may stop as early as others
		{"10 100", 4, 7, 100, 30 * time.Second},
		{"10 100", 0, 4, 0, 2500 * time.Millisecond}, // just arrived: not started yet
		{"10 100, 20 200", 4, 3, 110, 22 * time.Second},
		{"10 0", 4, 0, 100, 2500 * time.Millisecond},
	} {
		var f forecast
		for item := range strings.SplitSeq(test.history, ", ") {
			var seconds, tokens int
			if _, err := fmt.Sscan(item, &seconds, &tokens); err == nil {
				f.add(time.Duration(seconds)*time.Second, tokens)
			}
		}
		if got := f.need(test.running, test.waiting, slots, test.maxTokens); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
	var f forecast
	f.add(time.Second, 10)
	if got := f.need(100, 100, 0, 10); got != 0 {
		t.Errorf("without a number of slots: %v", got)
	}
}

func TestHeaderLimit(t *testing.T) {
	for v, want := range map[string]time.Duration{"": 0, "2.5": 2500 * time.Millisecond,
		" 1500ms ": 1500 * time.Millisecond, "3s": 3 * time.Second, "86400": 24 * time.Hour,
		"0": -1, "-1": -1, "soon": -1, "NaN": -1, "Inf": -1, "1e300": -1, "25h": -1, "1 s": -1} {
		r := &http.Request{Header: http.Header{headerTimeout: {v}}}
		got, err := headerLimit(r)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %v, %v", v, got, err)
		}
	}
}

// stuck starts a service whose requests run until release is closed or they are cancelled.
func stuck(t *testing.T, change ...func(*Config, *llmtest.Fake)) (f *fixture, release chan struct{}) {
	release = make(chan struct{})
	f = start(t, append([]func(*Config, *llmtest.Fake){func(c *Config, fake *llmtest.Fake) {
		c.Slots, c.Queue = 4, 4
		fake.Step = func(ctx context.Context, _ *llm.Request, i int) error {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return nil
		}
	}}, change...)...)
	return f, release
}

// fill starts n requests, and returns a group that waits for their end.
func (f *fixture) fill(n int) *sync.WaitGroup {
	f.t.Helper()
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			if resp, data := f.do("POST", "/v1/chat/completions", chatBody); resp.StatusCode != 200 {
				f.t.Errorf("%d %s", resp.StatusCode, data)
			}
		})
	}
	llmtest.Until(f.t, "they are under way", func() bool { s := f.fake.Status(); return s.Running+s.Waiting == n })
	return &group
}

// TestNotInTime: a request that would have to wait too long to end within its time is refused before it is read, and
// no other is.
func TestNotInTime(t *testing.T) {
	f, release := stuck(t)
	f.server.forecast.add(1000*time.Second, 13) // so long that no pause of this test is a part of it
	group := f.fill(6)
	for _, test := range []struct{ body, header string }{{"", "250"}, {"", "700s"}, {with(`"timeout":1700`), ""},
		{with(`"timeout":1700`), "3000"}, {with(`"max_tokens":13`), "1700"}} {
		resp, e := f.wantError("POST", "/v1/chat/completions", test.body, 503, "", headerTimeout, test.header)
		if *e.Code != "not_in_time" || resp.Header.Get("Retry-After") == "" ||
			!strings.Contains(e.Message, "would end in about") {
			t.Errorf("%+v %v", e, resp.Header)
		}
	}
	f.wantError("POST", "/v1/chat/completions", chatBody, 400, headerTimeout, headerTimeout, "soon")
	for _, bad := range []string{"0", "-1", `"1"`, "1e9"} {
		f.wantError("POST", "/v1/chat/completions", with(`"timeout":`+bad), 400, "timeout")
	}
	if s := f.fake.Status(); s.Running+s.Waiting != 6 {
		t.Errorf("%+v", s)
	}
	more := make(chan int, 2)
	for _, timeout := range []string{"1760", "6000"} {
		go func() {
			resp, _ := f.do("POST", "/v1/chat/completions", with(`"max_tokens":13`), headerTimeout, timeout)
			more <- resp.StatusCode
		}()
		llmtest.Until(t, "it is under way", func() bool {
			s := f.fake.Status()
			return s.Running+s.Waiting == 7 ||
				s.Running+s.Waiting == 8
		})
		if timeout == "1760" {
			// The next would wait for one more: 1000 s, and 1000 s for itself.
			f.wantError("POST", "/v1/chat/completions", with(`"max_tokens":13`), 503, "", headerTimeout, "1760")
		}
	}
	close(release)
	group.Wait()
	for range 2 {
		if code := <-more; code != 200 {
			t.Error(code)
		}
	}
	// A client has its answer before the backend has left its request.
	llmtest.Until(t, "nothing runs", func() bool { s := f.fake.Status(); return s.Running+s.Waiting == 0 })
	f.fake.Step = nil
	f.server.forecast.add(time.Hour, 1) // an idle service refuses nothing, whatever happened before
	if resp, data := f.do("POST", "/v1/chat/completions", chatBody, headerTimeout, "60"); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, data)
	}
}

// TestTimeLimit: a request that exceeds its time ends, together with its generation, whether its answer has begun or
// not.
func TestTimeLimit(t *testing.T) {
	f, _ := stuck(t)
	// Where nothing has to end first, a time that has passed is the request's own end and no reason to try later.
	if err := f.server.inTime(f.server.now().Add(-time.Second), time.Millisecond, 0); err != nil {
		t.Errorf("an idle service has no time: %v", err)
	}
	_, e := f.wantError("POST", "/v1/chat/completions", chatBody, 504, "", headerTimeout, "30ms")
	if *e.Code != "timeout" {
		t.Errorf("%+v", e)
	}
	f.wantError("POST", "/v1/chat/completions", with(`"timeout":0.03,"stream":true`), 504, "")
	f.fake.Step = func(ctx context.Context, _ *llm.Request, i int) error {
		if i == 5 {
			<-ctx.Done()
		}
		return nil
	}
	requests := 2
	for timeout := 0.2; ; timeout *= 4 {
		requests++
		resp := f.request(t.Context(), "POST", "/v1/chat/completions",
			with(fmt.Sprintf(`"timeout":%g,"stream":true`, timeout)))
		if resp.StatusCode == 504 && timeout < 60 { // too short to generate anything on this machine
			resp.Body.Close()
			continue
		}
		s := readStream(t, resp.Body)
		resp.Body.Close()
		if s.done || s.err == nil || *s.err.Code != "timeout" {
			t.Errorf("%+v", s)
		}
		break
	}
	llmtest.Until(t, "nothing runs", func() bool { st := f.fake.Status(); return st.Running+st.Waiting == 0 })
	f.wantMetrics(map[string]float64{telemetry.Requests + ",error": 0})
	// A request that exceeds its time before it has begun is not an aborted one.
	if n := f.metrics()[telemetry.Requests+",abort"]; n < 1 || n > float64(requests) {
		t.Errorf("%v of %d requests were given up", n, requests)
	}
}

// TestFullRefusesUnread: when there is no room, a request is refused after its header, without its body.
func TestFullRefusesUnread(t *testing.T) {
	f, release := stuck(t)
	group := f.fill(8)
	conn, err := net.Dial("tcp", f.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", path)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %s", path, resp.Status)
		}
		// the announced body makes the old connection unusable
		if conn, err = net.Dial("tcp", f.http.Listener.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if resp, _ := f.do("POST", "/tokenize", `{"prompt":"a"}`); resp.StatusCode != 200 {
		t.Errorf("what takes no place: %s", resp.Status)
	}
	close(release)
	group.Wait()
	if resp, _ := f.do("POST", "/v1/chat/completions", chatBody); resp.StatusCode != 200 {
		t.Errorf("afterwards: %s", resp.Status)
	}
}

// TestRequestsAtOnce: bodies that never come hold only so many places. Further requests are refused, and health checks
// are not.
func TestRequestsAtOnce(t *testing.T) {
	var held atomic.Int64
	f := start(t, func(c *Config, _ *llmtest.Fake) {
		c.MaxRequests, c.ReadTimeout = 3, time.Minute
		c.Hold = func() time.Duration { held.Add(1); return 0 }
	})
	var conns []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", f.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		fmt.Fprintf(conn, "POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	}
	llmtest.Until(t, "it is full", func() bool { return held.Load() == 3 }) // a request would take a place
	f.wantError("POST", "/tokenize", `{"prompt":"a"}`, 429, "")
	if resp, _ := f.do("GET", "/readyz", ""); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	for _, c := range conns {
		c.Close()
	}
	llmtest.Until(t, "there is room", func() bool {
		resp, _ := f.do("POST", "/tokenize", `{"prompt":"a"}`)
		return resp.StatusCode == 200
	})
}

// TestHold: each request with a body waits as long as Hold says, once, and health checks do not wait.
func TestHold(t *testing.T) {
	var asked atomic.Int64
	const wait = 20 * time.Millisecond
	f := start(t, func(c *Config, _ *llmtest.Fake) {
		c.Hold = func() time.Duration { asked.Add(1); return wait }
	})
	for i, path := range []string{"/v1/chat/completions", "/tokenize"} {
		began := time.Now()
		f.do("POST", path, chatBody)
		if took := time.Since(began); took < wait || asked.Load() != int64(i+1) {
			t.Errorf("%s: answered after %v, asked %d times", path, took, asked.Load())
		}
	}
	f.do("GET", "/livez", "")
	f.do("POST", "/livez", "")
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}
