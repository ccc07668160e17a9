package judge

import (
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

func TestTheTeethOfACollectorAreCounted(t *testing.T) {
	p := &phase{from: 0, to: 1 << 40}
	for name, tt := range map[string]struct {
		mb   func(i int) float64
		want int
	}{
		"a line":                 {func(i int) float64 { return float64(i) }, 0},
		"a line with noise":      {func(i int) float64 { return float64(i) + float64(i%2) }, 0},
		"a tooth in fifty":       {func(i int) float64 { return float64(i % 50) }, 1},
		"a tooth in twenty":      {func(i int) float64 { return float64(2 * (i % 20)) }, 4},
		"a fall in three steps":  {func(i int) float64 { return float64(i) - 10*float64(min(max(i-50, 0), 3)) }, 1},
		"a staircase and no way": {func(i int) float64 { return float64(i / 10 * 10) }, 0},
	} {
		var good []at[*evidence.Sample]
		for i := range 100 {
			good = append(good, at[*evidence.Sample]{int64(i), &evidence.Sample{RSS: int64(tt.mb(i) * mib)}})
		}
		got := teethOf(good, p, func(s at[*evidence.Sample]) float64 { return float64(s.v.RSS) / mib }, 40)
		if got != tt.want {
			t.Errorf("%s: %d teeth, want %d", name, got, tt.want)
		}
	}
}
