package stats

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// exactPairs is the largest product of sample sizes for which Mann-Whitney's p is computed exactly.
const exactPairs = 400

// MannWhitney tests whether b tends to be larger than a (z > 0) or smaller (z < 0); p is two-sided. z is the normal
// approximation with corrections for ties and continuity. For small samples without ties p is exact. An empty sample
// gives z = 0, p = 1.
func MannWhitney(a, b []float64) (z, p float64) {
	n, m := float64(len(a)), float64(len(b))
	if n == 0 || m == 0 {
		return 0, 1
	}
	u, ties := rankSum(a, b)
	total := n + m
	variance := n * m / 12 * (total + 1 - ties/(total*(total-1)))
	if !(variance > 0) { // all values are equal
		return 0, 1
	}
	off := u - n*m/2
	z = math.Copysign(math.Max(math.Abs(off)-0.5, 0), off) / math.Sqrt(variance)
	if ties == 0 && n*m <= exactPairs {
		return z, exactU(len(a), len(b), int(math.Round(math.Min(u, n*m-u))))
	}
	return z, math.Min(1, 2*distuv.UnitNormal.Survival(math.Abs(z)))
}

// rankSum returns Mann-Whitney's U of b over a, #{b_j > a_i} + ½#{b_j = a_i}, and Σ(t³−t) over groups of ties.
func rankSum(a, b []float64) (u, ties float64) {
	type value struct {
		v     float64
		fromB bool
	}
	all := make([]value, 0, len(a)+len(b))
	for _, v := range a {
		all = append(all, value{v, false})
	}
	for _, v := range b {
		all = append(all, value{v, true})
	}
	slices.SortFunc(all, func(x, y value) int {
		switch {
		case x.v < y.v:
			return -1
		case x.v > y.v:
			return 1
		}
		return 0
	})
	below := 0.0 // values of a before this group
	for i := 0; i < len(all); {
		j, ofA, ofB := i, 0.0, 0.0
		for ; j < len(all) && all[j].v == all[i].v; j++ {
			if all[j].fromB {
				ofB++
			} else {
				ofA++
			}
		}
		u += ofB * (below + ofA/2)
		below += ofA
		t := float64(j - i)
		ties += t*t*t - t
		i = max(j, i+1) // NaN is not equal to itself
	}
	return u, ties
}

// exactU is the two-sided p of U ≤ u for sample sizes n and m without ties: the share of the n+m choose n orders,
// whose counts by U obey f(n, m, u) = f(n−1, m, u−m) + f(n, m−1, u).
func exactU(n, m, u int) float64 {
	counts := make([][]float64, n+1) // counts[i][v]: orders of i of a and j of b with U = v, for the current j
	for i := range counts {
		counts[i] = make([]float64, n*m+1)
		counts[i][0] = 1
	}
	for j := 1; j <= m; j++ {
		for i := 1; i <= n; i++ {
			for v := i * j; v >= j; v-- {
				counts[i][v] += counts[i-1][v-j]
			}
		}
	}
	var total, low float64
	for v, c := range counts[n] {
		total += c
		if v <= u {
			low += c
		}
	}
	return math.Min(1, 2*low/total)
}

// HodgesLehmann estimates how much b is shifted against a: the median of all b_j − a_i. It is exact at any size: a
// bisection over the floating-point numbers finds the median, and each step counts pairs in linear time. An empty
// sample gives NaN.
func HodgesLehmann(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return math.NaN()
	}
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	pairs := len(a) * len(b)
	mid := kthDifference(a, b, (pairs+1)/2)
	if pairs%2 == 1 {
		return mid
	}
	return mid + (kthDifference(a, b, pairs/2+1)-mid)/2
}

// kthDifference is the k-th smallest b_j − a_i of sorted samples, counted from 1.
func kthDifference(a, b []float64, k int) float64 {
	lo, hi := ordered(b[0]-a[len(a)-1]), ordered(b[len(b)-1]-a[0])
	for lo < hi {
		mid := lo + (hi-lo)/2
		if v := unordered(mid); countDifferences(a, b, v) >= k {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return unordered(lo)
}

// countDifferences counts b_j − a_i ≤ v. Rounding preserves order, so the count is monotone in i and j.
func countDifferences(a, b []float64, v float64) int {
	n, j := 0, 0
	for _, x := range a { // a larger x allows more of b
		for j < len(b) && b[j]-x <= v {
			j++
		}
		n += j
	}
	return n
}

// ordered maps numbers to integers of the same order, so that bisection ends at an exact number after at most 64
// steps.
func ordered(v float64) uint64 {
	bits := math.Float64bits(v + 0) // −0 becomes 0
	if bits>>63 != 0 {
		return ^bits
	}
	return bits | 1<<63
}

func unordered(o uint64) float64 {
	if o>>63 != 0 {
		return math.Float64frombits(o &^ (1 << 63))
	}
	return math.Float64frombits(^o)
}

// AUC is the probability that a random element of pos is above a random one of neg, ties counting half: the area under
// the ROC curve. An empty sample gives NaN.
func AUC(pos, neg []float64) float64 {
	if len(pos) == 0 || len(neg) == 0 {
		return math.NaN()
	}
	u, _ := rankSum(neg, pos)
	return u / (float64(len(pos)) * float64(len(neg)))
}
