package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// Generate answers one request as the HTTP routes do: the request is counted, is refused while the service starts or
// drains, and a panic of the backend or of sink becomes an error. Programs that embed the service call it.
func (s *Server) Generate(ctx context.Context, r *llm.Request, sink func(llm.Event) error) error {
	if err := s.gate.enter(); err != nil {
		s.countRefusal(toHTTP(err, 0))
		return err
	}
	defer s.gate.leave()
	start, seen, end := s.now(), sighting{}, llm.Event{}
	err := s.generate(ctx, start, r, true, func(e llm.Event) error {
		seen.event(0, s.now(), e)
		end.Finish, end.Usage = e.Finish, e.Usage
		return sink(e)
	})
	if err != nil && seen.tokens.Load() == 0 {
		s.countRefusal(toHTTP(err, 0))
	}
	s.observeGo(&seen, r, start, end, err)
	return err
}

// generate runs and counts one completion of a request that arrived at the given time. countPrompt is set for one
// choice of each prompt. Everything is counted before sink gets the last event, so a client that has its answer finds
// it in the metrics.
func (s *Server) generate(ctx context.Context, arrived time.Time, r *llm.Request, countPrompt bool,
	sink func(llm.Event) error) error {
	seen := s.metrics.Begin(arrived)
	ctx, span := s.traceCompletion(ctx, arrived, r)
	seen.Trace(span.traceID())
	started := false
	err := s.ask(ctx, r, func(e llm.Event) (err error) {
		defer s.catch(r.ID, &err)
		now := s.now()
		started = true
		seen.Tokens(now, e.NTokens)
		span.event(now, e)
		if e.Usage != nil && countPrompt {
			s.metrics.Prompt(e.Usage.PromptTokens, e.Usage.CachedTokens)
		}
		if e.Finish != llm.FinishNone {
			var queued time.Duration
			if e.Usage != nil {
				queued = e.Usage.Queued
			}
			seen.End(now, endLabel(e.Finish), queued)
			s.advice.add(now.Sub(arrived))
			if e.Usage != nil {
				s.forecast.add(now.Sub(arrived)-queued, e.Usage.CompletionTokens)
			}
		}
		return sink(e)
	})
	span.end(err)
	switch {
	case err == nil || !started && refused(err):
	case gone(err) || errors.Is(err, context.DeadlineExceeded): // the client's own limit: there is no other
		seen.End(s.now(), string(llm.FinishAbort), 0)
	default:
		if errors.Is(err, llm.ErrNumeric) {
			s.metrics.NonFinite()
		}
		seen.End(s.now(), string(llm.FinishError), 0)
	}
	return err
}

// endLabel is the metrics' label of a finish. An answer with calls counts as one that ended by itself.
func endLabel(f llm.Finish) string {
	if f == llm.FinishCalls {
		f = llm.FinishStop
	}
	return string(f)
}

// refused says whether an error means that the request was never started.
func refused(err error) bool {
	for _, e := range []error{llm.ErrBadRequest, llm.ErrModelNotFound, llm.ErrQueueFull, llm.ErrNotReady,
		llm.ErrClosed, llm.ErrUnsupported} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// ask turns a panic of the backend into an error.
func (s *Server) ask(ctx context.Context, r *llm.Request, sink func(llm.Event) error) (err error) {
	defer s.catch(r.ID, &err)
	return s.backend.Load().Generate(ctx, r, sink)
}

// catch is deferred to stop a panic.
func (s *Server) catch(id string, err *error) {
	if p := recover(); p != nil {
		s.caught(p, id)
		*err = errPanic
	}
}

// run generates all choices of a job at once. The first failure cancels the others.
func (s *Server) run(ctx context.Context, j *job, sink func(choice int, e llm.Event) error) error {
	one := func(ctx context.Context, i int, r *llm.Request) error {
		first := i%j.perText == 0 // the first of its prompt
		tokens := aligner{}
		return s.generate(ctx, j.arrived, r, first, func(e llm.Event) error {
			prompt := 0
			if first && e.Usage != nil {
				prompt = e.Usage.PromptTokens
			}
			j.grant.Use(e.NTokens, prompt)
			j.seen.event(i, s.now(), e)
			if j.aligned {
				e.Tokens = tokens.take(e)
			}
			return sink(i, e)
		})
	}
	if len(j.requests) == 1 {
		return one(ctx, 0, j.requests[0])
	}
	group, ctx := errgroup.WithContext(ctx)
	if s.c.Slots > 0 { // the queue is for other requests: choices of this one would only wait for each other
		group.SetLimit(s.c.Slots)
	}
	t := &turns{}
	for i, r := range j.requests {
		group.Go(func() error { return s.inTurn(ctx, t, func() error { return one(ctx, i, r) }) })
	}
	return group.Wait()
}

// choice collects one answer.
type choice struct {
	text   strings.Builder
	calls  []llm.Call
	told   int // calls that a stream has reported; see gather
	tokens []llm.Token
	prompt []llm.Token // if the client asked for them
	finish llm.Finish
	stop   string // the stop string that ended it
	usage  llm.Usage
	offset int // characters of text in the log-probabilities sent so far
}

func (c *choice) add(e llm.Event) {
	c.text.WriteString(e.Text)
	for _, p := range e.Calls {
		c.calls = llm.JoinCalls(c.calls, p)
	}
	c.tokens = append(c.tokens, shown(e)...)
	c.begin(e)
	c.end(e)
}

// begin keeps what the first event says about the prompt.
func (c *choice) begin(e llm.Event) {
	if e.Prompt != nil {
		c.prompt = e.Prompt
	}
}

func (c *choice) end(e llm.Event) {
	c.finish, c.stop = e.Finish, e.Stop
	if e.Usage != nil {
		c.usage = *e.Usage
	}
}

// shown leaves out the end-of-sequence token, which is not part of the content, and tokens without a known id or text.
func shown(e llm.Event) []llm.Token {
	if n := len(e.Tokens); n > 0 && (e.Finish == llm.FinishStop || e.Finish == llm.FinishCalls) &&
		len(e.Tokens[n-1].Bytes) == 0 {
		e.Tokens = e.Tokens[:n-1]
	}
	n := len(e.Tokens)
	for n > 0 && e.Tokens[n-1].ID == llm.UnknownID && len(e.Tokens[n-1].Bytes) == 0 {
		n--
	}
	return e.Tokens[:n]
}

// reason returns a choice's finish_reason.
func (j *job) reason(f llm.Finish) string {
	if f == llm.FinishCalls && j.older {
		return "function_call"
	}
	return string(f)
}

// sum adds up a job's usage: each prompt once, however many choices it has.
func (j *job) sum(choices []choice) *openai.Usage {
	var u openai.Usage
	cached := 0
	for i := range choices {
		if i%j.perText == 0 {
			u.PromptTokens += choices[i].usage.PromptTokens
			cached += choices[i].usage.CachedTokens
		}
		u.CompletionTokens += choices[i].usage.CompletionTokens
	}
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	u.PromptTokensDetails = &openai.PromptDetails{CachedTokens: cached}
	return &u
}

// errClient is matched by errors of writing to a client.
var errClient = errors.New("client does not read")

func clientError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errClient, err)
}
