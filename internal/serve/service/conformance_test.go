package service

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/serve/upstream"
)

// TestUpstreamConforms: another server behind its API is a backend like the engine; it is tested with a service of our
// own, which supports everything.
func TestUpstreamConforms(t *testing.T) {
	llmtest.Run(t, func(t *testing.T) llm.Backend {
		far := openTiny(t, func(o *Options) {
			o.MaxConcurrentRequests, o.MaxQueuedRequests = llmtest.MaxRunning, llmtest.MaxWaiting
			o.MaxTokens = 4096
		})
		server := httptest.NewServer(far.Handler())
		t.Cleanup(server.Close)
		u, err := upstream.New(upstream.Config{URLs: []string{server.URL}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { u.Close() })
		llmtest.Until(t, "the models", func() bool { return len(u.Models()) > 0 && u.Status().Ready })
		return u
	})
}

// TestTranslatedBehindUpstream: a server that only has chats is asked for responses and messages too, with tools,
// structured output, log-probabilities and answers that have begun, streamed or not. Routes that it does not have are
// not tried each time.
func TestTranslatedBehindUpstream(t *testing.T) {
	far := openTiny(t)
	var missed, asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/responses") || strings.HasPrefix(r.URL.Path, "/v1/messages") {
			missed.Add(1)
			http.NotFound(w, r)
			return
		}
		if r.Method == http.MethodPost {
			asked.Add(1)
			if got := r.Header.Get("Authorization"); got != "Bearer client" {
				t.Errorf("%s with the key %q", r.URL.Path, got)
			}
		}
		far.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	o := options()
	o.Upstream = &Upstream{URLs: []string{server.URL}, Timeout: time.Minute}
	near, err := opened(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	front := httptest.NewServer(near.Handler())
	t.Cleanup(front.Close)
	model := far.Model().ID
	const tool = `"name":"light","parameters":{"type":"object","properties":{"on":{"type":"boolean"}},"required":["on"],"additionalProperties":false}`
	const anthropicTool = `"name":"light","input_schema":{"type":"object","properties":{"on":{"type":"boolean"}},"required":["on"],"additionalProperties":false}`
	const schema = `{"type":"object","properties":{"n":{"enum":[7]}},"required":["n"],"additionalProperties":false}`
	began := time.Now()
	for _, test := range []struct{ name, path, body, want string }{
		{"text", "/v1/responses", `"input":"hi","max_output_tokens":4`, `"type":"output_text".*"status":"incomplete"|"status":"incomplete".*"type":"output_text"`},
		{"form", "/v1/responses", `"input":"hi","max_output_tokens":300,"text":{"format":{"type":"json_schema","name":"x","schema":` + schema + `}}`, `\\"n\\":\s?\\?n?\s*7`},
		{"call", "/v1/responses", `"input":"hi","max_output_tokens":300,"tools":[{"type":"function",` + tool + `}],"tool_choice":{"type":"function","name":"light"}`,
			`"type":"function_call".*"name":"light","arguments":"\{[^}]*(true|false)`},
		{"probabilities", "/v1/responses", `"input":"hi","max_output_tokens":3,"include":["message.output_text.logprobs"],"top_logprobs":2`,
			`"logprobs":\[\{"token".*"top_logprobs":\[\{"token"`},
		{"message", "/v1/messages", `"messages":[{"role":"user","content":"hi"}],"max_tokens":4`, `"stop_reason":"max_tokens"`},
		{"begun", "/v1/messages", `"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"So"}],"max_tokens":4`, `"stop_reason":"max_tokens"`},
		{"use", "/v1/messages", `"messages":[{"role":"user","content":"hi"}],"max_tokens":300,"tools":[{` + anthropicTool + `}],"tool_choice":{"type":"any"}`,
			`"type":"tool_use".*"name":"light".*"stop_reason":"tool_use"`},
		{"output", "/v1/messages", `"messages":[{"role":"user","content":"hi"}],"max_tokens":300,"output_format":{"type":"json_schema","schema":` + schema + `}`,
			`\\"n\\":`},
		{"bad schema", "/v1/responses", `"input":"hi","text":{"format":{"type":"json_schema","name":"x","schema":{"$dynamicRef":"#a"}}}`,
			`"param":"text.format[^"]*","code":"invalid_grammar"`},
		{"bad tool", "/v1/responses", `"input":"hi","tools":[{"type":"function","name":"x","parameters":{"type":"array"}}]`,
			`"param":"tools\[0\].parameters"`},
	} {
		for _, stream := range []string{"", `,"stream":true`} {
			before := asked.Load()
			r, err := http.NewRequest(http.MethodPost, front.URL+test.path,
				strings.NewReader(`{"model":"`+model+`","temperature":0,`+test.body+stream+`}`))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			if r.Header.Set("Authorization", "Bearer client"); test.path == "/v1/messages" {
				r.Header.Del("Authorization")
				r.Header.Set("X-Api-Key", "client")
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			want := test.want
			if stream != "" && (test.name == "use" || test.name == "output" || test.name == "probabilities") {
				// it comes in pieces
				want, _, _ = strings.Cut(want, `.*`)
				want = strings.TrimSuffix(want, `\\"n\\":`)
			}
			if err != nil || !regexp.MustCompile("(?s)"+want).Match(data) || asked.Load() != before+1 {
				t.Errorf("%s%s: %d, %v, asked %d times, want %s:\n%s", test.name, stream, resp.StatusCode, err,
					asked.Load()-before, want, data)
			}
		}
	}
	// Each of the two is asked for again after a minute, in which the server may have been replaced.
	if n, most := missed.Load(), 2*(1+int64(time.Since(began)/time.Minute)); n < 2 || n > most {
		t.Errorf("the server was asked %d times for routes that it does not have, want 2 to %d", n, most)
	}
}

// TestLoglikelihoodBehindUpstream: the requests of evaluation harnesses get the same answer from the gateway as from
// the server behind it.
func TestLoglikelihoodBehindUpstream(t *testing.T) {
	far := openTiny(t)
	back := httptest.NewServer(far.Handler())
	t.Cleanup(back.Close)
	o := options()
	o.Upstream = &Upstream{URLs: []string{back.URL}, Timeout: time.Minute}
	near, err := opened(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	front := httptest.NewServer(near.Handler())
	t.Cleanup(front.Close)
	changing := regexp.MustCompile(`"(id|created)":("[^"]*"|\d+)|"prompt_tokens_details":\{[^}]*\}`)
	post := func(url, path, body string) string {
		resp, err := http.Post(url+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %v %s", body, resp.StatusCode, err, data)
		}
		return changing.ReplaceAllString(string(data), "")
	}
	for _, c := range []struct{ path, body, holds string }{
		{"/v1/completions", `"prompt":[[1,70,80,90],[1,71,81]],"max_tokens":1,"logprobs":1,"echo":true,"seed":1234`, `"token_logprobs":[null,-`},
		{"/v1/completions", `"prompt":"The sky is blue","max_tokens":0,"logprobs":5,"echo":true`, `"token_logprobs":[null,-`},
		{"/v1/completions", `"prompt":"The sky","max_tokens":2,"logprobs":1,"echo":true,"stream":true`, `"token_logprobs":[null,-`},
		{"/v1/completions", `"prompt":[1,70,80],"max_tokens":1,"prompt_logprobs":1`, `"prompt_logprobs":[null,{"`},
		{"/v1/completions", `"prompt":"The sky","max_tokens":0,"prompt_logprobs":0`, `"prompt_logprobs":[null,{"`},
		{"/v1/chat/completions", `"messages":[{"role":"user","content":"hi"}],"max_tokens":1,"prompt_logprobs":2`, `"prompt_logprobs":[null,{"`},
	} {
		body := `{"model":"` + far.Model().ID + `","temperature":0,` + c.body + `}`
		direct, through := post(back.URL, c.path, body), post(front.URL, c.path, body)
		if direct != through || !strings.Contains(through, c.holds) {
			t.Errorf("%s:\ndirect  %s\nthrough %s", c.body, direct, through)
		}
	}
}
