package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/hxp-enterprise/mixtral/testcases"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// page is the template that WriteHTML executes. An executed template cannot be copied, so Templates copies pageSource.
var (
	pageSource = parsePage()
	page       = template.Must(pageSource.Clone())
)

func parsePage() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"num":       Number,
		"int":       func(n int) string { return Number(float64(n)) },
		"opt":       opt,
		"value":     func(x float64, of string) string { v, _ := written(x, of); return v },
		"unit":      func(x float64, of string) string { _, u := written(x, of); return u },
		"counted":   counted,
		"op":        op,
		"some":      some,
		"fewest":    fewest,
		"visible":   visible,
		"hasPrefix": strings.HasPrefix,
		// reports from a database have verdicts as text
		"class":    func(v any) string { return verdictClass(Verdict(fmt.Sprint(v))) },
		"bar":      bar,
		"share":    share,
		"pct":      func(x float64) float64 { return 100 * x },
		"how":      howClass,
		"step":     stepClass,
		"stepword": stepWord,
		"by": func(c Change) string {
			if c.By == nil {
				return "–"
			}
			return c.by()
		},
		"date": func(unix float64) string {
			return time.UnixMilli(int64(unix * 1000)).UTC().Format("2 January 2006, 15:04 UTC")
		},
		"row": func(name string, d *Dist) distRow { return distRow{name, d} },
	}).Parse(pageHTML))
}

// pageData is the data of the page's template.
type pageData struct {
	*Report
	CSS       template.CSS
	When      string
	TargetIs  string
	Tally     string
	Deciding  []Check
	Figures   []figure
	Phases    []phaseView
	Resource  []Chart
	Quality   []promptView
	Criteria  []criterion
	Env       []pair
	Prints    []pair
	Trace     []pair
	Calibrate []pair
	HasIdle   bool
	Contents  []section
	SweepsOf  []sweepView
	Changed   []Change
	Unchanged int
	Said      []pair
	Signed    []Signature
}

// Signature is a signature of a report, as its page names it. The page itself proves nothing about it: mixtral report
// verify --key does.
type Signature struct {
	KeyID   string // the SSH fingerprint of the key
	File    string // file name of the attestation
	Name    string // name of the signer, if a list of keys has one
	Checked string // file of public keys with which it was checked when the page was made; empty if it was not checked
}

// opt formats a number that may be missing.
func opt(x *float64) string {
	if x == nil {
		return "–"
	}
	return Number(*x)
}

// some formats a figure that is 0 if nothing was measured.
func some(x float64) string {
	if x == 0 {
		return "–"
	}
	return Number(x)
}

// visible removes characters that a browser shows as boxes: private-use characters, and control characters other than
// line ends and tabs.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Co, r) {
			return -1
		}
		return r
	}, s)
}

// op formats an operator as in print: "≤" for "<=".
func op(s string) string {
	switch s {
	case "<=":
		return "≤"
	case ">=":
		return "≥"
	}
	return s
}

// distRow is one line of a phase's table.
type distRow struct {
	Name string
	D    *Dist
}

// figure is one of the page's headline numbers.
type figure struct {
	Name, Value, Unit string
	Goal              string // its target, or what it describes
	Verdict           Verdict
}

type phaseView struct {
	Phase
	Open   bool
	Charts []Chart
}

type promptView struct {
	Prompt string
	Score  float64
	Sample *QualitySample
}

// criterion is a sentence of the specification with the checks that cover it.
type criterion struct {
	ID, Text string
	Checks   []Check
}

type pair struct{ Key, Value string }

// WriteHTML writes the report as one page that needs nothing else: no script, no font, no image, no network. Every
// text from a server or a case is escaped.
func WriteHTML(w io.Writer, r *Report, s Series, signed ...Signature) error {
	d := view(r, s, signed)
	if err := page.Execute(w, d); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// view prepares what the page shows.
func view(r *Report, s Series, signed []Signature) *pageData {
	d := &pageData{Report: r, CSS: template.CSS(pageCSS),
		When:     time.UnixMilli(int64(r.Timestamp * 1000)).UTC().Format("2 January 2006, 15:04:05 UTC"),
		TargetIs: target(r), Tally: tally(r.Checks), Deciding: Deciding(r),
		Figures: append(figures(r), tokenFigures(r)...), SweepsOf: sweepViews(r), Said: serverPairs(r),
		Resource: append(resourceCharts(s, r), gpuCharts(s, r)...), Quality: promptViews(r), Criteria: criteria(r),
		Env: pairs(r.Environment), Prints: pairs(r.Fingerprints), Trace: pairs(r.Case.Traceability),
		HasIdle: r.Resources.AfterIdleGB != nil, Signed: signed}
	for _, k := range slices.Sorted(maps.Keys(r.Quality.Calibration)) {
		d.Calibrate = append(d.Calibrate, pair{strings.ReplaceAll(k, "_", " "), Number(r.Quality.Calibration[k])})
	}
	byID := map[string]PhaseSeries{}
	for _, p := range s.Phases {
		byID[p.ID] = p
	}
	for i, p := range r.Phases {
		if p.Step != "" {
			continue // the sweep shows it
		}
		v := phaseView{Phase: p, Open: opened(r, p)}
		if ps, ok := byID[p.ID]; ok {
			v.Charts = phaseCharts(ps, r, i)
		}
		d.Phases = append(d.Phases, v)
	}
	d.Changed, d.Unchanged = changeRows(r.Against)
	d.Contents = d.contents()
	return d
}

// figures are the figures of the summary with their targets. Each has the worst verdict of the checks that compare it
// with the same target.
func figures(r *Report) []figure {
	s, t := r.Summary, r.Targets
	rows := []struct {
		name, unit, op string
		value          *float64
		target         float64
		checks         string // unit of the checks that judge it
	}{
		{"Average latency", "ms", "<", s.AvgLatencyMS, t.LatencyMS, "ms"},
		{"Sustained throughput", "requests/s", "≥", s.AvgThroughputRPS, t.ThroughputRPS, "requests/s"},
		{"Answer quality", "of 1", "≥", s.AvgQualityScore, t.Quality, "score"},
		{"Peak memory", "GB", "≤", s.PeakMemoryGB, t.MemoryGB, "GB"},
		{"Peak CPU", "cores", "≤", s.PeakCPUCores, t.CPUCores, "cores"},
	}
	var out []figure
	for _, row := range rows {
		f := figure{Name: row.name, Value: "–", Unit: row.unit, Goal: "no target"}
		if row.target > 0 {
			f.Goal = "target " + row.op + " " + Number(row.target)
		}
		if row.value != nil {
			f.Value = Number(*row.value)
		}
		for _, c := range r.Checks {
			if c.Gate && c.Rule != testcases.RuleKnee && c.Unit == row.checks && c.Target != nil &&
				*c.Target == row.target && graver(c.Verdict, f.Verdict) {
				f.Verdict = c.Verdict
			}
		}
		if row.value == nil && f.Verdict == "" && (row.target == 0 || len(r.Sweeps) > 0) {
			continue // the run did not measure it, and no check asks for it
		}
		out = append(out, f)
	}
	return out
}

// graver says whether verdict a is worse than b. The order is FAIL, INVALID, PASS, none.
func graver(a, b Verdict) bool {
	rank := map[Verdict]int{"": 0, Info: 0, Pass: 1, Invalid: 2, Fail: 3}
	return rank[a] > rank[b]
}

// promptViews lists the prompts by score, the lowest first, with the answers that the report contains.
func promptViews(r *Report) []promptView {
	samples := map[string]*QualitySample{}
	for i := range r.Quality.Samples {
		samples[r.Quality.Samples[i].Prompt] = &r.Quality.Samples[i]
	}
	var out []promptView
	for _, k := range slices.Sorted(maps.Keys(r.Quality.PerPrompt)) {
		out = append(out, promptView{k, r.Quality.PerPrompt[k], samples[k]})
	}
	return out
}

// criteria joins the specification's sentences with the checks that cover them.
func criteria(r *Report) []criterion {
	var out []criterion
	for _, id := range slices.Sorted(maps.Keys(r.Case.Criteria)) {
		c := criterion{ID: id, Text: r.Case.Criteria[id]}
		for _, check := range r.Checks {
			if slices.Contains(check.Covers, id) {
				c.Checks = append(c.Checks, check)
			}
		}
		out = append(out, c)
	}
	return out
}

func pairs(m map[string]string) []pair {
	var out []pair
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] != "" {
			out = append(out, pair{strings.ReplaceAll(k, "_", " "), m[k]})
		}
	}
	return out
}
