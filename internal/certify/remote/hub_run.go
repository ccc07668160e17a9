package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// Times that generators may take for a step.
const (
	planTime    = 2 * time.Minute // to read files of traffic
	checkTime   = time.Minute     // three calibrations of a few seconds, and a request
	prepareTime = time.Minute     // to open the connections
	compareTime = 10 * time.Second
)

// Ended is a generator's part of a phase when it is over.
type Ended struct {
	Part  evidence.Part
	Phase *evidence.Phase // on the record's clock; nil: it had no part, or is lost
}

// Generators are the generators, for the record's header.
func (h *Hub) Generators() []evidence.Generator {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []evidence.Generator
	for i, p := range h.state.peers {
		out = append(out, evidence.Generator{Name: h.o.Addresses[i], Environment: p.hello.Environment})
	}
	return out
}

// InFlight is how many requests all generators together have in flight, as they said last.
func (h *Hub) InFlight() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state.inFlight()
}

// Plan hands each generator its plan. digest is what they must make of it.
func (h *Hub) Plan(ctx context.Context, plan Plan, digest string) error {
	plans := make([]*Plan, len(h.links))
	for i := range plans {
		p := plan
		p.Index, p.Of = i, len(plans)
		plans[i] = &p
		if n := len(encode(&Message{Kind: KindPlan, Plan: &p})); n > maxPlan {
			return fmt.Errorf("%w: the case and its files have %d bytes, generators take %d: make a sample of the "+
				"traffic",
				ErrProtocol, n, maxPlan)
		}
	}
	h.apply(h.locked(func(int64) []action { return h.state.plan(plans, digest) }))
	return h.settle(ctx, idle, planTime)
}

// Begin starts the record: times count from epoch from now on, and sink takes everything that is recorded, one event
// at a time.
func (h *Hub) Begin(epoch time.Time, sink func(evidence.Event)) {
	h.drain()
	h.mu.Lock()
	h.record = epoch
	h.state.begin(h.epoch.Sub(epoch).Nanoseconds())
	h.mu.Unlock()
	folds := make([]*Fold, len(h.links))
	for i := range folds {
		folds[i] = NewFold(i+1, sink)
	}
	h.within(func() { h.folds = folds })
}

// End ends the record: nothing is recorded any more.
func (h *Hub) End() { h.within(func() { h.folds = nil }) }

// Check has the generators look whether they can make the load; what they find is evidence.
func (h *Hub) Check(ctx context.Context) error {
	h.apply(h.locked(func(int64) []action { return h.state.check() }))
	if err := h.settle(ctx, idle, checkTime); err != nil {
		return err
	}
	return h.Compare(ctx)
}

// Compare compares the clocks, and lets go of all evidence until then.
func (h *Hub) Compare(ctx context.Context) error {
	h.locked(func(int64) []action { h.state.compare(); return nil })
	limited, cancel := context.WithTimeout(ctx, compareTime)
	defer cancel()
	ok := h.until(limited, h.state.compared)
	h.drain()
	if !ok && ctx.Err() == nil {
		return fmt.Errorf("%w: clocks could not be compared within %s", ErrLost, compareTime)
	}
	return nil
}

// Prepare has the generators get ready for a phase. digests are those of each generator's part of the schedule.
func (h *Hub) Prepare(ctx context.Context, x Prepare, digests []string) error {
	h.apply(h.locked(func(int64) []action { return h.state.prepare(&x, digests) }))
	if err := h.settle(ctx, prepared, prepareTime); err != nil {
		return err
	}
	return h.Compare(ctx)
}

// Start has all generators begin at one instant of the record's clock, which it returns.
func (h *Hub) Start() int64 {
	var at int64
	h.apply(h.locked(func(int64) []action {
		at = time.Since(h.record).Nanoseconds() + int64(startLead) + 2*h.state.longestTrip()
		return h.state.start(at)
	}))
	return at
}

// errStopped ends the wait for generators that do not stop.
var errStopped = errors.New("it did not say that it has stopped")

// Wait waits until the phase has ended on all generators. When ctx ends, or one of them is lost, the others are
// stopped: what they would go on with is not the plan any more.
func (h *Hub) Wait(ctx context.Context) []Ended {
	over := func() bool { return h.state.settled(idle) }
	if !h.until(ctx, func() bool { return over() || h.state.anyLost() }) || !h.is(over) {
		h.apply(h.locked(func(int64) []action { return h.state.stop() }))
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		if !h.until(limited, over) {
			h.apply(h.locked(func(int64) []action { return h.state.loseAllBut(idle, errStopped) }))
		}
	}
	h.drain()
	if ctx.Err() == nil && h.is(func() bool { return !h.state.anyLost() }) {
		_ = h.Compare(ctx)
	}
	return h.ended()
}

func (h *Hub) is(what func() bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return what()
}

// ended lets go of the evidence of the phase, and says how it went on each generator.
func (h *Hub) ended() []Ended {
	h.mu.Lock()
	out := make([]Ended, len(h.state.peers))
	for i, p := range h.state.peers {
		e := &out[i]
		if p.done != nil && p.done.Part != nil {
			e.Part, e.Phase = *p.done.Part, p.done.Phase
		}
		e.Part.Generator = i + 1
		if p.stage == lost {
			e.Part.Lost = p.why
		}
	}
	h.mu.Unlock()
	h.within(func() {
		for i, f := range h.folds {
			f.Flush()
			if out[i].Phase == nil {
				continue
			}
			moved := *out[i].Phase
			for _, t := range []*int64{&moved.Start, &moved.SteadyFrom, &moved.SteadyTo, &moved.End} {
				*t = f.At(*t)
			}
			out[i].Phase = &moved
		}
	})
	return out
}
