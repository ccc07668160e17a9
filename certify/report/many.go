package report

import (
	"io"
	"slices"
	"strings"
)

// Table compares several reports, each with the first.
type Table struct {
	Reports  []string   `json:"reports"` // names of the reports, as given
	Statuses []string   `json:"statuses"`
	Rows     []TableRow `json:"rows"`
	Warnings []string   `json:"warnings,omitempty"`
}

// TableRow is one figure of all reports; nil if a report does not have it. How, By and Bands compare each report with
// the first, so their first entries are empty.
type TableRow struct {
	What   string        `json:"what"`
	Unit   string        `json:"unit,omitempty"`
	Values []*float64    `json:"values"`
	How    []string      `json:"how"`
	By     []*float64    `json:"changes"`
	Bands  []*[2]float64 `json:"change_intervals"`
}

// Worse says whether anything got worse than in the first report.
func (t Table) Worse() bool {
	return slices.ContainsFunc(t.Rows, func(r TableRow) bool { return slices.Contains(r.How, Worse) })
}

// NewTable joins the comparisons of reports with the first one. names and statuses are those of all reports, so they
// have one entry more than with.
func NewTable(names, statuses []string, with []Comparison) Table {
	t := Table{Reports: names, Statuses: statuses, Rows: []TableRow{}}
	at := map[string]int{}
	for i, c := range with {
		for _, w := range c.Warnings {
			of := names[i+1]
			if rest, ok := strings.CutPrefix(w, inFirst); ok {
				of, w = names[0], rest
			}
			if w = of + ": " + strings.TrimPrefix(w, inSecond); !slices.Contains(t.Warnings, w) {
				t.Warnings = append(t.Warnings, w)
			}
		}
		for _, x := range c.Changes {
			k, ok := at[x.What]
			if !ok {
				k = len(t.Rows)
				at[x.What] = k
				n := len(names)
				t.Rows = append(t.Rows, TableRow{What: x.What, Unit: x.Unit, Values: make([]*float64, n),
					How: make([]string, n), By: make([]*float64, n), Bands: make([]*[2]float64, n)})
			}
			r := &t.Rows[k]
			if x.A != nil {
				r.Values[0] = x.A
			}
			r.Values[i+1], r.How[i+1], r.By[i+1], r.Bands[i+1] = x.B, x.How, x.By, x.Band
		}
	}
	return t
}

// marksOf are the marks beside figures that changed.
var marksOf = map[string]string{Better: "+", Worse: "!", Differ: "~"}

// TableText writes the table for a terminal. It has the figures that changed in any report, or all figures if all is
// set.
func TableText(w io.Writer, t Table, all bool) error {
	var b strings.Builder
	for _, x := range t.Warnings {
		wrap(&b, "! ", "  ", Clean(x))
	}
	head, status := []string{"", "figure"}, []string{"", "status"}
	for i, name := range t.Reports {
		head, status = append(head, tail(Clean(name), 24)), append(status, Clean(t.Statuses[i]))
	}
	rows, hidden := [][]string{head, status}, 0
	for _, r := range t.Rows {
		worst := ""
		for _, how := range []string{Differ, Better, Worse} {
			if slices.Contains(r.How, how) {
				worst = how
			}
		}
		if worst == "" && !all {
			hidden++
			continue
		}
		row := []string{worst, Clean(r.What)}
		for i, v := range r.Values {
			cell := optFigure(v, r.Unit)
			if m := marksOf[r.How[i]]; m != "" {
				cell += " " + m
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	widths := columnWidths(rows, 34)
	for _, row := range rows {
		writeRow(&b, row, widths)
	}
	wrap(&b, "", "", "Each is held against the first: ! worse, + better, ~ differs otherwise. "+
		counted(hidden, "figure is", "figures are")+" the same within noise.")
	_, err := io.WriteString(w, b.String())
	return err
}

// tail keeps the last n characters of a name, because names of files usually differ at the end.
func tail(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return "…" + string(r[len(r)-n+1:])
	}
	return s
}
