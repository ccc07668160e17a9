package judge

import (
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
)

// gapsOf iterates over the gaps between the chunks of judged requests, in microseconds and in the order of the
// schedule. There are as many gaps as tokens, so they are not copied. only selects requests; nil selects all.
func (p *phase) gapsOf(only func(*request) bool) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for _, q := range p.judged {
			if only != nil && !only(q) {
				continue
			}
			for g := range q.Gaps() {
				if !yield(g) {
					return
				}
			}
		}
	}
}

// denseGaps is the length in microseconds up to which each length has a counter of its own: one second.
const denseGaps = 1_000_000

// gapCounts counts gaps by their length, in microseconds.
type gapCounts struct {
	n      int
	dense  []int32
	sparse map[int32]int
}

func countGaps(gaps iter.Seq[int32]) *gapCounts {
	c := &gapCounts{sparse: map[int32]int{}}
	for g := range gaps {
		if c.dense == nil {
			c.dense = make([]int32, denseGaps)
		}
		c.n++
		if g >= 0 && g < denseGaps && c.dense[g] < math.MaxInt32 {
			c.dense[g]++
		} else {
			c.sparse[g]++
		}
	}
	return c
}

// ascending iterates over the lengths in ascending order, with how often each occurred.
func (c *gapCounts) ascending() iter.Seq2[int32, int] {
	rare := slices.Sorted(maps.Keys(c.sparse))
	return func(yield func(int32, int) bool) {
		i := 0
		for ; i < len(rare) && rare[i] < 0; i++ {
			if !yield(rare[i], c.sparse[rare[i]]) {
				return
			}
		}
		for g, n := range c.dense {
			if n == 0 {
				continue
			}
			if i < len(rare) && rare[i] == int32(g) {
				n, i = n+int32(c.sparse[rare[i]]), i+1
			}
			if !yield(int32(g), int(n)) {
				return
			}
		}
		for ; i < len(rare); i++ {
			if !yield(rare[i], c.sparse[rare[i]]) {
				return
			}
		}
	}
}

// percentile is stats.Percentile of the gaps, in milliseconds; NaN if there are none.
func (c *gapCounts) percentile(share float64) float64 {
	rank, seen := stats.Rank(c.n, share), 0
	for g, n := range c.ascending() {
		if seen += n; seen >= rank {
			return inMS(g)
		}
	}
	return math.NaN()
}

func inMS(us int32) float64 { return float64(us) / 1000 }

// gapDistribution is distribution for the gaps, without copying a long list of them.
func (p *phase) gapDistribution(conf float64) *report.Dist {
	c := countGaps(p.gapsOf(nil))
	if c.n <= bootstrapPoints {
		var all []float64
		for g := range p.gapsOf(nil) {
			all = append(all, inMS(g))
		}
		return distribution(all, conf, p.rules)
	}
	values := func(yield func(float64) bool) {
		for g := range p.gapsOf(nil) {
			if !yield(inMS(g)) {
				return
			}
		}
	}
	d := &report.Dist{N: c.n, Min: math.Inf(1), NEff: stats.EffectiveSeq(c.n, values)}
	for g := range c.ascending() {
		d.Min, d.Max = math.Min(d.Min, inMS(g)), inMS(g)
	}
	d.Mean, d.MeanLow, d.MeanHigh = longMean(c.n, values, conf, p.rules)
	if d.Min >= 0 {
		d.MeanLow = math.Max(d.MeanLow, 0)
	}
	for _, q := range quantiles(d) {
		if c.n >= stats.MinSamples(q.p, 0.99, 0) {
			*q.to = ptr(c.percentile(q.p))
		}
	}
	return d
}
