package console

import (
	"net/http"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/report"
)

// mostTrend is how many runs a trend shows: the newest.
const mostTrend = 40

// trendPage shows how the figures of a case changed over its runs.
type trendPage struct {
	Cases    []string
	Case     string
	Profile  string
	Target   string
	All      bool // all figures, not only those of the checks
	Runs     []trendRun
	Figures  []trendFigure
	Problems []string
	Versions bool // there are several versions
}

type trendRun struct {
	report.TrendRun
	N       int
	Changed bool // its version differs from that of the run before
}

type trendFigure struct {
	report.TrendLine
	Chart   report.Chart
	Newest  *float64
	Verdict report.Verdict // of the newest run
}

func (k *Console) trend(w http.ResponseWriter, r *http.Request) {
	get := func(name string) string { return strings.TrimSpace(r.FormValue(name)) }
	p := trendPage{Cases: k.source.cases(r.Context()), Case: get("case"), Profile: get("profile"),
		Target: get("target"), All: get("figures") == "all"}
	if p.Case == "" && len(p.Cases) > 0 {
		p.Case = k.newestCase(r, p.Cases)
	}
	if p.Case != "" {
		k.fillTrend(r, &p)
	}
	k.show(w, r, http.StatusOK, "trend", "Trends", "/trend", p)
}

// newestCase returns the case that was run last.
func (k *Console) newestCase(r *http.Request, cases []string) string {
	if rows, _ := k.source.list(r.Context(), filter{}, 1); len(rows) > 0 {
		return rows[0].Case
	}
	return cases[0]
}

func (k *Console) fillTrend(r *http.Request, p *trendPage) {
	rows, problems := k.source.list(r.Context(), filter{Case: p.Case, Profile: p.Profile, Target: p.Target}, mostTrend)
	p.Problems = problems
	slices.Reverse(rows)
	var ids []string
	var reports []*report.Report
	for _, row := range rows {
		l, err := k.source.load(r.Context(), row.ID)
		if err != nil {
			p.Problems = append(p.Problems, err.Error())
			continue
		}
		ids, reports = append(ids, row.ID), append(reports, l.report)
	}
	if len(reports) == 0 {
		return
	}
	t := report.NewTrend(ids, reports)
	if !p.All {
		t.Only(nil)
	}
	for i, run := range t.Runs {
		changed := i > 0 && run.Version != t.Runs[i-1].Version
		p.Versions = p.Versions || changed
		p.Runs = append(p.Runs, trendRun{run, i + 1, changed})
	}
	slices.Reverse(p.Runs)
	charts := report.TrendCharts(t)
	for i, line := range t.Rows {
		f := trendFigure{TrendLine: line, Chart: charts[i]}
		for j, v := range line.Values {
			if v != nil {
				f.Newest = v
				if line.Verdicts != nil {
					f.Verdict = line.Verdicts[j]
				}
			}
		}
		p.Figures = append(p.Figures, f)
	}
}
