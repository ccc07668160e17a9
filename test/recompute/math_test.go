package recompute_test

import (
	"math"
)

// line fits y by x: its slope, Σ(x−x̄)², and the squares that it leaves.
func line(x, y []float64) (slope, xx, rest float64) {
	mx, my, xy := mean(x), mean(y), 0.0
	for i := range x {
		xx += (x[i] - mx) * (x[i] - mx)
		xy += (x[i] - mx) * (y[i] - my)
	}
	if xx > 0 {
		slope = xy / xx
	}
	for i := range x {
		e := y[i] - my - slope*(x[i]-mx)
		rest += e * e
	}
	return slope, xx, rest
}

// correlationTime is how many values of a series are worth one.
func correlationTime(x []float64) float64 {
	n := len(x)
	if n < 16 {
		return 1
	}
	rank := make([]float64, n)
	for i, v := range x {
		below, equal := 0.0, 0.0
		for _, w := range x {
			if w < v {
				below++
			} else if w == v {
				equal++
			}
		}
		rank[i] = below + (equal-1)/2
	}
	place := make([]float64, n)
	for i := range place {
		place[i] = float64(i)
	}
	slope, _, _ := line(place, rank)
	m, c0 := mean(rank), 0.0
	for i := range rank {
		rank[i] -= m + slope*(float64(i)-float64(n-1)/2)
		c0 += rank[i] * rank[i]
	}
	if c0 <= 1e-9*float64(n) {
		return 1
	}
	times := 1.0
	for k := 1; k <= n/4; k++ {
		c := 0.0
		for i := k; i < n; i++ {
			c += rank[i] * rank[i-k]
		}
		times += 2 * c / c0
		if float64(k) >= 5*times {
			break
		}
	}
	return math.Max(times, 1)
}

func wilsonLow(k, n, z float64) float64 {
	if n <= 0 || k == 0 {
		return 0
	}
	p := k / n
	return (p + z*z/(2*n) - z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))) / (1 + z*z/n)
}

// normal is the quantile of the normal distribution, by bisection.
func normal(p float64) float64 {
	return bisect(p, func(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 })
}

// student is the quantile of Student's t.
func student(p, free float64) float64 {
	return bisect(p, func(x float64) float64 { return studentBelow(x, free) })
}

func bisect(p float64, below func(float64) float64) float64 {
	lo, hi := -100.0, 100.0
	for range 100 {
		if mid := (lo + hi) / 2; below(mid) < p {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// studentBelow is the distribution function of Student's t, by Simpson's rule over its density.
func studentBelow(x, free float64) float64 {
	a, _ := math.Lgamma((free + 1) / 2)
	b, _ := math.Lgamma(free / 2)
	density := func(v float64) float64 {
		return math.Exp(a - b - math.Log(free*math.Pi)/2 - (free+1)/2*math.Log1p(v*v/free))
	}
	const parts = 2000
	h, sum := x/parts, density(0)+density(x)
	for i := 1; i < parts; i++ {
		sum += density(float64(i)*h) * float64(2+2*(i%2))
	}
	return 0.5 + sum*h/3
}
