package report

import "strings"

// Generator is one of several machines that made the load of a run.
type Generator struct {
	Number   int    `json:"number"`   // number of the generator, from 1, as in the record
	Name     string `json:"name"`     // the address at which it was reached
	Requests int    `json:"requests"` // requests that it sent
	Failed   int    `json:"failed"`   // how many of them failed
	// p99 of issued − scheduled in the open phase in which it was worst
	IssueP99 float64 `json:"issue_p99_ms"`
	// largest possible error of its clock in any phase of load; arrivals may be off by as much
	ClockError float64 `json:"clock_error_ms"`
	// rate of the certifier's clock against its own, in parts per million
	Drift      *float64 `json:"drift_ppm"`
	DriftError *float64 `json:"drift_error_ppm"`       // largest possible error of drift_ppm
	MachineUse string   `json:"machine_use,omitempty"` // who used its machine, in words
	Lost       string   `json:"lost,omitempty"`        // in which phase it was lost, and why
}

// generatorTable prints the generators, if there are any.
func generatorTable(b *strings.Builder, list []Generator) {
	if len(list) == 0 {
		return
	}
	rows := [][]string{{"generator", "address", "requests", "failed", "late p99 ms", "clock ± ms", "drift ppm"}}
	for _, g := range list {
		rows = append(rows, []string{Number(float64(g.Number)), Clean(g.Name), Number(float64(g.Requests)),
			Number(float64(g.Failed)), Number(g.IssueP99), Number(g.ClockError), g.DriftText()})
	}
	widths := columnWidths(rows, 30)
	for _, row := range rows {
		writeRow(b, row, widths)
	}
	for _, g := range list {
		if g.Lost != "" {
			wrap(b, "  ", "    ", "generator "+Number(float64(g.Number))+" was lost "+Clean(g.Lost))
		}
	}
	b.WriteByte('\n')
}

// DriftText is the drift with its largest error, in parts per million; "-" if it is not known.
func (g Generator) DriftText() string {
	if g.Drift == nil || g.DriftError == nil {
		return "-"
	}
	return Number(*g.Drift) + " ± " + Number(*g.DriftError)
}
