package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/upstream"
)

// kind is a kind of completion request.
type kind struct {
	// translate replaces the body's fields with those of a chat; nil: it has the fields of a chat or of a text
	// completion
	translate func(o *object)
	parse     func(o *object, model llm.Model) (*job, error)
	format    format
}

func (s *Server) chat(x *exchange, r *http.Request) error {
	return s.complete(x, r, kind{parse: s.chatJob, format: chatFormat{}})
}

func (s *Server) text(x *exchange, r *http.Request) error {
	return s.complete(x, r, kind{parse: s.textJob, format: textFormat{}})
}

// complete answers a completion request of any kind.
func (s *Server) complete(x *exchange, r *http.Request, k kind) error {
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
	limit = fieldLimit(o, limit)
	if s.c.Observe != nil {
		x.seen.asked(o, s.c.KeepPrompts)
	}
	p, passes := s.backend.Load().Backend.(passer)
	ctx, cancel := s.within(r.Context(), arrived, limit)
	defer cancel()
	if passes { // the upstream checks its own limits and names
		if err := x.grant.Reserve(s.now(), len(o.Bytes)/bytesPerToken, mostTokens(o, 1<<24)); err != nil {
			return err
		}
		if o.Err != nil {
			return o.Err
		}
		x.body.light()
		known, err := s.pass(x, r.WithContext(ctx), p, o, arrived, k.translate != nil)
		if known || err != nil {
			return err
		}
	}
	if k.translate != nil {
		k.translate(o)
	}
	rename(o)
	if !passes {
		if err := x.grant.Reserve(s.now(), len(o.Bytes)/bytesPerToken, mostTokens(o, s.c.MaxTokens)); err != nil {
			return err
		}
	}
	name, _ := o.Text("model")
	if o.Err != nil {
		return o.Err
	}
	model, err := s.lookup(s.backend.Load(), name)
	if err != nil && passes { // the upstream decides which models exist
		model, err = llm.Model{ID: name}, nil
	}
	if err != nil {
		return err
	}
	j, err := k.parse(o, model)
	if err != nil {
		return err
	}
	if err := s.inTime(arrived, limit, j.requests[0].MaxTokens); err != nil {
		return err
	}
	for _, r := range j.requests {
		r.CacheScope = s.scope(x, r.CacheScope)
	}
	if passes { // a translated request is sent with the backend's Generate
		if ctx = upstream.WithHeader(ctx, r.Header); x.caller.Name != "" {
			ctx = upstream.WithCaller(ctx, x.caller.Name)
		}
	}
	x.body.light()
	j.mistral = isMistral(r)
	j.arrived, j.grant, j.seen = arrived, x.grant, &x.seen
	x.result.completion, x.seen.model = j.id, model.ID
	answer := s.atOnce
	if j.stream {
		answer = s.stream
	}
	return inFormat(o, k.format, answer(ctx, x, j, k.format))
}

// isMistral recognises libraries that are made for Mistral's own servers. They read each delta with a call as a whole
// call, expect the usage of a stream in its last chunk with a choice, and expect errors without an object around them.
func isMistral(r *http.Request) bool {
	agent := r.UserAgent()
	return strings.Contains(agent, "@mistralai/mistralai") || strings.HasPrefix(agent, "mistral-client") ||
		strings.Contains(agent, "ai-sdk/mistral")
}

// bytesPerToken is the least number of body bytes for a token, as an estimate until the backend has counted: JSON adds
// some.
const bytesPerToken = 4

// inFormat names the field that the client sent. Backends use the field names of chats, and call every prompt
// "prompt".
func inFormat(o *object, f format, err error) error {
	var field *llm.FieldError
	if !errors.As(err, &field) {
		return err
	}
	name := o.Name(field.Field)
	if field.Field == "prompt" {
		name = f.prompt()
	}
	if name == field.Field {
		return err
	}
	return &llm.FieldError{Field: name, Reason: field.Reason, Err: field.Err}
}

// atOnce sends the answer when all choices have ended.
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

// stream sends the answer as it is generated. The header is sent with the first event or comment, so a refusal still
// has its status.
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
	over    bool // the stream has ended or the handler is about to return: keepAlive may not write
}

// keepAlive writes a comment, or something else that clients ignore, if nothing was written for a while: to a proxy, a
// long prompt or a queue must not look like a dead connection.
func (o *streamWriter) keepAlive() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return
	}
	o.buf = o.f.waiting(o.buf[:0], slices.Contains(o.open, true))
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

// event writes what one event adds to a choice, in one piece: with the first event the beginning of the choice, with
// the last one its end, and with the last of all choices the end of the stream.
func (o *streamWriter) event(i int, e llm.Event) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	c, tokens := &o.choices[i], shown(e)
	c.begin(e)
	if e.Text == "" && len(e.Calls) == 0 && len(tokens) == 0 && e.Finish == llm.FinishNone {
		return nil // tokens whose text is still held back
	}
	if o.j.mistral {
		if c.gather(&e); e.Text == "" && len(e.Calls) == 0 && len(tokens) == 0 && e.Finish == llm.FinishNone {
			return nil
		}
	}
	o.buf = o.buf[:0]
	if !o.open[i] {
		o.open[i] = true
		o.j.callsFirst = len(e.Calls) > 0 && e.Text == ""
		o.buf = o.f.open(o.buf, o.j, i, c)
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
		o.buf = o.f.close(o.buf, o.j, i, c)
		if o.ended++; o.ended == len(o.choices) {
			o.buf = o.f.end(o.buf, o.j, o.choices)
			o.over = true
		}
	}
	return o.send()
}

// gather holds back the pieces of a call until the call is complete.
func (c *choice) gather(e *llm.Event) {
	for _, p := range e.Calls {
		c.calls = llm.JoinCalls(c.calls, p)
	}
	whole := len(c.calls)
	if !ended(e.Finish) {
		whole = max(whole-1, c.told)
	}
	e.Calls = nil
	for ; c.told < whole; c.told++ {
		call := c.calls[c.told]
		e.Calls = append(e.Calls, llm.CallPiece{Index: c.told, ID: call.ID, Name: call.Name,
			Arguments: call.Arguments})
	}
}

// ended returns the finish of a whole answer.
func ended(f llm.Finish) bool {
	return f == llm.FinishStop || f == llm.FinishLength || f == llm.FinishCalls
}

// send writes the buffer. If the client accepts nothing for a while, it is given up.
func (o *streamWriter) send() error {
	if len(o.buf) == 0 {
		return nil
	}
	o.alive.Reset(o.s.c.KeepAlive)
	if o.w.status == 0 {
		h := o.w.Header()
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Accel-Buffering", "no") // nginx would buffer events
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

// fail ends a stream that has begun with an error event, without its regular end. If the stream has not begun, the
// caller answers with the error's status.
func (o *streamWriter) fail(err error, e *httpError) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	if o.w.status == 0 || errors.Is(err, errClient) {
		return err
	}
	o.buf = o.f.fail(o.buf[:0], e)
	o.send() // it makes no difference now whether the client still reads
	return err
}
