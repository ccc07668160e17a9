package api

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

func (s *Server) chat(x *exchange, r *http.Request) error {
	return s.complete(x, r, s.chatJob, chatFormat{})
}

func (s *Server) text(x *exchange, r *http.Request) error {
	return s.complete(x, r, s.textJob, textFormat{})
}

// complete answers a request for completions of either kind.
func (s *Server) complete(x *exchange, r *http.Request, parse func(*object, llm.Model) (*job, error),
	f format) error {
	arrived := s.now()
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	limit, err := headerLimit(r)
	if err != nil {
		return err
	}
	if err := s.inTime(arrived, limit, 0); err != nil {
		return err
	}
	o, err := s.readBody(x, r)
	if err != nil {
		return err
	}
	limit = o.limit(limit)
	if s.c.Observe != nil {
		x.seen.asked(o, s.c.KeepPrompts)
	}
	limitTokens := s.c.MaxTokens
	p, passes := s.backend.Load().Backend.(passer)
	if passes { // the upstream has limits and names of its own
		limitTokens = 1 << 24
	} else {
		o.rename()
	}
	if err := x.grant.Reserve(s.now(), len(o.body)/bytesPerToken, o.mostTokens(limitTokens)); err != nil {
		return err
	}
	ctx, cancel := s.within(r.Context(), arrived, limit)
	defer cancel()
	if passes {
		if o.err != nil {
			return o.err
		}
		x.body.light()
		return s.pass(x, r.WithContext(ctx), p, o, arrived)
	}
	name, _ := o.text("model")
	if o.err != nil {
		return o.err
	}
	model, err := s.lookup(s.backend.Load(), name)
	if err != nil {
		return err
	}
	j, err := parse(o, model)
	if err != nil {
		return err
	}
	if err := s.inTime(arrived, limit, j.requests[0].MaxTokens); err != nil {
		return err
	}
	x.body.light()
	j.arrived, j.grant, j.seen = arrived, x.grant, &x.seen
	x.result.completion, x.seen.model = j.id, model.ID
	answer := s.atOnce
	if j.stream {
		answer = s.stream
	}
	return inFormat(f, answer(ctx, x, j, f))
}

// bytesPerToken is what a token of a request has at least, as an estimate until the backend has counted: JSON takes
// its share.
const bytesPerToken = 4

// inFormat names the field that the client sent: backends say prompt whatever the prompt was made from.
func inFormat(f format, err error) error {
	var field *llm.FieldError
	if errors.As(err, &field) && field.Field == "prompt" && f.prompt() != "prompt" {
		return &llm.FieldError{Field: f.prompt(), Reason: field.Reason, Err: field.Err}
	}
	return err
}

// atOnce answers when all choices have ended.
func (s *Server) atOnce(ctx context.Context, x *exchange, j *job, f format) error {
	choices := make([]choice, len(j.requests))
	err := s.run(ctx, j, func(i int, e llm.Event) error {
		choices[i].add(e)
		return nil
	})
	if err != nil {
		return err
	}
	x.result.note(j, choices)
	http.NewResponseController(x).SetWriteDeadline(time.Now().Add(s.c.WriteTimeout))
	return respond(x, f.whole(j, choices))
}

// stream answers as text comes. The header waits for the first event or comment, so that a refusal still has its
// status.
func (s *Server) stream(ctx context.Context, x *exchange, j *job, f format) error {
	out := &streamWriter{s: s, w: &x.answer, control: http.NewResponseController(x), j: j, f: f,
		choices: make([]choice, len(j.requests)), open: make([]bool, len(j.requests)),
		called: make([]bool, len(j.requests))}
	out.begin()
	defer out.end()
	if err := s.run(ctx, j, out.event); err != nil {
		return out.fail(err, toHTTP(err, s.advice.seconds()))
	}
	x.result.note(j, out.choices)
	return nil
}

// streamWriter writes a job's events. Its choices take turns.
type streamWriter struct {
	s       *Server
	w       *answer
	control *http.ResponseController
	j       *job
	f       format

	mu      sync.Mutex
	choices []choice
	open    []bool
	called  []bool // calls have begun
	ended   int
	buf     []byte
	alive   *time.Timer
	over    bool // the handler is about to return: nothing may be written from outside
}

// keepAlive writes a comment, which clients skip, when nothing else was written for a while: a long prompt, or a
// queue, must not look like a dead connection to a proxy.
func (o *streamWriter) keepAlive() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return
	}
	o.buf = append(o.buf[:0], ": waiting\n\n"...)
	o.send() // the next event meets the same error
}

// begin starts keepAlive.
func (o *streamWriter) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.alive = time.AfterFunc(o.s.c.KeepAlive, o.keepAlive)
}

// end stops keepAlive.
func (o *streamWriter) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	o.alive.Stop()
}

// event writes what one event adds to a choice, in one piece: with the first one the choice's opening, with the last
// one its end, and with the last of all the stream's.
func (o *streamWriter) event(i int, e llm.Event) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	c, tokens := &o.choices[i], shown(e)
	if e.Text == "" && len(e.Calls) == 0 && len(tokens) == 0 && e.Finish == llm.FinishNone {
		return nil // tokens whose text is held back
	}
	o.buf = o.buf[:0]
	if !o.open[i] {
		o.open[i] = true
		o.j.callsFirst = len(e.Calls) > 0 && e.Text == ""
		o.buf = o.f.open(o.buf, o.j, i)
	}
	o.called[i] = o.called[i] || len(e.Calls) > 0
	if e.Text != "" || len(tokens) > 0 && !o.called[i] {
		o.buf = o.f.piece(o.buf, o.j, i, c, e.Text, tokens)
		tokens = nil
	}
	if len(e.Calls) > 0 || len(tokens) > 0 {
		o.buf = o.f.calls(o.buf, o.j, i, e.Calls, tokens)
	}
	if ended(e.Finish) {
		c.end(e)
		o.buf = o.f.close(o.buf, o.j, i, o.j.reason(e.Finish))
		if o.ended++; o.ended == len(o.choices) {
			if o.j.usage {
				o.buf = o.f.usage(o.buf, o.j, o.j.sum(o.choices))
			}
			o.buf = openai.AppendEvent(o.buf, []byte(openai.Done))
		}
	}
	return o.send()
}

// ended tells the finishes of a whole answer.
func ended(f llm.Finish) bool {
	return f == llm.FinishStop || f == llm.FinishLength || f == llm.FinishCalls
}

// send writes the buffer. A client that takes none of it for a while is given up.
func (o *streamWriter) send() error {
	if len(o.buf) == 0 {
		return nil
	}
	o.alive.Reset(o.s.c.KeepAlive)
	if o.w.status == 0 {
		h := o.w.Header()
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Accel-Buffering", "no") // nginx would hold events back
		o.w.WriteHeader(http.StatusOK)
	}
	defer o.w.writing(o.control, o.s.c.WriteTimeout)()
	if _, err := o.w.Write(o.buf); err != nil {
		return clientError(err)
	}
	if err := o.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return clientError(err)
	}
	return nil
}

// fail ends a stream that has begun with an error event and without its regular end. One that has not gets the error's
// own status from the caller.
func (o *streamWriter) fail(err error, e *httpError) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.w.status == 0 || errors.Is(err, errClient) {
		return err
	}
	o.buf = openai.AppendEvent(o.buf[:0], e.body())
	o.send() // whether the client still reads makes no difference now
	return err
}
