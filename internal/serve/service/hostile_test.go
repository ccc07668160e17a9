package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
)

// hostileTexts are JSON strings, quotes included, that clients send by mistake or on purpose.
func hostileTexts() map[string]string {
	return map[string]string{
		"nul":            `"a\u0000b"`,
		"bare nul":       "\"a\x00b\"",
		"bad UTF-8":      "\"\xff\xfe\xc3\x28\xed\xa0\x80\"",
		"lone surrogate": `"\ud800 \udc00x"`,
		"bidi":           "\"\u202e\ufeff\u2066\"",
		"control tokens": `"<s>[INST] </s> <0x41> <unk>"`,
		"1 MB word":      `"` + strings.Repeat("x", 1<<20) + `"`,
		"1 MB of spaces": `"` + strings.Repeat(" ", 1<<20) + `"`,
		"1 MB of lines":  `"` + strings.Repeat(`\n`, 1<<19) + `"`,
		"1 MB of emoji":  `"` + strings.Repeat("😀", 1<<18) + `"`,
		"empty":          `""`,
	}
}

// hostileValues are valid JSON that no field accepts.
func hostileValues() map[string]string {
	const deep = 5000
	return map[string]string{
		"deep array":  strings.Repeat("[", deep) + strings.Repeat("]", deep),
		"deep object": strings.Repeat(`{"a":`, deep) + "1" + strings.Repeat("}", deep),
		"1 MB number": strings.Repeat("9", 1<<20),
		"exponent":    "1e99999999",
		"1 MB key":    `{"` + strings.Repeat("k", 1<<20) + `":1}`,
	}
}

// hostileFields are the fields of each route, with the rest of a valid body.
var hostileFields = []struct {
	path, rest string
	fields     []string
}{
	{"/v1/chat/completions", `"max_tokens":2`, []string{"messages"}},
	{"/v1/chat/completions", `"messages":[{"role":"user","content":"hi"}],"max_tokens":2`,
		[]string{"model", "temperature", "top_p", "top_k", "min_p", "n", "seed", "stop", "stream",
			"presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias", "logprobs", "top_logprobs",
			"max_completion_tokens", "user", "ignore_eos", "tools", "response_format"}},
	{"/v1/completions", `"max_tokens":2`, []string{"prompt"}},
	{"/v1/completions", `"prompt":"hi","max_tokens":2`, []string{"model", "temperature", "n", "seed", "stop",
		"logprobs", "logit_bias", "suffix", "echo", "best_of"}},
	{"/tokenize", `"add_special_tokens":true`, []string{"prompt", "messages"}},
	{"/tokenize", `"prompt":"hi"`, []string{"model"}},
	{"/detokenize", `"x":1`, []string{"tokens"}},
}

// hostileWhere puts a text into a place where the API accepts texts.
var hostileWhere = []struct{ path, before, after, field string }{
	{"/v1/chat/completions", `{"max_tokens":2,"messages":[{"role":"user","content":`, `}]}`, "messages"},
	{"/v1/chat/completions", `{"max_tokens":2,"stream":true,"messages":[{"role":"system","content":`,
		`},{"role":"user","content":"hi"}]}`, "messages"},
	{"/v1/chat/completions", `{"max_tokens":2,"messages":[{"role":"user","content":[{"type":"text","text":`, `}]}]}`,
		"messages"},
	{"/v1/chat/completions", `{"messages":[{"content":"hi","role":`, `}]}`, "messages[0].role"},
	{"/v1/chat/completions", `{"max_tokens":2,"messages":[{"role":"user","content":"hi"}],"model":`, `}`, "model"},
	{"/v1/chat/completions", `{"max_tokens":2,"messages":[{"role":"user","content":"hi"}],"stop":`, `}`, "stop[0]"},
	{"/v1/chat/completions", `{"max_tokens":2,"messages":[{"role":"user","content":"hi"}],"user":`, `}`, "user"},
	{"/v1/chat/completions", `{"max_tokens":2,"messages":[{"role":"user","content":"hi"}],"logit_bias":{`, `:1}}`,
		"logit_bias"},
	{"/v1/completions", `{"max_tokens":2,"prompt":`, `}`, "prompt"},
	{"/v1/completions", `{"max_tokens":2,"prompt":["hi",`, `]}`, "prompt"},
	{"/tokenize", `{"prompt":`, `}`, "prompt"},
	{"/detokenize", `{"tokens":`, `}`, "tokens"},
}

// TestHostileInput: for any input to any route, the result is an answer or an error in OpenAI's form that names the
// field. It is never a 5xx, and reveals nothing about the host.
func TestHostileInput(t *testing.T) {
	if testing.Short() {
		// it takes minutes under the race detector, which finds nothing in it
		t.Skip("sends hundreds of megabytes, one request after the other")
	}
	s := openTiny(t)
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	h := hostile{t: t, url: server.URL, client: server.Client(), secrets: hostSecrets()}
	for _, route := range hostileFields {
		for _, field := range route.fields {
			for name, value := range hostileValues() {
				h.wantRefusal(name, route.path, fmt.Sprintf(`{%s,"%s":%s}`, route.rest, field, value), field)
			}
		}
	}
	for _, where := range hostileWhere {
		for name, text := range hostileTexts() {
			h.send(name, "POST", where.path, where.before+text+where.after, where.field)
		}
	}
	for _, path := range []string{"/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"} {
		for name, body := range map[string]string{"nothing": "", "nul": "\x00", "bad UTF-8": "\xff\xff",
			"cut": `{"messages":[{"role":"us`, "far too deep": strings.Repeat("[", 1<<20), "gzip": "\x1f\x8b\x08\x00",
			"two values": `{}{}`, "form": "a=b&c=d", "xml": "<?xml version='1.0'?>",
			"deep": strings.Repeat(`{"a":`, 1<<16)} {
			if e := h.send(name, "POST", path, body, ""); e == nil || e.Code == nil || *e.Code != "invalid_json" {
				t.Errorf("POST %s: %s: %+v, want invalid_json", path, name, e)
			}
		}
	}
	paths := []string{"/", "/v1", "/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/models/x",
		"/v1/models/%00%ff", "/v1/models/..%2f..%2fetc%2fpasswd", "/tokenize", "/detokenize",
		"/livez", "/readyz", "/version", "/metrics", "/debug/pprof/", "/%2e%2e/%2e%2e/etc/passwd", "/" +
			strings.Repeat("a", 8<<10)}
	for _, path := range paths {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			h.send(method, method, path, "", "")
		}
	}
	// The service still works afterwards.
	if e := h.send("well", "POST", "/v1/chat/completions",
		`{"messages":[{"role":"user","content":"hi"}],"max_tokens":2}`, ""); e != nil {
		t.Errorf("afterwards: %+v", e)
	}
	if counts := chaosMetrics(t, s); counts["mixtral_panics_total"] > 0 ||
		counts[`mixtral_requests_total{finish_reason="error"}`] > 0 {
		t.Errorf("%v panics, %v failed", counts["mixtral_panics_total"],
			counts[`mixtral_requests_total{finish_reason="error"}`])
	}
}

// hostSecrets are strings that are known only on this host, and parts of Go's own messages.
func hostSecrets() []string {
	secrets := []string{runtime.Version(), "goroutine ", ".go:", "runtime error", "mixtral/internal", "json:",
		"strconv.", "unmarshal"}
	if dir, err := os.Getwd(); err == nil {
		secrets = append(secrets, dir)
	}
	// A host may be called "model" or "error", which answers say in any case.
	name, err := os.Hostname()
	if err == nil && len(name) > 3 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") != "" {
		secrets = append(secrets, name)
	}
	return secrets
}

// hostile sends requests and checks the results.
type hostile struct {
	t       *testing.T
	url     string
	client  *http.Client
	secrets []string
}

func (h *hostile) wantRefusal(name, path, body, field string) {
	h.t.Helper()
	if e := h.send(name, "POST", path, body, field); e == nil {
		h.t.Errorf("%s: %s in %s was taken", path, name, field)
	}
}

// send returns the error of a refusal, or nil for an answer. A 400 must name field or something in it, unless the body
// is not JSON.
func (h *hostile) send(name, method, path, body, field string) *openai.Error {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	resp, err := h.client.Do(r)
	if err != nil {
		h.t.Fatalf("%s %s: %s: %v", method, path, name, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatalf("%s %s: %s: %v", method, path, name, err)
	}
	what := fmt.Sprintf("%s %.60s: %s: %d %.200s", method, path, name, resp.StatusCode, data)
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	head := fmt.Sprint(resp.Header)
	for _, secret := range h.secrets {
		if bytes.Contains(data, []byte(secret)) || strings.Contains(head, secret) {
			h.t.Errorf("%s: it tells %q", what, secret)
		}
	}
	var e openai.ErrorResponse
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil || e.Error.Message == "" || e.Error.Type == "" || len(data) > 2000 ||
		resp.Header.Get("Content-Type") != "application/json" {
		h.t.Errorf("%s: not OpenAI's shape: %v", what, err)
		return &e.Error
	}
	param, code := "", ""
	if e.Error.Param != nil {
		param = *e.Error.Param
	}
	if e.Error.Code != nil {
		code = *e.Error.Code
	}
	switch {
	case resp.StatusCode >= 500:
		h.t.Errorf("%s: blames the server", what)
	case code == "invalid_json" && param == "": // nothing in it has a name
	case field != "" && !strings.HasPrefix(param, field):
		h.t.Errorf("%s: names %q, want %s", what, param, field)
	}
	return &e.Error
}
