package engine

import (
	"bytes"
	"fmt"
	"math"

	"github.com/hxp-enterprise/mixtral/internal/infer/sample"
	"github.com/hxp-enterprise/mixtral/internal/infer/schedule"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// promptTokens gives a prompt's tokens with the bytes that each has in its text.
func (e *Engine) promptTokens(ids []int32) []llm.Token {
	d := e.tok.NewDecoder()
	tokens := make([]llm.Token, len(ids))
	for i, id := range ids {
		tokens[i].TokenProb = llm.TokenProb{ID: id, Bytes: d.Piece(id)}
		d.Write(id)
	}
	return tokens
}

// score takes in the rows of logits behind a span's first positions: how likely the prompt's next tokens are.
func (s *settler) score(q *request, sp schedule.Span, rows [][]float32) error {
	for i, row := range rows {
		at := sp.Start + i + 1
		if at >= len(q.prompt) { // of a sequence that computes again what it had generated
			return nil
		}
		t := &q.prompt[at]
		row = row[:s.engine.model.Vocab]
		logprob, tops := sample.Logprobs(s.probs[:0], &s.scratch, row, t.ID, q.promptTops)
		if s.probs = tops; math.IsNaN(logprob) || math.IsInf(logprob, 1) {
			return fmt.Errorf("%w: in the prompt", llm.ErrNumeric)
		}
		t.Logprob, t.Rank, t.Top = logprob, 1, nil
		for _, v := range row {
			if v > row[t.ID] {
				t.Rank++
			}
		}
		dropped := len(t.Bytes) < len(s.engine.tok.Piece(t.ID)) // the space in front of a text that is not its own
		for _, p := range tops {
			b := s.engine.tok.Piece(p.ID)
			if dropped {
				b = bytes.TrimPrefix(b, []byte(" "))
			}
			t.Top = append(t.Top, llm.TokenProb{ID: p.ID, Bytes: b, Logprob: p.Logprob})
		}
	}
	return nil
}

// nothing is the one event of a request that generates nothing.
func (q *request) nothing() llm.Event {
	return llm.Event{Finish: llm.FinishLength, Usage: q.usage()}
}

// usage counts what there is now.
func (q *request) usage() *llm.Usage {
	return &llm.Usage{PromptTokens: q.seq.Prompt, CompletionTokens: len(q.seq.Tokens) - q.seq.Prompt,
		CachedTokens: q.seq.Cached, Queued: q.started.Sub(q.arrived)}
}
