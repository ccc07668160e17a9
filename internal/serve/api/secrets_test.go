package api

import (
	"log/slog"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
)

// TestNothingIsRepeated sends marked words through every route, in every place where a client can send any, in valid
// and invalid requests. Logs at the debug level and metrics contain none of them, and no error repeats a prompt or a
// key, not even to its own client.
func TestNothingIsRepeated(t *testing.T) {
	const prompt, key, word = "PROMPT-b7a1", "KEY-b7a1-0123456789", "WORD-b7a1"
	keys := keysOf(t, "alice "+key+
		" requests_per_minute=1000000 tokens_per_minute=1000000\n")
	log := &syncBuffer{}
	f := start(t, func(c *Config, _ *llmtest.Fake) {
		c.Callers, c.MaxBody = access.NewCallers(keys), 100<<10
		c.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	send := func(method, path, body string, header ...string) {
		t.Helper()
		resp, data := f.do(method, path, body, header...)
		if s := string(data); resp.StatusCode >= 400 && (strings.Contains(s, prompt) || strings.Contains(s, key)) {
			t.Errorf("%s %s %.200s: %s", method, path, body, s)
		}
	}
	values := []string{`"` + prompt + `"`, `["` + prompt + `"]`, `{"` + prompt + `":"` + prompt + `"}`, `[{"role":"` +
		prompt + `","content":"` + prompt + `"}]`,
		`[{"role":"user","content":[{"type":"` + prompt + `","text":"` + prompt + `"}]}]`,
		`[{"role":"user","content":"` + prompt + `","` + prompt + `":1}]`,
		`[{"role":"assistant","content":"` + prompt + `"}]`, `"` + strings.Repeat(prompt, 10000) + `"`, `"` + prompt,
		prompt, `[1,"` + prompt + `"]`, `"\ud800` + prompt + `"`}
	fields := []string{"prompt", "messages", "stop", "user", "temperature", "max_tokens", "seed", "logit_bias",
		"stream_options", "n", "timeout", "tools", "response_format", "suffix", "tokens", "model", prompt}
	auth := []string{"Authorization", "Bearer " + key}
	for _, path := range []string{"/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"} {
		for _, field := range fields {
			for _, v := range values {
				if field == "model" && !strings.HasPrefix(v, `"`) {
					continue // an error may show the name of a field, but not an invalid name
				}
				if field == "model" {
					v = strings.ReplaceAll(v, prompt, word)
				}
				body := `{"` + field + `":` + v + `}`
				send("POST", path, body, auth...)
				send("POST", path,
					`{"prompt":"`+prompt+`","messages":[{"role":"user","content":"`+prompt+`"}],"`+field+`":`+v+`,"stream":true,"max_tokens":3}`, auth...)
			}
		}
		send("POST", path, prompt, auth...)
		send("PUT", path, prompt, auth...)
		send("POST", path, `{}`, "Authorization", "Bearer "+prompt, "X-Api-Key", key)
		send("POST", path, `{}`, "Authorization", key)
		send("POST", path, `{}`, append(auth, headerTimeout, prompt)...)
		send("POST", path+"?key="+key+"&q="+word, `{}`, append(auth, "Origin", "https://"+word)...)
	}
	for _, method := range []string{"GET", "POST", word} {
		for _, path := range []string{"/" + word, "/v1/models/" + word, "/v1/models?x=" + word, "/metrics?x=" + word,
			"/readyz/" + word} {
			send(method, path, "", auth...)
			send(method, path, "", "Referer", "https://"+word, "User-Agent", word, "Cookie", word)
		}
	}
	for name, text := range map[string]string{"log": log.String(), "metrics": f.scrape()} {
		if len(text) < 1000 {
			t.Errorf("the %s holds only %q", name, text)
		}
		for line := range strings.Lines(text) {
			for _, secret := range []string{prompt, key, word, "KEY-b7a1"} {
				if strings.Contains(line, secret) {
					t.Errorf("%s: %.300s", name, line)
				}
			}
		}
	}
}

func (f *fixture) scrape() string {
	f.t.Helper()
	_, data := f.do("GET", "/metrics", "")
	return string(data)
}

// TestLabelsAreBounded: no request creates new label values: routes and status codes are a fixed set.
func TestLabelsAreBounded(t *testing.T) {
	f := start(t)
	round := func(word string) {
		for _, method := range []string{"GET", "POST", "PUT", "BREW"} {
			for _, path := range []string{"/", "/" + word, "/v1/models/" + word, "/v1/chat/completions",
				"/v1/completions", "/tokenize", "/metrics", "/" + word + "/metrics"} {
				for i, body := range []string{"", `{"model":"` + word + `","prompt":"` + word + `"}`, `{"model":"` +
					word + `","messages":[{"role":"user","content":"` + word + `"}]}`, `{"prompt":"` + word + `","` +
					word + `":1,"user":"` + word + `"}`} {
					if i > 0 && method != "POST" {
						continue
					}
					f.do(method, path, body, "Authorization", "Bearer "+word, headerID, word, "Host", word)
				}
			}
		}
	}
	code := regexp.MustCompile(`code="[1-5]\d\d",?`)
	labels := func() map[string]bool {
		set := map[string]bool{}
		for line := range strings.Lines(f.scrape()) {
			if name, _, ok := strings.Cut(line, " "); ok && !strings.HasPrefix(line, "#") {
				set[code.ReplaceAllString(name, "")] = true // from this service; on a busy machine the status may vary
			}
		}
		return set
	}
	round("first")
	before := labels()
	for _, word := range []string{"second", "x" + strings.Repeat("y", 3000)} {
		round(word)
	}
	after := labels()
	maps.DeleteFunc(after, func(name string, _ bool) bool { return before[name] })
	// Metrics of Go and of the process may appear meanwhile.
	maps.DeleteFunc(after, func(name string, _ bool) bool { return !strings.HasPrefix(name, "mixtral_") })
	if len(after) > 0 || len(before) < 100 {
		t.Errorf("new series: %v beside %d", after, len(before))
	}
}
