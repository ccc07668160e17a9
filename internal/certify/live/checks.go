package live

import (
	"slices"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// CheckState is a check's state while the run goes on.
type CheckState string

// States of a check.
const (
	Open      CheckState = "open"       // cannot be judged yet
	WouldPass CheckState = "would pass" // would pass if the run ended now
	WouldFail CheckState = "would fail"
	Passed    CheckState = CheckState(report.Pass) // the run has ended, as for the next two
	Failed    CheckState = CheckState(report.Fail)
	Unjudged  CheckState = CheckState(report.Invalid)
	Reported  CheckState = CheckState(report.Info) // the check is not a gate
)

// Check is a check with its state.
type Check struct {
	report.Check
	State CheckState
}

// Tally counts the gates by state.
type Tally struct{ Pass, Fail, Open int }

// atTheEnd are rules that can only hold when the run has ended.
var atTheEnd = []testcases.Rule{testcases.RuleStepsComplete, testcases.RuleReportWritten}

// checksOf converts the judge's checks. While the run goes on, a check that is INVALID is open, because it can usually
// be judged later.
func checksOf(r *report.Report, s Stage) []Check {
	final := map[report.Verdict]CheckState{report.Pass: Passed, report.Fail: Failed, report.Invalid: Unjudged}
	sofar := map[report.Verdict]CheckState{report.Pass: WouldPass, report.Fail: WouldFail, report.Invalid: Open}
	var out []Check
	for _, c := range r.Checks {
		x := Check{Check: c, State: Reported}
		if c.Gate && s == Ended {
			x.State = final[c.Verdict]
		} else if c.Gate {
			if x.State = sofar[c.Verdict]; x.State == WouldPass && slices.Contains(atTheEnd, c.Rule) {
				x.State = Open
			}
			if s != Killed && c.Rule == testcases.RuleReportWritten {
				x.Measured, x.Reason = nil, "it is written when the run has ended"
			}
		}
		out = append(out, x)
	}
	return out
}

func tally(checks []Check) (t Tally) {
	for _, c := range checks {
		switch c.State {
		case WouldPass, Passed:
			t.Pass++
		case WouldFail, Failed:
			t.Fail++
		case Open, Unjudged:
			t.Open++
		}
	}
	return t
}
