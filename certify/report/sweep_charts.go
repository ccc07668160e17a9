package report

import (
	"fmt"
	"math"

	"github.com/hxp-enterprise/mixtral/internal/base/noun"
)

// atLoad keeps the longest step of each load, which has the most evidence.
func (s Sweep) atLoad() []Step {
	var out []Step
	for _, x := range s.byLoad() {
		if n := len(out); n > 0 && out[n-1].Load == x.Load {
			if x.Seconds >= out[n-1].Seconds {
				out[n-1] = x
			}
			continue
		}
		out = append(out, x)
	}
	return out
}

// sweepCharts draw the figures of the steps over their load, with the objectives and the knee.
func sweepCharts(s Sweep, n int) []Chart {
	steps := s.atLoad()
	if len(steps) < 2 {
		return nil
	}
	var out []Chart
	for _, d := range []struct {
		metric Metric
		name   string
		of     func(Step) *Dist
	}{{MetricTTFT, "Time to first token", func(x Step) *Dist { return x.TTFT }},
		{MetricTPOT, "Time per output token", func(x Step) *Dist { return x.TPOT }},
		{MetricLatency, "Latency", func(x Step) *Dist { return x.Latency }}} {
		if c, ok := sweepDist(s, steps, d.metric, d.name, d.of, n); ok {
			out = append(out, c)
		}
	}
	return append(out, sweepGoodput(s, steps, n), sweepRate(s, steps, n))
}

// sweepPlot is the frame that all charts of a sweep share.
func sweepPlot(s Sweep, steps []Step, id, title string, n int) *plot {
	p := &plot{id: fmt.Sprintf("sw%s%d", id, n), title: title + " over load, sweep " + s.Phase, xLabel: s.Unit,
		xMin: steps[0].Load / 1.06, xMax: steps[len(steps)-1].Load * 1.06}
	if p.logX = p.xMax/p.xMin > 8; p.logX {
		p.xLabel += ", logarithmic"
	} else {
		p.xMin = math.Max(0, steps[0].Load-0.06*(p.xMax-steps[0].Load))
	}
	if s.Low != nil && s.High != nil {
		p.bands = []mark{{from: *s.Low, to: *s.High, class: "knee"}}
	}
	if s.Knee != nil {
		p.uprights = []mark{{label: "knee " + Number(*s.Knee), from: *s.Knee, high: true}}
	}
	return p
}

// sweepDist draws the mean of a time with its interval, and its 99th percentile.
func sweepDist(s Sweep, steps []Step, metric Metric, name string, of func(Step) *Dist,
	n int) (Chart, bool) {
	p := sweepPlot(s, steps, string(metric), name, n)
	p.yLabel = "ms"
	var mean, p99 []Point
	for _, x := range steps {
		d := of(x)
		if d == nil {
			continue
		}
		mean = append(mean, Point{x.Load, d.Mean})
		p.whiskers = append(p.whiskers, whisker{"c1", x.Load, d.MeanLow, d.MeanHigh})
		if d.P99 != nil {
			p99 = append(p99, Point{x.Load, *d.P99})
		}
	}
	if len(mean) < 2 {
		return Chart{}, false
	}
	top, cut := maxY(mean, p99), 0.0
	for _, m := range s.Marks {
		if m.Metric == metric {
			p.levels = append(p.levels, mark{label: m.Statistic + " < " + Number(m.Limit) + " ms", from: m.Limit})
			cut = math.Max(cut, m.Limit)
		}
	}
	caption := name
	switch {
	case cut > 0 && top > 4*cut: // the chart is about the region near the objective
		top, caption = 4*cut, caption+"; higher values are cut off"
	case cut > 0:
		top = math.Max(top, cut*1.1)
	}
	p.yMax = roundUp(top * 1.05)
	p.about = fmt.Sprintf("%s; the mean is %s ms at the least and %s ms at the greatest",
		noun.Of(len(steps), "load", "loads"),
		Number(mean[0].Y), Number(mean[len(mean)-1].Y))
	p.lines = []line{{class: "c1", points: mean}}
	p.dots = []dots{{class: "c1", points: mean, r: 2.4}}
	keys := []ChartKey{{"c1", "mean"}}
	if len(p99) > 1 {
		p.lines = append(p.lines, line{class: "c2", points: p99})
		p.dots = append(p.dots, dots{class: "c2", points: p99, r: 2.4})
		keys = append(keys, ChartKey{"c2", "p99"})
	}
	return draw(p, caption, keys...), true
}

// sweepGoodput draws the share of requests that met every objective. The colour of a dot is the step's verdict.
func sweepGoodput(s Sweep, steps []Step, n int) Chart {
	p := sweepPlot(s, steps, "good", "Goodput", n)
	p.yLabel, p.yMax, p.yPercent = "goodput", 1.05, true
	var all []Point
	by := map[StepVerdict][]Point{}
	for _, x := range steps {
		at := Point{x.Load, x.Goodput}
		all = append(all, at)
		by[x.Verdict] = append(by[x.Verdict], at)
		if x.GoodputBand != nil {
			p.whiskers = append(p.whiskers, whisker{"soft", x.Load, x.GoodputBand[0], x.GoodputBand[1]})
		}
	}
	for _, m := range s.Marks {
		if m.Metric == MetricGoodput {
			p.levels = append(p.levels, mark{label: "at least " + Number(100*m.Limit) + " %", from: m.Limit})
		}
	}
	p.lines = []line{{class: "soft", points: all}}
	var keys []ChartKey
	for _, v := range []struct {
		verdict StepVerdict
		class   string
	}{{StepHeld, "good"}, {StepUnclear, "unclear"}, {StepMissed, "bad"}} {
		if len(by[v.verdict]) > 0 {
			p.dots = append(p.dots, dots{class: v.class, points: by[v.verdict], r: 3.2})
			keys = append(keys, ChartKey{v.class, string(v.verdict)})
		}
	}
	p.about = fmt.Sprintf("from %s %% to %s %%", Number(100*all[0].Y), Number(100*all[len(all)-1].Y))
	return draw(p, "Share of requests that met every objective by themselves", keys...)
}

// sweepRate draws the output tokens per second, or the completed requests if the server reports no usage.
func sweepRate(s Sweep, steps []Step, n int) Chart {
	p := sweepPlot(s, steps, "rate", "Output", n)
	p.yLabel = "output tokens/s"
	var tokens []Point
	for _, x := range steps {
		tokens = append(tokens, Point{x.Load, x.OutputTPS})
		if x.OutputBand != nil {
			p.whiskers = append(p.whiskers, whisker{"c3", x.Load, x.OutputBand[0], x.OutputBand[1]})
		}
	}
	caption := "Output tokens a second"
	if maxY(tokens) == 0 { // a server without usage
		tokens, caption, p.yLabel = nil, "Completed requests a second", "requests/s"
		for _, x := range steps {
			tokens = append(tokens, Point{x.Load, x.RPS})
		}
		p.whiskers = nil
	}
	p.yMax, p.about = roundUp(maxY(tokens)*1.08), "at most "+Number(maxY(tokens))+" a second"
	p.lines = []line{{class: "c3", points: tokens}}
	p.dots = []dots{{class: "c3", points: tokens, r: 2.4}}
	return draw(p, caption)
}
