package service

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// chaosSettings returns how long chaos lasts and its seed: MIXTRAL_CHAOS=2m, MIXTRAL_CHAOS_SEED=7. The same seed makes
// the same requests; the order in which they meet still depends on the machine.
func chaosSettings(t *testing.T) (lasts time.Duration, seed uint64) {
	t.Helper()
	lasts = 2 * time.Second
	if v := os.Getenv("MIXTRAL_CHAOS"); v != "" {
		var err error
		if lasts, err = time.ParseDuration(v); err != nil {
			t.Fatal("MIXTRAL_CHAOS:", err)
		}
	}
	return lasts, property.Seed(t, "MIXTRAL_CHAOS_SEED")
}

// TestChaos runs clients of all kinds against one service, some of whose weights are broken, from a seed and for a
// bounded time. Then it checks that the service is as good as before: the same request has the same answer, nothing is
// held, and the metrics agree with what the clients saw.
func TestChaos(t *testing.T) {
	lasts, seed := chaosSettings(t)
	s := openTiny(t, func(c *Options) {
		c.ModelPath, c.MaxConcurrentRequests, c.MaxQueuedRequests, c.MaxTokens = brokenModel(t), 4, 8, 200
	})
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	client := server.Client()
	defer client.CloseIdleConnections()
	check := func() string {
		text, _, err := generate(t.Context(), s, greedy("Is all well?", 30))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := check()
	var saw chaosCounts
	const workers = 12
	var group sync.WaitGroup
	until := time.Now().Add(lasts)
	for w := range workers {
		group.Go(func() {
			c := chaosClient{t: t, s: s, http: client, url: server.URL, rng: rand.New(rand.NewPCG(seed, uint64(w))),
				saw: &saw}
			for i := 0; i < 30 || time.Now().Before(until); i++ { // at least 30, on a busy machine, too
				c.act()
			}
		})
	}
	select {
	case <-llmtest.Done(group.Wait):
	case <-time.After(lasts + 8*time.Minute): // under race, with a low priority, beside other programs
		t.Fatal("the clients do not end")
	}
	awaitIdle(t, s)
	if after := check(); after != before {
		t.Errorf("before %q, after %q", before, after)
	}
	counts := chaosMetrics(t, s)
	answers := float64(saw.answers.Load() + 2)
	if done := counts[`mixtral_requests_total{finish_reason="stop"}`] +
		counts[`mixtral_requests_total{finish_reason="length"}`]; done < answers ||
		done != counts["mixtral_e2e_request_latency_seconds_count"] ||
		done != counts["mixtral_request_queue_time_seconds_count"] {
		t.Errorf("clients have %v answers, the server %v", answers, counts)
	}
	broken := counts["mixtral_non_finite_logits_total"]
	// A panic at the last event comes after the answer was counted.
	if counts[`mixtral_requests_total{finish_reason="error"}`] > counts["mixtral_panics_total"]+broken {
		t.Errorf("errors other than the panics and the broken weights that were asked for: %v", counts)
	}
	if seen := float64(saw.broken.Load()); broken < seen || seen == 0 {
		t.Errorf("clients saw %v completions with broken weights, the server %v", seen, broken)
	}
	t.Logf("%d answers, %d with broken weights", saw.answers.Load(), saw.broken.Load())
}

// awaitIdle waits until a service holds nothing.
func awaitIdle(t *testing.T, s *Service) {
	t.Helper()
	llmtest.Until(t, "everything to be let go", func() bool {
		st := s.backend.Status()
		return st.Running+st.Waiting+st.KVUsed == 0
	})
}

// chaosCounts is what the clients saw.
type chaosCounts struct {
	answers atomic.Int64 // whole ones: the server must have counted as many
	broken  atomic.Int64 // refused because of broken weights
}

// chaosMetrics scrapes all series but the buckets of histograms.
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

// chaosClient sends one request after another, each in one of many ways.
type chaosClient struct {
	t    *testing.T
	s    *Service
	http *http.Client
	url  string
	rng  *rand.Rand
	saw  *chaosCounts

	open func() (net.Conn, error) // nil: plain TCP
	raw  func(body string) string // the text of a request; nil: rawPost
}

func (c *chaosClient) act() {
	raw := c.raw
	if raw == nil {
		raw = rawPost
	}
	chat := func(fields string) string {
		return fmt.Sprintf(`{"messages":[{"role":"user","content":"word %d"}],"max_tokens":%d%s}`, c.rng.IntN(5),
			1+c.rng.IntN(60), fields)
	}
	switch c.rng.IntN(13) {
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
		c.s.Generate(context.Background(), ask("panic", 20), func(llm.Event) error { panic("asked for") })
	case 9:
		c.broken()
	case 10:
		c.hangUp(raw(chat(`,"stream":true`)))
	case 11:
		c.crawl(raw(chat(`,"stream":true,"ignore_eos":true`)))
	case 12:
		paths := []string{"/metrics", "/readyz", "/livez", "/version", "/v1/models", "/no/such"}
		if resp, err := c.http.Get(c.url + paths[c.rng.IntN(len(paths))]); err != nil {
			c.t.Error(err)
		} else {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
}

// broken sends a prompt with a token whose weights are not numbers.
func (c *chaosClient) broken() {
	token, stream := brokenTokens[c.rng.IntN(len(brokenTokens))], c.rng.IntN(2) == 0
	code, answer := c.readFrom("/v1/completions", fmt.Sprintf(`{"prompt":[1,%d,5],"max_tokens":9,"stream":%v}`,
		token, stream))
	switch {
	case code == 429:
	case !saysBroken(code, answer, stream):
		c.t.Errorf("broken weights: %d %s", code, answer)
	default:
		c.saw.broken.Add(1)
	}
}

// saysBroken says whether an answer is the error of weights that are not numbers. A stream that has waited long has
// begun with a comment, and its error is an event.
func saysBroken(code int, answer string, stream bool) bool {
	waited := stream && code == http.StatusOK && strings.HasPrefix(answer, ":")
	return (code == http.StatusInternalServerError || waited) && strings.Contains(answer, `"code":"non_finite_logits"`)
}

// dial sends part of a request, or all of it.
func (c *chaosClient) dial(text string) net.Conn {
	open := c.open
	if open == nil {
		open = func() (net.Conn, error) { return net.Dial("tcp", strings.TrimPrefix(c.url, "http://")) }
	}
	conn, err := open()
	if err != nil {
		c.t.Error(err)
		return nil
	}
	io.WriteString(conn, text)
	return conn
}

// hangUp closes or resets the connection somewhere in the request.
func (c *chaosClient) hangUp(text string) {
	if conn := c.dial(text[:c.rng.IntN(len(text)+1)]); conn != nil {
		if c.rng.IntN(2) == 0 {
			if encrypted, ok := conn.(*tls.Conn); ok {
				conn = encrypted.NetConn()
			}
			conn.(*net.TCPConn).SetLinger(0)
		}
		conn.Close()
	}
}

// crawl reads a stream a few bytes at a time, and not to its end.
func (c *chaosClient) crawl(text string) {
	conn := c.dial(text)
	if conn == nil {
		return
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(time.Second))
	for range c.rng.IntN(20) {
		if _, err := conn.Read(make([]byte, 1+c.rng.IntN(50))); err != nil {
			return
		}
		time.Sleep(time.Duration(c.rng.IntN(2000)) * time.Microsecond)
	}
}

func (c *chaosClient) post(ctx context.Context, path, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, "POST", c.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	return c.http.Do(r)
}

// read returns the status and the body of a request that is not interrupted.
func (c *chaosClient) read(body string) (int, string) {
	return c.readFrom("/v1/chat/completions", body)
}

func (c *chaosClient) readFrom(path, body string) (int, string) {
	resp, err := c.post(context.Background(), path, body)
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
	case code == 429 || c.chanced(answer):
	case code != 200 || json.Unmarshal([]byte(answer), &r) != nil || len(r.Choices) != choices:
		c.t.Errorf("%s: %d %s", body, code, answer)
	default:
		c.saw.answers.Add(int64(choices))
	}
}

func (c *chaosClient) streamed(body string) {
	code, answer := c.read(body)
	switch {
	case code == 429 || c.chanced(answer):
	case code != 200 || !strings.HasSuffix(answer, "data: [DONE]\n\n") || strings.Contains(answer, `"error"`):
		c.t.Errorf("%s: %d %s", body, code, answer)
	default:
		c.saw.answers.Add(1)
	}
}

// chanced reports whether the model generated one of the broken tokens by itself, which it is free to do.
func (c *chaosClient) chanced(answer string) bool {
	return strings.Contains(answer, `"non_finite_logits"`)
}

func (c *chaosClient) expect(body string, want int) {
	// A full queue is reported before the body is read.
	if code, answer := c.read(body); code != want && code != http.StatusTooManyRequests {
		c.t.Errorf("%.80s: %d %s, want %d", body, code, answer, want)
	}
}

// leave closes the connection before, during or after the answer.
func (c *chaosClient) leave(body string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(c.rng.IntN(20000))*time.Microsecond)
	defer cancel()
	resp, err := c.post(ctx, "/v1/chat/completions", body)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, int64(c.rng.IntN(1000)))
}
