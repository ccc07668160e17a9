package report

import (
	"fmt"
	"slices"
	"strings"
)

// Sweep is a search for the highest load at which the server keeps its objectives, and what it found.
type Sweep struct {
	Phase      string   `json:"phase"`
	Over       string   `json:"over"` // "rate" or "concurrency"
	Unit       string   `json:"unit"` // of the load: "requests/s" or "in flight"
	From       float64  `json:"from"`
	To         float64  `json:"to"`
	Objectives []string `json:"objectives"`
	Confidence float64  `json:"confidence"` // that the knee lies from Low to High
	Within     float64  `json:"within"`
	Knee       *float64 `json:"knee"` // the likeliest place; nil: no step held, or none missed
	Low        *float64 `json:"low"`  // the highest load that is proven to hold; nil: none is
	High       *float64 `json:"high"` // the lowest load that is proven to miss; nil: none is
	Located    bool     `json:"located"`
	Finding    string   `json:"finding"` // all of it in a sentence
	CutShort   string   `json:"cut_short,omitempty"`
	Marks      []Mark   `json:"marks,omitempty"` // the objectives' limits, for charts
	Steps      []Step   `json:"steps"`           // in the order in which they ran
}

// Mark is the limit of an objective on one of the figures of a step.
type Mark struct {
	Metric    string  `json:"metric"`    // "ttft", "tpot", "itl", "latency" or "goodput"
	Statistic string  `json:"statistic"` // "mean" or "p99"; empty for goodput
	Limit     float64 `json:"limit"`     // milliseconds, or a share
}

// Step is one load that a sweep tried. Times are milliseconds.
type Step struct {
	Phase    string  `json:"phase"` // its place among Report.Phases, which has all its figures
	Load     float64 `json:"load"`
	Seconds  float64 `json:"seconds"`
	Verdict  string  `json:"verdict"` // "held", "missed" or "unclear"
	Likely   bool    `json:"likely"`  // it rather held than not
	Why      string  `json:"why"`
	Requests int     `json:"requests"`
	Failed   int     `json:"failed"`
	// completions a second in the step's window, and output tokens a second, with their intervals
	RPS        float64     `json:"rps"`
	RPSBand    *[2]float64 `json:"rps_interval,omitempty"`
	OutputTPS  float64     `json:"output_tokens_per_s"`
	OutputBand *[2]float64 `json:"output_tokens_per_s_interval,omitempty"`
	// share of the requests that met every objective by themselves
	Goodput     float64     `json:"goodput"`
	GoodputBand *[2]float64 `json:"goodput_interval,omitempty"`
	TTFT        *Dist       `json:"ttft_ms,omitempty"`
	TPOT        *Dist       `json:"tpot_ms,omitempty"`
	Latency     *Dist       `json:"latency_ms,omitempty"`
	MaxInFlight int         `json:"max_in_flight"`
}

// byLoad are the steps of a sweep in the order of their loads; of one load, the longer ones last.
func (s Sweep) byLoad() []Step {
	out := slices.Clone(s.Steps)
	slices.SortStableFunc(out, func(a, b Step) int {
		switch {
		case a.Load < b.Load:
			return -1
		case a.Load > b.Load:
			return 1
		}
		return 0
	})
	return out
}

// sweepTable has a line for each load, in rising order.
func sweepTable(b *strings.Builder, s Sweep) {
	wrap(b, "sweep "+Clean(s.Phase)+": ", "  ", Clean(s.Finding))
	if len(s.Objectives) > 0 {
		wrap(b, "  objectives: ", "  ", Clean(strings.Join(s.Objectives, ", ")))
	}
	rows := [][]string{{Clean(s.Unit), "", "s", "requests", "failed", "per s", "tokens/s", "goodput", "ttft ms", "p99",
		"tpot ms", "latency ms", "p99"}}
	for _, x := range s.byLoad() {
		verdict := Clean(x.Verdict)
		if verdict == "unclear" {
			verdict = map[bool]string{true: "rather held", false: "rather missed"}[x.Likely]
		}
		row := []string{Number(x.Load), verdict, Number(x.Seconds), Number(float64(x.Requests)),
			Number(float64(x.Failed)), Number(x.RPS), Number(x.OutputTPS), fmt.Sprintf("%.1f %%", 100*x.Goodput)}
		for _, d := range []struct {
			of  *Dist
			p99 bool
		}{{x.TTFT, true}, {x.TPOT, false}, {x.Latency, true}} {
			mean, p99 := "-", "-"
			if d.of != nil {
				mean, p99 = Number(d.of.Mean), Optional(d.of.P99)
			}
			row = append(row, mean)
			if d.p99 {
				row = append(row, p99)
			}
		}
		rows = append(rows, row)
	}
	widths := columnWidths(rows, 14)
	for _, row := range rows {
		writeRow(b, row, widths)
	}
	b.WriteByte('\n')
}
