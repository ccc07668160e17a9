package upstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// scored answers a request that asks for the log-probabilities of its prompt. Servers send these only in answers that
// are not streamed, and more of them do so in text completions than in chats. So the prompt becomes a request of its
// own, without an answer, and the answer another one.
func (u *Upstream) scored(ctx context.Context, r *llm.Request, sink func(llm.Event) error) error {
	if r.PromptTopLogprobs < 0 || r.PromptTopLogprobs > 20 {
		return llm.BadField("prompt_logprobs", "must be between 0 and 20, got %d", r.PromptTopLogprobs)
	}
	if _, _, err := encode(r); err != nil { // find errors before anything is computed
		return err
	}
	prompt, usage, err := u.score(ctx, r)
	if err != nil {
		return err
	}
	if r.PromptOnly {
		return sink(llm.Event{Prompt: prompt, Finish: llm.FinishLength, Usage: &usage})
	}
	return u.generate(ctx, r, func(e llm.Event) error {
		e.Prompt, prompt = prompt, nil
		return sink(e)
	})
}

// score asks for a prompt's log-probabilities in all ways that servers know: vLLM's, and OpenAI's echo with logprobs.
func (u *Upstream) score(ctx context.Context, r *llm.Request) ([]llm.Token, llm.Usage, error) {
	ids, err := u.promptIDs(ctx, r)
	if err != nil {
		return nil, llm.Usage{}, err
	}
	m := map[string]any{"model": r.Model, "echo": true, "max_tokens": 0, "temperature": 0}
	if ids != nil {
		m["prompt"] = ids
	} else {
		m["prompt"] = r.Prompt
	}
	if r.PromptLogprobs {
		m["prompt_logprobs"], m["logprobs"] = r.PromptTopLogprobs, r.PromptTopLogprobs
	}
	if r.ParseSpecial {
		m["parse_special"] = true
	}
	if r.NoSpecial {
		m["add_special_tokens"] = false
	}
	if r.CacheScope != "" {
		m["cache_salt"] = r.CacheScope
	}
	body, err := json.Marshal(m)
	if err != nil {
		return nil, llm.Usage{}, err
	}
	w := &bodyWriter{header: http.Header{}}
	out, err := u.send(ctx, r.ID, "/v1/completions", body, w)
	switch {
	case err != nil:
		return nil, llm.Usage{}, err
	case out.Err != nil:
		return nil, llm.Usage{}, out.Err
	case w.status != http.StatusOK:
		return nil, llm.Usage{}, refusal(r, w.status, w.body.Bytes())
	}
	var answer struct {
		Choices []openai.TextChoice `json:"choices"`
		Usage   *openai.Usage       `json:"usage"`
	}
	places := max(len(ids), len(r.Prompt)) + 64 // a token has at least one byte, except control tokens
	if err := bounded.JSON(w.body.Bytes(), 1024+places*(16+8*(r.PromptTopLogprobs+1)), 16); err != nil {
		return nil, llm.Usage{}, fmt.Errorf("%w: %w: %w", ErrUnreachable, errForm, err)
	}
	if err := json.Unmarshal(w.body.Bytes(), &answer); err != nil {
		return nil, llm.Usage{}, fmt.Errorf("%w: %w: %w", ErrUnreachable, errForm, err)
	}
	if len(answer.Choices) != 1 {
		return nil, llm.Usage{}, fmt.Errorf("%w: %w: %d choices for one prompt", ErrUnreachable, errForm,
			len(answer.Choices))
	}
	var tokens []llm.Token
	if r.PromptLogprobs {
		if tokens, err = promptOf(&answer.Choices[0], ids, r.PromptTopLogprobs); err != nil {
			return nil, llm.Usage{}, err
		}
	}
	usage := llm.Usage{PromptTokens: max(len(tokens), len(ids))}
	if answer.Usage != nil {
		usage.PromptTokens = answer.Usage.PromptTokens
		if d := answer.Usage.PromptTokensDetails; d != nil {
			usage.CachedTokens = d.CachedTokens
		}
	}
	return tokens, usage, nil
}

// promptIDs returns the ids of a prompt; nil if the prompt is a text that the upstream cannot or must not tokenise
// separately.
func (u *Upstream) promptIDs(ctx context.Context, r *llm.Request) ([]int32, error) {
	switch {
	case len(r.PromptTokens) > 0:
		return r.PromptTokens, nil
	case len(r.Messages) > 0:
		return oneModel{u, r.Model}.chatTokens(ctx, r.Messages, r.Tools)
	case r.ParseSpecial: // /tokenize has no parameter for it
		return nil, nil
	}
	ids, err := oneModel{u, r.Model}.textTokens(ctx, r.Prompt, !r.NoSpecial)
	if errors.Is(err, llm.ErrUnsupported) {
		return nil, nil
	}
	return ids, err
}

// promptOf reads a prompt's tokens. vLLM's list has the ids, and the echo shows which of the tokens at a position the
// prompt has. If there is only one of the two, it has to be enough.
func promptOf(c *openai.TextChoice, ids []int32, top int) ([]llm.Token, error) {
	echo := c.Logprobs
	if echo == nil {
		echo = &openai.TextLogprobs{}
	}
	n := len(c.PromptLogprobs)
	if n == 0 {
		n = min(len(echo.Tokens), len(echo.TokenLogprobs))
	}
	if n == 0 {
		return nil, fmt.Errorf("the upstream does not report the prompt's log-probabilities: %w", llm.ErrUnsupported)
	}
	if ids != nil {
		if n < len(ids) {
			return nil, fmt.Errorf("%w: %w: log-probabilities of %d tokens for a prompt of %d", ErrUnreachable,
				errForm, n, len(ids))
		}
		n = len(ids) // tokens that were generated in spite of max_tokens do not belong to the prompt
	}
	tokens := make([]llm.Token, n)
	for i := range tokens {
		t := &tokens[i]
		t.ID = llm.UnknownID
		if ids != nil {
			t.ID = ids[i]
		}
		if i < len(echo.Tokens) {
			t.Bytes = []byte(echo.Tokens[i])
		}
		if i == 0 {
			continue // the first token has no probability
		}
		if c.PromptLogprobs != nil {
			if !listed(t, c.PromptLogprobs[i], echoed(echo, i), top) {
				return nil, fmt.Errorf("%w: %w: its prompt_logprobs[%d] does not have the prompt's token",
					ErrUnreachable, errForm, i)
			}
			continue
		}
		if echo.TokenLogprobs[i] == nil {
			return nil, fmt.Errorf("%w: %w: its token_logprobs[%d] is null", ErrUnreachable, errForm, i)
		}
		t.Logprob = *echo.TokenLogprobs[i]
		if i < len(echo.TopLogprobs) {
			alternatives(t, echo.TopLogprobs[i], top)
		}
	}
	return tokens, nil
}

// echoed returns the log-probability of a token in an echo; NaN if there is none.
func echoed(echo *openai.TextLogprobs, i int) float64 {
	if i < len(echo.TokenLogprobs) && echo.TokenLogprobs[i] != nil {
		return *echo.TokenLogprobs[i]
	}
	return math.NaN()
}

// listed finds a token in vLLM's list for one position by its id or, if that is not known, by the echo. Of several
// that fit the echo, it is the same one each time.
func listed(t *llm.Token, list map[string]openai.PromptLogprob, logprob float64, top int) bool {
	found := false
	for _, key := range slices.Sorted(maps.Keys(list)) {
		p := list[key]
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil {
			return false
		}
		prob := llm.TokenProb{ID: int32(id), Bytes: []byte(p.Decoded), Logprob: p.Logprob}
		same := t.ID == prob.ID
		if t.ID == llm.UnknownID {
			same = len(list) == 1 || p.Logprob == logprob && p.Decoded == string(t.Bytes)
		}
		if same && !found {
			found = true
			defer func() { t.TokenProb, t.Rank = prob, p.Rank }()
		}
		if p.Rank >= 1 && p.Rank <= top {
			t.Top = append(t.Top, prob)
		}
	}
	slices.SortFunc(t.Top, func(a, b llm.TokenProb) int {
		return cmp.Or(cmp.Compare(b.Logprob, a.Logprob), cmp.Compare(a.ID, b.ID))
	})
	return found
}

// alternatives adds the echo's alternatives at one position to its token. The token's own log-probability is known
// only if it is one of them.
func alternatives(t *llm.Token, list map[string]float64, top int) {
	id := t.ID
	for text, p := range list {
		t.Top = append(t.Top, prob(openai.TopLogprob{Token: text, Logprob: p}))
	}
	t.ID = llm.UnknownID
	*t = ranked(*t, len(t.Top))
	for i := range t.Top {
		if t.Top[i].ID == t.ID {
			t.Rank = i + 1
			if id != llm.UnknownID {
				t.Top[i].ID = id
			}
		}
	}
	if id != llm.UnknownID {
		t.ID = id
	}
	t.Top = t.Top[:min(top, len(t.Top))]
}
