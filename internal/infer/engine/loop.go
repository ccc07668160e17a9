package engine

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/sample"
	"github.com/hxp-enterprise/mixtral/internal/infer/schedule"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// loop computes step after step until Close.
func (e *Engine) loop() {
	defer close(e.closed)
	for more, broken := e.next(); more; more, broken = e.next() {
		if broken != nil {
			e.lose(broken)
			continue
		}
		if err := e.step(); err != nil {
			e.log.Error("a step failed", "error", err)
			e.failStep(err)
			if errors.Is(err, gguf.ErrChanged) {
				e.lose(err)
			}
		}
		// Those who wait for this step's events go first. Where all processors compute, they would otherwise get none
		// until the loop is preempted, after 10 to 20 ms, and tokens would come in bursts.
		runtime.Gosched()
		e.throttle()
	}
	e.locked(func() {
		for s, q := range e.requests {
			e.drop(s)
			q.out.fail(llm.ErrClosed)
		}
	})
	if err := errors.Join(e.net.Close(), e.memory.Close()); err != nil {
		e.log.Error("free the model", "error", err)
	}
}

// next waits for work and plans a step. More is false when the engine closes; broken says why the model can compute
// nothing any more, and then nothing is planned.
func (e *Engine) next() (more bool, broken error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.sched.Idle() && !e.closing && e.broken == nil {
		e.wake.Wait()
	}
	if e.closing || e.broken != nil {
		return !e.closing, e.broken
	}
	e.propose()
	e.plan = e.sched.Plan(e.pace.Budget(e.sched.Decoding()))
	e.spans = e.spans[:0]
	for _, sp := range e.plan.Spans {
		e.spans = append(e.spans, moe.Span{Tokens: sp.Tokens(), Start: sp.Start, Blocks: sp.Seq.Blocks,
			Logits: sp.Logits})
	}
	return true, nil
}

// step runs the model and takes its results in. A panic on the way is an error: it costs this step's requests, not the
// process.
func (e *Engine) step() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = e.panicked(r)
		}
	}()
	if len(e.spans) == 0 {
		return errors.New("the scheduler found nothing to compute")
	}
	began := time.Now()
	foreseen := e.foresee()
	rows, err := e.net.Forward(e.kv, e.spans)
	foreseen()
	if err != nil {
		return err
	}
	if err := e.settle(rows, began); err != nil {
		return err
	}
	decoding, prompt, guesses := 0, 0, 0
	for _, sp := range e.plan.Spans {
		if sp.N == 1 && sp.Start >= sp.Seq.Prompt {
			decoding++
		} else {
			prompt += sp.N
		}
		guesses += sp.Draft
	}
	e.guessed += int64(guesses)
	took := time.Since(began)
	if prompt == 0 {
		e.cost.record(decoding+guesses, took.Seconds())
	}
	if guesses == 0 {
		e.pace.Record(decoding, prompt, took)
	}
	if invariants != "" {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.sched.Check()
	}
	return nil
}

// panicked logs a panic and makes it an error.
func (e *Engine) panicked(reason any) error {
	e.log.Error("panic in a step", "reason", reason, "stack", string(debug.Stack()))
	return fmt.Errorf("panic: %v", reason)
}

// settle takes in a step's results, the spans' in parallel: choosing from tens of thousands of logits takes a while.
func (e *Engine) settle(rows [][]float32, began time.Time) error {
	e.rows = e.rows[:0]
	for _, sp := range e.plan.Spans {
		e.rows, rows = append(e.rows, rows[:sp.Logits]), rows[sp.Logits:]
	}
	var failed atomic.Pointer[error]
	e.net.Parallel(len(e.plan.Spans), func(worker, i int) {
		defer func() {
			if r := recover(); r != nil {
				err := e.panicked(r)
				failed.Store(&err)
			}
		}()
		e.settlers[worker].settle(e.plan.Spans[i], e.rows[i], began)
	})
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// settler takes in spans' results. It is one thread's.
type settler struct {
	engine  *Engine
	scratch sample.Scratch
	probs   []sample.Prob
	events  []llm.Event
}

// settle takes in one span's result: it chooses the next tokens from the logits, as far as guesses were right, and
// tells the request.
func (s *settler) settle(sp schedule.Span, rows [][]float32, began time.Time) {
	e := s.engine
	var q *request
	e.locked(func() { q = e.requests[sp.Seq] })
	if q == nil {
		return // withdrawn while the step ran
	}
	if q.started.IsZero() {
		q.started = began
	}
	done, known := false, sp.N
	s.events = s.events[:0]
	err := s.score(q, sp, rows[:sp.Scores])
	rows = rows[sp.Scores:]
	if done = err != nil; done {
		rows = nil
	}
	for i, row := range rows {
		var id int32
		if q.only {
			s.events, done = append(s.events, q.nothing()), true
			break
		}
		certain := len(q.forced) > 0
		if id, done, err = s.choose(q, row[:e.model.Vocab]); done {
			break
		}
		right := i < sp.Draft && id == sp.Seq.Draft[i]
		if !certain && (i < sp.Draft || sp.Draft == 0 && q.guessed >= 0) { // a guess was made, computed or not
			q.trust.learn(right || sp.Draft == 0 && id == q.guessed)
		}
		if !right {
			break
		}
		sp.N++ // the guess has become known, and is computed
	}
	e.locked(func() {
		e.right += int64(sp.N - known)
		e.sched.Advance(sp)
		sp.Seq.Score = sp.Seq.Score && len(s.events) == 0
		if done {
			e.drop(sp.Seq)
		}
	})
	if len(s.events) > 0 && q.prompt != nil {
		s.events[0].Prompt, q.prompt = q.prompt, nil
	}
	q.out.note(sp.Seq, began, len(s.events))
	for _, event := range s.events {
		q.out.put(event)
	}
	clear(s.events)
	if err != nil {
		q.out.fail(err)
	}
}

// choose samples a token and adds its event. done says that it is the request's last, or that there is none for an
// error.
func (s *settler) choose(q *request, row []float32) (id int32, done bool, err error) {
	id, err = q.next(&s.scratch, row)
	if err != nil {
		if errors.Is(err, sample.ErrNumeric) {
			err = fmt.Errorf("%w: %w", llm.ErrNumeric, err)
		}
		return 0, true, err
	}
	s.engine.locked(func() { done = s.engine.sched.Push(q.seq, id) })
	whole, err := q.follow(id, s.engine.tok)
	if err != nil {
		return 0, true, err
	}
	var tokens []llm.Token
	if q.tops >= 0 {
		tokens = []llm.Token{s.token(q, row, id)}
	}
	event := q.event(id, done, whole)
	event.Tokens = tokens
	if event.Finish != llm.FinishNone {
		done = true
		event.Usage = q.usage()
	}
	s.events = append(s.events, event)
	return id, done, nil
}

// event gives what a token adds to the answer. last says that it is the last one allowed, whole that the grammar lets
// nothing follow it.
func (q *request) event(id int32, last, whole bool) llm.Event {
	event := llm.Event{NTokens: 1}
	ended, hit := q.ends(id), false
	if !ended {
		hit = q.write(&event, id)
		ended = hit || whole
	}
	switch {
	case ended:
		event.Finish = llm.FinishStop
	case last:
		event.Finish = llm.FinishLength
	default:
		return event
	}
	if !hit {
		q.flush(&event)
	}
	event.Stop = q.stops.Found()
	return event
}

// ends tells whether a token ends the answer.
func (q *request) ends(id int32) bool { return id == q.eos || q.eos >= 0 && q.tokens.IsEnd(id) }

// write adds what a token says to an event. It tells whether a stop string was found in the text.
func (q *request) write(event *llm.Event, id int32) (hit bool) {
	text := q.decoder.Write(id)
	if q.calls == nil {
		event.Text, hit = q.stops.Write(text)
		return hit
	}
	before := q.calls.InCalls()
	if id == q.trigger {
		q.calls.Begin()
	}
	text, event.Calls = q.calls.Write(text)
	if before {
		return false
	}
	if event.Text, hit = q.stops.Write(text); hit {
		event.Calls = nil
	} else if q.calls.InCalls() { // the text is whole
		event.Text += q.stops.Flush()
	}
	return hit
}

// flush adds what was held back to the last event.
func (q *request) flush(event *llm.Event) {
	// What the decoder still holds is half a character: the client reads U+FFFD, which may complete a stop string.
	rest := q.decoder.Flush()
	if q.calls != nil {
		if q.calls.InCalls() {
			if event.Finish == llm.FinishStop {
				event.Finish = llm.FinishCalls
			}
			return
		}
		text, _ := q.calls.Write(rest)
		rest = text + q.calls.Flush()
	}
	text, hit := q.stops.Write(rest)
	event.Text += text
	if hit {
		event.Finish = llm.FinishStop
	}
	event.Text += q.stops.Flush()
}

// token reports a token with its probability and alternatives, and with the bytes that each would add to the answer:
// the
// answer of a chat begins without the space that its first word has in the vocabulary. It comes before event.
func (s *settler) token(q *request, row []float32, id int32) llm.Token {
	logprob, tops := sample.Logprobs(s.probs[:0], &s.scratch, row, id, q.tops)
	s.probs = tops
	t := llm.Token{TokenProb: llm.TokenProb{ID: id, Bytes: q.decoder.Piece(id), Logprob: logprob}}
	for _, p := range tops {
		t.Top = append(t.Top, llm.TokenProb{ID: p.ID, Bytes: q.decoder.Piece(p.ID), Logprob: p.Logprob})
	}
	return t
}

// failStep ends all requests that a broken step computed for.
func (e *Engine) failStep(err error) {
	var failed []*request
	e.locked(func() {
		for _, sp := range e.plan.Spans {
			if q := e.requests[sp.Seq]; q != nil {
				failed = append(failed, q)
			}
		}
		if len(e.plan.Spans) == 0 { // nothing could be planned: nobody would ever be answered
			failed = slices.Collect(maps.Values(e.requests))
		}
	})
	for _, q := range failed {
		e.withdraw(q)
		q.out.fail(fmt.Errorf("engine: %w", err))
	}
}
