package traffic

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// Arrivals makes the schedule of an open phase with stages or gamma gaps. It draws a process with as many arrivals as
// the stages have on average, and maps it to times by the cumulative rate. So the offered rate is exactly what the
// case asks for, and does not vary with the draw. If the phase has no stages, it is one stage with the given rate. The
// result is sorted.
func Arrivals(seed uint64, ph testcases.Phase, rate float64) []time.Duration {
	stages := ph.Stages
	if len(stages) == 0 {
		n := max(float64(ph.Requests), math.Round(rate*ph.DurationS), 1)
		stages = []testcases.Stage{{DurationS: n / rate, RPS: rate}}
	}
	total := 0.0
	for _, s := range stages {
		total += s.Arrivals()
	}
	n := max(int(math.Round(total)), 1)
	at := unit(seed, n, ph)
	out := make([]time.Duration, n)
	var before, begin float64 // arrivals and seconds before the current stage
	k := 0
	for i, x := range at {
		x *= total
		for k < len(stages)-1 && x >= before+stages[k].Arrivals() {
			before, begin = before+stages[k].Arrivals(), begin+stages[k].DurationS
			k++
		}
		out[i] = time.Duration((begin + within(stages[k], x-before)) * float64(time.Second))
	}
	return out
}

// unit draws n arrivals in [0, 1), sorted.
func unit(seed uint64, n int, ph testcases.Phase) []float64 {
	out := make([]float64, n)
	if ph.Arrivals == testcases.ArrivalsConstant {
		for i := range out {
			out[i] = float64(i) / float64(n)
		}
		return out
	}
	rng, at := rand.New(rand.NewPCG(seed, 0x7374616765)), 0.0
	gap := func() float64 {
		if ph.Burstiness > 0 && ph.Burstiness != 1 {
			return gamma(rng, ph.Burstiness)
		}
		return rng.ExpFloat64()
	}
	for i := range out {
		at += gap()
		out[i] = at
	}
	at += gap()
	for i := range out {
		out[i] /= math.Max(at, math.SmallestNonzeroFloat64)
	}
	return out
}

// within is the number of seconds into a stage after which its cumulative rate reaches x arrivals.
func within(s testcases.Stage, x float64) float64 {
	slope := (s.End() - s.RPS) / s.DurationS
	x = max(x, 0)
	root := math.Sqrt(max(s.RPS*s.RPS+2*slope*x, 0))
	if s.RPS+root == 0 {
		return 0
	}
	return min(2*x/(s.RPS+root), s.DurationS) // the root of the quadratic in the form without cancellation
}
