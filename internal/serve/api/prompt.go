package api

import (
	"errors"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
)

// promptLogprobs reads vLLM's field prompt_logprobs: how many alternatives to report for each token of the prompt. The
// function that it returns puts this into the request.
func promptLogprobs(o *object) func(r *llm.Request, j *job) {
	n, ok := o.Integer("prompt_logprobs", 0, maxTop)
	if ok && o.Is("stream", "true") {
		o.Fail("prompt_logprobs", "is only allowed without \"stream\": true")
	}
	return func(r *llm.Request, j *job) {
		if ok {
			r.PromptLogprobs, r.PromptTopLogprobs = true, int(n)
			j.promptTop = int(n)
		}
	}
}

// promptOf returns the text of a request's prompt, as an echo shows it.
func (s *Server) promptOf(r *llm.Request) (string, error) {
	if r.PromptTokens == nil {
		return r.Prompt, nil
	}
	text, err := s.backend.Load().Detokenize(r.PromptTokens)
	if errors.Is(err, llm.ErrBadRequest) {
		return "", body.Bad("prompt", "must hold ids of the vocabulary: %v", err)
	}
	return text, err
}

// promptProbs writes the log-probabilities of a prompt as vLLM does: for each token except the first, the likeliest
// ones and itself, by id.
func promptProbs(tokens []llm.Token, top int) []map[string]openai.PromptLogprob {
	list := make([]map[string]openai.PromptLogprob, len(tokens))
	for i, t := range tokens {
		if i == 0 {
			continue // null: the first token has no probability
		}
		list[i] = map[string]openai.PromptLogprob{}
		for k, p := range t.Top[:min(top, len(t.Top))] {
			list[i][strconv.Itoa(int(p.ID))] = promptProb(p, k+1)
		}
		list[i][strconv.Itoa(int(t.ID))] = promptProb(t.TokenProb, t.Rank)
	}
	return list
}

func promptProb(p llm.TokenProb, rank int) openai.PromptLogprob {
	return openai.PromptLogprob{Logprob: max(p.Logprob, openai.MinLogprob), Rank: rank,
		Decoded: strings.Clone(tokenText(p))}
}
