package llmtest

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// testGrammar: a backend keeps to a grammar or refuses it. It never answers freely.
func testGrammar(t *testing.T, b llm.Backend) {
	choices := []string{"yes", "no", "maybe, in another country"}
	number := regexp.MustCompile(`^\d{2,4}$`)
	for _, test := range []struct {
		g    llm.Grammar
		good func(text string) bool
	}{
		{llm.Grammar{Kind: llm.GrammarJSON}, func(s string) bool {
			return json.Valid([]byte(s)) &&
				strings.HasPrefix(s, "{")
		}},
		{llm.Grammar{Kind: llm.GrammarSchema, Source: `{"type":"array","items":{"type":"boolean"},"minItems":1,"maxItems":3}`},
			func(s string) bool {
				var list []bool
				return json.Unmarshal([]byte(s), &list) == nil && len(list) >= 1 && len(list) <= 3
			}},
		{llm.Grammar{Kind: llm.GrammarRegex, Source: `\d{2,4}`}, number.MatchString},
		{llm.Grammar{Kind: llm.GrammarGBNF, Source: `root ::= [0-9]{2,4}`}, number.MatchString},
		{llm.Grammar{Kind: llm.GrammarLark, Source: `start: /[0-9]/~2..4`}, number.MatchString},
		{llm.Grammar{Kind: llm.GrammarEBNF, Source: `root ::= [0-9]{2,4}`}, number.MatchString},
		{llm.Grammar{Kind: llm.GrammarChoice, Choices: choices},
			func(s string) bool { return slices.Contains(choices, s) }},
	} {
		for seed := range int64(4) {
			r := Chat(question, 300)
			r.Grammar, r.Sampling = &test.g, llm.Sampling{Temperature: 1.5, Seed: &seed}
			if seed == 1 { // a raw prompt's answer is not a chat's
				r.Messages, r.Prompt = nil, question
			}
			out, err := Collect(t.Context(), b, r)
			switch {
			case errors.Is(err, llm.ErrUnsupported) && out.Events == 0:
			case err != nil:
				t.Errorf("%s: %v", test.g.Kind, err)
			case out.Finish == llm.FinishStop && !test.good(out.Text):
				t.Errorf("%s: %q", test.g.Kind, out.Text)
			case out.Finish == llm.FinishLength && test.g.Kind != llm.GrammarJSON:
				t.Errorf("%s: %q has no end", test.g.Kind, out.Text)
			}
		}
	}
	for _, bad := range []llm.Grammar{
		{Kind: "poem"}, {Kind: llm.GrammarSchema, Source: "{"}, {Kind: llm.GrammarSchema, Source: `{"not":{}}`},
		{Kind: llm.GrammarRegex, Source: "("}, {Kind: llm.GrammarGBNF, Source: "root"}, {Kind: llm.GrammarChoice},
	} {
		bad.Field = "guided"
		r := Chat(question, 4)
		r.Grammar = &bad
		out, err := Collect(t.Context(), b, r)
		var field *llm.FieldError
		if out.Events > 0 || !errors.Is(err, llm.ErrUnsupported) && (!errors.As(err, &field) ||
			field.Field != "guided") {
			t.Errorf("%+v: %v after %d events", bad, err, out.Events)
		}
	}
	waitIdle(t, b)
}
