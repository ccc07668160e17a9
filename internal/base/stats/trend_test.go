package stats

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

func TestTheilSenPublished(t *testing.T) { // SciPy 1.10.1, theilslopes
	x, y := []float64{1, 2, 3, 4, 6, 8, 9, 10, 12, 15}, []float64{5.0, 6.1, 5.9, 8.2, 10.4, 9.9, 14.0, 13.5, 20.0,
		18.2}
	for _, c := range []struct {
		x, y                []float64
		conf, slope, lo, hi float64
	}{
		{x, y, .95, 1.075, 0.8666666666666666, 1.3636363636363635},
		{x, y, .99, 1.075, 0.7, 1.5666666666666667},
	} {
		slope, lo, hi := TheilSen(c.x, c.y, c.conf)
		near(t, "slope", slope, c.slope, 1e-12)
		near(t, "lower bound", lo, c.lo, 1e-12)
		near(t, "upper bound", hi, c.hi, 1e-12)
	}
}

func TestTheilSenFindsALine(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(3, 60).Draw(t, "n")
		slope := float64(rapid.IntRange(-1000, 1000).Draw(t, "slope"))
		x, y := make([]float64, n), make([]float64, n)
		for i := range x {
			x[i] = float64(i)
			y[i] = 7 + slope*x[i]
		}
		wild := (n - 1) / 5 // outliers that least squares would follow
		for i := range wild {
			y[i*5] += 1e6
		}
		got, lo, hi := TheilSen(x, y, 0.95)
		if wild == 0 && got != slope || !(lo <= slope && slope <= hi) {
			t.Fatalf("slope %g in [%g, %g], want %g", got, lo, hi, slope)
		}
	})
}

func TestTheilSenCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	const runs = 600
	covered := 0
	for range runs {
		x, y := make([]float64, 40), ar1(rng, 40, 0, 0)
		for i := range x {
			x[i] = float64(i)
			y[i] += 0.3 * x[i]
		}
		if _, lo, hi := TheilSen(x, y, 0.95); lo <= 0.3 && 0.3 <= hi {
			covered++
		}
	}
	if lo, hi := Wilson(covered, runs, 0.999); !(lo <= 0.95 && 0.95 <= hi) {
		t.Errorf("a 95 %% interval covers the slope in %d of %d runs", covered, runs)
	}
}

func TestTheilSenEdges(t *testing.T) {
	for _, c := range [][2][]float64{{nil, nil}, {{1}, {1}}, {{1, 1, 1}, {1, 2, 3}}, {{1, 2}, {1}}} {
		if slope, _, _ := TheilSen(c[0], c[1], 0.95); !math.IsNaN(slope) {
			t.Errorf("TheilSen(%v) = %g, want NaN", c, slope)
		}
	}
	if slope, lo, hi := TheilSen([]float64{0, 2}, []float64{1, 5}, 0.95); slope != 2 || !math.IsInf(lo, -1) ||
		!math.IsInf(hi, 1) {
		t.Errorf("two points: %g [%g, %g]", slope, lo, hi)
	}
	long, line := make([]float64, 50000), make([]float64, 50000)
	for i := range long {
		long[i], line[i] = float64(i), 3*float64(i)
	}
	if slope, lo, hi := TheilSen(long, line, 0.95); slope != 3 || lo != 3 || hi != 3 {
		t.Errorf("a long line: %g [%g, %g]", slope, lo, hi)
	}
}

func TestSteadyFrom(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 8))
	for _, start := range []int{0, 50, 120} { // an exponential approach over start/3 samples to a level of 10
		x := ar1(rng, 500, 10, 0)
		for i := range x {
			if start > 0 {
				x[i] += 40 * math.Exp(-float64(i)/(float64(start)/3))
			}
		}
		from, ok := SteadyFrom(x)
		if !ok || from > 2*start+100 || start > 0 && from < start/2 {
			t.Errorf("a start-up of %d: steady from %d, %v", start, from, ok)
		}
	}
	rising := make([]float64, 300)
	for i := range rising {
		rising[i] = float64(i) + rng.NormFloat64()
	}
	if from, ok := SteadyFrom(rising); ok {
		t.Errorf("a series that only rises is called steady from %d", from)
	}
	if _, ok := SteadyFrom(make([]float64, 49)); ok {
		t.Error("49 samples are too few")
	}
	if from, ok := SteadyFrom(make([]float64, 50)); !ok || from != 0 {
		t.Errorf("a constant: from %d, %v", from, ok)
	}
}

func TestLittleError(t *testing.T) {
	for _, c := range [][4]float64{{10, 50, 0.2, 0}, {10, 50, 0.19, 0.05}, {10, 50, 0.21, 0.05}, {0, 0, 5, 0},
		{0, 1, 1, math.Inf(1)}} {
		if got := LittleError(c[0], c[1], c[2]); got != c[3] && math.Abs(got-c[3]) > 1e-12 {
			t.Errorf("LittleError(%g, %g, %g) = %g, want %g", c[0], c[1], c[2], got, c[3])
		}
	}
}
