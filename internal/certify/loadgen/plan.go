package loadgen

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// ErrPlan is matched by errors about a plan that cannot be run; the message names the field.
var ErrPlan = errors.New("invalid load plan")

// Plan is one phase of load. Kind decides its shape: testcases.KindOpen follows Offsets, testcases.KindBatch sends
// Requests at once, every other kind is a closed loop.
type Plan struct {
	ID   string
	Kind testcases.Kind

	Offsets []time.Duration // open: arrivals after the phase's start, rising; see Poisson and Constant

	Concurrency int           // closed: requests in flight
	Requests    int           // closed: at least this many …; batch: this many
	MinDuration time.Duration // … and at least this long. Open: the schedule's length, for the offered rate

	Start time.Duration // when the phase begins, counted from the epoch; 0: at once

	MaxDuration time.Duration // issuing ends here even if the plan is not done, as CutShort "max_s"; 0: no bound
	Ramp        time.Duration // left out of the steady window at its start
	Cap         int           // most in flight; at it arrivals wait, and CapHit tells; 0: no bound

	// Make gives request n of the phase. It is called in order by one goroutine, up to a hundred requests ahead of
	// their time; the last ones made may go unused.
	Make func(n int) Job
	// Then gives the turn of a conversation that comes after an answered request: the request, and how long after the
	// answer. It is called for each answer, by many goroutines. nil: no request depends on another. A closed loop's
	// slot goes on with its conversation; a phase in the open loop ends when all conversations have.
	Then func(answered *evidence.Request) (job Job, after time.Duration, more bool)
	// Sink takes each request's record when it has ended, one at a time, in no order. nil: records are dropped.
	Sink func(evidence.Request)
	// InFlight is kept at the requests in flight, for those who sample resources. nil: it is not kept.
	InFlight *atomic.Int64
}

func (p *Plan) validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: phase %q: %s", ErrPlan, p.ID, fmt.Sprintf(format, args...))
	}
	switch {
	case p.Make == nil:
		return bad("Make is missing")
	case p.Requests < 0 || p.MinDuration < 0 || p.MaxDuration < 0 || p.Ramp < 0 || p.Cap < 0 || p.Start < 0:
		return bad("Requests, MinDuration, MaxDuration, Ramp, Cap and Start must not be negative")
	case p.Kind == testcases.KindOpen && len(p.Offsets) == 0:
		return bad("Offsets are missing")
	case p.Kind == testcases.KindOpen && (p.Offsets[0] < 0 || !slices.IsSorted(p.Offsets)):
		return bad("Offsets must rise from 0")
	case p.Kind == testcases.KindOpen:
		return nil
	case p.Kind == testcases.KindBatch && p.Requests == 0:
		return bad("Requests is 0")
	case p.Kind == testcases.KindBatch:
		return nil
	case p.Concurrency < 1:
		return bad("Concurrency is %d, want at least 1", p.Concurrency)
	case p.Requests == 0 && p.MinDuration == 0:
		return bad("Requests or MinDuration must be given")
	}
	return nil
}

// Poisson draws the arrivals of a Poisson process of rps a second over at least d and at least atLeast arrivals: gaps
// are exponential. The same seed gives the same arrivals.
func Poisson(seed uint64, rps float64, d time.Duration, atLeast int) []time.Duration {
	rng := rand.New(rand.NewPCG(seed, 0x6172726976616c73))
	at := 0.0 // in mean gaps
	return arrivals(rps, d, atLeast, func(int) float64 {
		at += rng.ExpFloat64()
		return at
	})
}

// Constant gives evenly spaced arrivals from 0, over at least d and at least atLeast of them.
func Constant(rps float64, d time.Duration, atLeast int) []time.Duration {
	return arrivals(rps, d, atLeast, func(i int) float64 { return float64(i) })
}

// arrivals collects the arrivals that at gives in mean gaps.
func arrivals(rps float64, d time.Duration, atLeast int, at func(i int) float64) []time.Duration {
	if !(rps > 0) {
		return nil
	}
	out := make([]time.Duration, 0, max(atLeast, int(rps*d.Seconds()*1.1))+1)
	for {
		t := time.Duration(at(len(out)) / rps * float64(time.Second))
		if t >= d && len(out) >= atLeast {
			return out
		}
		out = append(out, t)
	}
}
