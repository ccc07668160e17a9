package plan

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/hxp-enterprise/mixtral/internal/base/noun"
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

// Held says whether a result holds the demand.
func (d *Demand) Held(r *Result) bool {
	return len(r.Misses(d.Objectives)) == 0 && float64(r.Refused) <= d.Refused*float64(r.Refused+r.Completed) &&
		!r.growing()
}

// steady simulates a setup for as long as its latencies ask for: at least eight times the shortest one. Before that
// the number of requests under way grows by itself.
func steady(ctx context.Context, s Setup) (*Result, error) {
	for range 5 {
		r, err := Simulate(ctx, s)
		if err != nil || len(r.Latency) == 0 || r.open.to > 8*r.Latency[0] {
			return r, err
		}
		s.Traffic.Requests *= 2
	}
	return Simulate(ctx, s)
}

// Trial is one simulation of a search.
type Trial struct {
	Replicas int
	RPS      float64
	Held     bool
	Result   *Result
}

// small is how many requests a simulation has whose result only guides a search.
const small = 3000

// Replicas finds the least number of replicas, at most most, that hold the demand at the traffic's rate. It returns
// the trials at that rate in their order. Where not even most hold it, the error matches ErrImpossible. What one
// replica holds by itself tells where to look: many together hold a little more each.
func Replicas(ctx context.Context, s Setup, d Demand, most int) (int, []Trial, error) {
	alone, err := oneReplica(ctx, s, d)
	if err != nil {
		return 0, nil, err
	}
	var trials []Trial
	try := func(n int) (bool, error) {
		s.Replicas = n
		r, err := steady(ctx, s)
		if err != nil {
			return false, err
		}
		held := d.Held(r)
		trials = append(trials, Trial{n, s.Traffic.RPS, held, r})
		return held, nil
	}
	low, high := 0, 0 // low fails, high holds; 0: not known
	for n := min(max(int(math.Ceil(s.Traffic.RPS/alone)), 1), most); high == 0 || high-low > 1; {
		held, err := try(n)
		if err != nil {
			return 0, trials, err
		}
		switch {
		case held:
			high = n
		case n >= most:
			return 0, trials, fmt.Errorf("%w by %s: %s", ErrImpossible, noun.Of(most, "replica", "replicas"),
				why(&trials[len(trials)-1], d))
		default:
			low = n
		}
		// A tenth at a time until both sides are known, then halves.
		switch {
		case high == 0:
			n = min(n+1+n/10, most)
		case low == 0 && high > 1:
			n = max(n-1-n/10, 1)
		default:
			n = (low + high) / 2
		}
		if low == 0 && high == 1 {
			break
		}
	}
	return high, trials, nil
}

// oneReplica gives the rate that one replica holds by itself.
func oneReplica(ctx context.Context, s Setup, d Demand) (float64, error) {
	s.Replicas = 1
	s.Traffic.RPS, s.Traffic.Requests = 1, small
	rps, trials, err := Knee(ctx, s, d)
	if err != nil || rps > 0 {
		return rps, err
	}
	// Not even 1 % of a request a second: it does not depend on how many replicas there are.
	return 0, fmt.Errorf("%w by any number of replicas: alone with one request, %s", ErrImpossible,
		why(&trials[len(trials)-1], d))
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
// their order; a rate of 0 means that none is held, down to a thousandth of the traffic's. Each trial has as many
// requests as the traffic.
func Knee(ctx context.Context, s Setup, d Demand) (float64, []Trial, error) {
	var trials []Trial
	try := func(rps float64) (bool, error) {
		s.Traffic.RPS = rps
		r, err := steady(ctx, s)
		if err != nil {
			return false, err
		}
		held := d.Held(r)
		trials = append(trials, Trial{s.Replicas, rps, held, r})
		return held, nil
	}
	alone := s
	alone.Traffic.RPS, alone.Traffic.Concurrency, alone.Traffic.Requests = 0, 1, 64
	if r, err := Simulate(ctx, alone); err != nil || len(r.Misses(d.Objectives)) > 0 {
		return 0, []Trial{{Replicas: s.Replicas, Result: r}}, err // no rate is low enough
	}
	begin := s.Traffic.RPS
	low, high := 0.0, math.Inf(1)
	open := func() bool { return math.IsInf(high, 1) || high-low > kneeStep*high }
	for rate := begin; open() && rate >= begin/1024 && rate <= begin*(1<<40); {
		held, err := try(rate)
		if err != nil {
			return 0, trials, err
		}
		if held {
			low = rate
		} else {
			high = rate
		}
		switch {
		case math.IsInf(high, 1):
			rate = 2 * low
		case low == 0:
			rate = high / 2
		default:
			rate = (low + high) / 2
		}
	}
	return low, trials, nil
}

// sampled is how many replicas stand for all of a larger fleet in a curve.
const sampled = 4

// curveSeconds is the traffic that a trial of a curve has, if the whole has as much: queues that grow by 2 % show in
// it.
const curveSeconds = 60

// Scaled gives a setup of at most 4 replicas with their share of the traffic, and by what to multiply its rates to
// have the fleet's. A larger fleet evens requests out a little better.
func Scaled(s Setup) (Setup, float64) {
	scale := float64(s.Replicas) / float64(min(s.Replicas, sampled))
	s.Replicas = min(s.Replicas, sampled)
	s.Traffic.RPS /= scale
	s.Traffic.Requests = max(small, min(s.Traffic.Requests, int(curveSeconds*s.Traffic.RPS)))
	return s, scale
}

// Curve simulates a setup at several rates, side by side.
func Curve(ctx context.Context, s Setup, rates []float64) ([]*Result, error) {
	results := make([]*Result, len(rates))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, rps := range rates {
		g.Go(func() (err error) {
			at := s
			at.Traffic.RPS = rps
			results[i], err = steady(ctx, at)
			return err
		})
	}
	return results, g.Wait()
}
