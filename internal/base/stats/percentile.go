package stats

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// Percentile returns the p-th order statistic ⌈p·n⌉ of a sorted sample, without interpolation: a value that was
// measured. p is a share, 0.99 for the 99th percentile. An empty sample gives NaN.
func Percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 || math.IsNaN(p) {
		return math.NaN()
	}
	return sorted[Rank(len(sorted), p)-1]
}

// Rank is the index, from 1, of the p-th percentile in a sorted sample of n.
func Rank(n int, p float64) int {
	// 0.07·100 is 7.000000000000001 in binary, so the product is first lowered by more than its rounding error.
	k := int(math.Ceil(math.Min(p, 1) * float64(n) * (1 - 1e-12)))
	return min(max(k, 1), n)
}

// MinSamples returns the least sample size that proves, at confidence conf, that the p-th percentile is within a limit
// if over samples exceed it: the least n with P[Bin(n, 1−p) ≤ over] < 1−conf. This is MLPerf LoadGen's early stopping
// with a tolerance of zero. It returns 0 if p or conf is not inside (0, 1) or over is negative.
func MinSamples(p, conf float64, over int) int {
	if !(p > 0 && p < 1 && conf > 0 && conf < 1) || over < 0 {
		return 0
	}
	lo, hi := over, over+1 // n = over proves nothing: all samples are over
	for !proves(hi, p, conf, over) {
		if hi > math.MaxInt/4 {
			return math.MaxInt
		}
		lo, hi = hi, 2*hi
	}
	for hi-lo > 1 {
		if mid := lo + (hi-lo)/2; proves(mid, p, conf, over) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}

// proves says whether P[Bin(n, 1−p) ≤ over] < 1−conf, for n > over.
func proves(n int, p, conf float64, over int) bool {
	return mathext.RegIncBeta(float64(n-over), float64(over+1), p) < 1-conf
}

// EarlyStopping judges a percentile against a limit: over of n samples were above it. pass says that the p-th
// percentile is within the limit at confidence conf. Otherwise more is how many further samples would prove it if none
// of them were above the limit.
func EarlyStopping(p, conf float64, n, over int) (pass bool, more int) {
	need := MinSamples(p, conf, over)
	if need == 0 || n < over || n < 1 {
		return false, need
	}
	return n >= need, max(need-n, 0)
}

// Median returns the middle of a sample in any order, or the mean of the two in the middle. An empty sample gives NaN.
func Median(sample []float64) float64 {
	n := len(sample)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(sample))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
