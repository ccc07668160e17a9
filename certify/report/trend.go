package report

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/noun"
)

// Trend shows how the figures of one test case changed over its runs, oldest first.
type Trend struct {
	TestCase string      `json:"test_case"`
	Runs     []TrendRun  `json:"runs"`
	Rows     []TrendLine `json:"rows"`
}

// TrendRun is one run.
type TrendRun struct {
	Run     string  `json:"run"`
	Start   float64 `json:"timestamp"` // Unix seconds
	Status  Verdict `json:"status"`
	Profile string  `json:"profile"`
	Target  string  `json:"target"`
	Model   string  `json:"model"`
	Version string  `json:"version,omitempty"` // version of the certifier
}

// TrendLine is one figure over the runs; nil for a run that does not have it.
type TrendLine struct {
	What     string      `json:"what"`
	Unit     string      `json:"unit,omitempty"`
	Op       string      `json:"op,omitempty"`
	Target   *float64    `json:"target,omitempty"` // target of the newest run
	Values   []*float64  `json:"values"`
	Bands    []*Interval `json:"intervals"`
	Last     string      `json:"last"` // how the newest compares with the oldest: "better", "worse" or "same"
	Change   *float64    `json:"change,omitempty"`
	Verdicts []Verdict   `json:"verdicts,omitempty"`
}

// Interval is the lower and the upper end of an interval.
type Interval [2]float64

// NewTrend collects the figures of reports, the oldest first: those of the checks, the mean times and rates of the
// phases of load, and the knees of sweeps. ids are the names of the runs, one for each report.
func NewTrend(ids []string, reports []*Report) Trend {
	t := Trend{Runs: []TrendRun{}, Rows: []TrendLine{}}
	type cell struct {
		value   float64
		band    *[2]float64
		verdict Verdict
	}
	cells, order := map[string][]*cell{}, []string{}
	meta := map[string]TrendLine{}
	put := func(i int, line TrendLine, c cell) {
		if _, ok := cells[line.What]; !ok {
			cells[line.What] = make([]*cell, len(reports))
			order = append(order, line.What)
		}
		cells[line.What][i], meta[line.What] = &c, line
	}
	for i, r := range reports {
		t.TestCase = r.TestCase
		t.Runs = append(t.Runs, TrendRun{Run: ids[i], Start: r.Timestamp, Status: r.Status, Profile: r.Profile,
			Target: r.Target.URL, Model: r.Target.Model, Version: r.Fingerprints["version"]})
		for _, c := range r.Checks {
			if c.Measured != nil && c.Op != "" && c.Op != "=" {
				put(i, TrendLine{What: c.ID, Unit: c.Unit, Op: c.Op, Target: c.Target}, cell{*c.Measured, c.Interval,
					c.Verdict})
			}
		}
		for _, s := range r.Sweeps {
			if s.Knee != nil {
				put(i, TrendLine{What: s.Phase + " knee", Unit: s.Unit, Op: ">="}, cell{*s.Knee, ends(s), ""})
			}
		}
		for _, p := range r.Phases {
			if p.Step != "" || !p.Kind.Loop() {
				continue
			}
			for _, d := range []struct {
				name string
				of   *Dist
			}{{"latency", p.Latency}, {"ttft", p.TTFT}, {"tpot", p.TPOT}} {
				if d.of != nil {
					put(i, TrendLine{What: p.ID + " " + d.name, Unit: "ms", Op: "<"},
						cell{d.of.Mean, &[2]float64{d.of.MeanLow, d.of.MeanHigh}, ""})
				}
			}
			put(i, TrendLine{What: p.ID + " rate", Unit: "requests/s", Op: ">="},
				cell{p.RPS, &[2]float64{p.RPSLow, p.RPSHigh}, ""})
		}
	}
	for _, what := range order {
		line := meta[what]
		var first, last *cell
		for _, c := range cells[what] {
			if c == nil {
				line.Values, line.Bands, line.Verdicts = append(line.Values, nil), append(line.Bands, nil),
					append(line.Verdicts, "")
				continue
			}
			if first == nil {
				first = c
			}
			last = c
			v := c.value
			line.Values, line.Verdicts = append(line.Values, &v), append(line.Verdicts, c.verdict)
			line.Bands = append(line.Bands, (*Interval)(c.band))
		}
		if !slices.ContainsFunc(line.Verdicts, func(v Verdict) bool { return v != "" }) {
			line.Verdicts = nil
		}
		line.Last = Same
		if first != last {
			x := Check{Measured: &first.value, Unit: line.Unit, Target: line.Target}
			y := Check{Measured: &last.value, Unit: line.Unit, Target: line.Target}
			line.Last = changed(first.value, first.band, last.value, last.band, noise(x, y), line.Op == ">=")
			by := last.value - first.value
			line.Change = &by
		}
		t.Rows = append(t.Rows, line)
	}
	return t
}

// Only keeps the lines whose names contain one of the texts. Without texts, it keeps the figures of checks, or all
// lines if no check has a figure.
func (t *Trend) Only(texts []string) {
	keep := func(l TrendLine) bool {
		return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(l.What, s) })
	}
	if len(texts) == 0 {
		keep = func(l TrendLine) bool { return l.Verdicts != nil || strings.HasSuffix(l.What, " knee") }
		if !slices.ContainsFunc(t.Rows, keep) {
			return
		}
	}
	t.Rows = slices.DeleteFunc(t.Rows, func(l TrendLine) bool { return !keep(l) })
}

// sparks are blocks of eight heights.
var sparks = []rune("▁▂▃▄▅▆▇█")

// sparkline draws values as blocks whose heights range from the smallest value to the largest. A dot is a missing
// value.
func sparkline(values []*float64) string {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if v != nil {
			lo, hi = math.Min(lo, *v), math.Max(hi, *v)
		}
	}
	var b strings.Builder
	for _, v := range values {
		switch {
		case v == nil:
			b.WriteRune('·')
		case hi == lo:
			b.WriteRune(sparks[3])
		default:
			b.WriteRune(sparks[int(math.Round((*v-lo)/(hi-lo)*7))])
		}
	}
	return b.String()
}

// TrendText writes a trend for a terminal: the runs, then a line for each figure.
func TrendText(w io.Writer, t Trend) error {
	var b strings.Builder
	rows := [][]string{{"", "start", "status", "profile", "target", "run"}}
	for i, r := range t.Runs {
		rows = append(rows, []string{fmt.Sprint(i + 1),
			time.UnixMilli(int64(r.Start * 1000)).UTC().Format("2006-01-02 15:04"),
			Clean(string(r.Status)), Clean(r.Profile), Clean(r.Target), Clean(r.Run)})
	}
	leftTable(&b, rows)
	b.WriteByte('\n')
	rows = [][]string{{"figure", "trend", "oldest", "newest", "least", "most", "target", ""}}
	for _, l := range t.Rows {
		var first, last, lo, hi *float64
		for _, v := range l.Values {
			if v == nil {
				continue
			}
			if first == nil {
				first, lo, hi = v, v, v
			}
			if last = v; *v < *lo {
				lo = v
			}
			if *v > *hi {
				hi = v
			}
		}
		target := ""
		if l.Target != nil {
			v, _ := written(*l.Target, l.Unit)
			target = l.Op + " " + v
		}
		rows = append(rows, []string{Clean(l.What), sparkline(l.Values), optFigure(first, l.Unit), optFigure(last,
			l.Unit),
			optFigure(lo, l.Unit), optFigure(hi, l.Unit), target, l.Last})
	}
	leftTable(&b, rows)
	fmt.Fprintf(&b, "\n%s of %s, oldest first; the last column holds the newest against the oldest\n",
		noun.Of(len(t.Runs), "run", "runs"),
		Clean(t.TestCase))
	_, err := io.WriteString(w, b.String())
	return err
}

// leftTable aligns cells to the left.
func leftTable(b *strings.Builder, rows [][]string) {
	widths := columnWidths(rows, 48)
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			n := len([]rune(cell))
			line.WriteString(cell + strings.Repeat(" ", max(widths[i]-n, 0)) + "  ")
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// TrendSVG draws a small chart for each figure, with its interval and its target. The result is one image that needs
// no style sheet.
func TrendSVG(w io.Writer, t Trend) error {
	const wide, tall = 520.0, 150.0
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %s %s" role="img"><title>%s over %s</title>`,
		px(wide), px(tall*float64(max(len(t.Rows), 1))), px(wide), px(tall*float64(max(len(t.Rows), 1))),
		html.EscapeString(t.TestCase),
		noun.Of(len(t.Runs), "run", "runs"))
	b.WriteString(`<style>` + trendStyle + `</style><rect class="paper" width="100%" height="100%"/>`)
	for i, l := range t.Rows {
		p := trendPlot(l, i, t.Runs)
		p.width, p.height = wide, tall-14
		fmt.Fprintf(&b, `<g transform="translate(0 %s)"><text class="name" x="8" y="13">%s</text><svg y="12" width="%s" height="%s">%s</svg></g>`,
			px(float64(i)*tall), html.EscapeString(l.What), px(wide), px(tall-14), p.svg())
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

const trendStyle = `svg{font:11px system-ui,sans-serif;color-scheme:light dark}.paper{fill:#fff}text{fill:#535c69}.name{font-weight:650;fill:#171b21}` +
	`.grid{stroke:#e8ebef}.axis,.tickmark{stroke:#535c69}.line,.whisker{fill:none;stroke:#1f62c4;stroke-width:1.6}.dots{stroke:#1f62c4;stroke-linecap:round;fill:none}` +
	`.target{stroke:#b3201b;stroke-dasharray:5 4}.targetname{fill:#b3201b}.version{stroke:#7a2fa8;stroke-dasharray:2 3}.versionname{fill:#7a2fa8}` +
	`@media (prefers-color-scheme:dark){.paper{fill:#12151a}text{fill:#a2acb9}.name{fill:#e7eaee}.grid{stroke:#262c35}.line,.whisker,.dots{stroke:#74a9f7}.target{stroke:#ff8f87}.targetname{fill:#ff8f87}.version{stroke:#cf9bf0}.versionname{fill:#cf9bf0}}`

// trendPlot is the chart of one figure.
func trendPlot(l TrendLine, n int, runs []TrendRun) *plot {
	p := &plot{id: fmt.Sprintf("trend%d", n), title: l.What, xLabel: "run", yLabel: l.Unit, xMin: 0.5,
		xMax: float64(len(runs)) + 0.5, xWhole: true}
	if l.Unit == "share" {
		p.yLabel, p.yPercent = "", true
	}
	p.uprights = versionMarks(runs)
	var points []Point
	for i, v := range l.Values {
		if v == nil {
			continue
		}
		at := float64(i + 1)
		points = append(points, Point{at, math.Max(*v, 0)})
		if b := l.Bands[i]; b != nil {
			p.whiskers = append(p.whiskers, whisker{"c1", at, b[0], b[1]})
			p.yMax = math.Max(p.yMax, b[1])
		}
	}
	top := math.Max(p.yMax, maxY(points))
	if l.Target != nil && *l.Target > 0 && *l.Target < 3*top {
		p.levels = []mark{{label: "target", from: *l.Target}}
		top = math.Max(top, *l.Target)
	}
	p.yMax, p.about = roundUp(top*1.05), noun.Of(len(points), "run", "runs")
	p.lines, p.dots = []line{{class: "c1", points: points}}, []dots{{class: "c1", points: points, r: 2.4}}
	return p
}

// versionMarks are marks between runs of different versions of the program, with the name of the new version.
func versionMarks(runs []TrendRun) []mark {
	var out []mark
	for i := 1; i < len(runs); i++ {
		if was, is := runs[i-1].Version, runs[i].Version; was != is && is != "" {
			out = append(out, mark{label: headOf(ShortVersion(is), 24), from: float64(i) + 0.5, high: true,
				class: "version"})
		}
	}
	return out
}

// ShortVersion shortens a version to the parts that differ between builds: "mixtral v1.2.3 0123456789ab go1.26
// linux/amd64" becomes "v1.2.3 0123456789ab".
func ShortVersion(v string) string {
	words := strings.Fields(v)
	if len(words) < 2 || words[0] != "mixtral" {
		return v
	}
	words = slices.DeleteFunc(words[1:], func(w string) bool {
		return strings.HasPrefix(w, "go1.") || strings.Contains(w, "/")
	})
	return strings.Join(words, " ")
}

// headOf keeps the first n characters of a name.
func headOf(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
