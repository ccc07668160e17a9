package stats

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*math.Max(1, math.Abs(want))) {
		t.Errorf("%s = %.12g, want %.12g", what, got, want)
	}
}

func TestRateIntervalGolden(t *testing.T) {
	for _, c := range []struct {
		count  int
		conf   float64
		lo, hi float64 // quantiles of the gamma distribution, from SciPy 1.10.1
	}{
		{0, .95, 0, 3.6888794541139354}, {1, .99, 0.005012541823544286, 7.430129500280121},
		{10, .95, 4.7953886961324335, 18.39035604201778}, {500, .95, 457.1285768996295, 545.8092685651714},
		{3000, .95, 2893.5986209846637, 3109.313530471967}, {30000, .99, 29555.731720444746, 30449.032299633327},
	} {
		rate, lo, hi := RateInterval(c.count, 10, c.conf)
		near(t, "rate", rate, float64(c.count)/10, 1e-15)
		near(t, "lower bound", lo, c.lo/10, 1e-9)
		near(t, "upper bound", hi, c.hi/10, 1e-9)
	}
	for _, bad := range [][3]float64{{-1, 1, .9}, {1, 0, .9}, {1, -1, .9}, {1, math.NaN(), .9}, {1, 1, 0}, {1, 1, 1}} {
		if rate, lo, hi := RateInterval(int(bad[0]), bad[1], bad[2]); !math.IsNaN(rate) || !math.IsNaN(lo) ||
			!math.IsNaN(hi) {
			t.Errorf("RateInterval(%v) = %g, %g, %g, want NaN", bad, rate, lo, hi)
		}
	}
}

func TestWilsonGolden(t *testing.T) {
	for _, c := range []struct {
		k, n         int
		conf, lo, hi float64 // from SciPy 1.10.1
	}{
		{10, 100, .95, 0.05522913706067508, 0.17436566150491345}, {0, 20, .95, 0, 0.16112515805281935},
		{20, 20, .99, 0.7508945989012464, 1}, {1, 1000, .99, 0.00011741635361832165, 0.008460566219981695},
		{0, 0, .95, 0, 1}, {5, 3, .95, 0, 1}, {-1, 3, .95, 0, 1},
	} {
		lo, hi := Wilson(c.k, c.n, c.conf)
		near(t, "lower bound", lo, c.lo, 1e-12)
		near(t, "upper bound", hi, c.hi, 1e-12)
	}
}

// ar1 is a series x_i = mean + s_i, s_i = phi·s_{i−1} + √(1−phi²)·e_i: deviation 1, ρ₁ = phi.
func ar1(rng *rand.Rand, n int, mean, phi float64) []float64 {
	x := make([]float64, n)
	s := rng.NormFloat64()
	for i := range x {
		x[i] = mean + s
		s = phi*s + math.Sqrt(1-phi*phi)*rng.NormFloat64()
	}
	return x
}

func TestEffectiveN(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, phi := range []float64{0, 0.3, 0.6, 0.9} {
		n := 200000
		near(t, "n of an AR(1) series", EffectiveN(ar1(rng, n, 5, phi))/float64(n), (1-phi)/(1+phi), 0.02)
	}
	alternating := []float64{1, 2, 1, 2, 1, 2, 1, 2}
	if got := EffectiveN(alternating); got != 8 {
		t.Errorf("negative correlation gives %g, more than the sample has", got)
	}
	for n := range 4 {
		if got := EffectiveN(make([]float64, n)); got != float64(n) {
			t.Errorf("%d equal values are worth %g", n, got)
		}
	}
}

// TestMeanIntervalCovers draws many series with a known mean: the 95 % interval must contain it about that often, with
// correlation, with skew and with few samples.
func TestMeanIntervalCovers(t *testing.T) {
	exponential := func(rng *rand.Rand, n int) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = rng.ExpFloat64()
		}
		return x
	}
	for _, c := range []struct {
		name  string
		draw  func(*rand.Rand) []float64
		mean  float64
		least float64 // share of covering intervals; the nominal share is 0.95
	}{
		{"independent", func(r *rand.Rand) []float64 { return ar1(r, 200, 7, 0) }, 7, 0.92},
		{"correlated 0.5", func(r *rand.Rand) []float64 { return ar1(r, 400, 7, 0.5) }, 7, 0.90},
		{"correlated 0.8", func(r *rand.Rand) []float64 { return ar1(r, 1000, 7, 0.8) }, 7, 0.90},
		{"skewed", func(r *rand.Rand) []float64 { return exponential(r, 100) }, 1, 0.90},
		{"few", func(r *rand.Rand) []float64 { return ar1(r, 12, 7, 0) }, 7, 0.90},
	} {
		rng := rand.New(rand.NewPCG(7, 11))
		const runs = 300
		covered := 0
		for i := range runs {
			mean, lo, hi := MeanInterval(c.draw(rng), 0.95, uint64(i))
			if !(lo <= mean && mean <= hi) {
				t.Fatalf("%s: mean %g is outside of [%g, %g]", c.name, mean, lo, hi)
			}
			if lo <= c.mean && c.mean <= hi {
				covered++
			}
		}
		share := float64(covered) / runs
		t.Logf("%s: %.3f", c.name, share)
		if share < c.least || share > 0.995 {
			t.Errorf("%s: a 95 %% interval covers the mean in %.1f %% of runs", c.name, 100*share)
		}
	}
}

func TestMeanIntervalNarrowsWithTheRoot(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	width := func(n int) float64 {
		_, lo, hi := MeanInterval(ar1(rng, n, 0, 0), 0.99, 1)
		return hi - lo
	}
	near(t, "width for 10,000 independent samples", width(10000), 2*2.576/100, 0.01)
	near(t, "ratio of widths", width(2500)/width(40000), 4, 0.15)
}

func TestMeanIntervalEdges(t *testing.T) {
	if mean, lo, hi := MeanInterval(nil, 0.99, 1); !math.IsNaN(mean) || !math.IsNaN(lo) || !math.IsNaN(hi) {
		t.Errorf("of nothing: %g %g %g", mean, lo, hi)
	}
	if mean, lo, hi := MeanInterval([]float64{3}, 0.99, 1); mean != 3 || !math.IsInf(lo, -1) || !math.IsInf(hi, 1) {
		t.Errorf("of one: %g %g %g", mean, lo, hi)
	}
	if mean, lo, hi := MeanInterval([]float64{0.1, 0.1, 0.1, 0.1, 0.1, 0.1}, 0.99, 1); mean != 0.1 || lo != 0.1 ||
		hi != 0.1 {
		t.Errorf("of a constant: %g %g %g", mean, lo, hi)
	}
}

func TestMeanIntervalIsDeterministic(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.Float64Range(0, 1e9), 2, 300).Draw(t, "x")
		seed := rapid.Uint64().Draw(t, "seed")
		m1, lo1, hi1 := MeanInterval(x, 0.99, seed)
		m2, lo2, hi2 := MeanInterval(x, 0.99, seed)
		if m1 != m2 || lo1 != lo2 || hi1 != hi2 {
			t.Fatal("the same series and seed gave two intervals")
		}
		if !(lo1 <= m1 && m1 <= hi1) {
			t.Fatalf("mean %g is outside of [%g, %g]", m1, lo1, hi1)
		}
	})
}

func BenchmarkMeanInterval(b *testing.B) {
	x := ar1(rand.New(rand.NewPCG(1, 1)), 30000, 100, 0.5)
	for b.Loop() {
		MeanInterval(x, 0.99, 1)
	}
}

// TestDrawsAreThoseOfTheStandardLibrary: an interval depends only on its seed, in reports of any version.
func TestDrawsAreThoseOfTheStandardLibrary(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 64, 1000, 5003, 1 << 20, 3 << 29, math.MaxInt32 - 1, math.MaxInt32, 1 << 32,
		5 << 40} {
		source, standard := rand.NewPCG(uint64(n), 2), rand.New(rand.NewPCG(uint64(n), 2))
		for i := range 5000 {
			if got, want := intN(source, n), standard.IntN(n); got != want {
				t.Fatalf("draw %d below %d is %d, want %d", i, n, got, want)
			}
		}
	}
}

func BenchmarkIntN(b *testing.B) {
	b.Run("here", func(b *testing.B) {
		source := rand.NewPCG(1, 2)
		for b.Loop() {
			intN(source, 1000)
		}
	})
	b.Run("standard", func(b *testing.B) {
		r := rand.New(rand.NewPCG(1, 2))
		for b.Loop() {
			r.IntN(1000)
		}
	})
}
