package stats

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

func TestPercentileIsAnOrderStatistic(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for _, c := range []struct {
		sorted []float64
		p      float64
		want   float64
	}{
		{hundred, 0.50, 50}, {hundred, 0.90, 90}, {hundred, 0.95, 95}, {hundred, 0.99, 99}, {hundred, 0.999, 100},
		{hundred, 0.07, 7}, {hundred, 0.29, 29}, // in binary, their products with 100 are above the integer
		{hundred, 0, 1}, {hundred, 1, 100}, {hundred, 0.001, 1}, {hundred, -1, 1}, {hundred, 2, 100},
		{[]float64{5}, 0.99, 5}, {[]float64{1, 2, 3}, 0.5, 2}, {[]float64{1, 2, 3, 4}, 0.5, 2},
		{[]float64{1, 2, 3, 4}, 0.51, 3},
	} {
		if got := Percentile(c.sorted, c.p); got != c.want {
			t.Errorf("Percentile(%d values, %g) = %g, want %g", len(c.sorted), c.p, got, c.want)
		}
	}
	if got := Percentile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("of nothing: %g, want NaN", got)
	}
}

func TestPercentileHoldsItsShare(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 1, 200).Draw(t, "x")
		p := rapid.Float64Range(0.001, 0.999).Draw(t, "p")
		slices.Sort(x)
		v := Percentile(x, p)
		n := float64(len(x))
		atMost, below := 0.0, 0.0
		for _, y := range x {
			if y <= v {
				atMost++
			}
			if y < v {
				below++
			}
		}
		if atMost < p*n*(1-1e-9) || below > p*n*(1+1e-9) {
			t.Fatalf("P%g = %g of %v: %g at most it, %g below", p, v, x, atMost, below)
		}
	})
}

// The samples needed for 0, 1, 2, 5, 10, 20, 50, 100 and 200 above the limit at 99 % confidence, by MLPerf's formula.
var golden = map[float64][9]int{
	0.50:  {7, 11, 14, 22, 35, 59, 128, 237, 451},
	0.90:  {44, 64, 81, 127, 197, 325, 681, 1246, 2337},
	0.95:  {90, 130, 165, 259, 398, 656, 1372, 2504, 4691},
	0.99:  {459, 662, 838, 1307, 2010, 3304, 6898, 12571, 23527},
	0.999: {4603, 6636, 8403, 13105, 20140, 33097, 69058, 125826, 235427},
}

func TestMinSamplesGolden(t *testing.T) {
	for p, row := range golden {
		for i, over := range []int{0, 1, 2, 5, 10, 20, 50, 100, 200} {
			if got := MinSamples(p, 0.99, over); got != row[i] {
				t.Errorf("MinSamples(%g, 0.99, %d) = %d, want %d", p, over, got, row[i])
			}
			if pass, more := EarlyStopping(p, 0.99, row[i], over); !pass || more != 0 {
				t.Errorf("p %g: %d of %d over: pass %v, %d more", p, over, row[i], pass, more)
			}
			if pass, more := EarlyStopping(p, 0.99, row[i]-1, over); pass || more != 1 {
				t.Errorf("p %g: %d of %d over: pass %v, %d more; want one more", p, over, row[i]-1, pass, more)
			}
		}
	}
}

func TestMinSamplesIsTheLeastThatProves(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		p := rapid.Float64Range(0.01, 0.99).Draw(t, "p")
		conf := rapid.Float64Range(0.5, 0.9999).Draw(t, "conf")
		over := rapid.IntRange(0, 300).Draw(t, "over")
		n := MinSamples(p, conf, over)
		cdf := func(n int) float64 { return distuv.Binomial{N: float64(n), P: 1 - p}.CDF(float64(over)) }
		if n <= over || cdf(n) > (1-conf)*(1+1e-6) || n-1 > over && cdf(n-1) < (1-conf)*(1-1e-6) {
			t.Fatalf("MinSamples(%g, %g, %d) = %d: chance %g, one fewer %g", p, conf, over, n, cdf(n), cdf(n-1))
		}
		if next := MinSamples(p, conf, over+1); next <= n {
			t.Fatalf("one more over needs %d, not more than %d", next, n)
		}
	})
}

func TestEarlyStoppingOddInput(t *testing.T) {
	for _, c := range []struct {
		p, conf float64
		n, over int
	}{{0, 0.99, 100, 0}, {1, 0.99, 100, 0}, {0.5, 0, 100, 0}, {0.5, 1, 100, 0}, {math.NaN(), 0.9, 9, 0},
		{0.5, 0.9, 9, -1}, {0.5, 0.99, 0, 0}, {0.5, 0.99, 3, 9}} {
		if pass, _ := EarlyStopping(c.p, c.conf, c.n, c.over); pass {
			t.Errorf("EarlyStopping(%v) passes", c)
		}
	}
}

// TestMedian: the median is the middle value or the mean of two, and the sample keeps its order.
func TestMedian(t *testing.T) {
	sample := []float64{3, 1, 2}
	if got := Median(sample); got != 2 || !slices.Equal(sample, []float64{3, 1, 2}) {
		t.Errorf("of three: %v, and the sample is %v", got, sample)
	}
	if got := Median([]float64{4, 1, 2, 10}); got != 3 {
		t.Errorf("of four: %v", got)
	}
	if got := Median(nil); !math.IsNaN(got) {
		t.Errorf("of none: %v", got)
	}
}
