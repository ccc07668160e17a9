package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/slo"
	"github.com/hxp-enterprise/mixtral/internal/certify/knee"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// Sweep is the result of a search for the highest load at which the server meets its objectives.
type Sweep struct {
	Phase      string   `json:"phase"`      // id of the sweep's phase in the case
	Over       string   `json:"over"`       // "rate" or "concurrency"
	Unit       string   `json:"unit"`       // unit of the load: "requests/s" or "in flight"
	From       float64  `json:"from"`       // lowest load of the search, in unit
	To         float64  `json:"to"`         // highest load of the search, in unit
	Objectives []string `json:"objectives"` // the objectives in words
	Confidence float64  `json:"confidence"` // probability with which the knee lies between low and high
	// the knee is located if high is above low by at most this share of low
	Within float64 `json:"within"`
	// most likely load of the knee; null if no step held, or none missed
	Knee *float64 `json:"knee"`
	// highest load that was proven to meet the objectives; null if there is none
	Low *float64 `json:"low"`
	// lowest load that was proven to miss the objectives; null if there is none
	High    *float64 `json:"high"`
	Located bool     `json:"located"` // whether low and high are proven and that close together
	Finding string   `json:"finding"` // the result in a sentence
	// why the sweep ended before it was complete
	CutShort testcases.CutReason `json:"cut_short,omitempty"`
	Marks    []Mark              `json:"marks,omitempty"` // limits of the objectives, for charts
	Steps    []Step              `json:"steps"`           // the steps, in the order in which they ran
}

// Mark is the limit that an objective sets for one figure of a step.
type Mark struct {
	Metric    Metric  `json:"metric"`    // "ttft", "tpot", "itl", "latency" or "goodput"
	Statistic string  `json:"statistic"` // "mean" or "p99"; empty for goodput
	Limit     float64 `json:"limit"`     // milliseconds, or a share
}

// StepVerdict says whether the server met a sweep's objectives at one load.
type StepVerdict string

// Verdicts on a step.
const (
	StepHeld    = StepVerdict(knee.Held)    // every objective was proven to be met
	StepMissed  = StepVerdict(knee.Missed)  // one objective was proven not to be met
	StepUnclear = StepVerdict(knee.Unclear) // neither was proven
)

// Metric names the figure of a step that an objective limits.
type Metric string

// The metrics of objectives.
const (
	MetricTTFT    = Metric(slo.TTFT)
	MetricTPOT    = Metric(slo.TPOT)
	MetricITL     = Metric(slo.ITL)
	MetricLatency = Metric(slo.Latency)
	MetricGoodput = Metric(testcases.RuleGoodput)
)

// Step is one load that a sweep tried. Times are milliseconds.
type Step struct {
	Phase    string      `json:"phase"`    // id of its entry in `phases`, which has all its figures
	Load     float64     `json:"load"`     // requests per second, or requests in flight
	Seconds  float64     `json:"seconds"`  // length of the step. Unit: s
	Verdict  StepVerdict `json:"verdict"`  // "held", "missed" or "unclear"
	Likely   bool        `json:"likely"`   // whether its figures met the objectives, proven or not
	Why      string      `json:"why"`      // the reason of the verdict in words
	Requests int         `json:"requests"` // judged requests, including those canceled at the end
	Failed   int         `json:"failed"`   // how many of them failed or were canceled
	// completions per second in the step's window
	RPS       float64     `json:"rps"`
	RPSBand   *[2]float64 `json:"rps_interval,omitempty"` // exact Poisson interval of rps. Unit: 1/s
	OutputTPS float64     `json:"output_tokens_per_s"`    // output tokens per second in the window
	// interval of output_tokens_per_s. Unit: 1/s
	OutputBand *[2]float64 `json:"output_tokens_per_s_interval,omitempty"`
	// share of the requests that each met every objective
	Goodput     float64     `json:"goodput"`
	GoodputBand *[2]float64 `json:"goodput_interval,omitempty"` // Wilson interval of goodput
	TTFT        *Dist       `json:"ttft_ms,omitempty"`          // time to the first token of judged requests
	TPOT        *Dist       `json:"tpot_ms,omitempty"`          // time per output token of judged requests
	Latency     *Dist       `json:"latency_ms,omitempty"`       // latency of judged requests
	MaxInFlight int         `json:"max_in_flight"`              // largest number of requests in flight
}

// byLoad returns the steps of a sweep sorted by load. Steps of the same load stay in the order in which they ran, the
// longer ones last.
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

// sweepTable prints a line for each step, in the order of loads.
func sweepTable(b *strings.Builder, s Sweep) {
	wrap(b, "sweep "+Clean(s.Phase)+": ", "  ", Clean(s.Finding))
	if len(s.Objectives) > 0 {
		wrap(b, "  objectives: ", "  ", Clean(strings.Join(s.Objectives, ", ")))
	}
	rows := [][]string{{Clean(s.Unit), "", "s", "requests", "failed", "per s", "tokens/s", "goodput", "ttft ms", "p99",
		"tpot ms", "latency ms", "p99"}}
	for _, x := range s.byLoad() {
		row := []string{Number(x.Load), Clean(stepWord(x)), Number(x.Seconds), Number(float64(x.Requests)),
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
