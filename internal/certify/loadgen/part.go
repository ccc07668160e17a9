package loadgen

import (
	"fmt"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// Part is the load of generator i, counted from 0, of n that share the plan. The parts together are the plan: each
// arrival, request and slot of a closed loop belongs to one of them, and keeps its number and its time. Arrivals and
// requests that are sent at once are dealt out to the generators in turn. So are slots. Each slot gets an equal share
// of the requests, so that all slots end at about the same time. A conversation stays on the generator that began it.
// some is false if there is nothing for the generator. The error matches ErrPlan if the kind of phase cannot be
// divided.
func (p Plan) Part(i, n int) (part Plan, some bool, err error) {
	if err := Divisible(p.Kind); err != nil {
		return p, false, fmt.Errorf("%w: phase %q: %w", ErrPlan, p.ID, err)
	}
	if n < 1 || i < 0 || i >= n {
		return p, false, fmt.Errorf("%w: phase %q: generator %d of %d", ErrPlan, p.ID, i, n)
	}
	part = p
	if p.Cap > 0 {
		part.Cap = max(divide(p.Cap, i, n), 1)
	}
	var number func(int) int
	switch {
	case p.Kind == testcases.KindOpen:
		number = func(k int) int { return k*n + i }
		part.Offsets = make([]time.Duration, 0, divide(len(p.Offsets), i, n))
		for k := i; k < len(p.Offsets); k += n {
			part.Offsets = append(part.Offsets, p.Offsets[k])
		}
		some = len(part.Offsets) > 0
	case p.Kind == testcases.KindBatch:
		number = func(k int) int { return k*n + i }
		part.Requests = divide(p.Requests, i, n)
		some = part.Requests > 0
	default:
		slots := divide(p.Concurrency, i, n)
		if slots == 0 {
			return part, false, nil
		}
		number = func(k int) int { return k/slots*p.Concurrency + k%slots*n + i }
		part.Concurrency, part.Requests = slots, 0
		for slot := i; slot < p.Concurrency; slot += n {
			part.Requests += divide(p.Requests, slot, p.Concurrency)
		}
		some = part.Requests > 0 || p.MinDuration > 0
	}
	part.Make = func(k int) Job { return p.Make(number(k)) }
	part.Sink = func(q evidence.Request) {
		if p.Then != nil { // turns have numbers too, so a request's number is not that of its conversation
			q.N = q.N*n + i
		} else {
			q.N = number(q.N)
		}
		if p.Sink != nil {
			p.Sink(q)
		}
	}
	return part, some, nil
}

// Divisible returns an error that says why phases of a kind cannot be divided among generators; nil if they can.
func Divisible(kind testcases.Kind) error {
	switch kind {
	case testcases.KindIdle:
		return fmt.Errorf("a phase of kind %q has no load to divide", kind)
	case testcases.KindAudit:
		return fmt.Errorf("a phase of kind %q cannot be divided: each of its requests depends on the answer before it",
			kind)
	case testcases.KindSweep:
		return fmt.Errorf("a phase of kind %q cannot be divided, only each of its steps", kind)
	}
	return nil
}

// divide is how many of total things generator i of n gets if they are dealt out in turn.
func divide(total, i, n int) int { return (total - i + n - 1) / n }
