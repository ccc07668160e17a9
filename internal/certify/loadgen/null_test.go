package loadgen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

func TestNullServerAnswers(t *testing.T) {
	s, err := NewNullServer(NullOptions{Tokens: 5, Interval: 10 * time.Millisecond,
		TTFT: func(int) time.Duration { return 30 * time.Millisecond }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := newClient(t, s.URL(), ClientOptions{})
	for _, q := range []struct {
		body           string
		tokens, chunks int
		usage          bool
	}{
		{`{"user":"a","stream":true,"stream_options":{"include_usage":true}}`, 5, 5, true},
		{`{"user":"b","stream":true,"max_tokens":3}`, 3, 3, false},
		{`{"user":"c","max_tokens":99}`, 5, 0, true},
	} {
		epoch := time.Now()
		r := c.Do(t.Context(), epoch, Job{Body: []byte(q.body), KeepText: true})
		if !r.OK() || r.Chunks != q.chunks || r.Text != strings.Repeat(nullToken, q.tokens) || r.Finish != "length" ||
			r.HasUsage != q.usage {
			t.Fatalf("%s: %+v", q.body, r)
		}
		if q.usage && (r.OutputTokens != q.tokens || r.PromptTokens != nullPrompt) {
			t.Errorf("%s: usage of %+v", q.body, r)
		}
		truth, ok := s.Truth(q.body[9:10])
		if !ok || len(truth.Sent) != max(q.chunks, 1) {
			t.Fatalf("%s: truth %+v", q.body, truth)
		}
		if first := truth.Sent[0].Sub(truth.Received); first < 30*time.Millisecond {
			t.Errorf("%s: first token after %v", q.body, first)
		}
		last := truth.Sent[len(truth.Sent)-1]
		if seen := epoch.Add(time.Duration(r.Last)); seen.Before(last) {
			t.Errorf("%s: the last token was seen %v before it was sent", q.body, last.Sub(seen))
		}
		least := 30*time.Millisecond + time.Duration(q.tokens-1)*10*time.Millisecond
		if whole := last.Sub(truth.Received); whole < least {
			t.Errorf("%s: answered within %v", q.body, whole)
		}
	}
	if _, ok := s.Truth("nobody"); ok {
		t.Error("truth about a request that never was")
	}
	if r := c.Do(t.Context(), time.Now(), Job{Body: []byte("x")}); r.Status != http.StatusBadRequest {
		t.Errorf("no JSON: %+v", r)
	}
	for path, want := range map[string]int{"/v1/models": 200, "/elsewhere": 404} {
		resp, err := http.Get(s.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: status %d", path, resp.StatusCode)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestRunOverTheNetwork runs each kind of plan against a real socket, under goleak and the race detector.
func TestRunOverTheNetwork(t *testing.T) {
	s, err := NewNullServer(NullOptions{Tokens: 4, Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := newClient(t, s.URL(), ClientOptions{})
	if err := c.Warm(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	epoch := time.Now()
	for _, kind := range []testcases.Kind{testcases.KindOpen, testcases.KindClosed, testcases.KindBatch} {
		seen := map[int]bool{}
		phase, err := Run(t.Context(), c, epoch, Plan{
			ID: string(kind), Kind: kind, Offsets: Poisson(1, 500, 0, 100), Concurrency: 10, Requests: 100,
			Make: func(n int) Job {
				return Job{Prompt: fmt.Sprint(kind, n), Body: fmt.Appendf(nil, `{"user":"%s %d","stream":true}`, kind,
					n)}
			},
			Sink: func(r evidence.Request) {
				if !r.OK() || seen[r.N] || r.Phase != string(kind) ||
					r.Prompt != fmt.Sprint(kind, r.N) || r.Chunks != 4 ||
					r.Issued < r.Scheduled || r.First < r.Issued {
					t.Errorf("%+v", r)
				}
				seen[r.N] = true
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if phase.Issued != 100 || len(seen) != 100 || phase.CutShort != "" || phase.CapHit || phase.MaxInFlight < 1 ||
			phase.Start > phase.SteadyFrom || phase.SteadyTo > phase.End {
			t.Errorf("%s: %+v, %d records", kind, phase, len(seen))
		}
		if kind == testcases.KindClosed && phase.MaxInFlight != 10 {
			t.Errorf("closed loop: %d in flight", phase.MaxInFlight)
		}
	}
}

// readTeller calls a function when something was read from a connection.
type readTeller struct {
	net.Conn
	tell func(n int)
}

func (c *readTeller) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.tell(n)
	}
	return n, err
}

// TestServerDiesWithinARun: requests in flight are truncated, later ones are refused, and every arrival has a record.
func TestServerDiesWithinARun(t *testing.T) {
	// Answers take much longer than the test.
	s, err := NewNullServer(NullOptions{Tokens: 5000, Interval: 2 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	died := make(chan struct{})
	var once sync.Once
	c := newClient(t, s.URL(), ClientOptions{Dial: func(ctx context.Context, network, address string) (net.Conn,
		error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &readTeller{conn, func(int) { once.Do(func() { go func() { s.Close(); close(died) }() }) }}, err
	}})
	classes := map[evidence.Failure]int{}
	const last = 39 // this request is made when the server is gone, which is after an answer has begun
	phase, err := Run(t.Context(), c, time.Now(), Plan{
		Kind: testcases.KindOpen, Offsets: Constant(100, 400*time.Millisecond, 0),
		Make: func(n int) Job {
			if n == last {
				<-died
			}
			return Job{Body: []byte(`{"stream":true}`)}
		},
		Sink: func(r evidence.Request) { classes[r.Fail]++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, n := range classes {
		total += n
	}
	if total != 40 || phase.Issued != 40 || classes[evidence.FailConnect] == 0 ||
		classes[evidence.FailTruncated] == 0 {
		t.Errorf("phase %+v, classes %v", phase, classes)
	}
}

func TestMeasureClient(t *testing.T) {
	got, err := MeasureClient(t.Context(), MeasureOptions{
		Streams: 5, RPS: 50, TokenInterval: 5 * time.Millisecond, Tokens: 5, TTFT: 10 * time.Millisecond,
		Duration: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Streams != 5 || got.RPS != 50 || got.IssueP99 <= 0 || got.TTFTErrorP99 <= 0 || got.GapErrorP99 <= 0 ||
		got.IssueP50 > got.IssueP99 || got.TTFTErrorP50 > got.TTFTErrorP99 || got.GapErrorP50 > got.GapErrorP99 {
		t.Errorf("%+v", got)
	}
	if _, err := MeasureClient(t.Context(), MeasureOptions{}); !errors.Is(err, ErrMeasure) {
		t.Errorf("without load: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := MeasureClient(ctx, MeasureOptions{RPS: 10}); !errors.Is(err, ErrMeasure) ||
		!errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// TestMemoryIsFlat: the client's memory depends on the requests in flight, and not on those that have ended.
func TestMemoryIsFlat(t *testing.T) {
	s, err := NewNullServer(NullOptions{Tokens: 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := newClient(t, s.URL(), ClientOptions{Conns: 20})
	heap := func(requests int) int64 {
		_, err := Run(t.Context(), c, time.Now(), Plan{
			Kind: testcases.KindClosed, Concurrency: 20, Requests: requests,
			Make: func(int) Job { return Job{Body: []byte(`{"stream":true}`), KeepText: true} },
			Sink: func(r evidence.Request) {
				if !r.OK() {
					t.Errorf("%+v", r)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	heap(1000)
	few := heap(1000)
	if many := heap(3000); many-few > 1<<20 {
		t.Errorf("%d bytes held after 1,000 requests, %d after 3,000 more", few, many)
	}
}

// TestProcsAreGivenBack: the last Run to end restores GOMAXPROCS, unless other code has set it.
func TestProcsAreGivenBack(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	one, two := raiseProcs(), raiseProcs()
	if got := runtime.GOMAXPROCS(0); got != before+spareProcs {
		t.Errorf("%d processors, want %d", got, before+spareProcs)
	}
	one()
	if got := runtime.GOMAXPROCS(0); got != before+spareProcs {
		t.Errorf("%d processors while a run is under way", got)
	}
	two()
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("%d processors afterwards, %d before", got, before)
	}
	three := raiseProcs()
	runtime.GOMAXPROCS(before + 5)
	three()
	if got := runtime.GOMAXPROCS(0); got != before+5 {
		t.Errorf("%d processors where somebody had set %d", got, before+5)
	}
}

// TestSleepUntil: a sleep never ends early, except when the context ends.
func TestSleepUntil(t *testing.T) {
	for _, c := range []Clock{SystemClock(), TimerClock{}} {
		for _, d := range []time.Duration{-time.Second, 0, 300 * time.Microsecond, 30 * time.Millisecond} {
			until := c.Now().Add(d)
			if c.SleepUntil(t.Context(), until); c.Now().Before(until) {
				t.Errorf("%T woke early from %v", c, d)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		c.SleepUntil(ctx, c.Now().Add(time.Hour))
		cancel()
	}
}
