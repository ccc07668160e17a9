package faults_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// service is the public service with backend vllm, over HTTP.
type service struct {
	t      *testing.T
	server *httptest.Server
	http   *http.Client
}

// serve passes requests on to addresses, and gives up one that is silent for a number of seconds.
func serve(t *testing.T, silence float64, addresses ...string) *service {
	t.Helper()
	c := mixtral.DefaultConfig()
	c.Backend, c.Upstream, c.UpstreamTimeoutS = "vllm", "http://"+strings.Join(addresses, ",http://"), silence
	s, err := mixtral.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	out := &service{t: t, server: httptest.NewServer(s.Handler()),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	t.Cleanup(func() {
		out.http.CloseIdleConnections()
		out.server.CloseClientConnections()
		out.server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return out
}

// answer is what became of one request.
type answer struct {
	status int
	body   string
	err    error // of the connection: the service must never cause one
}

func (s *service) ask(body string) answer {
	ctx, cancel := context.WithTimeout(context.Background(), llmtest.Limit)
	defer cancel()
	return s.askUntil(ctx, body, -1)
}

// askUntil reads at most n bytes of an answer and leaves; a negative n reads all.
func (s *service) askUntil(ctx context.Context, body string, n int64) answer {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.server.URL+"/v1/chat/completions",
		strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	resp, err := s.http.Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	var in io.Reader = resp.Body
	if n >= 0 {
		in = io.LimitReader(in, n)
	}
	data, err := io.ReadAll(in)
	return answer{status: resp.StatusCode, body: string(data), err: err}
}

// verdict sorts an answer: "whole", "refused" with an error status, "broken" in the middle with an error event; or it
// says what no answer may be.
func (a answer) verdict(want string) string {
	broken := func(text string) bool {
		var e openai.ErrorResponse
		return json.Unmarshal([]byte(text), &e) == nil && e.Error.Message != "" && e.Error.Type == "server_error"
	}
	last := strings.TrimSuffix(a.body[strings.LastIndex(strings.TrimSuffix(a.body, "\n\n"), "\n")+1:], "\n\n")
	switch {
	case a.err != nil:
		return "connection: " + a.err.Error()
	case strings.Contains(a.body, "127.0.0.1"):
		return "tells an address: " + a.body
	case a.status == 200 && content(a.body) == want:
		return "whole"
	case a.status >= 500 && broken(a.body):
		return "refused"
	case a.status == 200 && broken(strings.TrimPrefix(last, "data: ")):
		return "broken"
	}
	return fmt.Sprintf("%d %q", a.status, a.body)
}

// content is the text of a whole answer or of a stream that has its end, and empty otherwise.
func content(body string) string {
	var whole openai.ChatResponse
	if json.Unmarshal([]byte(body), &whole) == nil && len(whole.Choices) == 1 {
		return whole.Choices[0].Message.Text()
	}
	if !strings.HasSuffix(body, "data: [DONE]\n\n") {
		return ""
	}
	var text strings.Builder
	for line := range strings.Lines(body) {
		var c openai.ChatChunk
		if data, ok := strings.CutPrefix(line, "data: "); ok && json.Unmarshal([]byte(data), &c) == nil &&
			len(c.Choices) == 1 && c.Choices[0].Delta.Content != nil {
			text.WriteString(*c.Choices[0].Delta.Content)
		}
	}
	return text.String()
}

// metric reads one series of the service.
func (s *service) metric(series string) float64 {
	s.t.Helper()
	resp, err := s.http.Get(s.server.URL + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		if value, ok := strings.CutPrefix(in.Text(), series+" "); ok {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return f
		}
	}
	return 0
}

func finished(reason string) string { return `mixtral_requests_total{finish_reason="` + reason + `"}` }

// good counts completions that ended well.
func (s *service) good() float64 { return s.metric(finished("stop")) + s.metric(finished("length")) }

const question = "What is 2 + 2?"

func body(stream bool) string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],"max_tokens":12,"temperature":0,"stream":%v}`, faults.ModelID, question, stream)
}

// replica is a healthy server of the bank.
func replica(t *testing.T) *httptest.Server {
	t.Helper()
	f := faults.New(faults.Config{TTFT: 2 * time.Millisecond, Gap: time.Millisecond})
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet { // a health check uses up nothing of what a faulty connection still carries
			w.Header().Set("Connection", "close")
		}
		f.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
		f.Close()
	})
	return h
}

// TestUpstreamFaults: whatever happens between the service and its only upstream, a client gets a whole answer or an
// error in OpenAI's shape, one of them is counted, and once the connection is well again so is the service.
func TestUpstreamFaults(t *testing.T) {
	back := replica(t)
	p := newProxy(t, addressOf(back))
	// Only upstreams that never answer are given up soon: on a busy machine a good one may be silent for seconds.
	soon, patient := serve(t, 2, p.Listen), serve(t, 60, p.Listen)
	want := content(patient.ask(body(false)).body)
	if want == "" {
		t.Fatal("the upstream does not answer")
	}
	type outcomes [2]string // of a whole answer, and of a stream
	whole := outcomes{"whole", "whole"}
	refused := outcomes{"refused", "refused"}
	broken := outcomes{"refused", "broken"} // what is read whole before it is passed on still has a status of its own
	attr := func(kv ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i+1 < len(kv); i += 2 {
			m[kv[i].(string)] = kv[i+1]
		}
		return m
	}
	for _, c := range []struct {
		name string
		want outcomes
		do   func()
	}{
		{"well", whole, func() {}},
		{"slow", whole, func() { p.poison(toxic{"latency", attr("latency", 100, "jitter", 50), false}) }},
		{"slow both ways", whole, func() {
			p.poison(toxic{"latency", attr("latency", 50), true}, toxic{"latency", attr("latency", 50), false})
		}},
		{"in crumbs", whole, func() {
			p.poison(toxic{"slicer",
				attr("average_size", 7, "size_variation", 6, "delay", 10), false})
		}},
		{"narrow", whole, func() { p.poison(toxic{"bandwidth", attr("rate", 20), false}) }},
		{"down", refused, func() { p.Stop() }},
		{"resets", refused, func() { p.poison(toxic{"reset_peer", attr("timeout", 0), false}) }},
		{"resets what is sent", refused, func() { p.poison(toxic{"reset_peer", attr("timeout", 0), true}) }},
		{"hangs", refused, func() { p.poison(toxic{"timeout", attr("timeout", 0), false}) }},
		{"takes nothing", refused, func() { p.poison(toxic{"timeout", attr("timeout", 0), true}) }},
		{"ends in the status line", refused, func() { p.poison(toxic{"limit_data", attr("bytes", 7), false}) }},
		{"ends in the header", refused, func() { p.poison(toxic{"limit_data", attr("bytes", 60), false}) }},
		{"ends in the answer", broken, func() { p.poison(toxic{"limit_data", attr("bytes", 300), false}) }},
		{"slow, then ends", broken, func() {
			p.poison(toxic{"slicer", attr("average_size", 50, "delay", 1000), false},
				toxic{"limit_data", attr("bytes", 300), false})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := soon
			if c.want == whole || c.want == broken {
				s = patient
			}
			s.t, p.t = t, t
			p.heal() // new connections: the toxics count from their beginning
			c.do()
			for i, stream := range []bool{false, true} {
				good, failed := s.good(), s.metric(finished("error"))
				if got := s.ask(body(stream)).verdict(want); got != c.want[i] {
					t.Errorf("stream %v: %s, want %s", stream, got, c.want[i])
				}
				good, failed = s.good()-good, s.metric(finished("error"))-failed
				if isWhole := c.want[i] == "whole"; good+failed != 1 || (good == 1) != isWhole {
					t.Errorf("stream %v: counted %v as good and %v as failed", stream, good, failed)
				}
			}
			if !p.Enabled {
				p.start()
			}
			p.heal()
			llmtest.Until(t, "the service to be well again",
				func() bool { return s.ask(body(true)).verdict(want) == "whole" })
		})
	}
	for _, s := range []*service{soon, patient} {
		s.t = t
		if n := s.metric("mixtral_requests_running"); n != 0 {
			t.Errorf("%v requests still run", n)
		}
	}
}

// TestUpstreamChaos breaks the connections to two replicas at random, from a seed and for a bounded time, while
// clients ask, and leave. No client sees anything but a whole answer or a clean error, and all are counted.
//
//	MIXTRAL_CHAOS=2m MIXTRAL_CHAOS_SEED=7 go test ./faults -run Chaos
func TestUpstreamChaos(t *testing.T) {
	lasts, seed := chaosSettings(t)
	proxies := []*proxy{newProxy(t, addressOf(replica(t))), newProxy(t, addressOf(replica(t)))}
	s := serve(t, 2, proxies[0].Listen, proxies[1].Listen)
	want := ""
	llmtest.Until(t, "an answer before", func() bool {
		want = content(s.ask(body(false)).body)
		return want != ""
	})
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var verdicts [4]atomic.Int64 // whole, refused, broken, left
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for ctx.Err() == nil {
				stream := rng.IntN(2) == 0
				if rng.IntN(5) == 0 {
					leave, cancel := context.WithTimeout(context.Background(),
						time.Duration(rng.IntN(30))*time.Millisecond)
					s.askUntil(leave, body(stream), rng.Int64N(2000))
					cancel()
					verdicts[3].Add(1)
					continue
				}
				switch v := s.ask(body(stream)).verdict(want); v {
				case "whole":
					verdicts[0].Add(1)
				case "refused":
					verdicts[1].Add(1)
				case "broken":
					verdicts[2].Add(1)
				default:
					t.Errorf("a client got %s", v)
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(seed, 99))
	for ctx.Err() == nil {
		p := proxies[rng.IntN(2)]
		switch rng.IntN(8) {
		case 0:
			p.poison(toxic{"latency", map[string]any{"latency": rng.IntN(80), "jitter": rng.IntN(40)},
				rng.IntN(2) == 0})
		case 1:
			p.poison(toxic{"slicer", map[string]any{"average_size": 2 + rng.IntN(100), "size_variation": 1,
				"delay": rng.IntN(100)}, false})
		case 2:
			p.poison(toxic{"limit_data", map[string]any{"bytes": rng.IntN(3000)}, false})
		case 3:
			p.poison(toxic{"reset_peer", map[string]any{"timeout": rng.IntN(20)}, rng.IntN(2) == 0})
		case 4:
			p.poison(toxic{"timeout", map[string]any{"timeout": rng.IntN(200)}, rng.IntN(2) == 0})
		case 5:
			p.poison(toxic{"bandwidth", map[string]any{"rate": 1 + rng.IntN(50)}, false})
		default:
			p.heal()
		}
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
	}
	llmtest.Await(t, "all clients", llmtest.Done(group.Wait))
	for _, p := range proxies {
		p.heal()
	}
	llmtest.Until(t, "an answer afterwards", func() bool { return s.ask(body(true)).verdict(want) == "whole" })
	llmtest.Until(t, "nothing to run", func() bool { return s.metric("mixtral_requests_running") == 0 })
	counted := s.good()
	if counted < float64(verdicts[0].Load()+2) || s.metric("mixtral_panics_total") != 0 {
		t.Errorf("%v counted, clients have %d", counted, verdicts[0].Load())
	}
	t.Logf("seed %d: %d whole, %d refused, %d broken off, %d left", seed, verdicts[0].Load(), verdicts[1].Load(),
		verdicts[2].Load(), verdicts[3].Load())
}

// chaosSettings gives how long chaos lasts and its seed.
func chaosSettings(t *testing.T) (time.Duration, uint64) {
	t.Helper()
	lasts := 3 * time.Second
	if v := os.Getenv("MIXTRAL_CHAOS"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			t.Fatal("MIXTRAL_CHAOS:", err)
		}
		lasts = d
	}
	return lasts, property.Seed(t, "MIXTRAL_CHAOS_SEED")
}
