package faults

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
	"github.com/hxp-enterprise/mixtral/internal/base/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func start(t *testing.T, c Config) *httptest.Server {
	t.Helper()
	s := New(c)
	h := httptest.NewServer(s)
	t.Cleanup(func() { h.Client().CloseIdleConnections(); h.Close(); s.Close() })
	return h
}

// reply is what a careful client sees in a stream.
type reply struct {
	status  int
	first   time.Duration // time to the first non-empty content
	opened  time.Duration // time to the first chunk of any kind
	chunks  int
	text    string
	finish  string
	usage   int
	prompt  int
	done    bool
	failure error
}

func ask(t *testing.T, h *httptest.Server, prompt string, maxTokens int) reply {
	t.Helper()
	body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],"max_tokens":%d,"stream":true,"stream_options":{"include_usage":true}}`, ModelID, prompt, maxTokens)
	begin := time.Now()
	resp, err := h.Client().Post(h.URL+"/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		return reply{failure: err}
	}
	defer resp.Body.Close()
	r := reply{status: resp.StatusCode}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if r.opened == 0 {
			r.opened = time.Since(begin)
		}
		if data == "[DONE]" {
			r.done = true
			continue
		}
		var c struct {
			Choices []struct {
				Delta struct {
					Content   string
					Reasoning string `json:"reasoning_content"`
				}
				FinishReason string `json:"finish_reason"`
			}
			Usage *struct {
				Prompt     int `json:"prompt_tokens"`
				Completion int `json:"completion_tokens"`
			}
		}
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			t.Fatalf("chunk %s: %v", data, err)
		}
		for _, ch := range c.Choices {
			// the bank never sends both in one chunk
			if ch.Delta.Content += ch.Delta.Reasoning; ch.Delta.Content != "" {
				if r.first == 0 {
					r.first = time.Since(begin)
				}
				r.chunks++
				r.text += ch.Delta.Content
			}
			if ch.FinishReason != "" {
				r.finish = ch.FinishReason
			}
		}
		if c.Usage != nil {
			r.usage, r.prompt = c.Usage.Completion, c.Usage.Prompt
		}
	}
	r.failure = lines.Err()
	return r
}

func metric(t *testing.T, h *httptest.Server, name string) float64 {
	t.Helper()
	resp, err := h.Client().Get(h.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == '{' || rest[0] == ' ') {
			var v float64
			if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' '):], &v); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			sum += v
		}
	}
	return sum
}

// together calls f n times at once.
func together(n int, f func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(f)
	}
	wg.Wait()
}

// within calls f until it returns true or d has passed. On a busy machine requests that are sent together need not run
// at the same time.
func within(d time.Duration, f func() bool) {
	for deadline := time.Now().Add(d); !f() && time.Now().Before(deadline); {
	}
}

const question = "What is 2 + 2?"

func TestAHealthyServerIsHonest(t *testing.T) {
	for _, f := range HealthyOnes() {
		t.Run(string(f), func(t *testing.T) {
			h := start(t, Config{Fault: f, Seed: 1, TTFT: 20 * time.Millisecond, Gap: time.Millisecond})
			tokens, prompt := 0, 0
			for _, p := range prompts.Default().Prompts {
				r := ask(t, h, "Ref 7.\n"+p.Text, 40)
				tokens, prompt = tokens+r.usage, prompt+r.prompt
				if r.status != 200 || !r.done || r.failure != nil || r.usage != r.chunks ||
					r.chunks != len(strings.Fields(r.text)) {
					t.Fatalf("%s: %+v", p.Key(), r)
				}
				if want := map[bool]string{true: "length", false: "stop"}[r.usage == 40]; r.finish != want {
					t.Errorf("%s: finish %q after %d tokens", p.Key(), r.finish, r.usage)
				}
			}
			if n := metric(t, h, "vllm:request_success_total"); n != 9 {
				t.Errorf("%v requests counted, want 9", n)
			}
			if n := metric(t, h, "vllm:generation_tokens_total"); n != float64(tokens) {
				t.Errorf("%v tokens counted, %d sent", n, tokens)
			}
			if n := metric(t, h, "vllm:prompt_tokens_total"); n != float64(prompt) {
				t.Errorf("%v prompt tokens counted, %d reported", n, prompt)
			}
			if n := metric(t, h, "vllm:time_to_first_token_seconds_count"); n != 9 {
				t.Errorf("%v TTFTs counted", n)
			}
			least, most := 40.0*gib, 41.0*gib
			if slices.Contains([]Fault{HealthyGo, HealthyJVM, HealthyArenas}, f) {
				least, most = 60<<20, 1*gib
			}
			if n := metric(t, h, "process_resident_memory_bytes"); n < least || n > most {
				t.Errorf("memory %v", n)
			}
		})
	}
}

// TestEachFaultShows checks that each planted fault can be seen from outside.
func TestEachFaultShows(t *testing.T) {
	shown := map[Fault]func(*testing.T, *httptest.Server) bool{
		Leak: func(t *testing.T, h *httptest.Server) bool {
			before := metric(t, h, "process_resident_memory_bytes")
			time.Sleep(30 * time.Millisecond)
			return metric(t, h, "process_resident_memory_bytes") > before
		},
		LeakGo: func(t *testing.T, h *httptest.Server) bool { // leaks 36 GB a second at this speed
			before := metric(t, h, "process_resident_memory_bytes")
			time.Sleep(100 * time.Millisecond)
			return metric(t, h, "process_resident_memory_bytes") > before
		},
		LyingCache: func(t *testing.T, h *httptest.Server) bool {
			before, claimed := metric(t, h, "process_resident_memory_bytes"),
				metric(t, h, "mixtral_kv_cache_resident_bytes")
			time.Sleep(30 * time.Millisecond)
			return metric(t, h, "process_resident_memory_bytes") > before &&
				metric(t, h, "mixtral_kv_cache_resident_bytes") > claimed && metric(t, h, "mixtral_kv_cache_bytes") > 0
		},
		LyingTokens: func(t *testing.T, h *httptest.Server) bool {
			r := ask(t, h, question, 99)
			return metric(t, h, "vllm:generation_tokens_total") != float64(r.usage)
		},
		MissedCounts: func(t *testing.T, h *httptest.Server) bool {
			for range 200 {
				ask(t, h, question, 1)
			}
			return metric(t, h, "vllm:request_success_total") < 200
		},
		CachedReplies: func(t *testing.T, h *httptest.Server) bool {
			return ask(t, h, question, 99).first > 4*ask(t, h, question, 99).first
		},
		EmptyFirst: func(t *testing.T, h *httptest.Server) bool {
			r := ask(t, h, question, 99)
			return r.opened < r.first/4
		},
		InflatedUsage: func(t *testing.T, h *httptest.Server) bool {
			r := ask(t, h, question, 99)
			return r.usage > r.chunks
		},
		Errors: func(t *testing.T, h *httptest.Server) bool {
			bad := 0
			for range 500 {
				if ask(t, h, question, 1).status != 200 {
					bad++
				}
			}
			return bad > 0 && bad < 25
		},
		Truncated: func(t *testing.T, h *httptest.Server) bool {
			cut := 0
			for range 500 {
				if r := ask(t, h, question, 4); !r.done && r.failure != nil {
					cut++
				}
			}
			return cut > 0 && cut < 25
		},
		SlowFirst: func(t *testing.T, h *httptest.Server) bool {
			return ask(t, h, question, 1).first > 40*time.Millisecond // LatencyMS is 40 here
		},
		CPUBurner: func(t *testing.T, h *httptest.Server) bool {
			before, at := metric(t, h, "process_cpu_seconds_total"), time.Now()
			time.Sleep(50 * time.Millisecond)
			return metric(t, h, "process_cpu_seconds_total")-before > 8*0.05 && time.Since(at) > 0
		},
		IgnoresMax: func(t *testing.T, h *httptest.Server) bool { return ask(t, h, question, 3).usage > 3 },
		FalseFinish: func(t *testing.T, h *httptest.Server) bool {
			r := ask(t, h, question, 3)
			return r.usage == 3 && r.finish == "stop"
		},
		LyingTTFT: func(t *testing.T, h *httptest.Server) bool {
			return ask(t, h, question, 3).first.Seconds() > 2*metric(t, h, "vllm:time_to_first_token_seconds_sum")
		},
		TooSlow: func(t *testing.T, h *httptest.Server) bool { // serves 0.8 × 100 requests/s
			begin := time.Now()
			done := make(chan struct{})
			for range 24 {
				// deferred, because ask may end the goroutine
				go func() { defer func() { done <- struct{}{} }(); ask(t, h, question, 1) }()
			}
			for range 24 {
				<-done
			}
			return time.Since(begin) > 280*time.Millisecond
		},
		Garbled: func(t *testing.T, h *httptest.Server) bool {
			var bad atomic.Int64
			within(time.Minute, func() bool {
				together(12, func() {
					if ask(t, h, question, 99).text != answerTo(question) {
						bad.Add(1)
					}
				})
				return bad.Load() > 0
			})
			return bad.Load() > 0 && ask(t, h, question, 99).text == answerTo(question)
		},
		MemoryHog: func(t *testing.T, h *httptest.Server) bool {
			var peak atomic.Uint64
			within(time.Minute, func() bool {
				together(12, func() {
					ask(t, h, question, 99)
					if v := uint64(metric(t, h, "process_resident_memory_bytes")); v > peak.Load() {
						peak.Store(v)
					}
				})
				return peak.Load() > 90*gib
			})
			return peak.Load() > 90*gib && metric(t, h, "process_resident_memory_bytes") < 90*gib
		},
		Drift: func(t *testing.T, h *httptest.Server) bool { // at speed 60000 the latency grows by 1000 % a second
			least := func() time.Duration { // of three, because a busy machine may slow one down
				return min(ask(t, h, question, 1).first, ask(t, h, question, 1).first, ask(t, h, question, 1).first)
			}
			a := least()
			time.Sleep(600 * time.Millisecond)
			return least() > 2*a
		},
		Stall: func(t *testing.T, h *httptest.Server) bool {
			time.Sleep(8600 * time.Millisecond)
			return ask(t, h, question, 1).first > 1000*time.Millisecond
		},
	}
	for _, f := range Planted() {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			show, ok := shown[f]
			if !ok {
				t.Fatal("no test shows this fault")
			}
			if f == Stall && testing.Short() {
				t.Skip("takes 10 s")
			}
			c := Config{Fault: f, Seed: 3, TTFT: 8 * time.Millisecond, Gap: 100 * time.Microsecond, Spread: 1e-9,
				LatencyMS: 40, TargetRPS: 100, Speed: 60000}
			// these are compared with an answer that comes at once, unless the machine is busy
			if f == CachedReplies || f == EmptyFirst {
				c.TTFT = 400 * time.Millisecond
			}
			for range 3 { // the faults are about time, and a busy machine may hide one
				if show(t, start(t, c)) {
					return
				}
			}
			t.Error("the fault does not show")
		})
	}
}

// TestUnseenLeaksHaveNoEnd checks that a leak that a short run cannot tell from garbage shows after many requests, and
// that no healthy server looks like it.
func TestUnseenLeaksHaveNoEnd(t *testing.T) {
	least := func(f Fault) float64 { // the least memory over a cycle, after requests that leak more than 1 GiB
		s := New(Config{Fault: f})
		defer s.Close()
		low := math.Inf(1)
		for n := int64(40_000); n < 44_000; n += 50 {
			s.requests.Store(n)
			low = min(low, s.memory())
		}
		return low
	}
	for _, f := range Unseen() {
		if got := least(f); got < 1<<30 {
			t.Errorf("%s takes %.0f MB at least", f, got/(1<<20))
		}
	}
	for _, f := range []Fault{HealthyGo, HealthyJVM, HealthyArenas} {
		if got := least(f); got > 200<<20 {
			t.Errorf("%s takes %.0f MB at least", f, got/(1<<20))
		}
	}
}

func TestParse(t *testing.T) {
	for _, f := range All() {
		if got, err := Parse(string(f)); err != nil || got != f {
			t.Errorf("%s: %v, %v", f, got, err)
		}
	}
	if _, err := Parse("slow"); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v", err)
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	h := start(t, Config{})
	resp, err := h.Client().Post(h.URL+"/v1/chat/completions", "application/json", strings.NewReader("{"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", resp.StatusCode)
	}
}
