package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/upstream"
)

// passer is a backend that answers by passing requests on: bytes go through it as they came, in both directions.
type passer interface {
	Forward(w http.ResponseWriter, r *http.Request, path string, body []byte,
		report func(*upstream.Outcome)) *upstream.Outcome
}

// pass hands a request to such a backend, and counts what became of it. The upstream checks the fields: what it
// refuses, it refuses in its own words.
func (s *Server) pass(x *exchange, r *http.Request, p passer, o *object, arrived time.Time) error {
	var out *upstream.Outcome
	r.Header.Set(headerID, x.id)
	if s.c.Callers != nil {
		r.Header.Del("Authorization") // the client's key is ours, and nobody else's
	}
	counted := false
	r, span := tracePassed(r, o, arrived)
	defer func() { span.endPassed(out) }()
	out = p.Forward(&deadlineWriter{&x.answer, http.NewResponseController(x), s.c.WriteTimeout}, r, r.URL.Path, o.body,
		func(out *upstream.Outcome) {
			counted = true
			s.countPassed(x, arrived, out)
		})
	if !counted && out.Err != nil && !refused(out.Err) { // its client left, or nobody answered
		s.countPassed(x, arrived, out)
	}
	if out.Err != nil && out.Status == 0 {
		return out.Err
	}
	x.result.err = out.Err
	return nil
}

// countPassed counts a request as if it had been computed here. A chunk may hold several tokens: the usage's tokens
// are spread over the chunks evenly.
func (s *Server) countPassed(x *exchange, arrived time.Time, out *upstream.Outcome) {
	if out.Status != http.StatusOK && out.Status < http.StatusInternalServerError && out.Err == nil {
		s.metrics.Refused(telemetry.ReasonUpstream)
		return
	}
	seen := s.metrics.Begin(arrived)
	seen.Trace(x.trace)
	chunks := len(out.Gaps) + 1
	tokens := chunks
	if out.Usage != nil {
		tokens = out.Usage.CompletionTokens
		x.result.usage = *out.Usage
		s.metrics.Prompt(out.Usage.PromptTokens, out.Usage.CachedTokens)
		x.grant.Use(0, out.Usage.PromptTokens)
	}
	x.grant.Use(tokens, 0)
	if out.First > 0 {
		at := out.First
		for i := range chunks {
			if i > 0 {
				at += out.Gaps[i-1]
			}
			seen.Tokens(arrived.Add(at), tokens*(i+1)/chunks-tokens*i/chunks)
		}
	}
	x.result.finish = out.Finish
	if out.First > 0 {
		x.seen.first = arrived.Add(out.First)
	}
	reason := out.Finish
	switch {
	case gone(out.Err):
		reason = llm.FinishAbort
	case out.Err != nil || reason == llm.FinishNone:
		reason = llm.FinishError
	case reason != llm.FinishLength:
		// tool_calls and whatever else upstreams say: it ended by itself, and the label is not theirs
		reason = llm.FinishStop
	}
	seen.End(arrived.Add(out.Total), string(reason), 0)
	if out.Err == nil {
		s.advice.add(out.Total)
	}
}

// deadlineWriter gives every write its time: a client that reads nothing is given up.
type deadlineWriter struct {
	*answer
	control *http.ResponseController
	limit   time.Duration
}

func (d *deadlineWriter) Write(p []byte) (int, error) {
	defer d.writing(d.control, d.limit)()
	n, err := d.answer.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", errClient, err)
	}
	return n, err
}

// FlushError is what http.ResponseController calls: a write to a slow client waits here.
func (d *deadlineWriter) FlushError() error {
	defer d.writing(d.control, d.limit)()
	if err := d.control.Flush(); err != nil {
		return clientError(err)
	}
	return nil
}
