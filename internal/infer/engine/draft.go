package engine

import "github.com/hxp-enterprise/mixtral/internal/infer/schedule"

// Prompt-lookup decoding (Saxena 2023; Yang et al. 2023, arXiv:2304.04487): what followed the last tokens when they
// stood in the sequence before is likely to follow again: names, quotations, code, lists. The guess is computed
// together with the next token, and kept as far as the sampler, asked position by position, says the same. So the
// output is exactly what it would be without; only the number of steps changes.
const (
	maxDraft = 10 // guessed tokens in a step
	minMatch = 2  // tokens that must have stood together before
	maxMatch = 4
	// lookBack bounds the search for a match: 8192 tokens take about 4 µs.
	lookBack = 8192
)

// guess gives up to n tokens that followed the longest match of the last tokens, the latest one among equals. The
// result is part of tokens.
func guess(tokens []int32, n int) []int32 {
	end := len(tokens)
	best, length := 0, minMatch-1
	for at := end - 1; at > max(0, end-lookBack) && length < maxMatch; at-- { // a guess that starts at at
		if tokens[at-1] != tokens[end-1] {
			continue
		}
		same := 1
		for same < maxMatch && at-1-same >= 0 && tokens[at-1-same] == tokens[end-1-same] {
			same++
		}
		if same > length {
			best, length = at, same
		}
	}
	if best == 0 {
		return nil
	}
	return tokens[best:min(best+n, end)]
}

// trust is how often a request's guesses turned out right, the latest ones counting most. The zero value is undecided.
type trust struct{ right, wrong float64 }

// forget is what an older result counts beside a newer one: about ten are remembered.
const forget = 0.9

// share estimates the chance that the next guessed token is right.
func (t trust) share() float64 { return (t.right + 1) / (t.right + t.wrong + 2) }

// learn takes note of one guessed token that was compared with the one chosen.
func (t *trust) learn(right bool) {
	t.right, t.wrong = t.right*forget, t.wrong*forget
	if right {
		t.right++
	} else {
		t.wrong++
	}
}

// costs knows how long steps of so many tokens take, for steps in which everybody decodes. It is pure: time comes in
// as numbers.
type costs struct {
	expect func(tokens int) float64 // relative cost, before a number of tokens was tried
	steps  int
	seen   [maxSeen]timed // by tokens
}

// timed is how long steps of a size took.
type timed struct {
	seconds float64 // 0: never seen
	step    int     // when it was seen last
}

const (
	maxSeen = 256 // tokens in a step that are told apart
	// After so many steps a measurement is out of date: another may have slowed that one step down, and a size that
	// seems slow is not tried again by itself.
	staleAfter = 256
)

// record takes note of a step.
func (c *costs) record(tokens int, seconds float64) {
	c.steps++
	if tokens >= maxSeen {
		return
	}
	s := &c.seen[tokens]
	s.seconds, s.step = schedule.Smooth(s.seconds, seconds), c.steps
}

// of estimates a step's seconds: what was seen, or else what is expected in proportion to the next smaller number
// seen. It is 0 if nothing of use was.
func (c *costs) of(tokens int) float64 {
	for n := min(tokens, maxSeen-1); n > 0; n-- {
		if s := c.seen[n]; s.seconds > 0 && c.steps-s.step < staleAfter {
			return s.seconds * c.expect(tokens) / c.expect(n)
		}
	}
	return 0
}

// worthwhile decides how many of its guessed tokens each sequence takes into the next step: as many as raise the
// tokens a second to be expected of all together. drafts[i] guessed tokens of a sequence are right with chance
// share[i] each. It cuts drafts in place.
func (c *costs) worthwhile(drafts [][]int32, share []float64) {
	tokens, gain := len(drafts), float64(len(drafts))
	for i, d := range drafts {
		best, bestGain, bestRate := 0, gain, gain/c.of(tokens) // +Inf, and no guess, before a step was timed
		more, chance := gain, 1.0
		for k := 1; k <= len(d); k++ {
			chance *= share[i]
			more += chance
			if rate := more / c.of(tokens+k); rate > bestRate {
				best, bestGain, bestRate = k, more, rate
			}
		}
		drafts[i] = d[:best]
		tokens, gain = tokens+best, bestGain
	}
}

// propose lets the sequences that decode guess, if nobody has prompt tokens to compute: those fill a step better.
// What a grammar forces is not a guess, and is computed in any case. mu is held.
func (e *Engine) propose() {
	busy := e.alone || e.sched.Waiting() > 0
	for _, s := range e.sched.Running() {
		q := e.requests[s]
		s.Draft, q.guessed = append(s.Draft[:0], q.forced[:min(len(q.forced), maxForced, s.Most())]...), -1
		busy = busy || s.Pending() != 1
	}
	if busy {
		return
	}
	e.drafts, e.shares = e.drafts[:0], e.shares[:0]
	for _, s := range e.sched.Running() {
		q := e.requests[s]
		var d []int32
		if len(q.forced) == 0 {
			d = q.allowed(guess(s.Tokens, min(maxDraft, s.Most())))
		}
		if len(d) > 0 {
			q.guessed = d[0]
		}
		e.drafts, e.shares = append(e.drafts, d), append(e.shares, q.trust.share())
	}
	e.cost.worthwhile(e.drafts, e.shares)
	for i, s := range e.sched.Running() {
		s.Draft = append(s.Draft, e.drafts[i]...)
	}
}
