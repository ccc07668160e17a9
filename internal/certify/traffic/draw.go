package traffic

import (
	"math"
	"math/rand/v2"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// draw draws from a distribution. lo is the smallest value that makes sense. A value beyond the distribution's bounds
// is drawn again, a hundred times at most, so that values do not pile up at the bounds.
func draw(rng *rand.Rand, d *testcases.Distribution, lo float64) float64 {
	low, high := max(d.Min, lo), d.Max
	if high <= 0 {
		high = math.Inf(1)
	}
	high = max(high, low)
	for range 100 {
		if v := drawOnce(rng, d, low, high); v >= low && v <= high {
			return v
		}
	}
	return min(max(d.Mean, low), high)
}

func drawOnce(rng *rand.Rand, d *testcases.Distribution, low, high float64) float64 {
	switch d.Shape {
	case testcases.ShapeUniform:
		return low + (high-low)*rng.Float64()
	case testcases.ShapeNormal:
		return d.Mean + d.SD*rng.NormFloat64()
	case testcases.ShapeLogNormal:
		s2 := math.Log(1 + (d.SD/d.Mean)*(d.SD/d.Mean))
		return math.Exp(math.Log(d.Mean) - s2/2 + math.Sqrt(s2)*rng.NormFloat64())
	case testcases.ShapeExponential:
		return d.Mean * rng.ExpFloat64()
	case testcases.ShapeZipf:
		return low + zipf(rng, d.Exponent, high-low+1) - 1
	case testcases.ShapeEmpirical:
		return d.Values[rng.IntN(len(d.Values))]
	}
	return d.Mean
}

// zipf draws k from 1 to n in proportion to k^−s, by rejection from the continuous law on the same range
// (Hörmann and Derflinger 1996).
func zipf(rng *rand.Rand, s, n float64) float64 {
	n = math.Floor(n)
	integral := func(x float64) float64 {
		if s == 1 {
			return math.Log(x)
		}
		return (math.Pow(x, 1-s) - 1) / (1 - s)
	}
	inverse := func(y float64) float64 {
		if s == 1 {
			return math.Exp(y)
		}
		return math.Pow(1+y*(1-s), 1/(1-s))
	}
	from, to := integral(1.5)-1, integral(n+0.5)
	for {
		u := from + rng.Float64()*(to-from)
		k := math.Round(inverse(u))
		k = min(max(k, 1), n)
		if u >= integral(k+0.5)-math.Pow(k, -s) {
			return k
		}
	}
}

// tokens draws a whole number of tokens or turns, at least 1.
func tokens(rng *rand.Rand, d *testcases.Distribution) int {
	if d.Shape == testcases.ShapeUniform { // every whole number from min to max is equally likely
		lo := int(max(math.Ceil(d.Min), 1))
		return lo + rng.IntN(max(int(d.Max)-lo+1, 1))
	}
	return max(int(math.Round(draw(rng, d, 1))), 1)
}

// gamma draws from the gamma distribution of shape k and scale 1 (Marsaglia and Tsang 2000).
func gamma(rng *rand.Rand, k float64) float64 {
	if k < 1 {
		return gamma(rng, k+1) * math.Pow(rng.Float64(), 1/k)
	}
	d := k - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}
