package schedule

import (
	"fmt"
	"slices"

	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// Limits of a scheduler.
type Limits struct {
	Running     int // sequences prefilled or decoded together
	Waiting     int // requests queued beyond those
	BlockTokens int // positions in one KV block
	Context     int // positions a sequence may have, prompt and completion together
	// Forget keeps no full block for others to find. It is for simulations that know that nobody would find one: to
	// name the blocks is then a third of their work.
	Forget bool
}

// Seq is one request as the scheduler sees it.
type Seq struct {
	id     int64   // order of arrival
	Tokens []int32 // the prompt, then what was generated
	Prompt int     // how many of tokens are the prompt
	max    int     // how many may be generated

	// every position of the prompt wants a row of logits: so none is taken from the prefix cache
	Score bool

	Draft []int32 // guessed tokens to compute in the next step behind the last one known; see draft.go

	Computed  int         // positions 0..computed-1 have their keys and values in blocks
	Blocks    []int32     // block i holds positions i·blockTokens and up
	root      kvcache.Key // stands before the first block: only sequences of one root share blocks
	key       kvcache.Key // content of the last full computed block
	Cached    int         // positions of the prompt that the prefix cache had
	Preempted bool        // at least once: what it recomputes no longer counts as cached
	state     seqState
}

type seqState uint8

const (
	seqWaiting seqState = iota
	seqRunning
	seqGone // finished, cancelled or failed: decisions made about it before are void
)

// Pending is how many of the known tokens have no keys and values yet: 1 while decoding.
func (q *Seq) Pending() int { return len(q.Tokens) - q.Computed }

// Most is how many guessed tokens may stand behind the last one known: they and one more must be allowed.
func (q *Seq) Most() int { return max(q.max-(len(q.Tokens)-q.Prompt)-1, 0) }

// Span is a decision: run these positions of a sequence in this step.
type Span struct {
	Seq   *Seq
	Start int
	N     int // known tokens
	Draft int // guessed ones behind them
	// rows of logits: those of Scores, one if the span ends at the last known token, to sample the next, and one for
	// each guess
	Logits int
	Scores int // rows of the first positions, which say how likely the known tokens behind them are; see Seq.Score
}

// Tokens gives the span's ids. They are in the sequence's own memory, the guessed ones behind its end.
func (sp Span) Tokens() []int32 {
	return append(sp.Seq.Tokens, sp.Seq.Draft[:sp.Draft]...)[sp.Start : sp.Start+sp.N+sp.Draft]
}

// Decisions of one step. The slices are valid until the next Plan.
type Decisions struct {
	Spans     []Span // at most one per sequence, decoding ones first
	Admitted  []*Seq // from the queue to running
	Preempted []*Seq // from running back to the queue, their blocks given up
}

// Scheduler decides which positions of which sequences the model computes next. It is a pure state machine: Submit,
// Remove, Plan, Advance and Push are its events; it knows no goroutine, no clock, no model, and no text.
//
// Fairness is by arrival: every sequence that runs arrived before every one that waits, and blocks are taken from the
// youngest first. So the oldest always progresses, and as Submit refuses what could never fit, everything ends.
type Scheduler struct {
	limits  Limits
	Pool    *kvcache.Pool
	running []*Seq // by arrival
	waiting []*Seq // by arrival; all younger than running
	nextID  int64
	out     Decisions
	scores  int // rows for Seq.Score in this step
	most    int // of them

	Preemptions int64 // since start
	CacheHits   int64 // prompt positions found in the prefix cache since start
}

func New(l Limits, pool *kvcache.Pool) *Scheduler {
	l.Context = min(l.Context, pool.Total()*l.BlockTokens)
	return &Scheduler{limits: l, Pool: pool, most: maxScores}
}

// Submit queues a prompt. maxTokens is cut to what the context leaves; 0 means all of it.
func (s *Scheduler) Submit(prompt []int32, maxTokens int) (*Seq, error) {
	return s.SubmitScoped(kvcache.Key{}, prompt, maxTokens)
}

// SubmitScoped is Submit for a prompt that shares blocks only with those of the same root; see kvcache.Scope.
func (s *Scheduler) SubmitScoped(root kvcache.Key, prompt []int32, maxTokens int) (*Seq, error) {
	room := s.limits.Context - len(prompt)
	switch {
	case len(prompt) == 0:
		return nil, llm.BadField("prompt", "has no tokens")
	case room < 1:
		return nil, &llm.FieldError{Field: "prompt", Err: llm.ErrContextLength,
			Reason: fmt.Sprintf("has %d tokens, and the context of %d must hold at least one more", len(prompt),
				s.limits.Context)}
	}
	if err := s.Room(); err != nil {
		return nil, err
	}
	if maxTokens <= 0 || maxTokens > room {
		maxTokens = room
	}
	q := &Seq{id: s.nextID, Prompt: len(prompt), max: maxTokens, root: root, key: root}
	q.Tokens = append(make([]int32, 0, len(prompt)+min(maxTokens, 1024)), prompt...)
	s.nextID++
	s.waiting = append(s.waiting, q)
	return q, nil
}

// Running gives the sequences that are computed, by arrival. The slice is the scheduler's own, valid until the next
// event.
func (s *Scheduler) Running() []*Seq { return s.running }

// Waiting is how many sequences queue.
func (s *Scheduler) Waiting() int { return len(s.waiting) }

// Room says whether another sequence may come.
func (s *Scheduler) Room() error {
	if len(s.running)+len(s.waiting) >= s.limits.Running+s.limits.Waiting {
		return fmt.Errorf("%w: %d running, %d waiting", llm.ErrQueueFull, len(s.running), len(s.waiting))
	}
	return nil
}

// Remove ends a sequence: it finished, its client went away, or it failed. It is harmless if the sequence is gone.
func (s *Scheduler) Remove(q *Seq) {
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
func (s *Scheduler) drop(q *Seq) {
	s.Pool.Release(q.Blocks)
	q.Blocks, q.Computed, q.key = q.Blocks[:0], 0, q.root
}

// Idle says that there is nothing to do.
func (s *Scheduler) Idle() bool { return len(s.running)+len(s.waiting) == 0 }

// Decoding says whether a running sequence is past its prompt, so that somebody waits for its next token.
func (s *Scheduler) Decoding() bool {
	return slices.ContainsFunc(s.running, func(q *Seq) bool { return len(q.Tokens) > q.Prompt })
}

// Plan decides the next step: one token for each sequence that has just one to compute, whatever else there is to do,
// then up to budget tokens of prompts by arrival. A sequence leaves the queue only when tokens are left in the budget
// for it, so that it can use the blocks which those before it have computed. budget must be at least 1.
func (s *Scheduler) Plan(budget int) Decisions {
	s.scores = 0
	s.out = Decisions{Spans: s.out.Spans[:0], Admitted: s.out.Admitted[:0], Preempted: s.out.Preempted[:0]}
	for i := 0; i < len(s.running); i++ { // shrinks at its end while blocks are taken from the youngest
		if q := s.running[i]; q.Pending() == 1 {
			s.schedule(q, 1)
		}
	}
	for i := range s.out.Spans {
		s.speculate(&s.out.Spans[i])
	}
	for i := 0; i < len(s.running) && budget > 0; i++ {
		if q := s.running[i]; q.Pending() > 1 {
			budget -= s.prefill(q, budget)
		}
	}
	for budget > 0 && len(s.waiting) > 0 && len(s.running) < s.limits.Running && s.fits(s.waiting[0]) {
		q := s.waiting[0]
		s.waiting[0] = nil
		s.waiting = s.waiting[1:] // moving thousands to the front would take longer than the rest of a step's plan
		q.state = seqRunning
		s.running = append(s.running, q)
		s.out.Admitted = append(s.out.Admitted, q)
		budget -= s.prefill(q, budget)
	}
	return s.out
}

// maxScores bounds the rows of logits for Seq.Score in a step: with 32,000 tokens these take 16 MB.
const maxScores = 128

// prefill schedules up to budget pending tokens of a sequence and says how many.
func (s *Scheduler) prefill(q *Seq, budget int) int {
	s.reuse(q)
	return s.schedule(q, min(q.Pending(), budget))
}

// schedule finds blocks for the next n positions, or as many of them as it can, and adds the span.
func (s *Scheduler) schedule(q *Seq, n int) int {
	if q.Score {
		n = min(n, max(s.most-s.scores, 1))
	}
	for len(q.Blocks)*s.limits.BlockTokens < q.Computed+n {
		b, ok := s.alloc(q)
		if !ok {
			break
		}
		q.Blocks = append(q.Blocks, b)
	}
	n = min(n, len(q.Blocks)*s.limits.BlockTokens-q.Computed)
	if n <= 0 {
		return 0 // it keeps what it has and waits for an older one to end
	}
	sp := Span{Seq: q, Start: q.Computed, N: n}
	if q.Computed+n == len(q.Tokens) {
		sp.Logits = 1
	}
	if q.Score {
		sp.Scores = n - sp.Logits
		sp.Logits = n
		s.scores += sp.Scores
	}
	s.out.Spans = append(s.out.Spans, sp)
	return n
}

// speculate adds a sequence's guessed tokens to its span, as far as there are free blocks: nobody loses any for a
// guess.
func (s *Scheduler) speculate(sp *Span) {
	q := sp.Seq
	n := min(len(q.Draft), q.Most())
	for len(q.Blocks) < s.blocksFor(len(q.Tokens)+n) {
		b, ok := s.Pool.Alloc()
		if !ok {
			n = len(q.Blocks)*s.limits.BlockTokens - len(q.Tokens)
			break
		}
		q.Blocks = append(q.Blocks, b)
	}
	sp.Draft = n
	sp.Logits += n
}

// alloc takes a block for q, from the youngest running sequence if need be, never from one older than q.
func (s *Scheduler) alloc(q *Seq) (int32, bool) {
	for {
		if b, ok := s.Pool.Alloc(); ok {
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
func (s *Scheduler) preempt(q *Seq) {
	s.running = s.running[:len(s.running)-1]
	s.waiting = slices.Insert(s.waiting, 0, q)
	s.drop(q)
	q.state, q.Preempted = seqWaiting, true
	s.Preemptions++
	s.out.Preempted = append(s.out.Preempted, q)
	s.out.Spans = slices.DeleteFunc(s.out.Spans, func(sp Span) bool { return sp.Seq == q })
	s.out.Admitted = slices.DeleteFunc(s.out.Admitted, func(a *Seq) bool { return a == q })
}

// reuse takes over blocks that others have computed for the same tokens. The last token is always computed afresh, as
// its logits are needed.
func (s *Scheduler) reuse(q *Seq) {
	if q.Score {
		return
	}
	n := s.limits.BlockTokens
	for !s.limits.Forget && q.Computed%n == 0 && q.Pending() > n {
		k := q.key.Extend(q.Tokens[q.Computed : q.Computed+n])
		b, ok := s.Pool.Lookup(k)
		if !ok {
			return
		}
		q.Blocks = append(q.Blocks, b)
		q.key = k
		if !q.Preempted {
			hit := min(n, max(0, q.Prompt-q.Computed))
			q.Cached += hit
			s.CacheHits += int64(hit)
		}
		q.Computed += n
	}
}

// fits says whether a queued sequence can start without soon taking blocks from those that run: there are blocks for
// all its known tokens and the next one, beside what the running ones still need for theirs and one more for each.
// An engine with nothing else to do takes anything.
func (s *Scheduler) fits(q *Seq) bool {
	if len(s.running) == 0 {
		return true
	}
	free := s.Pool.Available()
	for _, r := range s.running {
		free -= s.blocksFor(len(r.Tokens)) - len(r.Blocks) + 1
	}
	need := s.blocksFor(len(q.Tokens) + 1)
	if need <= free {
		return true
	}
	n := s.limits.BlockTokens
	k := q.root
	for i := 0; i+n < len(q.Tokens) && need > free; i += n {
		k = k.Extend(q.Tokens[i : i+n])
		found, held := s.Pool.Has(k)
		if !found {
			break
		}
		if held { // shared with a running sequence: costs nothing
			need--
		}
	}
	return need <= free
}

func (s *Scheduler) blocksFor(tokens int) int {
	return (tokens + s.limits.BlockTokens - 1) / s.limits.BlockTokens
}

// Advance records that the model has computed a span's known tokens, and lets others find its full blocks. sp.N counts
// those that have become known meanwhile too: guesses that turned out right and were pushed.
func (s *Scheduler) Advance(sp Span) {
	q, n := sp.Seq, s.limits.BlockTokens
	if q.state != seqRunning || q.Computed != sp.Start {
		return // removed while the step ran
	}
	if s.limits.Forget {
		q.Computed = sp.Start + sp.N
		return
	}
	for end := sp.Start + sp.N; ; {
		i := q.Computed / n
		if (i+1)*n > end {
			q.Computed = end
			return
		}
		q.key = q.key.Extend(q.Tokens[i*n : (i+1)*n])
		s.Pool.Publish(q.Blocks[i], q.key)
		q.Computed = (i + 1) * n
	}
}

// Push appends a generated token and says whether it was the last one allowed.
func (s *Scheduler) Push(q *Seq, token int32) (last bool) {
	q.Tokens = append(q.Tokens, token)
	return len(q.Tokens)-q.Prompt >= q.max
}

// Check verifies the books: the order of the sequences, and who holds which block.
func (s *Scheduler) Check() error {
	held := make([][]int32, 0, len(s.running))
	last := int64(-1)
	for _, list := range [][]*Seq{s.running, s.waiting} {
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
		if len(q.Blocks) < s.blocksFor(q.Computed) || q.Computed >= len(q.Tokens) && len(q.Tokens) < q.Prompt+q.max {
			return fmt.Errorf("sequence %d: %d of %d tokens computed in %d blocks", q.id, q.Computed, len(q.Tokens),
				len(q.Blocks))
		}
		held = append(held, q.Blocks)
	}
	for _, q := range s.waiting {
		if q.state != seqWaiting || len(q.Blocks) > 0 || q.Computed > 0 {
			return fmt.Errorf("sequence %d waits in state %d with %d blocks", q.id, q.state, len(q.Blocks))
		}
	}
	if len(s.running) > s.limits.Running {
		return fmt.Errorf("%d sequences run, at most %d may", len(s.running), s.limits.Running)
	}
	return s.Pool.Check(held...)
}
