package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

func constrained(kind llm.GrammarKind, source string, seed int64) *llm.Request {
	r := llmtest.Chat("which words?", 400)
	r.Grammar = &llm.Grammar{Kind: kind, Source: source, Field: "response_format"}
	r.Sampling = llm.Sampling{Temperature: 2, Seed: &seed}
	return r
}

const person = `{"type":"object","properties":{"first_name":{"type":"string","maxLength":20},
	"age":{"type":"integer","minimum":0,"maximum":150},"status":{"const":"a rather long text that nobody has to choose"}},
	"required":["first_name","age","status"],"additionalProperties":false}`

// TestGrammar: answers are texts of their grammar, with and without log-probabilities, and the same again.
func TestGrammar(t *testing.T) {
	e := open(t, synth.Tiny(), Config{})
	ended := 0
	for seed := range int64(12) {
		r := constrained(llm.GrammarSchema, person, seed)
		plain, err := llmtest.Collect(t.Context(), e, r)
		if err != nil {
			t.Fatal(err)
		}
		r.Logprobs, r.TopLogprobs = true, 2
		again, err := llmtest.Collect(t.Context(), e, r)
		if err != nil || again.Text != plain.Text || len(again.Tokens) != plain.Usage.CompletionTokens {
			t.Errorf("seed %d: %q, then with log-probabilities %q, %v", seed, plain.Text, again.Text, err)
		}
		if plain.Finish != llm.FinishStop {
			continue
		}
		ended++
		var v struct {
			Name   string `json:"first_name"`
			Age    int
			Status string
		}
		if err := json.Unmarshal([]byte(plain.Text), &v); err != nil || v.Age > 150 || !strings.HasPrefix(v.Status,
			"a rather") {
			t.Errorf("seed %d: %s: %v", seed, plain.Text, err)
		}
	}
	if ended < 8 {
		t.Errorf("only %d of 12 answers ended", ended)
	}
}

// TestForcedText: what a grammar forces takes a step for many tokens, and they are the tokenizer's own.
func TestForcedText(t *testing.T) {
	var steps atomic.Int32
	e := open(t, synth.Tiny(), Config{NoGuesses: true, Throttle: func() { steps.Add(1) }})
	text := strings.Repeat("the world is what we find in every country. ", 6)
	text = strings.TrimSpace(text)
	r := llmtest.Chat("which words?", 400)
	r.Grammar = &llm.Grammar{Kind: llm.GrammarChoice, Choices: []string{text}}
	r.Logprobs = true
	var ids []int32
	err := e.Generate(t.Context(), r, func(ev llm.Event) error {
		for _, tok := range ev.Tokens {
			ids = append(ids, tok.ID)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want, err := e.Tokenize(text, false)
	if err != nil || !slices.Equal(ids, want) {
		t.Errorf("%d tokens %v\nwant %d, %v, %v", len(ids), ids, len(want), want, err)
	}
	if n, most := int(steps.Load()), 3+len(want)/maxForced; n > most {
		t.Errorf("%d steps for %d tokens, want at most %d", n, len(want), most)
	}
}

// TestGrammarsTogether: an answer does not depend on others, nor on guesses, nor on pre-emption.
func TestGrammarsTogether(t *testing.T) {
	var results [2][]string
	for i, c := range []Config{{MaxRunning: 1, NoGuesses: true}, {MaxRunning: 8, ContextLength: 512,
		KVBytes: 1 << 19}} {
		e := open(t, synth.Tiny(), c)
		results[i] = make([]string, 16)
		var group sync.WaitGroup
		for k := range results[i] {
			group.Go(func() {
				r := constrained(llm.GrammarSchema, person, int64(k))
				switch k % 4 {
				case 1:
					r.Grammar = &llm.Grammar{Kind: llm.GrammarRegex, Source: `(the (world|country) ){3,60}end`}
				case 2:
					r.Grammar = nil
				case 3:
					r.Grammar = &llm.Grammar{Kind: llm.GrammarGBNF, Source: `root ::= ("[" root? "]"){1,3} | "leaf "`}
				}
				r.MaxTokens = 120
				out, err := llmtest.Collect(t.Context(), e, r)
				if err != nil {
					t.Errorf("request %d: %v", k, err)
				}
				results[i][k] = fmt.Sprint(out.Finish, " ", out.Text)
			})
		}
		group.Wait()
	}
	for k := range results[0] {
		if results[0][k] != results[1][k] {
			t.Errorf("request %d alone: %q\ntogether: %q", k, results[0][k], results[1][k])
		}
	}
}

func TestGrammarWithStop(t *testing.T) {
	e := open(t, synth.Tiny(), Config{})
	r := constrained(llm.GrammarSchema, person, 1)
	r.Stop = []string{`"age"`}
	out, err := llmtest.Collect(t.Context(), e, r)
	if err != nil || strings.Contains(out.Text, `"age"`) || out.Finish == llm.FinishStop &&
		!strings.HasPrefix(out.Text, "{") {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestGrammarRefusals(t *testing.T) {
	e := open(t, synth.Tiny(), Config{})
	for _, test := range []struct {
		g    *llm.Grammar
		want string
	}{
		{&llm.Grammar{Kind: llm.GrammarSchema, Source: `{"properties":{"a":{"$query":{}}}}`, Field: "response_format.json_schema.schema"},
			"response_format.json_schema.schema: #/properties/a/$query: unknown keyword"},
		{&llm.Grammar{Kind: llm.GrammarRegex, Source: `(`}, "grammar: bad regular expression: missing closing ): `(`"},
		{&llm.Grammar{Kind: "poem"}, `grammar: unknown kind of grammar "poem"`},
	} {
		r := llmtest.Chat("a", 4)
		r.Grammar = test.g
		_, err := llmtest.Collect(t.Context(), e, r)
		if !errors.Is(err, llm.ErrBadRequest) || err.Error() != test.want {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}
