// Package engine serves many requests with one model: continuous batching over a paged KV cache (Yu et al. 2022, Orca;
// Kwon et al. 2023, vLLM). A pure scheduler decides what each step computes; a thin loop runs the model, samples and
// hands out events. It implements llm.Backend and must not import the API or anything that knows HTTP.
package engine

import (
	"fmt"
	"slices"

	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// limits of a scheduler.
type limits struct {
	running     int // sequences prefilled or decoded together
	waiting     int // requests queued beyond those
	blockTokens int // positions in one KV block
	context     int // positions a sequence may have, prompt and completion together
}

// seq is one request as the scheduler sees it.
type seq struct {
	id     int64   // order of arrival
	tokens []int32 // the prompt, then what was generated
	prompt int     // how many of tokens are the prompt
	max    int     // how many may be generated

	draft []int32 // guessed tokens to compute in the next step behind the last one known; see draft.go

	computed  int         // positions 0..computed-1 have their keys and values in blocks
	blocks    []int32     // block i holds positions i·blockTokens and up
	key       kvcache.Key // content of the last full computed block
	cached    int         // positions of the prompt that the prefix cache had
	preempted bool        // at least once: what it recomputes no longer counts as cached
	state     seqState
}

type seqState uint8

const (
	seqWaiting seqState = iota
	seqRunning
	seqGone // finished, cancelled or failed: decisions made about it before are void
)

// pending is how many of the known tokens have no keys and values yet: 1 while decoding.
func (q *seq) pending() int { return len(q.tokens) - q.computed }

// most is how many guessed tokens may stand behind the last one known: they and one more must be allowed.
func (q *seq) most() int { return max(q.max-(len(q.tokens)-q.prompt)-1, 0) }

// span is a decision: run these positions of a sequence in this step.
type span struct {
	q     *seq
	start int
	n     int // known tokens
	draft int // guessed ones behind them
	// rows of logits: one if the span ends at the last known token, to sample the next, and one for each guess
	logits int
}

// tokens gives the span's ids. They are in the sequence's own memory, the guessed ones behind its end.
func (sp span) tokens() []int32 {
	return append(sp.q.tokens, sp.q.draft[:sp.draft]...)[sp.start : sp.start+sp.n+sp.draft]
}

// decisions of one step. The slices are valid until the next plan.
type decisions struct {
	spans     []span // at most one per sequence, decoding ones first
	admitted  []*seq // from the queue to running
	preempted []*seq // from running back to the queue, their blocks given up
}

// scheduler decides which positions of which sequences the model computes next. It is a pure state machine: submit,
// remove, plan, advance and push are its events; it knows no goroutine, no clock, no model, and no text.
//
// Fairness is by arrival: every sequence that runs arrived before every one that waits, and blocks are taken from the
// youngest first. So the oldest always progresses, and as submit refuses what could never fit, everything ends.
type scheduler struct {
	limits
	pool    *kvcache.Pool
	running []*seq // by arrival
	waiting []*seq // by arrival; all younger than running
	nextID  int64
	out     decisions

	preemptions int64 // since start
	cacheHits   int64 // prompt positions found in the prefix cache since start
}

func newScheduler(l limits, pool *kvcache.Pool) *scheduler {
	l.context = min(l.context, pool.Total()*l.blockTokens)
	return &scheduler{limits: l, pool: pool}
}

// submit queues a prompt. maxTokens is cut to what the context leaves; 0 means all of it.
func (s *scheduler) submit(prompt []int32, maxTokens int) (*seq, error) {
	room := s.context - len(prompt)
	switch {
	case len(prompt) == 0:
		return nil, llm.BadField("prompt", "has no tokens")
	case room < 1:
		return nil, &llm.FieldError{Field: "prompt", Err: llm.ErrContextLength,
			Reason: fmt.Sprintf("has %d tokens, and the context of %d must hold at least one more", len(prompt),
				s.context)}
	}
	if err := s.room(); err != nil {
		return nil, err
	}
	if maxTokens <= 0 || maxTokens > room {
		maxTokens = room
	}
	q := &seq{id: s.nextID, prompt: len(prompt), max: maxTokens}
	q.tokens = append(make([]int32, 0, len(prompt)+min(maxTokens, 1024)), prompt...)
	s.nextID++
	s.waiting = append(s.waiting, q)
	return q, nil
}

// room says whether another sequence may come.
func (s *scheduler) room() error {
	if len(s.running)+len(s.waiting) >= s.limits.running+s.limits.waiting {
		return fmt.Errorf("%w: %d running, %d waiting", llm.ErrQueueFull, len(s.running), len(s.waiting))
	}
	return nil
}

// remove ends a sequence: it finished, its client went away, or it failed. It is harmless if the sequence is gone.
func (s *scheduler) remove(q *seq) {
	if q.state == seqGone {
		return
	}
	list := &s.waiting
	if q.state == seqRunning {
		list = &s.running
	}
	i := slices.Index(*list, q)
	*list = slices.Delete(*list, i, i+1)
	s.drop(q)
	q.state = seqGone
}

// drop gives up a sequence's blocks. Full ones stay in the prefix cache.
func (s *scheduler) drop(q *seq) {
	s.pool.Release(q.blocks)
	q.blocks, q.computed, q.key = q.blocks[:0], 0, kvcache.Key{}
}

// idle says that there is nothing to do.
func (s *scheduler) idle() bool { return len(s.running)+len(s.waiting) == 0 }

// decoding says whether a running sequence is past its prompt, so that somebody waits for its next token.
func (s *scheduler) decoding() bool {
	return slices.ContainsFunc(s.running, func(q *seq) bool { return len(q.tokens) > q.prompt })
}

// plan decides the next step: one token for each sequence that has just one to compute, whatever else there is to do,
// then up to budget tokens of prompts by arrival. A sequence leaves the queue only when tokens are left in the budget
// for it, so that it can use the blocks which those before it have computed. budget must be at least 1.
func (s *scheduler) plan(budget int) decisions {
	s.out = decisions{spans: s.out.spans[:0], admitted: s.out.admitted[:0], preempted: s.out.preempted[:0]}
	for i := 0; i < len(s.running); i++ { // shrinks at its end while blocks are taken from the youngest
		if q := s.running[i]; q.pending() == 1 {
			s.schedule(q, 1)
		}
	}
	for i := range s.out.spans {
		s.speculate(&s.out.spans[i])
	}
	for i := 0; i < len(s.running) && budget > 0; i++ {
		if q := s.running[i]; q.pending() > 1 {
			budget -= s.prefill(q, budget)
		}
	}
	for budget > 0 && len(s.waiting) > 0 && len(s.running) < s.limits.running && s.fits(s.waiting[0]) {
		q := s.waiting[0]
		s.waiting = slices.Delete(s.waiting, 0, 1)
		q.state = seqRunning
		s.running = append(s.running, q)
		s.out.admitted = append(s.out.admitted, q)
		budget -= s.prefill(q, budget)
	}
	return s.out
}

// prefill schedules up to budget pending tokens of a sequence and says how many.
func (s *scheduler) prefill(q *seq, budget int) int {
	s.reuse(q)
	return s.schedule(q, min(q.pending(), budget))
}

// schedule finds blocks for the next n positions, or as many of them as it can, and adds the span.
func (s *scheduler) schedule(q *seq, n int) int {
	for len(q.blocks)*s.blockTokens < q.computed+n {
		b, ok := s.alloc(q)
		if !ok {
			break
		}
		q.blocks = append(q.blocks, b)
	}
	n = min(n, len(q.blocks)*s.blockTokens-q.computed)
	if n <= 0 {
		return 0 // it keeps what it has and waits for an older one to end
	}
	sp := span{q: q, start: q.computed, n: n}
	if q.computed+n == len(q.tokens) {
		sp.logits = 1
	}
	s.out.spans = append(s.out.spans, sp)
	return n
}

// speculate adds a sequence's guessed tokens to its span, as far as there are free blocks: nobody loses any for a
// guess.
func (s *scheduler) speculate(sp *span) {
	q := sp.q
	n := min(len(q.draft), q.most())
	for len(q.blocks) < s.blocksFor(len(q.tokens)+n) {
		b, ok := s.pool.Alloc()
		if !ok {
			n = len(q.blocks)*s.blockTokens - len(q.tokens)
			break
		}
		q.blocks = append(q.blocks, b)
	}
	sp.draft = n
	sp.logits += n
}

// alloc takes a block for q, from the youngest running sequence if need be, never from one older than q.
func (s *scheduler) alloc(q *seq) (int32, bool) {
	for {
		if b, ok := s.pool.Alloc(); ok {
			return b, true
		}
		victim := s.running[len(s.running)-1]
		if victim.id <= q.id {
			return 0, false
		}
		s.preempt(victim)
	}
}

// preempt puts the youngest running sequence back to the head of the queue. It computes its tokens again later, as far
// as the prefix cache has lost them.
func (s *scheduler) preempt(q *seq) {
	s.running = s.running[:len(s.running)-1]
	s.waiting = slices.Insert(s.waiting, 0, q)
	s.drop(q)
	q.state, q.preempted = seqWaiting, true
	s.preemptions++
	s.out.preempted = append(s.out.preempted, q)
	s.out.spans = slices.DeleteFunc(s.out.spans, func(sp span) bool { return sp.q == q })
	s.out.admitted = slices.DeleteFunc(s.out.admitted, func(a *seq) bool { return a == q })
}

// reuse takes over blocks that others have computed for the same tokens. The last token is always computed afresh, as
// its logits are needed.
func (s *scheduler) reuse(q *seq) {
	n := s.blockTokens
	for q.computed%n == 0 && q.pending() > n {
		k := q.key.Extend(q.tokens[q.computed : q.computed+n])
		b, ok := s.pool.Lookup(k)
		if !ok {
			return
		}
		q.blocks = append(q.blocks, b)
		q.key = k
		if !q.preempted {
			hit := min(n, max(0, q.prompt-q.computed))
			q.cached += hit
			s.cacheHits += int64(hit)
		}
		q.computed += n
	}
}

// fits says whether a queued sequence can start without soon taking blocks from those that run: there are blocks for
// all its known tokens and the next one, beside what the running ones still need for theirs and one more for each.
// An engine with nothing else to do takes anything.
func (s *scheduler) fits(q *seq) bool {
	if len(s.running) == 0 {
		return true
	}
	free := s.pool.Available()
	for _, r := range s.running {
		free -= s.blocksFor(len(r.tokens)) - len(r.blocks) + 1
	}
	need := s.blocksFor(len(q.tokens) + 1)
	if need <= free {
		return true
	}
	n := s.blockTokens
	var k kvcache.Key
	for i := 0; i+n < len(q.tokens) && need > free; i += n {
		k = k.Extend(q.tokens[i : i+n])
		found, held := s.pool.Has(k)
		if !found {
			break
		}
		if held { // shared with a running sequence: costs nothing
			need--
		}
	}
	return need <= free
}

func (s *scheduler) blocksFor(tokens int) int { return (tokens + s.blockTokens - 1) / s.blockTokens }

// advance records that the model has computed a span's known tokens, and lets others find its full blocks. sp.n counts
// those that have become known meanwhile too: guesses that turned out right and were pushed.
func (s *scheduler) advance(sp span) {
	q, n := sp.q, s.blockTokens
	if q.state != seqRunning || q.computed != sp.start {
		return // removed while the step ran
	}
	for end := sp.start + sp.n; ; {
		i := q.computed / n
		if (i+1)*n > end {
			q.computed = end
			return
		}
		q.key = q.key.Extend(q.tokens[i*n : (i+1)*n])
		s.pool.Publish(q.blocks[i], q.key)
		q.computed = (i + 1) * n
	}
}

// push appends a generated token and says whether it was the last one allowed.
func (s *scheduler) push(q *seq, token int32) (last bool) {
	q.tokens = append(q.tokens, token)
	return len(q.tokens)-q.prompt >= q.max
}

// check verifies the books; see invariants.go.
func (s *scheduler) check() error {
	held := make([][]int32, 0, len(s.running))
	last := int64(-1)
	for _, list := range [][]*seq{s.running, s.waiting} {
		for _, q := range list {
			if q.id <= last {
				return fmt.Errorf("sequence %d stands behind %d: not by arrival", q.id, last)
			}
			last = q.id
		}
	}
	for _, q := range s.running {
		if q.state != seqRunning {
			return fmt.Errorf("sequence %d runs in state %d", q.id, q.state)
		}
		if len(q.blocks) < s.blocksFor(q.computed) || q.computed >= len(q.tokens) && len(q.tokens) < q.prompt+q.max {
			return fmt.Errorf("sequence %d: %d of %d tokens computed in %d blocks", q.id, q.computed, len(q.tokens),
				len(q.blocks))
		}
		held = append(held, q.blocks)
	}
	for _, q := range s.waiting {
		if q.state != seqWaiting || len(q.blocks) > 0 || q.computed > 0 {
			return fmt.Errorf("sequence %d waits in state %d with %d blocks", q.id, q.state, len(q.blocks))
		}
	}
	if len(s.running) > s.limits.running {
		return fmt.Errorf("%d sequences run, at most %d may", len(s.running), s.limits.running)
	}
	return s.pool.Check(held...)
}
