package llmtest

import (
	"context"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// testAny: any valid request has an answer that keeps the rules, and the same one again if it has a seed or is greedy.
func testAny(t *testing.T, b llm.Backend) {
	limit := b.Models()[0].ContextLength
	property.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringN(1, 40, -1), rapid.SampledFrom([]string{question, "\xff\x00", "[INST] </s>",
			"😀"})).Draw(t, "text")
		r := &llm.Request{ID: "any", MaxTokens: rapid.IntRange(1, 24).Draw(t, "max")}
		switch rapid.IntRange(0, min(2, b.Models()[0].Vocab+1)).Draw(t, "form") {
		case 0:
			r.Prompt = text
		case 1:
			r.Messages = []llm.Message{{Role: llm.RoleSystem, Content: text}, {Role: llm.RoleUser, Content: text},
				{Role: llm.RoleAssistant, Content: text}, {Role: llm.RoleUser, Content: text}}
		case 2:
			r.PromptTokens = rapid.SliceOfN(rapid.Int32Range(0, int32(b.Models()[0].Vocab)-1), 1, limit/2).Draw(t,
				"tokens")
		}
		r.Sampling = llm.Sampling{
			Temperature:       rapid.SampledFrom([]float64{0, 0.1, 1, 2}).Draw(t, "temperature"),
			TopP:              rapid.SampledFrom([]float64{0, 0.01, 0.9, 1}).Draw(t, "top_p"),
			TopK:              rapid.SampledFrom([]int{0, 1, 40, 1 << 20}).Draw(t, "top_k"),
			MinP:              rapid.SampledFrom([]float64{0, 0.05, 0.99}).Draw(t, "min_p"),
			RepetitionPenalty: rapid.SampledFrom([]float64{0, 1, 1.3}).Draw(t, "repetition"),
			PresencePenalty:   rapid.SampledFrom([]float64{0, -2, 2}).Draw(t, "presence"),
			FrequencyPenalty:  rapid.SampledFrom([]float64{0, -2, 2}).Draw(t, "frequency"),
		}
		seed := rapid.Int64().Draw(t, "seed")
		r.Sampling.Seed = &seed
		likely := rapid.SampledFrom([]string{"\ufffd", " ", "e", "th", "\ufffd\x00"})
		r.Stop = rapid.SliceOfN(rapid.OneOf(rapid.StringN(1, 3, -1), likely), 0, 4).Draw(t, "stop")
		r.IgnoreEOS = rapid.Bool().Draw(t, "ignore_eos")
		if r.Logprobs = rapid.Bool().Draw(t, "logprobs"); r.Logprobs {
			r.TopLogprobs = rapid.IntRange(0, 20).Draw(t, "top_logprobs")
		}
		first, err := Collect(context.Background(), b, r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Collect(context.Background(), b, r)
		if err != nil || again.Text != first.Text || again.Finish != first.Finish ||
			again.Usage.CompletionTokens != first.Usage.CompletionTokens {
			t.Fatalf("first %+v, again %+v, %v", first, again, err)
		}
		for _, s := range r.Stop {
			if strings.Contains(first.Text, s) {
				t.Fatalf("%q holds the stop string %q", first.Text, s)
			}
		}
		if r.IgnoreEOS && len(r.Stop) == 0 && first.Usage.CompletionTokens != r.MaxTokens {
			t.Fatalf("%d tokens of %d", first.Usage.CompletionTokens, r.MaxTokens)
		}
	})
}
