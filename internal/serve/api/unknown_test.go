package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// TestUnknownFields: a field that could change an answer is never ignored.
func TestUnknownFields(t *testing.T) {
	f := start(t)
	for fields, near := range map[string]string{
		`"max_token":5`: "max_tokens", `"temprature":0.5`: "temperature", `"top_pp":1`: "top_p",
		`"stops":"x"`: "stop", `"guided_regexp":"a"`: "guided_regex",
		`"reponse_format":{"type":"json_object"}`: "response_format",
		`"maxTokens":5`: "max_tokens", `"something_else_entirely":1`: "", `"store":true,"wholly_unknown_zz":{}`: "",
	} {
		for path, body := range map[string]string{"/v1/chat/completions": chatBody,
			"/v1/completions": `{"prompt":"a"}`} {
			parts := strings.Split(fields, `"`)
			name := parts[1]
			if name == "store" {
				name = "wholly_unknown_zz"
			}
			_, e := f.wantError("POST", path, strings.TrimSuffix(body, "}")+","+fields+"}", 400, name)
			if e.Code == nil || *e.Code != "unknown_parameter" {
				t.Errorf("%s: %+v", fields, e)
			}
			if said := strings.Contains(e.Message, "did you mean"); said != (near != "") ||
				!strings.Contains(e.Message, `"`+near+`"`) && near != "" {
				t.Errorf("%s: %s; want a hint at %q", fields, e.Message, near)
			}
		}
	}
	for _, fields := range []string{`"mirostat":2`, `"safe_prompt":true`, `"typical_p":0.5`, `"samplers":["top_k"]`,
		`"dry_multiplier":0.8,"dry_base":1.75`, `"skip_special_tokens":false`, `"chat_template_kwargs":{"a":1}`} {
		name := strings.Split(fields, `"`)[1]
		if _, e := f.wantError("POST", "/v1/chat/completions", with(fields), 400,
			name); *e.Code != "unsupported_parameter" {
			t.Errorf("%s: %+v", fields, e)
		}
	}
	for _, field := range slices.Concat(harmlessFields, []string{"mirostat_tau"}) {
		if field == "user" {
			continue // which has a type
		}
		if resp, body := f.do("POST", "/v1/chat/completions", with(`"`+field+`":5`)); resp.StatusCode != 200 {
			t.Errorf("%s: %s", field, body)
		}
	}
	for _, fields := range []string{`"mirostat":0`, `"safe_prompt":false`, `"typical_p":1.0`, `"typical_p":null`,
		`"dry_sequence_breakers":["\n"],"dry_multiplier":0.0`, `"no_such_field_at_all":null`} {
		if resp, body := f.do("POST", "/v1/chat/completions", with(fields)); resp.StatusCode != 200 {
			t.Errorf("%s: %s", fields, body)
		}
	}
	if strings.Contains(f.log.String(), "wholly_unknown_zz") {
		t.Error("the log has a name that a client made up")
	}
}

func TestUnknownFieldsIgnored(t *testing.T) {
	f := start(t, func(c *Config, _ *llmtest.Fake) { c.IgnoreUnknown = true })
	if resp, body := f.do("POST", "/v1/chat/completions", with(`"max_token":5,"a-b":1`)); resp.StatusCode != 200 {
		t.Errorf("%s", body)
	}
	f.wantError("POST", "/v1/chat/completions", with(`"mirostat":2`), 400, "mirostat") // that is known
}

// TestAliases: fields with other servers' names have the meaning of the fields here, and errors use the client's name.
func TestAliases(t *testing.T) {
	f := start(t)
	f.fake.Grammar = func(g *llm.Grammar) (string, error) { return string(g.Kind) + g.Source, nil }
	last := func(fields string) llm.Request {
		t.Helper()
		if resp, body := f.do("POST", "/v1/chat/completions", with(fields)); resp.StatusCode != 200 {
			t.Errorf("%s: %s", fields, body)
		}
		calls := f.fake.Requests()
		return calls[len(calls)-1]
	}
	for _, name := range []string{"max_new_tokens", "n_predict", "max_output_tokens", "num_predict"} {
		if r := last(`"` + name + `":7`); r.MaxTokens != 7 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := last(`"max_new_tokens":7,"max_tokens":7,"n_predict":null`); r.MaxTokens != 7 {
		t.Errorf("both: %+v", r)
	}
	if r := last(`"repeat_penalty":1.5,"random_seed":4,"stop_sequences":["x"]`); r.Sampling.RepetitionPenalty != 1.5 ||
		*r.Sampling.Seed != 4 || !slices.Equal(r.Stop, []string{"x"}) {
		t.Errorf("%+v", r)
	}
	for fields, want := range map[string]llm.Grammar{
		`"regex":"a+"`:               {Kind: llm.GrammarRegex, Source: "a+", Field: "regex"},
		`"ebnf":"root ::= \"a\""`:    {Kind: llm.GrammarEBNF, Source: `root ::= "a"`, Field: "ebnf"},
		`"format":"json"`:            {Kind: llm.GrammarJSON, Field: "format"},
		`"format":{"type":"string"}`: {Kind: llm.GrammarSchema, Source: `{"type":"string"}`, Field: "format"},
	} {
		if r := last(fields); r.Grammar == nil || r.Grammar.Kind != want.Kind || r.Grammar.Source != want.Source ||
			r.Grammar.Field != want.Field {
			t.Errorf("%s: %+v", fields, r.Grammar)
		}
	}
	if r := last(`"format":"","regex":null`); r.Grammar != nil {
		t.Errorf("%+v", r.Grammar)
	}
	for fields, param := range map[string]string{
		`"max_new_tokens":7,"max_tokens":8`: "max_new_tokens", `"n_predict":"x"`: "n_predict",
		`"repeat_penalty":0`: "repeat_penalty", `"random_seed":1.5`: "random_seed", `"format":"xml"`: "format",
		`"regex":"a","guided_json":{}`: "regex",
	} {
		f.wantError("POST", "/v1/chat/completions", with(fields), 400, param)
	}
}

// TestModelAliases: a model can have several names, and answers have the name in the request.
func TestModelAliases(t *testing.T) {
	f := start(t, func(c *Config, _ *llmtest.Fake) { c.Aliases = []string{"gpt-4o-mini", "fake", "mistral"} })
	for name, want := range map[string]string{"gpt-4o-mini": "gpt-4o-mini", "mistral": "mistral", "fake": "fake",
		"": "fake"} {
		r := post[struct{ Model string }](f, "/v1/chat/completions", with(`"model":"`+name+`"`))
		calls := f.fake.Requests()
		if r.Model != want || calls[len(calls)-1].Model != "fake" {
			t.Errorf("%s: %+v, and the backend was asked for %s", name, r, calls[len(calls)-1].Model)
		}
	}
	_, e := f.wantError("POST", "/v1/chat/completions", with(`"model":"other"`), 404, "model")
	for _, name := range []string{"gpt-4o-mini", "mistral", "fake"} {
		if !strings.Contains(e.Message, `"`+name+`"`) {
			t.Errorf("%s does not name %s", e.Message, name)
		}
	}
	_, data := f.do("GET", "/v1/models", "")
	if list := decode[struct{ Data []struct{ ID string } }](t, data); len(list.Data) != 3 ||
		list.Data[0].ID != "fake" {
		t.Errorf("%s", data)
	}
	if resp, data := f.do("GET", "/v1/models/mistral", ""); resp.StatusCode != 200 {
		t.Errorf("%s", data)
	}
}

// TestOrigins: a site that the operator names may use the service from a browser, and other sites may not.
func TestOrigins(t *testing.T) {
	const site, other = "https://app.example", "https://evil.example"
	f := start(t, func(c *Config, _ *llmtest.Fake) { c.Origins = []string{site} })
	resp, _ := f.do("OPTIONS", "/v1/chat/completions", "", "Origin", site, "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "authorization,content-type,x-stainless-lang")
	if h := resp.Header; resp.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != site ||
		!strings.Contains(h.Get("Access-Control-Allow-Headers"), "x-stainless-lang") ||
		!strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	resp, data := f.do("POST", "/v1/chat/completions", chatBody, "Origin", site, "Sec-Fetch-Site", "cross-site")
	if resp.StatusCode != 200 || resp.Header.Get("Access-Control-Allow-Origin") != site ||
		!strings.Contains(strings.Join(resp.Header.Values("Vary"), ","), "Origin") {
		t.Errorf("%s %v %s", resp.Status, resp.Header, data)
	}
	// A page must be able to read why it was refused.
	resp, _ = f.wantError("POST", "/v1/chat/completions", with(`"n":0`), 400, "n", "Origin", site)
	if resp.Header.Get("Access-Control-Allow-Origin") != site {
		t.Errorf("%v", resp.Header)
	}
	resp, e := f.wantError("POST", "/v1/chat/completions", chatBody, 403, "", "Origin", other, "Sec-Fetch-Site",
		"cross-site")
	if *e.Code != "cross_origin" || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%v %+v", resp.Header, e)
	}
	if resp, _ = f.do("OPTIONS", "/v1/models", "", "Origin", other, "Access-Control-Request-Method",
		"GET"); resp.StatusCode == 204 {
		t.Errorf("%v", resp.Header)
	}
	any := start(t, func(c *Config, _ *llmtest.Fake) { c.Origins = []string{"*"} })
	if resp, _ := any.do("POST", "/v1/chat/completions", chatBody, "Origin", other, "Sec-Fetch-Site",
		"cross-site"); resp.StatusCode != 200 || resp.Header.Get("Access-Control-Allow-Origin") != other {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	for text, ok := range map[string]bool{"*": true, site: true, "http://localhost:3000": true, "app.example": false,
		site + "/": false, site + "/x": false, "https://App.example": false, "": false, "https://": false} {
		if CheckOrigin(text) != ok {
			t.Errorf("%q: %v", text, !ok)
		}
	}
}

// TestUnknownWithin: the rule also applies in the objects of a request, and to /tokenize and /detokenize.
func TestUnknownWithin(t *testing.T) {
	f := start(t)
	for _, c := range []struct{ path, body, field string }{
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"a","contents":"b"}]}`, "messages[0].contents"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":[{"type":"text","text":"a","txt":1}]}]}`,
			"messages[0].content[0].txt"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"a"}],"response_format":{"type":"text","typ":1}}`,
			"response_format.typ"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"a"}],"response_format":` +
			`{"type":"json_schema","json_schema":{"schema":{},"strictly":true}}}`, "response_format.json_schema.strictly"},
		{"/v1/completions", `{"prompt":"a","stream":true,"stream_options":{"include_usages":true}}`,
			"stream_options.include_usages"},
		{"/tokenize", `{"prompt":"a","add_specials":true}`, "add_specials"},
		{"/detokenize", `{"tokens":[4],"token":1}`, "token"},
	} {
		f.wantError("POST", c.path, c.body, 400, c.field)
	}
	f.wantError("POST", "/tokenize", `{"prompt":"a","chat_template":"x"}`, 400, "chat_template")
	for path, body := range map[string]string{
		"/v1/chat/completions": `{"messages":[{"role":"user","name":"me","content":[{"type":"text","text":"a",` +
			`"cache_control":{"type":"ephemeral"}}]}],"stream_options":null}`,
		"/tokenize":   `{"messages":[{"role":"user","content":"a"}],"add_generation_prompt":true}`,
		"/detokenize": `{"model":null,"tokens":[4]}`,
	} {
		resp := f.request(t.Context(), "POST", path, body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("%s %s: %s", path, body, resp.Status)
		}
	}
}
