package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// After headers that are too large, net/http waits half a second so that the client can read the error.
func TestMain(m *testing.M) {
	leak.Main(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// fixture is a service with the fake backend, on a real port.
type fixture struct {
	t      *testing.T
	fake   *llmtest.Fake
	server *Server
	http   *httptest.Server
	log    *syncBuffer
}

func start(t *testing.T, change ...func(*Config, *llmtest.Fake)) *fixture {
	t.Helper()
	f := &fixture{t: t, fake: llmtest.NewFake("fake", 4096, 4, 4), log: &syncBuffer{}}
	c := Config{Version: "v-test", Metrics: telemetry.NewMetrics("v-test"),
		Logger: slog.New(slog.NewTextHandler(f.log, nil)), MaxTokens: 256}
	for _, ch := range change {
		ch(&c, f.fake)
	}
	f.server = New(c)
	f.server.SetBackend(f.fake)
	f.http = httptest.NewUnstartedServer(nil)
	f.http.Config = f.server.HTTPServer()
	f.http.Start()
	t.Cleanup(func() {
		if refusals(t, f.server)[telemetry.ReasonOther] != 0 {
			t.Error("a request was refused for a reason that telemetry.Reasons does not list")
		}
		f.http.Client().CloseIdleConnections()
		f.http.CloseClientConnections() // a failed test may have left requests that wait for it
		f.http.Close()
		f.fake.Close()
	})
	return f
}

func (f *fixture) request(ctx context.Context, method, path, body string, header ...string) *http.Response {
	f.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, f.http.URL+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := f.http.Client().Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp
}

// do returns the status and the body.
func (f *fixture) do(method, path, body string, header ...string) (*http.Response, []byte) {
	f.t.Helper()
	resp := f.request(f.t.Context(), method, path, body, header...)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp, data
}

// post expects a success and decodes it.
func post[T any](f *fixture, path, body string) T {
	f.t.Helper()
	resp, data := f.do("POST", path, body)
	var v T
	if resp.StatusCode != 200 || json.Unmarshal(data, &v) != nil {
		f.t.Fatalf("%s %s: %d %s", path, body, resp.StatusCode, data)
	}
	return v
}

// wantError posts and expects an error in OpenAI's form.
func (f *fixture) wantError(method, path, body string, status int, param string, header ...string) (*http.Response,
	openai.Error) {
	f.t.Helper()
	resp, data := f.do(method, path, body, header...)
	var e openai.ErrorResponse
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		f.t.Fatalf("%s %s: %d %s: %v", path, body, resp.StatusCode, data, err)
	}
	got := ""
	if e.Error.Param != nil {
		got = *e.Error.Param
	}
	if resp.StatusCode != status || got != param || e.Error.Message == "" || e.Error.Type == "" {
		f.t.Errorf("%s %s: %d %s; want %d naming %q", path, body, resp.StatusCode, data, status, param)
	}
	return resp, e.Error
}

// metrics scrapes over HTTP, as a certifier does. Labels are part of the map's key.
func (f *fixture) metrics() map[string]float64 {
	f.t.Helper()
	_, data := f.do("GET", "/metrics", "")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(data))
	if err != nil {
		f.t.Fatal(err)
	}
	values := map[string]float64{}
	for name, family := range families {
		for _, m := range family.Metric {
			key := name
			for _, l := range m.Label {
				key += "," + l.GetValue()
			}
			switch {
			case m.Counter != nil:
				values[key] = m.Counter.GetValue()
			case m.Gauge != nil:
				values[key] = m.Gauge.GetValue()
			case m.Histogram != nil:
				values[key], values[key+"_sum"] = float64(m.Histogram.GetSampleCount()), m.Histogram.GetSampleSum()
			}
		}
	}
	return values
}

func (f *fixture) wantMetrics(want map[string]float64) {
	f.t.Helper()
	got := f.metrics()
	for name, v := range want {
		if got[name] != v {
			f.t.Errorf("%s is %v, want %v", name, got[name], v)
		}
	}
}

const chatBody = `{"messages":[{"role":"user","content":"one two three"}],"temperature":0}`

// with adds fields to a chat request.
func with(fields string) string { return strings.TrimSuffix(chatBody, "}") + "," + fields + "}" }

func TestChat(t *testing.T) {
	f := start(t)
	resp, data := f.do("POST", "/v1/chat/completions", chatBody)
	var r openai.ChatResponse
	if err := json.Unmarshal(data, &r); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp.Status, string(data), err)
	}
	id, created := r.ID, r.Created
	want := `{"id":"` + id + `","object":"chat.completion","created":` + string(mustJSON(created)) +
		`,"model":"fake","choices":[{"index":0,"message":{"role":"assistant","content":"one two three"},"logprobs":null,"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":29,"completion_tokens":14,"total_tokens":43,"prompt_tokens_details":{"cached_tokens":0}}}`
	if string(data) != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
	if !strings.HasPrefix(id, "chatcmpl-") || resp.Header.Get("Content-Type") != "application/json" ||
		resp.Header.Get("X-Request-Id") == "" {
		t.Errorf("id %q, header %v", id, resp.Header)
	}
	f.wantMetrics(map[string]float64{
		telemetry.Requests + ",stop": 1, telemetry.PromptTokens: 29, telemetry.GenerationTokens: 14,
		telemetry.HTTPRequests + ",200,/v1/chat/completions": 1,
		telemetry.RequestLatency:                             1, telemetry.TimeToFirstToken: 1,
		telemetry.InterTokenLatency: 13,
		telemetry.QueueTime:         1,
	})
}

func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

func TestText(t *testing.T) {
	f := start(t)
	r := post[openai.TextResponse](f, "/v1/completions", `{"prompt":"a b","temperature":0}`)
	if r.Object != "text_completion" || len(r.Choices) != 1 || r.Choices[0].Text != "a b" ||
		*r.Choices[0].FinishReason != "stop" || r.Usage.TotalTokens != 4+4 {
		t.Errorf("%+v", r)
	}
	if r := post[openai.TextResponse](f, "/v1/completions",
		`{"prompt":"a b","temperature":0,"ignore_eos":true}`); r.Usage.CompletionTokens != 16 ||
		*r.Choices[0].FinishReason != "length" {
		t.Errorf("without max_tokens: %+v", r.Usage)
	}
	// Several prompts, one of them as tokens, two choices each: in order, and each prompt counts once.
	r = post[openai.TextResponse](f, "/v1/completions", `{"prompt":["x","yy","z"],"temperature":0,"n":2}`)
	var got []string
	for i, c := range r.Choices {
		if c.Index != i {
			t.Errorf("choice %d has index %d", i, c.Index)
		}
		got = append(got, c.Text)
	}
	if strings.Join(got, " ") != "x x yy yy z z" || r.Usage.PromptTokens != 2+3+2 ||
		r.Usage.CompletionTokens != 2*(2+3+2) {
		t.Errorf("%q, %+v", got, r.Usage)
	}
	r = post[openai.TextResponse](f, "/v1/completions", `{"prompt":[[1,100,101],[102]],"temperature":0}`)
	if len(r.Choices) != 2 || r.Choices[0].Text != "ab" || r.Choices[1].Text != "c" || r.Usage.PromptTokens != 4 {
		t.Errorf("%+v", r)
	}
}

func TestTextLogprobs(t *testing.T) {
	f := start(t)
	r := post[openai.TextResponse](f, "/v1/completions", `{"prompt":"é b","temperature":0,"logprobs":2}`)
	l := r.Choices[0].Logprobs
	if len(l.Tokens) != 4 || len(l.TokenLogprobs) != 4 || len(l.TopLogprobs) != 4 || len(l.TopLogprobs[0]) != 3 {
		t.Fatalf("%+v", l)
	}
	if string(mustJSON(l.TextOffset)) != "[0,1,1,2]" || l.Tokens[0] != "\ufffd" || l.Tokens[3] != "b" {
		t.Errorf("%+v", l)
	}
}

func TestChatLogprobs(t *testing.T) {
	f := start(t)
	r := post[openai.ChatResponse](f, "/v1/chat/completions",
		with(`"logprobs":true,"top_logprobs":2,"max_tokens":100`))
	c := r.Choices[0].Logprobs.Content
	if len(c) != len("one two three") || r.Usage.CompletionTokens != len(c)+1 {
		t.Fatalf("%d entries for %+v", len(c), r.Usage)
	}
	if c[0].Token != "o" || string(c[0].Bytes) != "o" || c[0].Logprob >= 0 || len(c[0].TopLogprobs) != 3 ||
		// drawn, and not one of the two
		c[0].TopLogprobs[2].Token != "o" || c[0].TopLogprobs[2].Logprob != c[0].Logprob {
		t.Errorf("%+v", c[0])
	}
	zero := post[openai.TextResponse](f, "/v1/completions", `{"prompt":"ab","temperature":0,"logprobs":0}`)
	if l := zero.Choices[0].Logprobs; len(l.Tokens) != 2 || len(l.TopLogprobs[1]) != 1 ||
		l.TopLogprobs[1]["b"] != *l.TokenLogprobs[1] { // only the drawn token
		t.Errorf("%+v", l)
	}
	if r := post[openai.ChatResponse](f, "/v1/chat/completions",
		with(`"logprobs":true`)); len(r.Choices[0].Logprobs.Content[0].TopLogprobs) != 0 {
		t.Errorf("%+v", r.Choices[0].Logprobs)
	}
}

func TestModels(t *testing.T) {
	f := start(t)
	want := `{"id":"fake","object":"model","created":1700000000,"owned_by":"mixtral","max_model_len":4096,` +
		`"type":"base","max_context_length":4096,"capabilities":{"completion_chat":true,"completion_fim":false,` +
		`"function_calling":true,"fine_tuning":false,"vision":false}}`
	for _, path := range []string{"/v1/models", "/v1/models/", "//v1/models", "/v1//models//"} {
		if _, data := f.do("GET", path, ""); string(data) != `{"object":"list","data":[`+want+`]}` {
			t.Errorf("%s: %s", path, data)
		}
	}
	if _, data := f.do("GET", "/v1/models/fake", ""); string(data) != want {
		t.Errorf("%s", data)
	}
	f.wantError("GET", "/v1/models/other/one", "", 404, "model")
	f.wantError("POST", "/v1/embeddings", `{"input":"a"}`, 501, "")
	if resp, data := f.do("POST", "//v1/chat/completions", "\xef\xbb\xbf"+chatBody); resp.StatusCode != 200 {
		t.Errorf("a byte order mark: %s", data)
	}
	if resp, data := f.do("GET", "/health", ""); resp.StatusCode != 200 || string(data) != `{"status":"ok"}` {
		t.Errorf("%s", data)
	}
}

func TestTokenizeRoutes(t *testing.T) {
	f := start(t)
	for _, test := range []struct{ body, want string }{
		{`{"prompt":"ab"}`, `{"count":3,"max_model_len":4096,"tokens":[1,100,101]}`},
		{`{"model":"fake","prompt":"ab","add_special_tokens":false}`,
			`{"count":2,"max_model_len":4096,"tokens":[100,101]}`},
		{`{"prompt":"","add_special_tokens":false}`, `{"count":0,"max_model_len":4096,"tokens":[]}`},
	} {
		if _, data := f.do("POST", "/tokenize", test.body); string(data) != test.want {
			t.Errorf("%s: %s", test.body, data)
		}
	}
	chat := post[openai.TokenizeResponse](f, "/tokenize", `{"messages":[{"role":"user","content":"a"}]}`)
	if back := post[openai.DetokenizeResponse](f, "/detokenize",
		string(mustJSON(map[string]any{"tokens": chat.Tokens}))); back.Prompt != "[INST] a [/INST]" {
		t.Errorf("%+v", back)
	}
	if _, data := f.do("POST", "/detokenize", `{"tokens":[]}`); string(data) != `{"prompt":""}` {
		t.Errorf("%s", data)
	}
	for _, test := range []struct{ path, body, param string }{
		{"/tokenize", `{}`, "prompt"},
		{"/tokenize", `{"prompt":"a","messages":[{"role":"user","content":"a"}]}`, "prompt"},
		{"/tokenize", `{"prompt":1}`, "prompt"},
		{"/tokenize", `{"prompt":"a","add_special_tokens":1}`, "add_special_tokens"},
		{"/tokenize", `{"messages":[]}`, "messages"},
		{"/tokenize", `{"messages":[{"role":"judge","content":"a"}]}`, "messages[0].role"},
		{"/detokenize", `{}`, "tokens"},
		{"/detokenize", `{"tokens":"a"}`, "tokens"},
		{"/detokenize", `{"tokens":[1,null]}`, "tokens"},
		{"/detokenize", `{"tokens":[1,99999]}`, "tokens[1]"},
		{"/detokenize", `{"tokens":[4294967296]}`, "tokens"},
	} {
		f.wantError("POST", test.path, test.body, 400, test.param)
	}
	f.wantError("POST", "/tokenize", `{"model":"x","prompt":"a"}`, 404, "model")
}

func TestN(t *testing.T) {
	f := start(t)
	body := `{"messages":[{"role":"user","content":"a b c d e f g"}],"temperature":1,"seed":5,"n":3}`
	r := post[openai.ChatResponse](f, "/v1/chat/completions", body)
	seen := map[string]bool{}
	for i, c := range r.Choices {
		if c.Index != i || len(c.Message.Text()) != len("a b c d e f g") {
			t.Errorf("choice %d: %+v", i, c)
		}
		seen[c.Message.Text()] = true
	}
	if len(r.Choices) != 3 || len(seen) < 2 {
		t.Errorf("%d choices, %d different", len(r.Choices), len(seen))
	}
	one := post[openai.ChatResponse](f, "/v1/chat/completions", strings.Replace(body, `"n":3`, `"n":1`, 1))
	if one.Choices[0].Message.Text() != r.Choices[0].Message.Text() {
		t.Errorf("alone %q, first of three %q", one.Choices[0].Message.Text(), r.Choices[0].Message.Text())
	}
	if one.Usage.PromptTokens != r.Usage.PromptTokens || 3*one.Usage.CompletionTokens != r.Usage.CompletionTokens {
		t.Errorf("one %+v, three %+v", one.Usage, r.Usage)
	}
	f.wantMetrics(map[string]float64{telemetry.Requests + ",stop": 4,
		telemetry.PromptTokens:     float64(one.Usage.PromptTokens + r.Usage.PromptTokens),
		telemetry.GenerationTokens: float64(one.Usage.CompletionTokens + r.Usage.CompletionTokens)})
}

// TestGenerateDirectly: Generate counts, refuses and recovers from panics as the routes do.
func TestGenerateDirectly(t *testing.T) {
	f := start(t)
	r := llmtest.Chat("a b", 10)
	var text strings.Builder
	err := f.server.Generate(t.Context(), r, func(e llm.Event) error { text.WriteString(e.Text); return nil })
	if err != nil || text.String() != "a b" {
		t.Errorf("%q, %v", text.String(), err)
	}
	if err := f.server.Generate(t.Context(), r, func(llm.Event) error { panic("sink") }); err != errPanic {
		t.Error(err)
	}
	f.wantMetrics(map[string]float64{telemetry.Requests + ",stop": 1, telemetry.Requests + ",error": 1,
		telemetry.Panics: 1, telemetry.PromptTokens: 19})
	if err := f.server.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := f.server.Generate(t.Context(), r, nil); err == nil {
		t.Error("generates while draining")
	}
}
