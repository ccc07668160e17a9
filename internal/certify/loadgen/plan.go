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

// ErrPlan matches errors about a plan that cannot be run. The message names the field.
var ErrPlan = errors.New("invalid load plan")

// Plan is one phase of load. Its shape depends on Kind: testcases.KindOpen follows Offsets, testcases.KindBatch sends
// Requests at once, and every other kind is a closed loop.
type Plan struct {
	ID   string
	Kind testcases.Kind

	Offsets []time.Duration // open: times of arrivals after the phase's start, sorted; see Poisson and Constant

	Concurrency int           // closed: requests in flight
	Requests    int           // closed: at least this many …; batch: this many
	MinDuration time.Duration // … and at least this long. Open: the schedule's length, for the offered rate

	Start time.Duration // when the phase begins, since the epoch; 0: at once

	MaxDuration time.Duration // no request is sent after it, and CutShort is "max_s"; 0: no bound
	Ramp        time.Duration // length of the start that is not part of the steady window
	Cap         int           // most requests in flight; arrivals beyond it wait, and CapHit is set; 0: no bound

	// Make returns request n of the phase. One goroutine calls it in order, up to a hundred requests before they are
	// due. The last requests may not be sent.
	Make func(n int) Job
	// Then returns the next turn of a conversation after an answered request, and how long after the answer it is due.
	// It is called for each answer, by many goroutines. nil: no request depends on another. In a closed loop the slot
	// continues with its conversation; an open loop ends when all conversations have ended.
	Then func(answered *evidence.Request) (job Job, after time.Duration, more bool)
	// Sink is called with the record of each request that has ended, one at a time and in no particular order. nil:
	// records are dropped.
	Sink func(evidence.Request)
	// InFlight is set to the number of requests in flight, for the samples of resources. nil: it is not set.
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
		return bad("Concurrency must be at least 1, got %d", p.Concurrency)
	case p.Requests == 0 && p.MinDuration == 0:
		return bad("Requests or MinDuration must be given")
	}
	return nil
}

// Poisson draws the arrivals of a Poisson process with a rate of rps per second. They cover at least d and are at
// least atLeast. The same seed gives the same arrivals. The result is nil unless rps is positive.
func Poisson(seed uint64, rps float64, d time.Duration, atLeast int) []time.Duration {
	rng := rand.New(rand.NewPCG(seed, 0x6172726976616c73))
	at := 0.0 // in units of the mean gap
	return arrivals(rps, d, atLeast, func(int) float64 {
		at += rng.ExpFloat64()
		return at
	})
}

// Constant returns evenly spaced arrivals from 0. They cover at least d and are at least atLeast. The result is nil
// unless rps is positive.
func Constant(rps float64, d time.Duration, atLeast int) []time.Duration {
	return arrivals(rps, d, atLeast, func(i int) float64 { return float64(i) })
}

// arrivals collects the arrivals that at returns in units of the mean gap.
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
