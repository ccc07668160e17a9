package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// Time limits for the generators. They have twice Silence to compare clocks.
const (
	planTime    = 2 * time.Minute // to read files of traffic
	checkTime   = time.Minute     // three calibrations of a few seconds, and a request
	prepareTime = time.Minute     // to open the connections
)

// Ended is what one generator did in a phase that is over.
type Ended struct {
	Part  evidence.Part
	Phase *evidence.Phase // with times of the record's clock; nil if it had no part in the phase, or is lost
}

// Generators lists the generators for the record's header.
func (h *Hub) Generators() []evidence.Generator {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []evidence.Generator
	for i, p := range h.state.peers {
		out = append(out, evidence.Generator{Name: h.o.Addresses[i], Environment: p.hello.Environment})
	}
	return out
}

// InFlight is the number of requests that all generators have in flight, as last reported.
func (h *Hub) InFlight() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state.inFlight()
}

// Plan sends each generator the plan, and waits until all accept it. digest is the digest of the plan that they must
// answer.
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

// Begin starts the record. Times count from epoch, and sink is called with everything that is recorded, one event at a
// time.
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

// End ends the record. After it nothing is recorded.
func (h *Hub) End() { h.within(func() { h.folds = nil }) }

// Check lets the generators check whether they can make the load. They report the result as evidence.
func (h *Hub) Check(ctx context.Context) error {
	h.apply(h.locked(func(int64) []action { return h.state.check() }))
	if err := h.settle(ctx, idle, checkTime); err != nil {
		return err
	}
	return h.Compare(ctx)
}

// Compare makes a new comparison of all clocks, and waits for it. Then all evidence that was recorded before can be
// converted.
func (h *Hub) Compare(ctx context.Context) error {
	h.locked(func(int64) []action { h.state.compare(); return nil })
	limited, cancel := context.WithTimeout(ctx, 2*Silence)
	defer cancel()
	ok := h.until(limited, h.state.compared)
	h.drain()
	if !ok && ctx.Err() == nil {
		return fmt.Errorf("%w: clocks could not be compared within %s", ErrLost, 2*Silence)
	}
	return nil
}

// Prepare lets the generators prepare a phase, and waits until they have. digests are those of each generator's part
// of the schedule.
func (h *Hub) Prepare(ctx context.Context, x Prepare, digests []string) error {
	h.apply(h.locked(func(int64) []action { return h.state.prepare(&x, digests) }))
	if err := h.settle(ctx, prepared, prepareTime); err != nil {
		return err
	}
	return h.Compare(ctx)
}

// Start tells all generators to begin at the same instant of the record's clock, which it returns in nanoseconds.
func (h *Hub) Start() int64 {
	var at int64
	h.apply(h.locked(func(int64) []action {
		at = time.Since(h.record).Nanoseconds() + int64(startLead) + 2*h.state.longestTrip()
		return h.state.start(at)
	}))
	return at
}

// errStopped is the reason for losing a generator that does not stop.
var errStopped = errors.New("it did not say that it has stopped")

// Wait waits until the phase has ended on all generators. When ctx ends or a generator is lost, it stops the others,
// because their load is no longer the planned one.
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
	h.drainLost() // evidence that is read later would belong to no phase
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

// ended converts the remaining evidence of the phase, and returns the result of each generator.
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
