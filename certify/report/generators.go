package report

import "strings"

// Generator is one of several machines that made the load of a run.
type Generator struct {
	Number   int    `json:"number"` // from 1, as in the record
	Name     string `json:"name"`   // the address at which it was reached
	Requests int    `json:"requests"`
	Failed   int    `json:"failed"`
	// p99 of issued − scheduled in the open phase in which it was latest
	IssueP99 float64 `json:"issue_p99_ms"`
	// by how much its clock may have been misread at the worst moment of a phase of load; arrivals are off by as much
	ClockError float64 `json:"clock_error_ms"`
	// by how many parts of a million the certifier's clock gained on its own
	Drift      *float64 `json:"drift_ppm"`
	DriftError *float64 `json:"drift_error_ppm"` // of that, at most
	MachineUse string   `json:"machine_use,omitempty"`
	Lost       string   `json:"lost,omitempty"` // why and in which phase it was lost
}

// generatorTable prints the generators, where there are any.
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

// DriftText is the drift with its bound.
func (g Generator) DriftText() string {
	if g.Drift == nil || g.DriftError == nil {
		return "-"
	}
	return Number(*g.Drift) + " ± " + Number(*g.DriftError)
}
