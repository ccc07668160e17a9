package llmtest

import (
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// testPromptLogprobs: a prompt's tokens are as likely as they were when the same tokens were generated, whether or not
// a prefix cache has them, however long the prompt is and whoever else asks; or the request is refused.
func testPromptLogprobs(t *testing.T, b llm.Backend) {
	ids, err := b.Tokenize(strings.Repeat(question+" ", 4), true)
	if err != nil {
		t.Fatal(err)
	}
	ids = ids[:min(len(ids), Context-60)]
	one := &llm.Request{ID: "one", PromptTokens: ids[:1], PromptLogprobs: true, PromptOnly: true}
	if out, err := Collect(t.Context(), b, one); errors.Is(err, llm.ErrUnsupported) && out.Events == 0 {
		return
	} else if err != nil || len(out.Prompt) != 1 {
		t.Errorf("a prompt of one token: %+v, %v", out.Prompt, err)
	}
	ask := &llm.Request{ID: "first", PromptTokens: ids, MaxTokens: 20, IgnoreEOS: true, Logprobs: true, TopLogprobs: 3}
	first := must(t, b, ask)
	if first.Tokens[0].ID <= llm.UnknownID { // then only those are known that are forced
		ask.Sampling.LogitBias = map[int32]float64{ids[len(ids)-1]: 100}
		first = must(t, b, ask)
		for i := range first.Tokens {
			first.Tokens[i].ID = ids[len(ids)-1]
		}
	}
	whole := append([]int32{}, ids...)
	for _, tok := range first.Tokens {
		whole = append(whole, tok.ID)
	}
	score := &llm.Request{ID: "score", PromptTokens: whole, PromptOnly: true, PromptLogprobs: true,
		PromptTopLogprobs: 3, MaxTokens: 7}
	check := func(out Result, err error) {
		if err != nil || len(out.Prompt) != len(whole) || out.Text != "" || out.Finish != llm.FinishLength ||
			out.Usage.PromptTokens != len(whole) || out.Usage.CompletionTokens != 0 {
			t.Errorf("%d tokens of a prompt of %d, text %q, finish %s, %+v, %v", len(out.Prompt), len(whole), out.Text,
				out.Finish, out.Usage, err)
			return
		}
		if p := out.Prompt[0]; p.ID != whole[0] || p.Rank != 0 || p.Logprob != 0 || p.Top != nil {
			t.Errorf("the first token of a prompt: %+v", p)
		}
		for i, tok := range out.Prompt[1:] {
			if tok.ID != whole[i+1] || tok.Rank < 1 || !(tok.Logprob <= 0) || len(tok.Top) != 3 {
				t.Errorf("token %d: %+v, want id %d", i+1, tok, whole[i+1])
			}
		}
		for i, want := range first.Tokens {
			got := out.Prompt[len(ids)+i]
			if math.Abs(got.Logprob-want.Logprob) > 1e-6 || got.Rank != 1 && want.Top[0].ID == want.ID {
				t.Errorf("generated with %v, as part of a prompt %v, rank %d", want.Logprob, got.Logprob, got.Rank)
			}
		}
	}
	check(Collect(t.Context(), b, score))
	check(Collect(t.Context(), b, score)) // what a prefix cache has is computed again
	var group sync.WaitGroup
	for range MaxRunning {
		group.Go(func() { check(Collect(t.Context(), b, score)) })
		group.Go(func() { must(t, b, Chat(question, 20)) })
	}
	Await(t, "prompts beside answers", Done(group.Wait))
	waitIdle(t, b)

	// An answer is what it is without.
	r := Chat(question, 12)
	plain := must(t, b, r)
	r.PromptLogprobs = true
	if out := must(t, b, r); out.Text != plain.Text || len(out.Prompt) != plain.Usage.PromptTokens {
		t.Errorf("with the prompt's log-probabilities %q, without %q; %d tokens", out.Text, plain.Text,
			len(out.Prompt))
	}
	bad := &llm.Request{ID: "bad", PromptTokens: ids, PromptLogprobs: true, PromptTopLogprobs: -1}
	if _, err := Collect(t.Context(), b, bad); !errors.Is(err, llm.ErrBadRequest) {
		t.Errorf("-1 alternatives: %v", err)
	}
}
