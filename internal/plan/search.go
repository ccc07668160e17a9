package plan

import (
	"context"
	"errors"
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/base/slo"
)

// ErrImpossible is matched when no number of replicas holds the targets.
var ErrImpossible = errors.New("the targets cannot be held")

// Demand is what must hold.
type Demand struct {
	Objectives []slo.Objective
	// Refused is the share of requests that may be refused.
	Refused float64
}

// kept is the share of the offered rate that must be served: less means that a queue grows.
const kept = 0.97

// Held says whether a result holds the demand.
func (d *Demand) Held(r *Result) bool {
	return len(r.Misses(d.Objectives)) == 0 && float64(r.Refused) <= d.Refused*float64(r.Refused+r.Completed) &&
		r.Throughput >= kept*r.Offered
}

// Trial is one simulation of a search.
type Trial struct {
	Replicas int
	RPS      float64
	Held     bool
	Result   *Result
}

// Replicas finds the least number of replicas, at most most, that hold the demand at the traffic's rate. It returns
// the trials in their order; the last one that held has the answer. Where not even most hold it, the error matches
// ErrImpossible.
func Replicas(ctx context.Context, s Setup, d Demand, most int) (int, []Trial, error) {
	var trials []Trial
	try := func(n int) (bool, error) {
		s.Replicas = n
		r, err := Simulate(ctx, s)
		if err != nil {
			return false, err
		}
		held := d.Held(r)
		trials = append(trials, Trial{n, s.Traffic.RPS, held, r})
		return held, nil
	}
	low, high := 0, 1
	for {
		held, err := try(high)
		if err != nil {
			return 0, trials, err
		}
		if held {
			break
		}
		if high >= most {
			return 0, trials, fmt.Errorf("%w by %d replicas: %s", ErrImpossible, most, why(&trials[len(trials)-1], d))
		}
		low, high = high, min(2*high, most)
	}
	for high-low > 1 {
		mid := (low + high) / 2
		held, err := try(mid)
		if err != nil {
			return 0, trials, err
		}
		if held {
			high = mid
		} else {
			low = mid
		}
	}
	return high, trials, nil
}

// why says what a trial missed.
func why(t *Trial, d Demand) string {
	for _, o := range t.Result.Misses(d.Objectives) {
		return fmt.Sprintf("%s is %.3g s", o, o.Of(t.Result.Of(o.Metric)))
	}
	if t.Result.Refused > 0 {
		return fmt.Sprintf("%d of %d requests are refused", t.Result.Refused, t.Result.Refused+t.Result.Completed)
	}
	return fmt.Sprintf("%.3g of %.3g requests/s are served", t.Result.Throughput,
		t.Result.Offered)
}

// kneeStep is the relative width at which the search for a knee ends.
const kneeStep = 0.01

// Knee finds the highest rate that the setup's replicas hold the demand at, within 1 %. It returns the trials in
// their order; a rate of 0 means that none is held.
func Knee(ctx context.Context, s Setup, d Demand) (float64, []Trial, error) {
	var trials []Trial
	seconds := float64(s.Traffic.Requests) / s.Traffic.RPS // as long a time at each rate
	try := func(rps float64) (bool, error) {
		t := s
		t.Traffic.RPS = rps
		t.Traffic.Requests = max(int(rps*seconds), min(s.Traffic.Requests, 1000))
		r, err := Simulate(ctx, t)
		if err != nil {
			return false, err
		}
		held := d.Held(r)
		trials = append(trials, Trial{s.Replicas, rps, held, r})
		return held, nil
	}
	low, high := 0.0, s.Traffic.RPS
	for range 40 {
		held, err := try(high)
		if err != nil {
			return 0, trials, err
		}
		if !held {
			break
		}
		low, high = high, 2*high
	}
	for range 60 {
		if high-low <= kneeStep*high {
			break
		}
		mid := (low + high) / 2
		held, err := try(mid)
		if err != nil {
			return 0, trials, err
		}
		if held {
			low = mid
		} else {
			high = mid
		}
	}
	return low, trials, nil
}
