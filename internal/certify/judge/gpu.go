package judge

import (
	"fmt"
	"math"
	"slices"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// gpuReport is what accelerators used over the run; nil if they were not observed.
func (r *run) gpuReport() *report.GPU {
	if len(r.gpus) == 0 {
		return nil
	}
	out := &report.GPU{Source: r.header.Target.GPUs, Cards: []report.GPUCard{}}
	type sums struct{ busy, watts, n, m float64 }
	byID, sum := map[string]*report.GPUCard{}, map[string]*sums{}
	for _, g := range r.gpus {
		if g.v.Err != "" {
			out.Errors++
			out.Error = g.v.Err
			continue
		}
		out.Readings++
		var memory, watts float64
		for _, c := range g.v.Cards {
			card, s := byID[c.ID], sum[c.ID]
			if card == nil {
				card, s = &report.GPUCard{ID: c.ID, Model: c.Model}, &sums{}
				byID[c.ID], sum[c.ID] = card, s
			}
			if c.Memory != nil {
				memory += *c.Memory
				card.PeakGB = math.Max(card.PeakGB, *c.Memory/gib)
			}
			if c.Total != nil {
				card.TotalGB = *c.Total / gib
			}
			if c.Busy != nil {
				s.busy, s.n = s.busy+*c.Busy, s.n+1
			}
			if c.Watts != nil {
				watts += *c.Watts
				s.watts, s.m = s.watts+*c.Watts, s.m+1
				card.PeakWatts = math.Max(card.PeakWatts, *c.Watts)
			}
		}
		out.PeakGB, out.PeakWatts = math.Max(out.PeakGB, memory/gib), math.Max(out.PeakWatts, watts)
	}
	for _, id := range sortedKeys(byID) {
		c, s := byID[id], sum[id]
		c.MeanBusy, c.MeanWatts = s.busy/math.Max(s.n, 1), s.watts/math.Max(s.m, 1)
		out.Cards = append(out.Cards, *c)
	}
	return out
}

// gpuOf is what accelerators used in the steady window of a phase; nil if there are too few readings.
func (r *run) gpuOf(p *phase) *report.PhaseGPU {
	joules, how := r.energy(p.from, p.to)
	if p.window() <= 0 || how == "" {
		return nil
	}
	out := &report.PhaseGPU{Joules: joules, Watts: joules / p.window(), From: how}
	busy, n := 0.0, 0.0
	for _, g := range r.gpus {
		if g.ns < p.from || g.ns > p.to {
			continue
		}
		for _, c := range g.v.Cards {
			if c.Busy != nil {
				busy, n = busy+*c.Busy, n+1
			}
		}
	}
	out.Busy = busy / math.Max(n, 1)
	if _, tokens := p.completions(); joules > 0 && tokens > 0 {
		out.TokensPerJoule = ptr(float64(tokens) / joules)
	}
	return out
}

// energy is what all cards used between two moments, in joules. It is read from the cards' own counters of energy if
// every card has one that moved. Otherwise it is the integral of the power readings, each of which holds until the
// next. how says which of the two it is; "" is neither.
func (r *run) energy(from, to int64) (joules float64, how string) {
	counters, powers := map[string][]at[float64]{}, map[string][]at[float64]{}
	for _, g := range r.gpus {
		for _, c := range g.v.Cards {
			if c.Joules != nil {
				counters[c.ID] = append(counters[c.ID], at[float64]{g.ns, *c.Joules})
			}
			if c.Watts != nil {
				powers[c.ID] = append(powers[c.ID], at[float64]{g.ns, *c.Watts})
			}
		}
	}
	if sum, ok := byCounters(counters, from, to); ok && len(counters) >= len(powers) {
		return sum, "counters of energy"
	}
	for _, id := range sortedKeys(powers) {
		sum, ok := overTime(powers[id], from, to)
		if !ok {
			return 0, ""
		}
		joules += sum
	}
	if len(powers) == 0 {
		return 0, ""
	}
	return joules, "readings of power"
}

// byCounters is the sum of the rise of all counters. Values between readings are interpolated linearly.
func byCounters(counters map[string][]at[float64], from, to int64) (sum float64, ok bool) {
	for _, id := range sortedKeys(counters) {
		x := counters[id]
		a, okA := between(x, from)
		b, okB := between(x, to)
		if !okA || !okB || b <= a {
			return 0, false
		}
		sum += b - a
	}
	return sum, len(counters) > 0
}

// between interpolates a series at a moment; ok is false outside it.
func between(x []at[float64], t int64) (float64, bool) {
	i := slices.IndexFunc(x, func(p at[float64]) bool { return p.ns >= t })
	if i < 0 {
		return 0, false
	}
	if x[i].ns == t {
		return x[i].v, true
	}
	if i == 0 {
		return 0, false
	}
	a, b := x[i-1], x[i]
	return a.v + (b.v-a.v)*float64(t-a.ns)/float64(b.ns-a.ns), true
}

// fewestReadings is the smallest number of power readings in a window that are averaged.
const fewestReadings = 3

// overTime integrates power over a window. ok is false if there are too few readings, or if none covers its beginning.
func overTime(x []at[float64], from, to int64) (sum float64, ok bool) {
	n := 0
	for i, p := range x {
		end := to
		if i+1 < len(x) {
			end = min(to, x[i+1].ns)
		}
		if begin := max(p.ns, from); end > begin {
			sum += p.v * seconds(end-begin)
		}
		if p.ns >= from && p.ns <= to {
			n++
		}
	}
	covered := len(x) > 0 && x[0].ns <= from+(to-from)/10
	return sum, n >= fewestReadings && covered
}

// gpuMemory compares the highest sum of all cards' memory with the limit, in GiB.
func gpuMemory(r *run, c *testcases.Check) outcome {
	g := r.gpuReport()
	if g == nil || g.Readings == 0 || g.PeakGB == 0 {
		return invalid("%s", r.noGPU(g))
	}
	o := outcome{measured: ptr(g.PeakGB), op: "<=", unit: "GB", verdict: report.Pass,
		reason: fmt.Sprintf("%s of %s", plural(g.Readings, "reading", "readings"), plural(len(g.Cards), "card",
			"cards"))}
	if limit := r.c.Limit(*c); significant(g.PeakGB) > limit {
		o.verdict = report.Fail
	}
	return o
}

func (r *run) noGPU(g *report.GPU) string {
	switch {
	case g == nil:
		return "accelerators were not observed: give gpu_metrics in the case, or --gpu-metrics"
	case g.Error != "":
		return "accelerators could not be read: " + g.Error
	}
	return "the metrics of accelerators lack what is asked for"
}

// gpuFigure makes a rule that compares a figure of one phase with the check's limit.
func gpuFigure(unit, op string, of func(*report.PhaseGPU) *float64) func(*run, *testcases.Check) outcome {
	return perPhase(func(r *run, c *testcases.Check, p *phase) outcome {
		g := r.gpuOf(p)
		if g == nil || of(g) == nil {
			if all := r.gpuReport(); all == nil || all.Readings == 0 {
				return invalid("%s", r.noGPU(all))
			}
			return invalid("too few readings of accelerators in the phase, or none of their power")
		}
		x, limit := significant(*of(g)), r.c.Limit(*c)
		o := outcome{measured: ptr(x), op: op, target: ptr(limit), unit: unit, verdict: report.Pass,
			reason: fmt.Sprintf("%s J in %s s, by %s", num(g.Joules), num(p.window()), g.From)}
		if op == "<=" && x > limit || op == ">=" && x < limit {
			o.verdict = report.Fail
		}
		return o
	})
}

var (
	gpuPower       = gpuFigure("W", "<=", func(g *report.PhaseGPU) *float64 { return &g.Watts })
	tokensPerJoule = gpuFigure("tokens/J", ">=", func(g *report.PhaseGPU) *float64 { return g.TokensPerJoule })
)

// gpuSeries fills the plots of memory and power summed over all cards, and of their mean utilization.
func (r *run) gpuSeries(s *report.Series) {
	for _, g := range r.gpus {
		if g.v.Err != "" {
			continue
		}
		var memory, busy, watts, n float64
		for _, c := range g.v.Cards {
			memory, watts = memory+value(c.Memory)/gib, watts+value(c.Watts)
			if c.Busy != nil {
				busy, n = busy+*c.Busy, n+1
			}
		}
		t := seconds(g.ns)
		s.GPUMemory = append(s.GPUMemory, report.Point{X: t, Y: memory})
		s.GPUWatts = append(s.GPUWatts, report.Point{X: t, Y: watts})
		if n > 0 {
			s.GPUBusy = append(s.GPUBusy, report.Point{X: t, Y: busy / n})
		}
	}
	s.GPUMemory, s.GPUWatts, s.GPUBusy = thin(s.GPUMemory), thin(s.GPUWatts), thin(s.GPUBusy)
}

func value(x *float64) float64 {
	if x == nil {
		return 0
	}
	return *x
}
