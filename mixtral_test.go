package mixtral

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func tinyConfig(change ...func(*Config)) Config {
	c := DefaultConfig()
	c.ModelPath, c.Port, c.MaxTokens, c.DrainTimeoutS = "synth:tiny", 0, 64, 10
	for _, ch := range change {
		ch(&c)
	}
	return c
}

func openTiny(t *testing.T, change ...func(*Config)) *Service {
	t.Helper()
	s, err := Open(t.Context(), tinyConfig(change...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// serving has a service serve at a free port of this machine until stop: served then gets what serve returns.
func serving(t *testing.T, serve func(context.Context, net.Listener) error) (address string, stop context.CancelFunc,
	served chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	served = make(chan error, 1)
	go func() { served <- serve(ctx, l) }()
	return l.Addr().String(), stop, served
}

func TestGenerateCompletion(t *testing.T) {
	s := openTiny(t)
	seed, warm := int64(7), 1.0
	r := Request{Prompt: "What is water?", MaxTokens: 12, Seed: &seed, Temperature: &warm}
	c, err := s.GenerateCompletion(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	// As the seed's steps read it: result["choices"][0]["message"]["content"].
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var result struct {
		Choices []struct {
			Message      struct{ Role, Content string }
			FinishReason string `json:"finish_reason"`
		}
		Usage struct {
			PromptTokens     int `json:"prompt_tokens"`
			CompletionTokens int `json:"completion_tokens"`
			TotalTokens      int `json:"total_tokens"`
		}
	}
	if err := json.Unmarshal(data, &result); err != nil {
		t.Fatal(err)
	}
	u := result.Usage
	if len(result.Choices) != 1 || result.Choices[0].Message.Content == "" ||
		result.Choices[0].Message.Role != "assistant" || result.Choices[0].Message.Content != c.Text() {
		t.Errorf("%s", data)
	}
	if u.PromptTokens < 5 || u.CompletionTokens < 1 || u.CompletionTokens > 12 ||
		u.TotalTokens != u.PromptTokens+u.CompletionTokens || c.ID == "" || c.Model != s.Model().ID {
		t.Errorf("%s", data)
	}
	var pieces []string
	again, err := s.StreamCompletion(t.Context(), r, func(text string) error {
		pieces = append(pieces,
			text)
		return nil
	})
	if err != nil || again.Text() != c.Text() || strings.Join(pieces, "") != c.Text() || len(pieces) < 2 {
		t.Errorf("streamed %q, %v; at once %q", pieces, err, c.Text())
	}
	conversation, err := s.GenerateCompletion(t.Context(), Request{Messages: []Message{{RoleUser, "What is water?"}},
		MaxTokens: 12, Seed: &seed, Temperature: &warm})
	if err != nil || conversation.Text() != c.Text() {
		t.Errorf("as messages %v, %v; as prompt %q", conversation, err, c.Text())
	}
	if raw, err := s.GenerateCompletion(t.Context(), Request{RawPrompt: "What is water?",
		MaxTokens: 3}); err != nil || raw.Usage.PromptTokens >= u.PromptTokens {
		t.Errorf("%+v, %v", raw, err)
	}
	broken := errors.New("sink")
	if _, err := s.StreamCompletion(t.Context(), r, func(string) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.GenerateCompletion(stopped, r); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestBadRequests(t *testing.T) {
	s := openTiny(t)
	hot := 2.5
	for field, r := range map[string]Request{
		"prompt":           {},
		"prompt: exactly":  {Prompt: "a", RawPrompt: "b"},
		"max_tokens":       {Prompt: "a", MaxTokens: 65},
		"max_tokens: must": {Prompt: "a", MaxTokens: -1},
		"temperature":      {Prompt: "a", Temperature: &hot},
		"top_p":            {Prompt: "a", TopP: 1.5},
		"top_k":            {Prompt: "a", TopK: -1},
		"min_p":            {Prompt: "a", MinP: 1},
		"presence_penalty": {Prompt: "a", PresencePenalty: 3},
		"stop[1]":          {Prompt: "a", Stop: []string{"x", ""}},
		"messages[1].role": {Messages: []Message{{RoleUser, "a"}, {RoleUser, "b"}}},
	} {
		if _, err := s.GenerateCompletion(t.Context(), r); !errors.Is(err, ErrBadRequest) ||
			!strings.HasPrefix(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := s.GenerateCompletion(t.Context(), Request{Prompt: "a", Model: "other"}); !errors.Is(err,
		ErrModelNotFound) {
		t.Error(err)
	}
	if _, err := s.GenerateCompletion(t.Context(), Request{Prompt: strings.Repeat("long ", 1<<16)}); !errors.Is(err,
		ErrContextLength) || !errors.Is(err, ErrBadRequest) {
		t.Error(err)
	}
}

// TestServe over real HTTP: not ready, ready, drained.
func TestServe(t *testing.T) {
	s, err := New(tinyConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	address, cancel, served := serving(t, s.Serve)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	url := "http://" + address
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := client.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if code, body := get("/readyz"); code != 503 || !strings.Contains(body, "starting") {
		t.Errorf("before: %d %s", code, body)
	}
	if _, err := s.GenerateCompletion(t.Context(), Request{Prompt: "a"}); !errors.Is(err, ErrNotReady) {
		t.Error(err)
	}
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code, body := get("/readyz"); code != 200 {
		t.Errorf("ready: %d %s", code, body)
	}
	started, body := make(chan struct{}), make(chan string, 1)
	go func() {
		resp, err := client.Post(url+"/v1/chat/completions", "application/json",
			strings.NewReader(`{"messages":[{"role":"user","content":"hi"}],"max_tokens":64,"ignore_eos":true,"stream":true}`))
		if err != nil {
			body <- err.Error()
			close(started)
			return
		}
		defer resp.Body.Close()
		close(started)
		all, _ := io.ReadAll(resp.Body)
		body <- string(all)
	}()
	llmtest.Await(t, "the answer's header", started)
	cancel()
	if got := llmtest.Await(t, "the answer", body); !strings.Contains(got, `"finish_reason":"length"`) ||
		!strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("the answer under way was cut off: %s", got)
	}
	if err := llmtest.Await(t, "Serve to return", served); err != nil {
		t.Errorf("drain: %v", err)
	}
	if _, err := client.Get(url + "/livez"); err == nil {
		t.Error("still listens")
	}
}

// TestClientLeaves: a connection that closes ends the engine's work for it, long before it would be done.
func TestClientLeaves(t *testing.T) {
	s := openTiny(t, func(c *Config) { c.MaxTokens = 1 << 20 })
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	const clients = 12 // more than run at once: some leave the queue
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			resp, err := http.Post(server.URL+"/v1/chat/completions", "application/json",
				strings.NewReader(`{"messages":[{"role":"user","content":"hi"}],"n":8,"max_tokens":1000,"ignore_eos":true,"stream":true}`))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Read(make([]byte, 10))
			resp.Body.Close()
		})
	}
	llmtest.Await(t, "all clients", llmtest.Done(group.Wait))
	deadline := time.Now().Add(20 * time.Second)
	for {
		st := s.backend.Status()
		if st.Running == 0 && st.Waiting == 0 && st.KVUsed == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still at work: %+v", st)
		}
		time.Sleep(5 * time.Millisecond)
	}
	http.DefaultClient.CloseIdleConnections()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), `mixtral_requests_total{finish_reason="abort"} `) ||
		strings.Contains(w.Body.String(), `mixtral_requests_total{finish_reason="abort"} 0`) {
		t.Error("no abort was counted")
	}
}

func TestListenAndServePortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := openTiny(t, func(c *Config) { c.Port = l.Addr().(*net.TCPAddr).Port })
	if err := s.ListenAndServe(t.Context()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Error(err)
	}
}

func TestClose(t *testing.T) {
	s := openTiny(t)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.GenerateCompletion(t.Context(), Request{Prompt: "a"}); err == nil {
		t.Error("answers after Close")
	}
	if s, err := New(tinyConfig()); err != nil || s.Close() != nil || !errors.Is(s.load(), ErrClosed) {
		t.Error("closed before it was loaded", err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if err := os.WriteFile(keys, []byte("alice short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		change func(*Config)
		want   error
		text   string
	}{
		{func(c *Config) { c.Port = -1 }, ErrConfig, "port"},
		{func(c *Config) { c.APIKeyFile = filepath.Join(dir, "none") }, os.ErrNotExist, "api_key_file"},
		{func(c *Config) { c.APIKeyFile = keys }, ErrConfig, "line 1"},
		{func(c *Config) { c.ModelPath = "no-such.gguf" }, catalog.ErrRef, "no-such.gguf"},
		{func(c *Config) { c.MemoryLimitGB = 0.1 }, ErrMemory, "memory_limit_gb allows 0.10 GiB"},
		{func(c *Config) { c.ContextLength = 1 << 20 }, nil, ""},
	} {
		s, err := Open(t.Context(), tinyConfig(test.change))
		if err == nil {
			s.Close()
		}
		if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("got %v, want %v with %q", err, test.want, test.text)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, tinyConfig()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestModelChangesWhileItLoads: weights of two files are no model.
func TestModelChangesWhileItLoads(t *testing.T) {
	shape, _ := synth.Preset("tiny")
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := catalog.WriteSynth(t.Context(), path, shape, nil); err != nil {
		t.Fatal(err)
	}
	s, err := New(tinyConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	model, err := catalog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	if e, _, err := s.start(model); err != nil {
		t.Fatal(err)
	} else if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Now(), time.Unix(1700000000, 0)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.start(model); !errors.Is(err, gguf.ErrChanged) {
		t.Errorf("got %v", err)
	}
}

func TestReloadKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	write := func(content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("alice alice-key-0123456789\n")
	s := openTiny(t, func(c *Config) { c.APIKeyFile = path })
	status := func(key string) int {
		r := httptest.NewRequest("GET", "/v1/models", nil)
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Code
	}
	write("alice short\n")
	if err := s.ReloadKeys(); !errors.Is(err, ErrConfig) || status("alice-key-0123456789") != 200 {
		t.Errorf("a bad file took the keys away: %v", err)
	}
	write("bob bob-key-0123456789\n")
	if err := s.ReloadKeys(); err != nil || status("alice-key-0123456789") != 401 ||
		status("bob-key-0123456789") != 200 {
		t.Errorf("reload: %v", err)
	}
	if err := openTiny(t).ReloadKeys(); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	s := openTiny(t)
	m, err := s.MemoryUsage()
	if err != nil || m.RSS <= 0 {
		t.Errorf("%+v, %v", m, err)
	}
	if p := s.MemoryPlan(); p.Weights <= 0 || p.KV <= 0 || p.Weights+p.KV+p.Reserve > p.Limit || m.RSS > p.Limit ||
		p.GoLimit() >= p.Limit {
		t.Errorf("plan %+v with %+v in use", p, m)
	}
	if _, err := s.CPUUsage(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := s.GenerateCompletion(t.Context(), Request{Prompt: "a", MaxTokens: 64}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := s.CPUUsage()
	if err != nil || c.Cores <= 0 || c.Cores > float64(runtime.NumCPU())+0.5 || c.Total <= 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if n := s.Cores(); n < 1 || n > runtime.NumCPU() {
		t.Errorf("%d cores", n)
	}
}

func TestCPUMeter(t *testing.T) {
	var m cpuMeter
	at := time.Unix(1000, 0)
	for i, step := range []struct {
		wall, used time.Duration
		want       float64
	}{
		{0, time.Second, 0}, // nothing to compare with
		{time.Second, 2 * time.Second, 1},
		{2 * time.Second, 5 * time.Second, 1.5},
		{0, 6 * time.Second, 0}, // no time has passed
		{-time.Second, 7 * time.Second, 0},
		{4 * time.Second, 7 * time.Second, 0},
		{time.Second, 6 * time.Second, 0}, // a clock that went back
	} {
		at = at.Add(step.wall)
		if got := m.next(at, step.used); math.Abs(got-step.want) > 1e-9 {
			t.Errorf("step %d: %v cores, want %v", i, got, step.want)
		}
	}
}

// TestPlanMemory on Mixtral-8x7B's own shape.
func TestPlanMemory(t *testing.T) {
	m := moe.Info{Config: moe.Config{Layers: 32, KVHeads: 8, HeadDim: 128, Context: 32768}, Packed: 26 * gib}
	perToken := int64(2 * 2 * 32 * 8 * 128)
	if got := m.KVBytes(quant.KVF16, 16); got != 16*perToken {
		t.Fatalf("%d bytes for 16 tokens, want %d", got, 16*perToken)
	}
	one := perToken * 32768 // 4 GiB
	p, err := planMemory(90*gib, "memory_limit_gb", m, quant.KVF16, 10, 32768)
	if err != nil || p.KV < 10*one || p.KV > 10*one+10*16*perToken || p.GoLimit() != 64*gib {
		t.Errorf("%+v, %v", p, err)
	}
	p, err = planMemory(32*gib, "the machine", m, quant.KVF16, 10, 32768)
	if err != nil || p.KV != 32*gib-26*gib-ReserveBytes {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = planMemory(28*gib, "cgroup v2", m, quant.KVF16, 10, 32768)
	if !errors.Is(err, ErrMemory) {
		t.Fatal(err)
	}
	for _, part := range []string{"26.00 GiB of weights", "4.00 GiB of KV cache for one context of 32768 tokens",
		"0.38 GiB for everything else", "= 30.38 GiB", "cgroup v2 allows 28.00 GiB",
		"context_length of 13312 would fit"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v lacks %q", err, part)
		}
	}
	if _, err := planMemory(28*gib, "cgroup v2", m, quant.KVF16, 10, 13312-16); err != nil {
		t.Errorf("what was proposed does not fit: %v", err)
	}
	// 2.62 GiB of room; 4 GiB in f16, 2.125 GiB in q8_0
	_, err = planMemory(29*gib, "cgroup v2", m, quant.KVF16, 10, 32768)
	if err == nil || !strings.HasSuffix(err.Error(), "would fit; so would kv_type q8_0") {
		t.Errorf("%v does not propose q8_0", err)
	}
	p, err = planMemory(29*gib, "cgroup v2", m, quant.KVQ8, 10, 32768)
	if err != nil || p.KV != 29*gib-26*gib-ReserveBytes {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := planMemory(20*gib, "the machine", m, quant.KVF16, 10, 512); !errors.Is(err, ErrMemory) ||
		strings.Contains(err.Error(), "would fit") {
		t.Error(err)
	}
}

func TestMemoryLimit(t *testing.T) {
	c := DefaultConfig()
	for _, test := range []struct {
		l     host.Limits
		bytes int64
		bound string
	}{
		{host.Limits{}, 90 * gib, "memory_limit_gb"},
		{host.Limits{Memory: 128 * gib}, 90 * gib, "memory_limit_gb"},
		{host.Limits{Memory: 24 * gib}, 24 * gib, "the machine"},
		{host.Limits{Memory: 24 * gib, GroupMemory: 4 * gib, Group: "cgroup v1"}, 4 * gib, "cgroup v1"},
	} {
		if bytes, bound := memoryLimit(c, test.l); bytes != test.bytes || bound != test.bound {
			t.Errorf("%+v: %d by %s", test.l, bytes, bound)
		}
	}
}

func BenchmarkGenerateCompletion(b *testing.B) {
	s, err := Open(b.Context(), tinyConfig())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if _, err := s.GenerateCompletion(b.Context(), Request{Prompt: "What is water?", MaxTokens: 16}); err != nil {
			b.Fatal(err)
		}
	}
}
