package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The integrated autocorrelation time of an AR(1) series is (1+ρ)/(1−ρ).
func TestCorrelationTime(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for _, rho := range []float64{0, 0.5, 0.9} {
		x := make([]float64, 20000)
		for i := 1; i < len(x); i++ {
			x[i] = rho*x[i-1] + rng.NormFloat64()
		}
		want := (1 + rho) / (1 - rho)
		if got := CorrelationTime(x); math.Abs(got-want) > 0.15*want {
			t.Errorf("ρ = %v: %v, want about %v", rho, got, want)
		}
	}
	if got := CorrelationTime(make([]float64, 100)); got != 1 {
		t.Errorf("a constant: %v", got)
	}
}

// TestProductsAreSummedInOrder: each of four sums that are computed together is bit for bit the same as one alone,
// since earlier reports are derived again.
func TestProductsAreSummedInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := fewestCorrelated; n < 80; n++ {
		r := make([]float64, n)
		for i := range r {
			r[i] = rng.NormFloat64()
		}
		for k := 1; k <= n/4; k++ {
			for j, got := range products(r, k) {
				var want float64
				for i := k + j; i < n; i++ {
					want += r[i] * r[i-k-j]
				}
				if got != want {
					t.Fatalf("%d values, lag %d: %v, want %v", n, k+j, got, want)
				}
			}
		}
	}
}
