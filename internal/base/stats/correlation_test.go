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
