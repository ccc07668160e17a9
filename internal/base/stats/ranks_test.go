package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

func TestMannWhitneyPublished(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b []float64
		p    float64
		sign float64
	}{
		// Hollander and Wolfe, Nonparametric Statistical Methods, table 4.1: W = 15, one-sided p = 0.1272.
		{"exact", []float64{0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46},
			[]float64{1.15, 0.88, 0.90, 0.74, 1.21}, 0.2544122544122544, -1},
		{"exact, small", []float64{19, 22, 16, 29, 24}, []float64{20, 11, 17, 12}, 0.1111111111111111, -1},
		// With ties: SciPy 1.10.1, asymptotic with continuity.
		{"ties", []float64{1, 2, 2, 3, 5, 5, 5, 8, 9, 10}, []float64{2, 4, 5, 6, 7, 7, 9, 10, 11, 12, 13, 5},
			0.09019199636208906, 1},
	} {
		z, p := MannWhitney(c.a, c.b)
		near(t, c.name, p, c.p, 1e-12)
		if z*c.sign <= 0 {
			t.Errorf("%s: z = %g has the wrong sign", c.name, z)
		}
	}
}

func TestMannWhitneyProperties(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		value := rapid.Custom(func(t *rapid.T) float64 { return float64(rapid.IntRange(0, 30).Draw(t, "v")) })
		a := rapid.SliceOfN(value, 1, 40).Draw(t, "a")
		b := rapid.SliceOfN(value, 1, 40).Draw(t, "b")
		z, p := MannWhitney(a, b)
		zr, pr := MannWhitney(b, a)
		if math.Abs(z+zr) > 1e-9 || math.Abs(p-pr) > 1e-9 || !(p >= 0 && p <= 1) {
			t.Fatalf("z %g and %g, p %g and %g: exchange of samples must change the sign only", z, zr, p, pr)
		}
		if auc := AUC(b, a); (auc > 0.5) != (z > 0) && z != 0 {
			t.Fatalf("AUC %g against z %g", auc, z)
		}
	})
	if z, p := MannWhitney(nil, []float64{1}); z != 0 || p != 1 {
		t.Errorf("of nothing: z %g, p %g", z, p)
	}
	if z, p := MannWhitney([]float64{2, 2, 2}, []float64{2, 2}); z != 0 || p != 1 {
		t.Errorf("of equal values: z %g, p %g", z, p)
	}
}

// TestMannWhitneyFalseAlarms: equal distributions are called different about as often as the level allows.
func TestMannWhitneyFalseAlarms(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const runs = 2000
	for _, n := range []int{8, 60} { // exact and approximated
		alarms := 0
		for range runs {
			if _, p := MannWhitney(ar1(rng, n, 0, 0), ar1(rng, n, 0, 0)); p < 0.05 {
				alarms++
			}
		}
		if lo, hi := Wilson(alarms, runs, 0.999); !(lo <= 0.05 && 0.03 < hi) {
			t.Errorf("n = %d: %d alarms of %d at level 0.05", n, alarms, runs)
		}
	}
}

func TestHodgesLehmann(t *testing.T) {
	a := []float64{0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}
	b := []float64{1.15, 0.88, 0.90, 0.74, 1.21}
	near(t, "Hollander and Wolfe's example", HodgesLehmann(a, b), -0.305, 1e-12)
	if got := HodgesLehmann(nil, b); !math.IsNaN(got) {
		t.Errorf("of nothing: %g", got)
	}
	property.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.Float64Range(-1e9, 1e9), 1, 30).Draw(t, "a")
		b := rapid.SliceOfN(rapid.Float64Range(-1e9, 1e9), 1, 30).Draw(t, "b")
		var all []float64
		for _, x := range a {
			for _, y := range b {
				all = append(all, y-x)
			}
		}
		slices.Sort(all)
		n := len(all)
		want := all[n/2]
		if n%2 == 0 {
			want = all[n/2-1] + (all[n/2]-all[n/2-1])/2
		}
		if got := HodgesLehmann(a, b); got != want {
			t.Fatalf("got %g, the median of %d differences is %g", got, n, want)
		}
	})
}

func TestAUC(t *testing.T) {
	for _, c := range []struct {
		pos, neg []float64
		want     float64
	}{
		{[]float64{2, 3}, []float64{0, 1}, 1}, {[]float64{0, 1}, []float64{2, 3}, 0},
		{[]float64{1, 1}, []float64{1}, 0.5}, {[]float64{0.35, 0.8}, []float64{0.1, 0.4}, 0.75},
	} {
		if got := AUC(c.pos, c.neg); got != c.want {
			t.Errorf("AUC(%v, %v) = %g, want %g", c.pos, c.neg, got, c.want)
		}
	}
	if got := AUC(nil, []float64{1}); !math.IsNaN(got) {
		t.Errorf("without positives: %g", got)
	}
}
