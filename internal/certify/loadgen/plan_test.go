package loadgen

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/testcases"
	"pgregory.net/rapid"
)

func TestPoissonIsAPoissonProcess(t *testing.T) {
	const rps = 50.0
	offsets := Poisson(1, rps, 2000*time.Second, 0)
	n := float64(len(offsets))
	if math.Abs(n-100000) > 4*math.Sqrt(100000) {
		t.Errorf("%g arrivals in 2,000 s at %g/s", n, rps)
	}
	// Gaps are exponential: their mean and standard deviation are 1/λ, and a share of e^−1 is longer than the mean.
	var sum, squares, longer float64
	last := time.Duration(0)
	for _, o := range offsets {
		g := (o - last).Seconds() * rps
		sum, squares, last = sum+g, squares+g*g, o
		if g > 1 {
			longer++
		}
	}
	if mean := sum / n; math.Abs(mean-1) > 0.02 || math.Abs(squares/n-2) > 0.08 || math.Abs(longer/n-1/math.E) > 0.01 {
		t.Errorf("gaps in units of the mean: mean %g, mean square %g, longer than the mean %g", mean, squares/n,
			longer/n)
	}
}

func TestSchedules(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		rps := rapid.Float64Range(0.5, 500).Draw(t, "rps")
		d := time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond
		atLeast := rapid.IntRange(0, 200).Draw(t, "at least")
		a, b := Poisson(seed, rps, d, atLeast), Poisson(seed, rps, d, atLeast)
		if !slices.Equal(a, b) {
			t.Fatal("the same seed gave two schedules")
		}
		c := Constant(rps, d, atLeast)
		for _, s := range [][]time.Duration{a, c} {
			if len(s) < atLeast || !slices.IsSorted(s) || len(s) > atLeast && s[len(s)-1] >= d && len(s) > 0 {
				t.Fatalf("%d arrivals, at least %d, within %v: %v", len(s), atLeast, d, s)
			}
		}
		if want := int(math.Ceil(d.Seconds() * rps)); atLeast == 0 && (len(c) < want-1 || len(c) > want+1) {
			t.Fatalf("%d constant arrivals, want %d", len(c), want)
		}
	})
	if got := Constant(10, 300*time.Millisecond, 0); !slices.Equal(got,
		[]time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond}) {
		t.Errorf("constant arrivals: %v", got)
	}
	for _, rps := range []float64{0, -1, math.NaN()} {
		if got := Poisson(1, rps, time.Second, 5); got != nil {
			t.Errorf("%g arrivals a second: %v", rps, got)
		}
	}
}

func TestPlanIsValidated(t *testing.T) {
	job := func(int) Job { return Job{} }
	for name, p := range map[string]Plan{
		"no Make":          {Kind: testcases.KindClosed, Concurrency: 1, Requests: 1},
		"no offsets":       {Kind: testcases.KindOpen, Make: job},
		"falling offsets":  {Kind: testcases.KindOpen, Make: job, Offsets: []time.Duration{2, 1}},
		"negative offset":  {Kind: testcases.KindOpen, Make: job, Offsets: []time.Duration{-1}},
		"no concurrency":   {Kind: testcases.KindClosed, Make: job, Requests: 1},
		"no end":           {Kind: testcases.KindClosed, Make: job, Concurrency: 1},
		"empty batch":      {Kind: testcases.KindBatch, Make: job},
		"negative cap":     {Kind: testcases.KindBatch, Make: job, Requests: 1, Cap: -1},
		"negative timings": {Kind: testcases.KindBatch, Make: job, Requests: 1, Ramp: -1},
	} {
		if _, err := Run(t.Context(), nil, time.Now(), p); !errors.Is(err, ErrPlan) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
