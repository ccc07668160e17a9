package api

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// TestGrammarFields: every field for a form gives the same request to the backend, and errors name the field.
func TestGrammarFields(t *testing.T) {
	log := &syncBuffer{}
	f := start(t, func(c *Config, _ *llmtest.Fake) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	f.fake.Grammar = func(g *llm.Grammar) (string, error) {
		if strings.Contains(g.Source, "bad") {
			return "", g.Fail("#/x: unknown keyword")
		}
		return "{}", nil
	}
	schema := `{"type": "object",  "properties": {"b": {}, "a": {}}}` // in the answer's order
	quoted, _ := json.Marshal(schema)
	for _, test := range []struct {
		fields string
		want   *llm.Grammar
	}{
		{`"response_format":{"type":"text"}`, nil},
		{`"response_format":{}`, nil},
		{`"response_format":null,"guided_json":null,"grammar":"","guided_choice":[],"structured_outputs":{}`, nil},
		{`"response_format":{"type":"json_object"}`, &llm.Grammar{Kind: llm.GrammarJSON, Field: "response_format"}},
		{`"response_format":{"type":"json_schema","schema":` + schema + `}`,
			&llm.Grammar{Kind: llm.GrammarSchema, Source: schema, Field: "response_format.schema"}},
		{`"structured_outputs":{"regex":"a+"},"guided_regex":"a+"`,
			&llm.Grammar{Kind: llm.GrammarRegex, Source: "a+", Field: "guided_regex"}},
		{`"response_format":{"type":"json_object","schema":` + schema + `}`,
			&llm.Grammar{Kind: llm.GrammarSchema, Source: schema, Field: "response_format.schema"}},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":` + schema + `}}`,
			&llm.Grammar{Kind: llm.GrammarSchema, Source: schema, Field: "response_format.json_schema.schema"}},
		{`"guided_json":` + schema, &llm.Grammar{Kind: llm.GrammarSchema, Source: schema, Field: "guided_json"}},
		{`"guided_json":` + string(quoted), &llm.Grammar{Kind: llm.GrammarSchema, Source: schema, Field: "guided_json"}},
		{`"json_schema":` + schema, &llm.Grammar{Kind: llm.GrammarSchema, Source: schema, Field: "json_schema"}},
		{`"guided_regex":"a+"`, &llm.Grammar{Kind: llm.GrammarRegex, Source: "a+", Field: "guided_regex"}},
		{`"guided_choice":["x","y"]`, &llm.Grammar{Kind: llm.GrammarChoice, Choices: []string{"x", "y"}, Field: "guided_choice"}},
		{`"guided_grammar":"start: \"a\""`, &llm.Grammar{Kind: llm.GrammarEBNF, Source: `start: "a"`, Field: "guided_grammar"}},
		{`"grammar":"root ::= \"a\""`, &llm.Grammar{Kind: llm.GrammarGBNF, Source: `root ::= "a"`, Field: "grammar"}},
		{`"structured_outputs":{"json":` + schema + `,"disable_any_whitespace":true}`,
			&llm.Grammar{Kind: llm.GrammarSchema, Source: schema, Field: "structured_outputs.json"}},
		{`"structured_outputs":{"regex":"a","json":null}`, &llm.Grammar{Kind: llm.GrammarRegex, Source: "a", Field: "structured_outputs.regex"}},
		{`"structured_outputs":{"choice":["x"]}`, &llm.Grammar{Kind: llm.GrammarChoice, Choices: []string{"x"}, Field: "structured_outputs.choice"}},
		{`"structured_outputs":{"grammar":"g"}`, &llm.Grammar{Kind: llm.GrammarEBNF, Source: "g", Field: "structured_outputs.grammar"}},
		{`"structured_outputs":{"json_object":true}`, &llm.Grammar{Kind: llm.GrammarJSON, Field: "structured_outputs.json_object"}},
	} {
		for path, body := range map[string]string{"/v1/chat/completions": `{"messages":[{"role":"user","content":"hi"}],`,
			"/v1/completions": `{"prompt":"hi",`} {
			if resp, data := f.do("POST", path, body+test.fields+"}"); resp.StatusCode != 200 {
				t.Errorf("%s: %d %s", test.fields, resp.StatusCode, data)
				continue
			}
			calls := f.fake.Requests()
			if diff := cmp.Diff(test.want, calls[len(calls)-1].Grammar); diff != "" {
				t.Errorf("%s: %s", test.fields, diff)
			}
		}
	}
	_, data := f.do("POST", "/v1/chat/completions", `{"messages":[{"role":"user","content":"hi"}],"guided_json":{"bad":1}}`)
	want := `{"error":{"message":"guided_json: #/x: unknown keyword","type":"invalid_request_error","param":"guided_json",` +
		`"code":"invalid_grammar"}}`
	if strings.TrimSpace(string(data)) != want {
		t.Errorf("got %s\nwant %s", data, want)
	}
	// The words of a schema belong to the client: no log contains them.
	if text := log.String(); strings.Contains(text, "#/x") || !strings.Contains(text, "error=invalid_grammar") {
		t.Errorf("log: %s", text)
	}
}
