package report

import (
	"html/template"
	"math"
)

// CSS is the style sheet of the page, for pages that show parts of it.
func CSS() string { return pageCSS }

// Templates returns a copy of the page's templates and functions, for pages that show parts of it: "content" takes a
// View, "chart" a Chart, "changes" a list of Change, and "dist" the result of the function row for a Dist.
func Templates() *template.Template {
	return template.Must(pageSource.Clone())
}

// View returns the data for the template "content", which shows the whole page without its frame.
func View(r *Report, s Series, signed ...Signature) any { return view(r, s, signed) }

// ChangesOf returns the changes, the worse figures first, and the number of figures that are the same within noise.
func ChangesOf(c Comparison) (changed []Change, same int) { return changeRows(&Against{Comparison: c}) }

// LoadChart is the plot of a phase's load and its completions. With InFlightChart and TTFTChart it is useful while the
// phase still runs. n is unique on the page, because ids of the SVG contain it.
func LoadChart(s PhaseSeries, r *Report, n int) Chart { return rateChart(s, r, n) }

// InFlightChart is the plot of a phase's requests in flight; see LoadChart.
func InFlightChart(s PhaseSeries, n int) Chart { return inFlightChart(s, n) }

// TTFTChart is the plot of a phase's times to the first token; see LoadChart.
func TTFTChart(s PhaseSeries, n int) Chart { return ttftChart(s, n) }

// WaitingChart is a plot without points, as large as the others, for a page to which points will be added. id is
// unique on the page.
func WaitingChart(id, title, caption string) Chart {
	return draw(&plot{id: id, title: title, about: "nothing to draw yet"}, caption)
}

// ResourceCharts are the plots of memory, CPU and accelerators over a run.
func ResourceCharts(s Series, r *Report) []Chart {
	return append(resourceCharts(s, r), gpuCharts(s, r)...)
}

// SweepCharts are the plots of a sweep with its knee. n is as in LoadChart.
func SweepCharts(s Sweep, n int) []Chart { return sweepCharts(s, n) }

// TrendCharts has a plot for each line of a trend, in the order of the lines.
func TrendCharts(t Trend) []Chart {
	var out []Chart
	for i, l := range t.Rows {
		p := trendPlot(l, i, t.Runs)
		p.height = 190
		out = append(out, draw(p, l.What))
	}
	return out
}

// TwoECDFs is a plot of the distributions of one phase in two runs. It is empty if the report and the series have too
// few values.
func TwoECDFs(before, after *Report, a, b PhaseSeries, n int) Chart {
	b.EarlierLatencyECDF, b.EarlierTTFTECDF = a.LatencyECDF, a.TTFTECDF
	p := phaseOf(after, b.ID)
	q := phaseOf(before, b.ID)
	caption := "Share of requests that were at least as fast"
	bare := false // some line only goes through percentiles
	for _, x := range []struct {
		of   *[]Point
		p    *Phase
		dist func(*Phase) *Dist
	}{{&b.LatencyECDF, p, (*Phase).latency}, {&b.TTFTECDF, p, (*Phase).ttft},
		{&b.EarlierLatencyECDF, q, (*Phase).latency}, {&b.EarlierTTFTECDF, q, (*Phase).ttft}} {
		if len(*x.of) < 2 && x.p != nil {
			*x.of = throughQuantiles(x.dist(x.p))
			bare = bare || len(*x.of) > 1
		}
	}
	if bare {
		caption += "; without its record, a run has its percentiles only"
	}
	if len(b.LatencyECDF) < 2 {
		return Chart{}
	}
	if b.RequestsInECDF == 0 && p != nil && p.Latency != nil {
		b.RequestsInECDF = p.Latency.N
	}
	c := ecdfChart(b, after, n)
	c.Caption = caption
	return c
}

func phaseOf(r *Report, id string) *Phase {
	for i := range r.Phases {
		if r.Phases[i].ID == id {
			return &r.Phases[i]
		}
	}
	return nil
}

func (p *Phase) latency() *Dist { return p.Latency }
func (p *Phase) ttft() *Dist    { return p.TTFT }

// throughQuantiles is the distribution at the quantiles that a report has.
func throughQuantiles(d *Dist) []Point {
	if d == nil {
		return nil
	}
	out := []Point{{d.Min, 0}}
	for _, q := range []struct {
		share float64
		at    *float64
	}{{.5, d.P50}, {.9, d.P90}, {.95, d.P95}, {.99, d.P99}, {.999, d.P999}, {1, &d.Max}} {
		if q.at != nil && !math.IsNaN(*q.at) && *q.at >= out[len(out)-1].X {
			out = append(out, Point{*q.at, q.share})
		}
	}
	return out
}
