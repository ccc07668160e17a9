package judge

import (
	"math"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

const (
	// lateShare of what matters over the whole window is what matters in its second half: a steady trend has a half of
	// it there, less the noise of few points.
	lateShare = 0.25

	// fewestTeeth is how many cycles of a collector a trend needs: the lows of two say nothing of a third.
	fewestTeeth = 4

	// toothShare of the growth, and toothMB, make a fall a collection and not noise.
	toothShare = 0.25
	toothMB    = 2
)

// teethOf counts the falls of memory over a phase's steady window that give back a part of what it grew by: the cycles
// of a garbage collector that it sees.
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
		case v > low+least/2: // it rises again: the next tooth
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
