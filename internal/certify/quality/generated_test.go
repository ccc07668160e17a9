package quality

import (
	"fmt"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"pgregory.net/rapid"
)

// The answer to a generated prompt passes in several wordings, and a different answer fails.
func TestGeneratedAnswersPass(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		s, err := prompts.Generate(prompts.Options{Seed: rapid.Uint64().Draw(t, "seed"),
			Tokens: rapid.SampledFrom([]int{0, 150}).Draw(t, "tokens")})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range s.Prompts {
			if len(p.Rubric.Answers) == 0 {
				continue
			}
			a := p.Rubric.Answers[0]
			for _, response := range []string{a, "The answer is " + a + ".",
				"I went through it step by step.\n\nAnswer: " + a} {
				if r := Score(Input{Prompt: p.Text, Response: response, Finish: "stop",
					Rubric: p.Rubric}); r.Score < Threshold {
					t.Errorf("%q answered by %q scores %.2f%s", p.Text, response, r.Score, explain(r))
				}
			}
			for _, response := range []string{"Zanzibar",
				fmt.Sprintf("It could be %s, but it is not. Answer: Zanzibar", a), "The answer is -999999."} {
				if r := Score(Input{Prompt: p.Text, Response: response, Finish: "stop",
					Rubric: p.Rubric}); r.Score >= Threshold {
					t.Errorf("%q answered by %q scores %.2f%s", p.Text, response, r.Score, explain(r))
				}
			}
		}
	})
}
