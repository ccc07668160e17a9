package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// Chart is a plot with its caption and the legend of its colours.
type Chart struct {
	Caption string
	Keys    []ChartKey
	SVG     template.HTML
}

// ChartKey is one entry of a legend. Class is the CSS class of the colour.
type ChartKey struct{ Class, Name string }

// draw turns a plot into a chart. The SVG contains only escaped text and numbers.
func draw(p *plot, caption string, keys ...ChartKey) Chart {
	return Chart{Caption: caption, Keys: keys, SVG: template.HTML(p.svg())}
}

// phaseCharts are the plots of one phase of load.
func phaseCharts(s PhaseSeries, r *Report, n int) []Chart {
	var out []Chart
	if s.Kind != testcases.KindBatch { // all requests of a batch are scheduled at once
		out = append(out, latencyChart(s, r, n))
	}
	if len(s.TTFT) > 2 {
		out = append(out, ttftChart(s, n))
	}
	if len(s.LatencyECDF) > 1 {
		out = append(out, ecdfChart(s, r, n))
	}
	if s.Kind == testcases.KindOpen {
		out = append(out, rateChart(s, r, n), inFlightChart(s, n))
	}
	return out
}

func latencyChart(s PhaseSeries, r *Report, n int) Chart {
	length := s.SteadyTo
	for _, l := range [][]Point{s.Latency, s.Failed} {
		for _, p := range l {
			length = math.Max(length, p.X)
		}
	}
	top := maxY(s.Latency, s.Failed)
	p := &plot{id: fmt.Sprintf("lat%d", n), title: "Latency over time, phase " + s.ID,
		xLabel: "seconds since the phase began (scheduled time)", yLabel: "latency, ms",
		xMax: length * 1.01, about: fmt.Sprintf("%s; the slowest took %s milliseconds",
			counted(s.RequestsInSeries, "request", "requests"), Number(top))}
	p.bands = outside(s, length)
	target := r.Targets.LatencyMS
	caption := "Latency of each request"
	if target > 0 && target <= 3*top {
		p.levels = []mark{{label: "target " + Number(target) + " ms", from: target}}
		top = math.Max(top, target*1.08)
	} else if target > 0 {
		caption += fmt.Sprintf("; the target of %s ms lies above the plot", Number(target))
	}
	p.yMax = roundUp(top)
	p.dots = []dots{{class: "c1", points: s.Latency, r: dotSize(len(s.Latency))},
		{class: "bad", points: s.Failed, r: 2.4}}
	keys := []ChartKey{{"c1", "answered"}}
	if len(s.Failed) > 0 {
		keys = append(keys, ChartKey{"bad", "failed"})
	}
	return draw(p, caption, keys...)
}

// ttftChart draws the median, with bands up to the 90th percentile and up to the maximum.
func ttftChart(s PhaseSeries, n int) Chart {
	var p50, p90, most []Point
	for _, b := range s.TTFT {
		p50, p90, most = append(p50, Point{b.X, b.P50}), append(p90, Point{b.X, b.P90}), append(most, Point{b.X,
			b.Max})
	}
	p := &plot{id: fmt.Sprintf("ttft%d", n), title: "Time to first token over time, phase " + s.ID,
		xLabel: "seconds since the phase began (scheduled time)", yLabel: "time to first token, ms",
		xMax: lastX(most) * 1.01, yMax: roundUp(maxY(most) * 1.05),
		about: fmt.Sprintf("the median lies between %s and %s milliseconds", Number(minY(p50)), Number(maxY(p50)))}
	p.bands = outside(s, p.xMax)
	p.between = []between{{class: "c1 faint", low: p90, high: most}, {class: "c1", low: p50, high: p90}}
	p.lines = []line{{class: "c1", points: p50}}
	return draw(p, "Time to first token: median, 90th percentile and slowest of each stretch", ChartKey{"c1",
		"median"},
		ChartKey{"band", "to p90"}, ChartKey{"band faint", "to the slowest"})
}

// dotSize is small for many dots, to keep them apart, and large for few, to keep them visible.
func dotSize(n int) float64 {
	switch {
	case n > 400:
		return 1.4
	case n > 100:
		return 1.9
	}
	return 2.6
}

// outside shades the times outside the steady window.
func outside(s PhaseSeries, length float64) []mark {
	var out []mark
	if s.SteadyFrom > length*0.005 {
		out = append(out, mark{label: "ramp", from: 0, to: s.SteadyFrom, class: "off"})
	}
	if s.SteadyTo > s.SteadyFrom && s.SteadyTo < length*0.995 {
		out = append(out, mark{from: s.SteadyTo, to: length, class: "off"})
	}
	return out
}

func ecdfChart(s PhaseSeries, r *Report, n int) Chart {
	lo, hi := s.LatencyECDF[0].X, s.LatencyECDF[len(s.LatencyECDF)-1].X
	for _, e := range [][]Point{s.TTFTECDF, s.EarlierLatencyECDF, s.EarlierTTFTECDF} {
		if len(e) > 0 {
			lo, hi = math.Min(lo, e[0].X), math.Max(hi, e[len(e)-1].X)
		}
	}
	p := &plot{id: fmt.Sprintf("ecdf%d", n), title: "Distribution of latency and time to first token, phase " + s.ID,
		xLabel: "ms", yLabel: "share of requests",
		yMax: 1, yPercent: true, about: fmt.Sprintf("from %s to %s milliseconds over %s", Number(lo),
			Number(hi), counted(s.RequestsInECDF, "request", "requests"))}
	target := r.Targets.LatencyMS
	if target > 0 && target <= 3*hi {
		p.uprights = []mark{{label: "target", from: target}}
		hi = math.Max(hi, target*1.05)
	}
	if p.logX = lo > 0 && hi/lo > 20; p.logX {
		p.xMin, p.xMax = lo*0.9, hi*1.1
		p.xLabel = "ms, logarithmic"
	} else {
		p.xMax = roundUp(hi)
	}
	p.lines = []line{{class: "c1", points: s.LatencyECDF, steps: true}}
	keys := []ChartKey{{"c1", "latency"}}
	if len(s.EarlierLatencyECDF) > 1 {
		p.lines = append(p.lines, line{class: "c1 dashed", points: s.EarlierLatencyECDF, steps: true})
		keys = append(keys, ChartKey{"c1 dashed", "latency, earlier run"})
	}
	if len(s.TTFTECDF) > 1 {
		p.lines = append(p.lines, line{class: "c2", points: s.TTFTECDF, steps: true})
		keys = append(keys, ChartKey{"c2", "time to first token"})
	}
	if len(s.EarlierTTFTECDF) > 1 && len(s.TTFTECDF) > 1 {
		p.lines = append(p.lines, line{class: "c2 dashed", points: s.EarlierTTFTECDF, steps: true})
		keys = append(keys, ChartKey{"c2 dashed", "time to first token, earlier run"})
	}
	return draw(p, "Share of requests that were at least as fast", keys...)
}

func rateChart(s PhaseSeries, r *Report, n int) Chart {
	top := math.Max(maxY(s.Offered, s.Issued, s.Completed), r.Targets.ThroughputRPS)
	p := &plot{id: fmt.Sprintf("rate%d", n), title: "Load against completions, phase " + s.ID,
		xLabel: "seconds since the phase began", yLabel: "requests/s",
		xMax: max(lastX(s.Offered), lastX(s.Completed)), yMax: roundUp(top * 1.05),
		about: "arrivals, issues and completions in each interval"}
	p.bands = outside(s, p.xMax)
	if t := r.Targets.ThroughputRPS; t > 0 {
		p.levels = []mark{{label: "target " + Number(t) + "/s", from: t}}
	}
	p.lines = []line{{class: "c3", points: s.Offered}, {class: "c2 dashed", points: s.Issued},
		{class: "c1", points: s.Completed}}
	keys := []ChartKey{{"c2 dashed", "issued"}, {"c1", "completed"}}
	if len(s.Offered) > 0 { // a closed loop offers no rate
		keys = append([]ChartKey{{"c3", "offered"}}, keys...)
	}
	return draw(p, "Load against completions", keys...)
}

func inFlightChart(s PhaseSeries, n int) Chart {
	p := &plot{id: fmt.Sprintf("fly%d", n), title: "Requests in flight, phase " + s.ID,
		xLabel: "seconds since the phase began", yLabel: "in flight",
		xMax: lastX(s.InFlight), yMax: roundUp(maxY(s.InFlight) * 1.05),
		about: fmt.Sprintf("at most %s on average in an interval", Number(maxY(s.InFlight)))}
	p.bands = outside(s, p.xMax)
	p.lines = []line{{class: "c1", points: s.InFlight, area: true}}
	return draw(p, "Requests in flight: flat is sustained, rising is a backlog")
}

func lastX(p []Point) float64 {
	if len(p) == 0 {
		return 1
	}
	return p[len(p)-1].X
}

// resourceCharts are the plots of memory and CPU over the whole run.
func resourceCharts(s Series, r *Report) []Chart {
	var out []Chart
	if len(s.Memory) > 1 {
		p := &plot{id: "mem", title: "Memory over the run", xLabel: "seconds since the run began", yLabel: "GB",
			xMax:  s.Duration,
			about: fmt.Sprintf("peak %s GB", Number(r.Resources.PeakGB)), bands: spans(s)}
		top := maxY(s.Memory)
		caption := "Memory"
		if lim := r.Targets.MemoryGB; lim > 0 && lim <= 3*top {
			p.levels = []mark{{label: "limit " + Number(lim) + " GB", from: lim}}
			top = math.Max(top, lim*1.05)
		} else if lim > 0 {
			caption += fmt.Sprintf("; the limit of %s GB lies above the plot", Number(lim))
		}
		p.yMax = roundUp(top * 1.12)
		p.lines = []line{{class: "c1", points: s.Memory, area: true}}
		keys := []ChartKey{{"c1", "resident"}}
		if len(s.Anon) > 1 {
			p.lines = append(p.lines, line{class: "c2", points: s.Anon})
			keys = append(keys, ChartKey{"c2", "anonymous"})
		}
		if len(s.Fit) == 2 {
			p.lines = append(p.lines, line{class: "fit", points: s.Fit})
			keys = append(keys, ChartKey{"fit", "trend in " + s.FitPhase})
		}
		out = append(out, draw(p, caption, keys...))
	}
	if len(s.CPU) > 1 {
		top := maxY(s.CPU)
		p := &plot{id: "cpu", title: "CPU over the run", xLabel: "seconds since the run began", yLabel: "cores",
			xMax:  s.Duration,
			about: "busiest second " + figureText(r.Resources.PeakCPU1s, "cores"), bands: spans(s)}
		caption := "CPU, mean of each second"
		if lim := r.Targets.CPUCores; lim > 0 && lim <= 3*top {
			p.levels = []mark{{label: "limit " + figureText(lim, "cores"), from: lim}}
			top = math.Max(top, lim*1.05)
		} else if lim > 0 {
			caption += "; the limit of " + figureText(lim, "cores") + " lies above the plot"
		}
		p.yMax = roundUp(top * 1.12)
		p.lines = []line{{class: "c3", points: s.CPU, area: true}}
		out = append(out, draw(p, caption))
	}
	return out
}

// gpuCharts are the plots of memory, power and utilization of all accelerators over the run.
func gpuCharts(s Series, r *Report) []Chart {
	g := r.Resources.GPU
	if g == nil {
		return nil
	}
	var out []Chart
	for _, x := range []struct {
		id, caption, unit, class string
		points                   []Point
		share                    bool
	}{{"gpumem", "Memory of all accelerators", "GB", "c1", s.GPUMemory, false},
		{"gpuw", "Power of all accelerators", "W", "c2", s.GPUWatts, false},
		{"gpuuse", "Accelerators busy", "share of the time", "c3", s.GPUBusy, true}} {
		if len(x.points) < 2 || maxY(x.points) == 0 {
			continue
		}
		p := &plot{id: x.id, title: x.caption + " over the run", xLabel: "seconds since the run began", yLabel: x.unit,
			xMax: s.Duration, yMax: roundUp(maxY(x.points) * 1.12), bands: spans(s),
			about: "at most " + Number(maxY(x.points)), lines: []line{{class: x.class, points: x.points, area: true}}}
		if x.share {
			p.yMax, p.yPercent = 1, true
		}
		out = append(out, draw(p, x.caption))
	}
	return out
}

// spans shades every second phase.
func spans(s Series) []mark {
	var out []mark
	for i, m := range s.Spans {
		class := "even"
		if i%2 == 1 {
			class = "odd"
		}
		out = append(out, mark{label: m.Name, from: m.From, to: m.To, class: class})
	}
	return out
}

// bar draws a check's measured value as a bar, with its interval and a tick at the target.
func bar(c Check) template.HTML {
	if c.Measured == nil || c.Target == nil || !(*c.Target > 0) || *c.Measured < 0 {
		return ""
	}
	const w, h = 150.0, 16.0
	most := math.Max(*c.Target*1.3, *c.Measured*1.08)
	if c.Interval != nil {
		most = math.Max(most, math.Min(c.Interval[1]*1.05, *c.Target*2.5))
	}
	most = math.Min(most, *c.Target*4) // a value far above the target fills the bar
	at := func(v float64) float64 { return math.Max(0, math.Min(w, v/most*w)) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="bar" role="img" aria-label="measured against target" viewBox="0 0 %s %s">`, px(w),
		px(h))
	fmt.Fprintf(&b, `<rect class="track" x="0" y="4" width="%s" height="8" rx="2"/>`, px(w))
	fmt.Fprintf(&b, `<rect class="fill v-%s" x="0" y="4" width="%s" height="8" rx="2"/>`, verdictClass(c.Verdict),
		px(math.Max(at(*c.Measured), 1.5)))
	if c.Interval != nil {
		lo, hi := at(math.Max(c.Interval[0], 0)), at(c.Interval[1])
		fmt.Fprintf(&b, `<path class="whisker" d="M%s 8H%sM%s 5.5v5M%s 5.5v5"/>`, px(lo), px(hi), px(lo), px(hi))
	}
	fmt.Fprintf(&b, `<line class="goal" x1="%s" x2="%s" y1="1" y2="15"/></svg>`, px(at(*c.Target)), px(at(*c.Target)))
	return template.HTML(b.String())
}

// verdictClass is the CSS class of a verdict. A file may contain any word, but the page has four classes.
func verdictClass(v Verdict) string {
	switch v {
	case Pass, Fail, Invalid:
		return strings.ToLower(string(v))
	}
	return "info"
}

// share draws a score between 0 and 1 with a tick at its target.
func share(x, target float64) template.HTML {
	verdict := Pass
	if x < target {
		verdict = Fail
	}
	const w = 150.0
	clip := func(v float64) float64 { return math.Max(0, math.Min(1, v)) * w }
	s := fmt.Sprintf(`<svg class="bar" role="img" aria-label="score" viewBox="0 0 150 16"><rect class="track" x="0" y="4" width="150" height="8" rx="2"/>`+
		`<rect class="fill v-%s" x="0" y="4" width="%s" height="8" rx="2"/>`, verdictClass(verdict),
		px(math.Max(clip(x), 1.5)))
	if target > 0 {
		s += fmt.Sprintf(`<line class="goal" x1="%s" x2="%s" y1="1" y2="15"/>`, px(clip(target)), px(clip(target)))
	}
	return template.HTML(s + `</svg>`)
}
