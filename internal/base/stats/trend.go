package stats

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// trendPoints is the maximum number of points of TheilSen: 2,000 make two million slopes, a tenth of a second of work.
const trendPoints = 2000

// TheilSen fits a slope robustly: the median of the slopes of all pairs of points, with Sen's interval (1968) at
// confidence conf, which assumes independent errors. Longer series are thinned evenly to 2,000 points. Without two
// different x all three results are NaN; two points have a slope without bounds.
func TheilSen(x, y []float64, conf float64) (slope, lo, hi float64) {
	if len(x) != len(y) || !(conf > 0 && conf < 1) {
		return math.NaN(), math.NaN(), math.NaN()
	}
	x, y = thin(x, trendPoints), thin(y, trendPoints)
	n := len(x)
	slopes := make([]float64, 0, n*(n-1)/2)
	for i := range n {
		for j := i + 1; j < n; j++ {
			if dx := x[j] - x[i]; dx != 0 {
				slopes = append(slopes, (y[j]-y[i])/dx)
			}
		}
	}
	if len(slopes) == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	slices.Sort(slopes)
	k := len(slopes)
	slope = slopes[k/2]
	if k%2 == 0 {
		slope = slopes[k/2-1] + (slope-slopes[k/2-1])/2
	}
	// The ranks of the bounds: (k ∓ z·σ)/2, σ² being the variance of Kendall's S.
	width := distuv.UnitNormal.Quantile(1-(1-conf)/2) * math.Sqrt(kendallVariance(x, y))
	from, to := int(math.Round((float64(k)-width)/2)), int(math.Round((float64(k)+width)/2))
	lo, hi = math.Inf(-1), math.Inf(1)
	if from >= 1 {
		lo = slopes[from-1]
	}
	if to < k {
		hi = slopes[to]
	}
	return slope, lo, hi
}

// kendallVariance is the variance of Kendall's S without a trend, corrected for ties (Kendall 1975).
func kendallVariance(x, y []float64) float64 {
	n := float64(len(x))
	v := n * (n - 1) * (2*n + 5)
	v1, v2, v3, v4 := 0.0, 0.0, 0.0, 0.0
	for i, s := range [][]float64{x, y} {
		for _, t := range tieGroups(s) {
			v -= t * (t - 1) * (2*t + 5)
			if i == 0 {
				v1 += t * (t - 1)
				v3 += t * (t - 1) * (t - 2)
			} else {
				v2 += t * (t - 1)
				v4 += t * (t - 1) * (t - 2)
			}
		}
	}
	v /= 18
	if n > 1 {
		v += v1 * v2 / (2 * n * (n - 1))
	}
	if n > 2 {
		v += v3 * v4 / (9 * n * (n - 1) * (n - 2))
	}
	return math.Max(v, 0)
}

// tieGroups returns the sizes of groups of equal values.
func tieGroups(s []float64) []float64 {
	s = slices.Sorted(slices.Values(s))
	var sizes []float64
	for i := 0; i < len(s); {
		j := i + 1
		for j < len(s) && s[j] == s[i] {
			j++
		}
		if j-i > 1 {
			sizes = append(sizes, float64(j-i))
		}
		i = j
	}
	return sizes
}

// thin keeps at most limit values, evenly spaced, the ends included.
func thin(s []float64, limit int) []float64 {
	if len(s) <= limit {
		return s
	}
	out := make([]float64, limit)
	for i := range out {
		out[i] = s[i*(len(s)-1)/(limit-1)]
	}
	return out
}

// steadyBatch is the batch size of MSER-5.
const steadyBatch = 5

// FewestSteady is the least length that SteadyFrom needs: ten batches.
const FewestSteady = 10 * steadyBatch

// SteadyFrom finds the end of a series' start-up by MSER-5 (White 1997): the cut that minimises the standard error of
// the mean of the rest, computed over means of batches of five. ok is false if there are fewer than FewestSteady
// samples, or if the best cut is in the second half: then the series has not settled.
func SteadyFrom(x []float64) (from int, ok bool) {
	if len(x) < FewestSteady {
		return 0, false
	}
	k := len(x) / steadyBatch
	means := make([]float64, k)
	for i := range means {
		means[i] = meanOf(x[i*steadyBatch : (i+1)*steadyBatch])
	}
	// Go through the suffixes from the end, by Welford's update. The last batches alone would always look steady, so
	// stop five before the end.
	best, at := math.Inf(1), 0
	var n, mean, ss float64
	for i := k - 1; i >= 0; i-- {
		n++
		d := means[i] - mean
		mean += d / n
		ss += d * (means[i] - mean)
		if n < 5 {
			continue
		}
		if score := ss / (n * n); score <= best { // among equals the earliest cut
			best, at = score, i
		}
	}
	return at * steadyBatch, 2*at <= k
}

// LittleError is the relative deviation of a measurement from Little's law L = λW: l requests in flight on average,
// lambda arrivals a second, w seconds each.
func LittleError(l, lambda, w float64) float64 {
	d := math.Abs(l - lambda*w)
	if d == 0 {
		return 0
	}
	return d / l
}
