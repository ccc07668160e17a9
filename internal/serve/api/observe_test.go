package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
	"github.com/hxp-enterprise/mixtral/internal/serve/upstream"
)

// watcher keeps what Config.Observe was called with.
type watcher struct {
	mu   sync.Mutex
	list []Served
}

func (w *watcher) see(v Served) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, v)
}

// next waits for the n-th request, counted from 0: Observe is called after the client has its answer.
func (w *watcher) next(t *testing.T, n int) (v Served) {
	t.Helper()
	llmtest.Until(t, "the request is told of", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.list) > n {
			v = w.list[n]
		}
		return len(w.list) > n
	})
	if v.ID == "" || v.Received.IsZero() || v.Total <= 0 || v.First > v.Total {
		t.Errorf("%+v", v)
	}
	return v
}

// same compares what does not depend on the clock or on random ids.
func same(t *testing.T, got, want Served) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Served{}, "ID", "Completion", "Received", "First", "Total"),
		cmpopts.IgnoreFields(llm.Usage{}, "Queued")); d != "" {
		t.Error(d)
	}
}

func TestObserve(t *testing.T) {
	var w watcher
	f := start(t, func(c *Config, _ *llmtest.Fake) { c.Observe = w.see })
	const chat, text = "/v1/chat/completions", "/v1/completions"
	for i, c := range []struct {
		path, body string
		want       Served
	}{
		{chat, chatBody, Served{Route: chat, Model: "fake", Status: 200, Finish: llm.FinishStop,
			Usage: llm.Usage{PromptTokens: 29, CompletionTokens: 14}}},
		{chat, with(`"stream":true,"n":2`), Served{Route: chat, Model: "fake", Status: 200, Finish: llm.FinishStop,
			Streamed: true, Usage: llm.Usage{PromptTokens: 29, CompletionTokens: 28}}},
		{text, `{"prompt":"a b c d","max_tokens":3,"temperature":0}`,
			Served{Route: text, Model: "fake", Status: 200, Finish: llm.FinishLength,
				Usage: llm.Usage{PromptTokens: 8, CompletionTokens: 3}}},
		{chat, with(`"model":"` + strings.Repeat("x", 5000) + `"`),
			Served{Route: chat, Model: strings.Repeat("x", maxModel), Status: 404}},
		{chat, with(`"max_tokens":0`), Served{Route: chat, Model: "fake", Status: 400}},
		{chat, with(`"model":{}`), Served{Route: chat, Status: 400}},
		{chat, `{`, Served{Route: chat, Status: 400}},
	} {
		resp, _ := f.do("POST", c.path, c.body)
		got := w.next(t, i)
		if c.path == chat && i == 4 {
			c.want.Model = "" // it had not been looked up yet
		}
		same(t, got, c.want)
		if answered := c.want.Status == 200; got.ID != resp.Header.Get("X-Request-Id") ||
			(got.First > 0) != answered || (got.Completion != "") != answered {
			t.Errorf("%s: %+v", c.body, got)
		}
	}
	f.do("GET", "/v1/models", "")
	f.do("GET", "/nowhere", "")
	if w.next(t, 6); len(w.list) != 7 {
		t.Errorf("%d were told of", len(w.list))
	}
}

// TestObserveEnds: for an answer that breaks off, Observe gets the reason, and what was generated until then.
func TestObserveEnds(t *testing.T) {
	var w watcher
	f := start(t, func(c *Config, _ *llmtest.Fake) { c.Observe = w.see })
	f.fake.Step = func(_ context.Context, _ *llm.Request, i int) error {
		if i == 5 {
			return errors.New("broken")
		}
		return nil
	}
	f.do("POST", "/v1/chat/completions", with(`"stream":true`))
	same(t, w.next(t, 0), Served{Route: "/v1/chat/completions", Model: "fake", Status: 200, Finish: llm.FinishError,
		Streamed: true, Usage: llm.Usage{CompletionTokens: 5}})
	f.do("POST", "/v1/chat/completions", chatBody)
	same(t, w.next(t, 1), Served{Route: "/v1/chat/completions", Model: "fake", Status: 500, Finish: llm.FinishError,
		Usage: llm.Usage{CompletionTokens: 5}})

	reached := make(chan struct{})
	f.fake.Step = func(ctx context.Context, _ *llm.Request, i int) error {
		if i == 5 {
			close(reached)
			<-ctx.Done()
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r, _ := http.NewRequestWithContext(ctx, "POST", f.http.URL+"/v1/chat/completions", strings.NewReader(chatBody))
		if resp, err := f.http.Client().Do(r); err == nil {
			resp.Body.Close()
		}
	}()
	llmtest.Await(t, "step 5", reached)
	cancel()
	llmtest.Await(t, "the client", ended)
	same(t, w.next(t, 2), Served{Route: "/v1/chat/completions", Model: "fake", Status: statusClientClosed,
		Finish: llm.FinishAbort, Gone: true, Usage: llm.Usage{CompletionTokens: 5}})
}

// TestObserveKeysAndPrompts: Observe gets the key's name and never the key; a prompt only if that is configured, and
// bounded.
func TestObserveKeysAndPrompts(t *testing.T) {
	keys := keysOf(t, "alice alice-key-0123456789\n")
	for _, keep := range []bool{false, true} {
		var w watcher
		f := start(t, func(c *Config, _ *llmtest.Fake) {
			c.Observe, c.Callers, c.KeepPrompts = w.see, access.NewCallers(keys), keep
		})
		f.do("POST", "/v1/chat/completions", chatBody, "Authorization", alice)
		f.do("POST", "/v1/chat/completions", chatBody, "Authorization", "Bearer of-nothing-at-all-0123")
		f.do("POST", "/v1/completions", `{"prompt":"`+strings.Repeat("x", 2*maxPrompt)+`"}`, "Authorization", alice)
		want := Served{Route: "/v1/chat/completions", Model: "fake", Key: "alice", Status: 200,
			Finish: llm.FinishStop, Usage: llm.Usage{PromptTokens: 29, CompletionTokens: 14}}
		if keep {
			want.Prompt = `[{"role":"user","content":"one two three"}]`
		}
		same(t, w.next(t, 0), want)
		same(t, w.next(t, 1), Served{Route: "/v1/chat/completions", Status: 401})
		if got := w.next(t, 2).Prompt; keep && len(got) != maxPrompt || !keep && got != "" {
			t.Errorf("a prompt of %d bytes", len(got))
		}
	}
}

// TestObservePassed: Observe is also called for requests that are passed on.
func TestObservePassed(t *testing.T) {
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models" {
			io.WriteString(w, `{"object":"list","data":[{"id":"far","object":"model"}]}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "refuse") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for _, data := range []string{
			`{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}`,
			`{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"length"}]}`,
			`{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9,"prompt_tokens_details":{"cached_tokens":3}}}`,
			"[DONE]",
		} {
			io.WriteString(w, "data: "+data+"\n\n")
		}
	}))
	defer far.Close()
	backend, err := upstream.New(upstream.Config{URLs: []string{far.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	var w watcher
	f := start(t, func(c *Config, _ *llmtest.Fake) { c.Observe = w.see })
	f.server.SetBackend(backend)
	llmtest.Until(t, "the upstream is healthy", func() bool { return backend.Status().Ready })
	f.do("POST", "/v1/chat/completions", with(`"model":"far","stream":true,"stream_options":{"include_usage":true}`))
	got := w.next(t, 0)
	same(t, got, Served{Route: "/v1/chat/completions", Model: "far", Status: 200, Finish: llm.FinishLength,
		Streamed: true,
		Usage:    llm.Usage{PromptTokens: 7, CompletionTokens: 2, CachedTokens: 3}})
	if got.First <= 0 {
		t.Errorf("%+v", got)
	}
	f.do("POST", "/v1/chat/completions", with(`"model":"far","user":"refuse"`))
	same(t, w.next(t, 1), Served{Route: "/v1/chat/completions", Model: "far", Status: 400})
}

// TestPassedClaims: an upstream's claims about its answer create no label, no panic and no unbounded count.
func TestPassedClaims(t *testing.T) {
	var answer atomic.Value
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models" {
			io.WriteString(w, `{"object":"list","data":[{"id":"far","object":"model"}]}`)
			return
		}
		io.WriteString(w, answer.Load().(string))
	}))
	defer far.Close()
	backend, err := upstream.New(upstream.Config{URLs: []string{far.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	f := start(t)
	f.server.SetBackend(backend)
	want := map[string]float64{telemetry.Panics: 0, telemetry.PromptTokens: 0, telemetry.Requests + ",error": 0}
	for _, test := range []struct {
		finish, usage string
		tokens        float64
		label         string
	}{
		{"stop", `{"prompt_tokens":2,"completion_tokens":3}`, 3, "stop"},
		{"length", `{"prompt_tokens":2,"completion_tokens":3}`, 3, "length"},
		{"tool_calls", `{"prompt_tokens":2,"completion_tokens":3}`, 3, "stop"},
		{"anything at all", `{"prompt_tokens":2,"completion_tokens":3}`, 3, "stop"},
		{"stop", `{"prompt_tokens":2,"completion_tokens":1000000000000}`, 1, "stop"},
		{"stop", `{"prompt_tokens":-2,"completion_tokens":3}`, 1, "stop"},
		{"stop", `{"prompt_tokens":2,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":-9}}`, 3, "stop"},
	} {
		answer.Store(`{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"` + test.finish +
			`"}],"usage":` + test.usage + `}`)
		if resp, data := f.do("POST", "/v1/chat/completions", chatBody); resp.StatusCode != 200 ||
			string(data) != answer.Load() {
			t.Errorf("%+v: %d %s", test, resp.StatusCode, data)
		}
		want[telemetry.Requests+","+test.label]++
		want[telemetry.GenerationTokens] += test.tokens
		if test.tokens == 3 {
			want[telemetry.PromptTokens] += 2
		}
		f.wantMetrics(want)
	}
	for name := range f.metrics() {
		if strings.HasPrefix(name, telemetry.Requests+",") && want[name] == 0 && !strings.HasSuffix(name, ",error") &&
			!strings.HasSuffix(name, ",abort") {
			t.Errorf("a label of the upstream's: %s", name)
		}
	}
}

// TestObserveGenerate: Observe is also called for Generate.
func TestObserveGenerate(t *testing.T) {
	var w watcher
	f := start(t, func(c *Config, _ *llmtest.Fake) { c.Observe = w.see })
	r := llmtest.Chat("a b", 10)
	r.ID = "go-1"
	if err := f.server.Generate(t.Context(), r, func(llm.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	same(t, w.next(t, 0), Served{Route: RouteGo, Status: 200, Finish: llm.FinishStop,
		Usage: llm.Usage{PromptTokens: 19, CompletionTokens: 4}})
	if err := f.server.Generate(t.Context(), r, func(llm.Event) error { return context.Canceled }); err == nil {
		t.Error("no error")
	}
	same(t, w.next(t, 1), Served{Route: RouteGo, Status: statusClientClosed, Finish: llm.FinishAbort, Gone: true,
		Usage: llm.Usage{CompletionTokens: 1}})
}

func TestShortenLetsGo(t *testing.T) {
	if got := shorten(strings.Repeat("x", 10), 4); got != "xxxx" || shorten("", 4) != "" {
		t.Errorf("got %q", got)
	}
	var g *sighting
	g.event(0, time.Now(), llm.Event{}) // a job without an exchange
}
