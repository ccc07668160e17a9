package mixtral

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestChaos lets clients of all kinds at one service, from a seed, and then looks whether it is as good as before: the
// same request has the same answer, nothing is held, and the metrics add up with what the clients saw.
func TestChaos(t *testing.T) {
	s := openTiny(t, func(c *Config) { c.MaxConcurrentRequests, c.MaxQueuedRequests, c.MaxTokens = 4, 8, 200 })
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	client := server.Client()
	defer client.CloseIdleConnections()
	ask := func() string {
		greedy := 0.0
		c, err := s.GenerateCompletion(t.Context(), Request{Prompt: "Is all well?", MaxTokens: 30, Temperature: &greedy})
		if err != nil {
			t.Fatal(err)
		}
		return c.Text()
	}
	before := ask()
	var answers atomic.Int64 // whole ones, which the server must have counted as such
	const seed, workers, actions = 1, 12, 25
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			c := chaosClient{t: t, s: s, http: client, url: server.URL, rng: rand.New(rand.NewPCG(seed, uint64(w))), answers: &answers}
			for range actions {
				c.act()
			}
		})
	}
	group.Wait()
	deadline := time.Now().Add(20 * time.Second)
	for st := s.backend.Status(); st.Running+st.Waiting+st.KVUsed > 0; st = s.backend.Status() {
		if time.Now().After(deadline) {
			t.Fatalf("still held: %+v", st)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if after := ask(); after != before {
		t.Errorf("before %q, after %q", before, after)
	}
	counts := chaosMetrics(t, s)
	if done := counts[`mixtral_requests_total{finish_reason="stop"}`] + counts[`mixtral_requests_total{finish_reason="length"}`]; done < float64(answers.Load()+2) ||
		done != counts["mixtral_e2e_request_latency_seconds_count"] || done != counts["mixtral_request_queue_time_seconds_count"] {
		t.Errorf("clients have %d answers, the server %v", answers.Load()+2, counts)
	}
	if counts[`mixtral_requests_total{finish_reason="error"}`] > counts["mixtral_panics_total"] { // a panic at the last event comes after the count
		t.Errorf("errors other than the panics that were asked for: %v", counts)
	}
}

// chaosMetrics scrapes series without buckets.
func chaosMetrics(t *testing.T, s *Service) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	counts := map[string]float64{}
	for line := range strings.Lines(w.Body.String()) {
		var v float64
		if i := strings.LastIndexByte(line, ' '); strings.HasPrefix(line, "mixtral_") && i > 0 {
			if _, err := fmt.Sscan(line[i+1:], &v); err != nil {
				t.Fatal(err)
			}
			counts[line[:i]] = v
		}
	}
	return counts
}

// chaosClient behaves in one of many ways at a time.
type chaosClient struct {
	t       *testing.T
	s       *Service
	http    *http.Client
	url     string
	rng     *rand.Rand
	answers *atomic.Int64
}

func (c *chaosClient) act() {
	chat := func(fields string) string {
		return fmt.Sprintf(`{"messages":[{"role":"user","content":"word %d"}],"max_tokens":%d%s}`, c.rng.IntN(5), 1+c.rng.IntN(60), fields)
	}
	switch c.rng.IntN(9) {
	case 0:
		c.whole(chat(""), 1)
	case 1:
		c.whole(chat(`,"n":3,"temperature":1`), 3)
	case 2:
		c.whole(chat(`,"stop":["e","a"],"logprobs":true,"top_logprobs":3`), 1)
	case 3:
		c.streamed(chat(`,"stream":true`))
	case 4:
		c.leave(chat(fmt.Sprintf(`,"stream":%v,"ignore_eos":true,"n":%d`, c.rng.IntN(2) == 0, 1+c.rng.IntN(3))))
	case 5:
		c.expect(chat(`,"temperature":7`), 400)
	case 6:
		c.expect(fmt.Sprintf(`{"messages":[{"role":"user","content":%q}]}`, strings.Repeat("long ", 2000)), 400)
	case 7:
		c.expect(`{"messages":`, 400)
	case 8:
		c.s.StreamCompletion(context.Background(), Request{Prompt: "panic", MaxTokens: 20}, func(string) error { panic("asked for") })
	}
}

func (c *chaosClient) post(ctx context.Context, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, "POST", c.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	return c.http.Do(r)
}

// read gives status and body of a request that is not interrupted.
func (c *chaosClient) read(body string) (int, string) {
	resp, err := c.post(context.Background(), body)
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Error(err)
	}
	return resp.StatusCode, string(data)
}

func (c *chaosClient) whole(body string, choices int) {
	code, answer := c.read(body)
	var r struct{ Choices []struct{} }
	switch {
	case code == 429:
	case code != 200 || json.Unmarshal([]byte(answer), &r) != nil || len(r.Choices) != choices:
		c.t.Errorf("%s: %d %s", body, code, answer)
	default:
		c.answers.Add(int64(choices))
	}
}

func (c *chaosClient) streamed(body string) {
	code, answer := c.read(body)
	switch {
	case code == 429:
	case code != 200 || !strings.HasSuffix(answer, "data: [DONE]\n\n") || strings.Contains(answer, `"error"`):
		c.t.Errorf("%s: %d %s", body, code, answer)
	default:
		c.answers.Add(1)
	}
}

func (c *chaosClient) expect(body string, want int) {
	if code, answer := c.read(body); code != want {
		c.t.Errorf("%.80s: %d %s, want %d", body, code, answer, want)
	}
}

// leave goes away before, while or after the answer comes.
func (c *chaosClient) leave(body string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(c.rng.IntN(20000))*time.Microsecond)
	defer cancel()
	resp, err := c.post(ctx, body)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, int64(c.rng.IntN(1000)))
}
