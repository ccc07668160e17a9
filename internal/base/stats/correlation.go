package stats

import (
	"cmp"
	"math"
	"slices"
)

// fewestCorrelated is the shortest series whose correlation can be told at all.
const fewestCorrelated = 16

// CorrelationTime is the integrated autocorrelation time of a series, 1 + 2 Σρₖ, in samples: how many of them are
// worth one. It is taken of the ranks, which Mann-Whitney sees, without their linear trend, which is what the test
// looks for; the sum ends where its window is five times the time itself (Sokal 1997).
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
	if c0 <= 1e-9*float64(n) { // ranks are whole or half: what is left of a constant is rounding
		return 1
	}
	times := 1.0
	for k := 1; k <= n/4; k++ {
		var c float64
		for i := k; i < n; i++ {
			c += r[i] * r[i-k]
		}
		times += 2 * c / c0
		if float64(k) >= 5*times {
			break
		}
	}
	return math.Max(times, 1)
}

// ranksOf gives each value its rank; ties share their mean.
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
