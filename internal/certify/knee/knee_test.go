package knee_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/certify/knee"
)

// station is a server in virtual time. It processes a number of requests at once; others queue in the order of their
// arrival.
type station struct {
	places  int
	service func(r *rand.Rand) float64 // seconds
}

// open offers a rate for some seconds and returns what a step measures. limit makes the objective.
func (s station) open(r *rand.Rand, rate, length float64,
	objective func(latencies []float64) []knee.Objective) knee.Measured {
	n := int(rate * length)
	at, t := make([]float64, n), 0.0
	for i := range at { // arrivals of a Poisson process with n arrivals in this time
		t += r.ExpFloat64()
		at[i] = t
	}
	t += r.ExpFloat64()
	for i := range at {
		at[i] *= length / t
	}
	free, done, latencies := make([]float64, s.places), make([]float64, n), make([]float64, 0, n)
	for i, t := range at {
		k := 0
		for j := range free {
			if free[j] < free[k] {
				k = j
			}
		}
		free[k] = math.Max(free[k], t) + s.service(r)
		done[i] = free[k]
	}
	const parts = 60
	ramp := length * 0.1
	arrived, answered := make([]float64, parts), make([]float64, parts)
	width := (length - ramp) / parts
	count := func(t float64, in []float64) {
		if k := int((t - ramp) / width); t >= ramp && k < parts {
			in[k]++
		}
	}
	for i, t := range at {
		count(t, arrived)
		count(done[i], answered)
		if t >= ramp {
			latencies = append(latencies, (done[i]-t)*1000)
		}
	}
	return knee.Measured{Rate: rate, Requests: len(latencies), Arrived: arrived, Answered: answered,
		PartS: width, Objectives: objective(latencies)}
}

func percentile(p, limit float64) func([]float64) []knee.Objective {
	return func(x []float64) []knee.Objective {
		bad := make([]bool, len(x))
		for i, v := range x {
			bad[i] = v > limit
		}
		return []knee.Objective{{Name: "latency", Allowed: 1 - p, Bad: bad, Of: x}}
	}
}

func mean(limit float64) func([]float64) []knee.Objective {
	return func(x []float64) []knee.Objective { return []knee.Objective{{Name: "latency", Limit: limit, Mean: x}} }
}

func nothing([]float64) []knee.Objective { return nil }

// servers have known knees: from their service times, from the formulas of the M/M/1 queue, or from how much each
// answer slows down with the number of answers under way.
var servers = []struct {
	name   string
	knee   float64
	search knee.Search
	length float64 // length of a first step, in seconds
	step   func(r *rand.Rand, load, length float64) knee.Measured
}{
	{"four places of 100 ms", 40, knee.Search{From: 1, To: 128, Within: 0.04, Most: 24}, 120,
		func(r *rand.Rand, load, length float64) knee.Measured {
			s := station{4, func(*rand.Rand) float64 { return 0.1 }}
			return s.open(r, load, length, nothing)
		}},
	{"M/M/1, mean below 100 ms", 50 - 1/0.1, knee.Search{From: 1, To: 64, Within: 0.04, Most: 24}, 600,
		func(r *rand.Rand, load, length float64) knee.Measured {
			s := station{1, func(r *rand.Rand) float64 { return r.ExpFloat64() / 50 }}
			return s.open(r, load, length, mean(100))
		}},
	{"M/M/1, p99 below 500 ms", 50 - math.Log(100)/0.5, knee.Search{From: 1, To: 64, Within: 0.04, Most: 24}, 900,
		func(r *rand.Rand, load, length float64) knee.Measured {
			s := station{1, func(r *rand.Rand) float64 { return r.ExpFloat64() / 50 }}
			return s.open(r, load, length, percentile(0.99, 500))
		}},
	{"a batch that slows down", 80, knee.Search{From: 1, To: 256, Whole: true, Within: 0.04, Most: 24}, 60,
		// 10 ms per token, and 0.5 ms more for each answer under way
		func(r *rand.Rand, load, length float64) knee.Measured {
			x := make([]float64, int(load*length/5))
			for i := range x {
				x[i] = (10 + 0.5*load) * (1 + 0.1*r.NormFloat64())
			}
			return knee.Measured{Requests: len(x), Objectives: mean(50.2)(x)}
		}},
}

// find runs one search.
func find(seed uint64, i int) (s knee.Search, k knee.Knee, steps []knee.Step) {
	server := servers[i]
	s = server.search
	const confidence = 0.95
	alpha := (1 - confidence) / float64(s.Most)
	for {
		load, times, more := s.Next(steps)
		if !more {
			return s, s.Knee(steps), steps
		}
		r := rand.New(rand.NewPCG(seed, uint64(len(steps))))
		o := knee.Decide(server.step(r, load, server.length*float64(times)), alpha, s.Within/2)
		steps = append(steps, knee.Step{Load: load, Times: times, Verdict: o.Verdict, Likely: o.Likely})
	}
}

// TestTheKneeIsFound: 20 of 20 searches find the knee within 3 %, and if both its ends are proven, they enclose it.
func TestTheKneeIsFound(t *testing.T) {
	for i, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			worst, located, taken, wrong := 0.0, 0, 0, 0
			for seed := range uint64(20) {
				s, k, steps := find(seed, i)
				off := math.Abs(k.Best/server.knee - 1)
				worst, taken = math.Max(worst, off), taken+len(steps)
				if s.Located(k) {
					located++
				}
				// Half of Within may add to the backlog while the server still counts as keeping up.
				if k.Low > server.knee*(1+s.Within/2) || k.High > 0 && k.High < server.knee {
					wrong++
				}
				if off > 0.03 {
					t.Errorf("seed %d: %+v, want %g; steps %+v", seed, k, server.knee, steps)
				}
			}
			if wrong > 1 { // 95 % must be right
				t.Errorf("the interval misses the knee in %d of 20 searches", wrong)
			}
			t.Logf("off by %.1f %% at most, located %d of 20, wrong %d, %.1f steps", 100*worst, located, wrong,
				float64(taken)/20)
		})
	}
}

// TestTheSearchEndsAndEnclosesTheKnee for servers without noise, wherever the knee is, and with steps that miss
// because of a disturbance.
func TestTheSearchEndsAndEnclosesTheKnee(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		from := rapid.Float64Range(0.1, 10).Draw(t, "from")
		s := knee.Search{From: from, To: from * rapid.Float64Range(1.5, 500).Draw(t, "range"),
			Within: rapid.Float64Range(0.01, 0.3).Draw(t, "within"), Most: 60,
			Whole: rapid.Bool().Draw(t, "whole")}
		if s.Whole {
			s.From, s.To = math.Ceil(s.From), math.Ceil(s.To)+1
		}
		truth := rapid.Float64Range(s.From/2, s.To*2).Draw(t, "knee")
		moment := rapid.IntRange(0, 12).Draw(t, "bad moment")
		var steps []knee.Step
		for {
			load, times, more := s.Next(steps)
			if !more {
				break
			}
			if load < s.From || load > s.To || times < 1 || times > 4 || s.Whole && load != math.Round(load) {
				t.Fatalf("next: %g, %d times", load, times)
			}
			x := knee.Step{Load: load, Times: times, Verdict: knee.Missed}
			if load <= truth {
				x.Verdict, x.Likely = knee.Held, true
			}
			if len(steps) == moment {
				x.Verdict, x.Likely = knee.Unclear, false
			}
			steps = append(steps, x)
		}
		k := s.Knee(steps)
		switch {
		case len(steps) >= s.Most:
			t.Fatalf("no end: %+v", steps)
		case truth < s.From && !k.Below, truth >= s.To && !k.Above:
			t.Fatalf("%g: %+v after %+v", truth, k, steps)
		case truth < s.From || truth >= s.To:
		case k.Low > truth || k.High <= truth || !s.Located(k):
			t.Fatalf("%+v does not enclose %g after %+v", k, truth, steps)
		}
	})
}

// TestABacklogThatAddsUpNeverComesBack: for a queue that receives 2.5 % more than it serves, the test must not err
// more often than it states. For a queue at half load, a few hundred requests must suffice to show that the backlog
// comes back.
func TestABacklogThatAddsUpNeverComesBack(t *testing.T) {
	const alpha, runs = 0.0025, 4000
	held := func(load float64, requests int) (share float64) {
		r := rand.New(rand.NewPCG(11, uint64(requests)))
		for range runs {
			s := station{1, func(r *rand.Rand) float64 { return r.ExpFloat64() }}
			m := s.open(r, load, float64(requests)/load, nothing)
			if knee.Decide(m, alpha, 0.025).Verdict == knee.Held {
				share += 1.0 / runs
			}
		}
		return share
	}
	for _, n := range []int{60, 200, 800} {
		if share := held(1.025, n); share > 2*alpha {
			t.Errorf("%d requests at 2.5 %% too much: held in %.2f %%", n, 100*share)
		}
	}
	if share := held(0.5, 600); share < 0.8 {
		t.Errorf("600 requests at half of the capacity: held in %.0f %% only", 100*share)
	}
}
