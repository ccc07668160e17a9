package traffic

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// Arrivals makes the schedule of an open phase with stages or gamma gaps: a process of rate 1 is drawn, scaled so that
// it has as many arrivals as the stages have on average, and laid along them (time is warped by the cumulated rate).
// So the offered rate is what the case asks for, and not off by the luck of the draw. rate and length stand for one
// stage where the phase has none.
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
	var before, begin float64 // arrivals and seconds before the stage
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

// unit gives n rising arrivals in [0, 1).
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

// within is how many seconds into a stage its rate has added up to x arrivals.
func within(s testcases.Stage, x float64) float64 {
	slope := (s.End() - s.RPS) / s.DurationS
	x = max(x, 0)
	root := math.Sqrt(max(s.RPS*s.RPS+2*slope*x, 0))
	if s.RPS+root == 0 {
		return 0
	}
	return min(2*x/(s.RPS+root), s.DurationS) // the quadratic's root in the form that loses no digits
}
