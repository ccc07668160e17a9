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

// Demand is the set of targets.
type Demand struct {
	Objectives []slo.Objective
	// Refused is the share of requests that may be refused.
	Refused float64
}

// Held says whether a result meets the demand.
func (d *Demand) Held(r *Result) bool {
	return len(r.Misses(d.Objectives)) == 0 && float64(r.Refused) <= d.Refused*float64(r.Refused+r.Completed) &&
		!r.growing()
}

// steady simulates a setup for at least eight times its shortest latency: in a shorter simulation the number of
// requests under way grows even without an overload.
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

// small is the number of requests in a simulation that only guides a search.
const small = 3000

// Replicas finds the least number of replicas, up to most, that meet the demand at the traffic's rate. It returns the
// trials at that rate in their order. If not even most replicas meet it, the error matches ErrImpossible. The search
// begins at the rate that one replica can serve alone: many together serve a little more each.
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
		// Change by a tenth until both sides are known, then bisect.
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

// oneReplica returns the highest rate that one replica can serve alone.
func oneReplica(ctx context.Context, s Setup, d Demand) (float64, error) {
	s.Replicas = 1
	s.Traffic.RPS, s.Traffic.Requests = 1, small
	rps, trials, err := Knee(ctx, s, d)
	if err != nil || rps > 0 {
		return rps, err
	}
	// Not even 1 % of a request per second: then the number of replicas makes no difference.
	return 0, fmt.Errorf("%w by any number of replicas: alone with one request, %s", ErrImpossible,
		why(&trials[len(trials)-1], d))
}

// why says which target a trial missed.
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

// Knee finds the highest rate at which the setup's replicas meet the demand, within 1 %. It returns the trials in
// their order; a rate of 0 means that none is met, down to a thousandth of the traffic's rate. Each trial has as many
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

// sampled is how many replicas represent all replicas of a larger setup in a curve.
const sampled = 4

// curveSeconds is the length of a trial's traffic in a curve, if the traffic is that long: a queue that grows by 2 %
// shows in it.
const curveSeconds = 60

// Scaled returns a setup of at most 4 replicas with their share of the traffic, and the factor from its rates to those
// of the whole setup. A larger setup distributes requests a little more evenly.
func Scaled(s Setup) (Setup, float64) {
	scale := float64(s.Replicas) / float64(min(s.Replicas, sampled))
	s.Replicas = min(s.Replicas, sampled)
	s.Traffic.RPS /= scale
	s.Traffic.Requests = max(small, min(s.Traffic.Requests, int(curveSeconds*s.Traffic.RPS)))
	return s, scale
}

// Curve simulates a setup at several rates in parallel.
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
