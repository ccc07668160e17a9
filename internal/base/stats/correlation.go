package stats

import (
	"cmp"
	"math"
	"slices"
)

// fewestCorrelated is the length of the shortest series whose correlation can be estimated.
const fewestCorrelated = 16

// mostProducts bounds the work of CorrelationTime to seconds. A series that reaches it is correlated over its whole
// length, or has millions of samples and a correlation over thousands.
const mostProducts = 5_000_000_000

// CorrelationTime is the integrated autocorrelation time of a series, 1 + 2 Σρₖ, in samples: so many of them are worth
// one independent sample. It is computed from the ranks, which Mann-Whitney uses, without their linear trend, which is
// what the test looks for. The sum ends where its window is five times the time itself (Sokal 1997).
func CorrelationTime(x []float64) float64 {
	n := len(x)
	if n < fewestCorrelated {
		return 1
	}
	r := ranksOf(x)
	mid := float64(n-1) / 2
	var mean, cross, square float64
	for i, v := range r {
		mean += v / float64(n)
		cross += (float64(i) - mid) * v
		square += (float64(i) - mid) * (float64(i) - mid)
	}
	var c0 float64
	for i := range r {
		r[i] -= mean + cross/square*(float64(i)-mid)
		c0 += r[i] * r[i]
	}
	if c0 <= 1e-9*float64(n) { // ranks are whole or half: what is left of a constant series is rounding
		return 1
	}
	times, most := 1.0, min(n/4, mostProducts/n)
	for k := 1; k <= most; k += lags {
		for j, c := range products(r, k) {
			if times += 2 * c / c0; float64(k+j) >= 5*times || k+j == most {
				return math.Max(times, 1)
			}
		}
	}
	return math.Max(times, 1)
}

// lags is how many sums of products are computed together: a single sum would wait for each of its additions.
const lags = 4

// products returns Σ r[i]·r[i−k−j] for j from 0 to lags−1, each summed in the order of i. r must be longer than
// k+lags.
func products(r []float64, k int) (sums [lags]float64) {
	for j := range sums { // until all have begun
		for i := k + j; i < k+lags-1; i++ {
			sums[j] += r[i] * r[i-k-j]
		}
	}
	a, b, c, d := sums[0], sums[1], sums[2], sums[3]
	now, then := r[k+lags-1:], r[:len(r)-k]
	x, y, z := then[2], then[1], then[0]
	for i, v := range now {
		w := then[i+lags-1]
		a, b, c, d = a+v*w, b+v*x, c+v*y, d+v*z
		x, y, z = w, x, y
	}
	return [lags]float64{a, b, c, d}
}

// ranksOf returns the rank of each value; equal values share their mean rank.
func ranksOf(x []float64) []float64 {
	n := len(x)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	out := make([]float64, n)
	for i := 0; i < n; {
		j := i
		for j < n && x[order[j]] == x[order[i]] {
			j++
		}
		j = max(j, i+1)
		for k := i; k < j; k++ {
			out[order[k]] = float64(i+j-1) / 2
		}
		i = j
	}
	return out
}
