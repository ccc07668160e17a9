package judge

import (
	"math"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

const (
	// lateShare is the share of the limit for the whole window that the growth in its second half must reach to
	// matter. A steady trend has half of its growth there; the rest allows for the noise of few points.
	lateShare = 0.25

	// fewestTeeth is the number of collector cycles that a trend needs: the lows of two cycles do not predict a third.
	fewestTeeth = 4

	// A fall of memory counts as a collection if it is at least toothShare of the growth and at least toothMB. Smaller
	// falls are noise.
	toothShare = 0.25
	toothMB    = 2
)

// teethOf counts the falls of memory in a phase's steady window that give back a part of the growth: the visible
// cycles of a garbage collector.
func teethOf(good []at[*evidence.Sample], p *phase, value func(at[*evidence.Sample]) float64, grown float64) int {
	if grown <= 0 {
		return 0
	}
	least := math.Max(toothShare*grown, toothMB)
	n, high, low := 0, math.Inf(-1), math.Inf(1)
	for _, s := range good {
		if s.ns < p.from || s.ns > p.to {
			continue
		}
		v := value(s)
		switch {
		case v > low+least/2: // it rises again: the next cycle
			low, high = math.Inf(1), v
		case !math.IsInf(low, 1):
			low = math.Min(low, v)
		case v > high:
			high = v
		case high-v >= least:
			n++
			low = v
		}
	}
	return n
}
