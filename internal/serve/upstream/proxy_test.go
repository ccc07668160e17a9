package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

func TestMain(m *testing.M) {
	checkLimit = llmtest.Limit
	leak.Main(m)
}

// fake is a replica whose answers a function writes, and which keeps its requests.
type fake struct {
	*httptest.Server
	hits atomic.Int64
	mu   sync.Mutex
	body string
	head http.Header
}

func newFake(t *testing.T, answer http.HandlerFunc) *fake {
	f := &fake{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models" {
			io.WriteString(w, `{"data":[{"id":"there","created":7,"max_model_len":99}]}`)
			return
		}
		f.hits.Add(1)
		data, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.body, f.head = string(data), r.Header.Clone()
		f.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(func() { f.CloseClientConnections(); f.Close() })
	return f
}

func connect(t *testing.T, c Config, fakes ...*fake) *Upstream {
	t.Helper()
	for _, f := range fakes {
		c.URLs = append(c.URLs, f.URL)
	}
	if c.HealthEvery == 0 {
		c.HealthEvery = -1
	}
	u, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { errors.Join(u.Close(), u.Close()) })
	return u
}

func forward(t *testing.T, u *Upstream, body string) (*httptest.ResponseRecorder, *Outcome, int) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions", nil)
	r.Header.Set("X-Request-Id", "id-1")
	r.Header.Set("Traceparent", "00-1-2-01")
	r.Header.Set("Cookie", "secret=1")
	reports := 0
	out := u.Forward(w, r, "/v1/chat/completions", []byte(body), func(*Outcome) { reports++ })
	return w, out, reports
}

const usageChunk = `data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}` + "\n\n"

// streamed is a stream with every unusual form that is allowed: CRLF, comments, spaces, unknown fields.
const streamed = ": hello\n\n" +
	"data:{\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\r\n\r\n" +
	"event: x\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"caf\\u00e9 \"}}],\"extra\":[1, 2]}\n\n" +
	"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\n"

func sendStream(text string, step int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for rest := text; len(rest) > 0; rest = rest[min(step, len(rest)):] {
			io.WriteString(w, rest[:min(step, len(rest))])
			w.(http.Flusher).Flush()
		}
	}
}

func TestAStreamPassesByteForByte(t *testing.T) {
	whole := streamed + usageChunk + "data: [DONE]\n\n"
	for _, step := range []int{1, 7, 1000} {
		f := newFake(t, func(w http.ResponseWriter, r *http.Request) { sendStream(whole, step)(w, r) })
		u := connect(t, Config{}, f)
		body := `{"model":"m", "stream": true, "stream_options":{"include_usage":true}, "x": 1.50}`
		w, out, reports := forward(t, u, body)
		if w.Body.String() != whole || f.body != body {
			t.Errorf("step %d: client got %q, upstream got %q", step, w.Body, f.body)
		}
		if out.Err != nil || reports != 1 || out.Finish != "stop" || out.Usage == nil ||
			*out.Usage != (llm.Usage{PromptTokens: 5, CompletionTokens: 2}) || len(out.Gaps) != 1 || out.First == 0 {
			t.Errorf("outcome %+v, %d reports", out, reports)
		}
	}
}

// TestWhateverIsGeneratedIsTimed: tool calls and thoughts count as generated content too; roles and empty fields do
// not.
func TestWhateverIsGeneratedIsTimed(t *testing.T) {
	var stream strings.Builder
	for _, delta := range []string{
		`{"role":"assistant","content":""}`, `{"reasoning_content":"hm"}`, `{"reasoning":"hm"}`,
		`{"content":null,"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}`,
		`{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}`,
		`{"content":"","tool_calls":[],"reasoning":null}`,
	} {
		stream.WriteString(`data: {"choices":[{"index":0,"delta":` + delta + `,"finish_reason":null}]}` + "\n\n")
	}
	whole := stream.String() + `data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}` + "\n\n" +
		usageChunk + "data: [DONE]\n\n"
	w, out, _ := forward(t, connect(t, Config{}, newFake(t, sendStream(whole, 1000))),
		`{"stream":true,"stream_options":{"include_usage":true}}`)
	if w.Body.String() != whole || out.Err != nil || out.First == 0 || len(out.Gaps) != 3 ||
		out.Finish != "tool_calls" {
		t.Errorf("%+v, and the client got %q", out, w.Body)
	}
}

// TestUsageIsAlwaysObtained: if the client did not ask for usage, the service asks the upstream for it and does not
// pass it on.
func TestUsageIsAlwaysObtained(t *testing.T) {
	for _, options := range []string{"", `,"stream_options":{"include_usage":false}`, `,"stream_options":null`} {
		f := newFake(t, sendStream(streamed+usageChunk+"data: [DONE]\n\n", 11))
		w, out, _ := forward(t, connect(t, Config{}, f), `{"stream":true`+options+`}`)
		if want := streamed + "data: [DONE]\n\n"; w.Body.String() != want {
			t.Errorf("%s: client got %q", options, w.Body)
		}
		if !strings.Contains(f.body, `"include_usage":true`) || out.Usage == nil || out.Usage.CompletionTokens != 2 {
			t.Errorf("%s: upstream got %s, outcome %+v", options, f.body, out)
		}
	}
}

const wholeAnswer = `{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":2}}}`

func sendWhole(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func TestHeadersAndNames(t *testing.T) {
	f := newFake(t, sendWhole(200, wholeAnswer, "Set-Cookie", "a=b", "X-Ratelimit-Limit-Requests", "9"))
	u := connect(t, Config{APIKey: "k", Models: map[string]string{"here": "there"}}, f)
	w, out, reports := forward(t, u, `{"model":"here","n":1}`)
	if w.Body.String() != wholeAnswer || reports != 1 || out.Finish != "length" ||
		*out.Usage != (llm.Usage{PromptTokens: 3, CompletionTokens: 4, CachedTokens: 2}) {
		t.Errorf("%s %+v", w.Body, out)
	}
	if !strings.Contains(f.body, `"model":"there"`) || f.head.Get("Authorization") != "Bearer k" ||
		f.head.Get("X-Request-Id") != "id-1" || f.head.Get("Traceparent") == "" || f.head.Get("Cookie") != "" {
		t.Errorf("upstream got %s %v", f.body, f.head)
	}
	if w.Header().Get("Set-Cookie") != "" || w.Header().Get("X-Ratelimit-Limit-Requests") != "9" {
		t.Errorf("client got %v", w.Header())
	}
}

// TestNamesOfADirectory: servers that list a model under its directory's path are asked with the path. Those that use
// the name themselves, or serve another model, get what the client sent.
func TestNamesOfADirectory(t *testing.T) {
	for _, c := range []struct{ lists, asked, want string }{
		{"/opt/models/m/", "m", "/opt/models/m/"},
		{"/opt/models/m", "mine", "/opt/models/m"},
		{"/opt/models/m", "/opt/models/m", "/opt/models/m"},
		{"/opt/models/m", "other", "other"},
		{"m", "m", "m"},
		{"there", "m", "m"},
	} {
		l := serving(t, c.lists)
		u := connect(t, Config{URLs: []string{l.URL}, Directory: "/opt/models/m", Names: []string{"m", "mine"},
			HealthEvery: 10 * time.Millisecond})
		known(t, u, 1)
		forward(t, u, `{"model":"`+c.asked+`"}`)
		l.want(t, fmt.Sprintf("%+v: the server", c), map[string]int{c.want: 1})
	}
}

// TestAnotherReplicaHelps: before the first byte another replica is tried, whatever is wrong with the first one.
func TestAnotherReplicaHelps(t *testing.T) {
	for name, bad := range map[string]http.HandlerFunc{
		"bad gateway": sendWhole(502, "x"), "unavailable": sendWhole(503, "x"),
		"busy":  sendWhole(429, "x", "Retry-After", "3"),
		"reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			first, second := newFake(t, bad), newFake(t, sendWhole(200, wholeAnswer))
			w, out, reports := forward(t, connect(t, Config{}, first, second), `{}`)
			if w.Code != 200 || w.Body.String() != wholeAnswer || out.Tries != 2 || out.Err != nil || reports != 1 {
				t.Errorf("%d %s %+v", w.Code, w.Body, out)
			}
		})
	}
}

func TestErrorsOfTheLastReplicaPass(t *testing.T) {
	f := newFake(t, sendWhole(429, `{"error":{"message":"slow down"}}`, "Retry-After", "7"))
	w, out, _ := forward(t, connect(t, Config{}, f), `{}`)
	if w.Code != 429 || w.Header().Get("Retry-After") != "7" || !strings.Contains(w.Body.String(), "slow down") ||
		out.Status != 429 {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if _, out, _ := forward(t, connect(t, Config{DialTimeout: time.Second},
		&fake{Server: &httptest.Server{URL: "http://127.0.0.1:1"}}), `{}`); !errors.Is(out.Err, ErrUnreachable) ||
		out.Status != 0 {
		t.Errorf("nobody there: %+v", out)
	}
	if _, out, _ := forward(t, connect(t, Config{}, f), `[1]`); !errors.Is(out.Err, llm.ErrBadRequest) {
		t.Errorf("bad body: %+v", out)
	}
}

func TestNoOtherReplicaAfterTheFirstByte(t *testing.T) {
	breaks := func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, streamed[:60])
		w.(http.Flusher).Flush()
		time.Sleep(5 * time.Millisecond)
		panic(http.ErrAbortHandler)
	}
	first, second := newFake(t, breaks), newFake(t, sendWhole(200, wholeAnswer))
	w, out, reports := forward(t, connect(t, Config{}, first, second),
		`{"stream":true,"stream_options":{"include_usage":true}}`)
	if second.hits.Load() != 0 || out.Err == nil || reports != 1 {
		t.Errorf("%+v, %d hits, %d reports", out, second.hits.Load(), reports)
	}
	if b := w.Body.String(); !strings.HasPrefix(b, streamed[:60]) || !strings.Contains(b, "broke off") ||
		strings.Contains(b, "[DONE]") {
		t.Errorf("client got %q", b)
	}
}

func TestAStreamIsNotHeldBack(t *testing.T) {
	release := make(chan struct{})
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, streamed)
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
		io.WriteString(w, "data: [DONE]\n\n")
	})
	u := connect(t, Config{}, f)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.Forward(w, r, r.URL.Path, []byte(`{"stream":true}`), func(*Outcome) {})
	}))
	defer front.Close()
	resp, err := front.Client().Post(front.URL+"/v1/chat/completions", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, len(streamed))
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != streamed {
		t.Fatalf("%q, %v", first, err)
	}
	close(release)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "data: [DONE]\n\n" {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestAClientThatLeavesEndsTheRequestUpstream(t *testing.T) {
	gone := make(chan struct{})
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, streamed)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(gone)
	})
	u := connect(t, Config{}, f)
	ctx, cancel := context.WithCancel(t.Context())
	err := u.Generate(ctx, &llm.Request{Prompt: "x"}, func(llm.Event) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	llmtest.Await(t, "the upstream to see the client leave", gone)
	if s := u.Status(); s.Running != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestHealthFindsModelsAndReplicas(t *testing.T) {
	f := newFake(t, sendWhole(200, wholeAnswer))
	u := connect(t, Config{HealthEvery: 5 * time.Millisecond, Models: map[string]string{"here": "there"}}, f)
	llmtest.Until(t, "models", func() bool { return len(u.Models()) == 1 })
	if m := u.Models()[0]; m.ID != "here" || m.ContextLength != 99 {
		t.Errorf("%+v", m)
	}
	if r := u.Replicas(); len(r) != 1 || !r[0].Up || r[0].Failed != 0 || !strings.HasSuffix(f.URL, r[0].Name) {
		t.Errorf("%+v", r)
	}
	f.CloseClientConnections()
	f.Close()
	llmtest.Until(t, "the replica to be missed", func() bool { return !u.Status().Ready })
	forward(t, u, `{}`)
	if r := u.Replicas(); len(r) != 1 || r[0].Up || r[0].Failed != 1 {
		t.Errorf("%+v", r)
	}
}

func TestBackendEvents(t *testing.T) {
	f := newFake(t, sendStream(streamed+usageChunk+"data: [DONE]\n\n", 5))
	u := connect(t, Config{}, f)
	var text strings.Builder
	var last llm.Event
	seed := int64(4)
	err := u.Generate(t.Context(), &llm.Request{ID: "r1", Messages: []llm.Message{{Role: "user", Content: "hi"}},
		MaxTokens: 9, Sampling: llm.Sampling{Temperature: 1, Seed: &seed}}, func(e llm.Event) error {
		text.WriteString(e.Text)
		last = e
		return nil
	})
	if err != nil || text.String() != "café b" || last.Finish != llm.FinishStop || last.Usage.CompletionTokens != 2 {
		t.Errorf("%q %+v %v", text.String(), last, err)
	}
	for _, want := range []string{`"seed":4`, `"max_tokens":9`, `"role":"user"`} {
		if !strings.Contains(f.body, want) {
			t.Errorf("upstream got %s", f.body)
		}
	}
	odd := connect(t, Config{}, newFake(t, sendStream(strings.Replace(streamed, `"stop"`, `"content_filter"`,
		1)+usageChunk+"data: [DONE]\n\n", 1000)))
	if err := odd.Generate(t.Context(), &llm.Request{Prompt: "x"},
		func(e llm.Event) error { last = e; return nil }); err != nil || last.Finish != llm.FinishStop {
		t.Errorf("an upstream's own finish_reason: %+v, %v", last, err)
	}
	stop := errors.New("enough")
	if err := u.Generate(t.Context(), &llm.Request{Prompt: "x"},
		func(llm.Event) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	for status, want := range map[int]error{404: llm.ErrModelNotFound, 429: llm.ErrQueueFull, 503: llm.ErrNotReady,
		400: llm.ErrBadRequest, 500: ErrUnreachable} {
		f := newFake(t, sendWhole(status, `{"error":{"message":"because"}}`))
		if err := connect(t, Config{}, f).Generate(t.Context(), &llm.Request{Prompt: "x"}, nil); !errors.Is(err,
			want) || !strings.Contains(err.Error(), "because") {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// TestBackendStops: whatever an upstream does with stop strings, none is in the events' text, and a finish_reason of
// "length" after one is corrected.
func TestBackendStops(t *testing.T) {
	body := strings.Replace(streamed, `"stop"`, `"length"`, 1) + usageChunk + "data: [DONE]\n\n"
	u := connect(t, Config{}, newFake(t, sendStream(body, 5)))
	for _, test := range []struct {
		stop   []string
		want   string
		finish llm.Finish
	}{
		{nil, "café b", llm.FinishLength},
		{[]string{"é b?", "x"}, "café b", llm.FinishLength},
		{[]string{"é b"}, "caf", llm.FinishStop},
		{[]string{"b", "fé"}, "ca", llm.FinishStop},
	} {
		out, err := llmtest.Collect(t.Context(), u, &llm.Request{Prompt: "x", Stop: test.stop})
		if out.Text != test.want || out.Finish != test.finish || out.Usage.CompletionTokens != 2 {
			t.Errorf("stop %q: %+v, %v; want %q, %s", test.stop, out, err, test.want, test.finish)
		}
	}
	if err := u.Generate(t.Context(), &llm.Request{Prompt: "x", Stop: []string{""}}, nil); !errors.Is(err,
		llm.ErrBadRequest) {
		t.Errorf("an empty stop string: %v", err)
	}
}

func TestNewRefusesBadURLs(t *testing.T) {
	for _, urls := range [][]string{nil, {""}, {"localhost:1"}, {"ftp://x"}, {"http://u:p@x"}, {"http://x?y"}} {
		if _, err := New(Config{URLs: urls}); !errors.Is(err, ErrURL) {
			t.Errorf("%q: %v", urls, err)
		}
	}
	u, err := New(Config{URLs: []string{"http://h:1/v1/"}, HealthEvery: -1})
	if err != nil || u.order[0].base.String() != "http://h:1" {
		t.Errorf("%v, %v", u, err)
	}
	u.Close()
}

// FuzzSplitter: for any stream in any pieces, a client that asked for usage gets the same bytes, and one that did not
// gets them without usage chunks.
func FuzzSplitter(f *testing.F) {
	f.Add([]byte(streamed+usageChunk+"data: [DONE]\n\n"), 3)
	f.Add([]byte("data: {\n\n\n\r\ndata: [DONE]"), 1)
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		step = max(1, step%64)
		run := func(hide bool) []byte {
			s := &splitter{hide: hide, out: &Outcome{}, clock: func() time.Duration { return 1 }}
			var got []byte
			for rest := data; len(rest) > 0; rest = rest[min(step, len(rest)):] {
				got = append(got, s.take(rest[:min(step, len(rest))])...)
			}
			return got
		}
		if got := run(false); !bytes.Equal(got, data) {
			t.Errorf("%q became %q", data, got)
		}
		if got := run(true); len(got) > len(data) {
			t.Errorf("%q became %q", data, got)
		}
	})
}

// BenchmarkProxy measures the cost of the proxy: the same short request directly to a null upstream, and through the
// proxy.
func BenchmarkProxy(b *testing.B) {
	null := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, wholeAnswer)
	}))
	defer null.Close()
	u, err := New(Config{URLs: []string{null.URL}, HealthEvery: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer u.Close()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		u.Forward(w, r, r.URL.Path, body, func(*Outcome) {})
	}))
	defer front.Close()
	body := `{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":4}`
	for name, base := range map[string]string{"direct": null.URL, "proxied": front.URL} {
		for _, clients := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/clients=%d", name, clients), func(b *testing.B) {
				h := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
				defer h.CloseIdleConnections()
				var next atomic.Int64
				var wg sync.WaitGroup
				b.ResetTimer()
				for range clients {
					wg.Go(func() {
						for next.Add(1) <= int64(b.N) {
							resp, err := h.Post(base+"/v1/chat/completions", "application/json",
								strings.NewReader(body))
							if err != nil {
								b.Error(err)
								return
							}
							io.Copy(io.Discard, resp.Body)
							resp.Body.Close()
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
			})
		}
	}
}
