package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	certreport "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// sweepFlag is the range of --sweep: "rate=1..64", "concurrency=1..128", or "rate" if the flag has no value, as in
// older scripts.
type sweepFlag string

// Decode reads the word after --sweep if it is a range.
func (s *sweepFlag) Decode(ctx *kong.DecodeContext) error {
	*s = sweepFlag(testcases.OverRate)
	next := ctx.Scan.Peek()
	word, _ := next.Value.(string)
	switch {
	case next.Type == kong.FlagValueToken:
	case next.Type == kong.FlagToken || next.Type == kong.ShortFlagToken:
		return nil
	default:
		over, _, _ := strings.Cut(word, "=")
		if over != string(testcases.OverRate) && over != string(testcases.OverConcurrency) {
			return nil // the next word is the case
		}
	}
	switch word = fmt.Sprint(ctx.Scan.Pop().Value); word {
	case "true":
	case "false":
		*s = ""
	default:
		*s = sweepFlag(word)
	}
	return nil
}

// IsBool allows the flag without a value.
func (*sweepFlag) IsBool() bool { return true }

var _ kong.BoolMapperValue = (*sweepFlag)(nil)

// sweepSummary is what certify --sweep --json prints in addition to the summary of any run: the search over rates,
// under the keys that it has had since the first version.
type sweepSummary struct {
	Target  string            `json:"target"`
	Model   string            `json:"model"`
	Seed    int64             `json:"seed"`
	Highest float64           `json:"highest_rps"` // the highest load that was proven to hold; 0: none
	Lowest  float64           `json:"lowest_rps"`  // the lowest that was proven to miss; 0: none
	Steps   []sweepStepResult `json:"steps"`
}

type sweepStepResult struct {
	RPS         float64 `json:"rps"` // the load: offered requests a second, or requests in flight
	Completed   float64 `json:"completed_rps"`
	Requests    int     `json:"requests"`
	Failed      int     `json:"failed"`
	MeanMS      float64 `json:"mean_ms"`
	HighMS      float64 `json:"high_ms"`
	MaxInFlight int     `json:"max_in_flight"`
	Held        bool    `json:"held"`
	Why         string  `json:"why"`
}

// summarise returns the first sweep of a report; nil: it has none.
func summarise(rep *certreport.Report) *sweepSummary {
	if len(rep.Sweeps) == 0 {
		return nil
	}
	s := rep.Sweeps[0]
	out := &sweepSummary{Target: rep.Target.URL, Model: rep.Target.Model}
	out.Seed, _ = strconv.ParseInt(rep.Fingerprints["seed"], 10, 64)
	if s.Low != nil {
		out.Highest = *s.Low
	}
	if s.High != nil {
		out.Lowest = *s.High
	}
	for _, x := range s.Steps {
		r := sweepStepResult{RPS: x.Load, Completed: x.RPS, Requests: x.Requests, Failed: x.Failed,
			MaxInFlight: x.MaxInFlight, Held: x.Likely, Why: x.Why}
		if x.Latency != nil {
			r.MeanMS, r.HighMS = x.Latency.Mean, x.Latency.MeanHigh
		}
		out.Steps = append(out.Steps, r)
	}
	return out
}

// keepSweep writes the result of a sweep beside the report, in the file that sweeps have always written.
func keepSweep(dir string, rep *certreport.Report) error {
	found := summarise(rep)
	if found == nil {
		return nil
	}
	name := strings.TrimPrefix(filepath.Base(certreport.PathsFor(dir, rep).JSON), "performance_")
	return certreport.WriteFile(filepath.Join(dir, "sweep_"+name), func(w io.Writer) error {
		return printJSON(w, struct {
			TestCase string `json:"test_case"`
			*sweepSummary
		}{rep.TestCase, found})
	})
}
