package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// worstStep is the largest drift of the wall clock with which timestamps of other machines can still be used.
const worstStep = 500 * time.Millisecond

// issueDelay is the 99th percentile of issued − scheduled in an open loop, in milliseconds. A closed loop has no
// schedule: its latencies count from the moment of sending, so a late request does not change its figures.
func (p *phase) issueDelay() float64 {
	if len(p.delay) == 0 || p.plan.Kind != testcases.KindOpen {
		return 0
	}
	if p.generators > 1 { // each generator must be in time by itself
		worst := 0.0
		for g := range p.generators {
			worst = max(worst, p.issueDelayOf(g+1))
		}
		return worst
	}
	return stats.Percentile(slices.Sorted(slices.Values(p.delay)), 0.99)
}

// generatorProblems finds the reasons why the load cannot be trusted, by phase. The key "" is the whole run.
func (r *run) generatorProblems() map[string]string {
	m := map[string]string{}
	limit := r.c.Limits.IssueDelayMS
	if e := r.client(0); e == nil {
		m[""] = "the generator's own error was not measured"
	} else if why := clientOff(e, limit); why != "" {
		m[""] = "against a null server the generator " + why
	}
	if d := r.worstDrift(0); d > int64(worstStep) {
		m[""] = fmt.Sprintf("the clock stepped by %s ms", num(ms(d)))
	}
	r.partProblems(m)
	for _, p := range r.load("") {
		switch late := p.issueDelay(); {
		case p.ran == nil:
		case p.ran.CapHit:
			m[p.plan.ID] = fmt.Sprintf("phase %s reached the cap of %s requests in flight", p.plan.ID,
				count(r.c.Limits.MaxInFlight))
		case limit > 0 && late > limit:
			m[p.plan.ID] = fmt.Sprintf("phase %s issued its requests %s ms late at p99, the limit is %s ms",
				p.plan.ID, num(late), num(limit))
		case r.spoiled(p) != "":
			m[p.plan.ID] = r.spoiled(p)
		}
	}
	return m
}

// client is the last measurement of a client's own error. 0 is the certifier's client, other numbers are generators.
// It is nil if nothing was measured.
func (r *run) client(generator int) *evidence.Client {
	for _, x := range slices.Backward(r.clients) {
		if x.v.Generator == generator {
			return x.v
		}
	}
	return nil
}

// clientOff says by how much a client's error is too large; "" if it is not.
func clientOff(e *evidence.Client, limit float64) string {
	if limit <= 0 || ms(max(e.IssueP99, e.TTFTErrorP99, e.GapErrorP99)) <= limit {
		return ""
	}
	return fmt.Sprintf("was off at p99 by %s ms at issue, %s ms on the first token and %s ms on gaps; the limit "+
		"is %s ms",
		num(ms(e.IssueP99)), num(ms(e.TTFTErrorP99)), num(ms(e.GapErrorP99)), num(limit))
}

// independent are the preconditions that only matter to the checks that read them. Those checks report the loss
// themselves.
var independent = []evidence.ConditionID{evidence.ConditionMetrics, evidence.ConditionResources}

// lost lists the preconditions that do not hold and on which the load depends.
func (r *run) lost() []string {
	var out []string
	for _, c := range r.conditions {
		if !c.v.OK && !slices.Contains(independent, c.v.ID) {
			out = append(out, conditionName(c.v)+": "+c.v.Detail)
		}
	}
	return out
}

// conditionName names a precondition, and the generator that checked it.
func conditionName(c *evidence.Condition) string {
	if c.Generator == 0 {
		return string(c.ID)
	}
	return fmt.Sprintf("%s of generator %d", c.ID, c.Generator)
}

// distrust says why the load of a check cannot be trusted; "" if it can.
func (r *run) distrust(c *testcases.Check) string {
	if why := r.problems[""]; why != "" {
		return why
	}
	if lost := r.lost(); len(lost) > 0 {
		return "precondition lost: " + lost[0]
	}
	for _, p := range r.rests(c) {
		if why := r.problems[p.plan.ID]; why != "" {
			return why
		}
	}
	return ""
}

// rests lists the phases on which a check of load depends.
func (r *run) rests(c *testcases.Check) []*phase {
	switch c.Rule {
	case testcases.RuleThroughput, testcases.RuleBatchThroughput:
		if c.Phase != "" {
			return r.load(c.Phase)
		}
		if p := r.sustainedPhase(); p != nil && c.Rule == testcases.RuleThroughput {
			return []*phase{p}
		}
		return nil
	case testcases.RuleDegradationAfter:
		var out []*phase
		for _, p := range r.phases {
			if p.plan.CompareTo != "" && (c.Phase == "" || c.Phase == p.plan.ID) {
				out = append(out, p)
				if before := r.byID(p.plan.CompareTo); before != nil {
					out = append(out, before)
				}
			}
		}
		return out
	}
	return r.load(c.Phase)
}

// generatorRule says whether the load was as the case asks. Its verdict is never FAIL, because the load is not the
// server's work.
func generatorRule(r *run, _ *testcases.Check) outcome {
	worst, any := 0.0, false
	for _, p := range r.load("") {
		if p.ran != nil && len(p.delay) > 0 {
			worst, any = max(worst, p.issueDelay()), true
		}
	}
	// a step whose generator was too late has said so itself, and proves nothing against the server
	for _, p := range r.phases {
		if p.step != nil && len(p.delay) > 0 && (p.issueDelay() <= r.c.Limits.IssueDelayMS || !any) {
			worst, any = max(worst, min(p.issueDelay(), r.c.Limits.IssueDelayMS)), true
		}
	}
	o := outcome{op: "<=", target: ptr(r.c.Limits.IssueDelayMS), unit: "ms"}
	if any {
		o.measured = ptr(worst)
	}
	if len(r.problems) > 0 {
		var why []string
		for _, k := range sortedKeys(r.problems) {
			why = append(why, r.problems[k])
		}
		o.verdict, o.reason = report.Invalid, strings.Join(why, "; ")
		return o
	}
	if !any {
		o.verdict, o.reason = report.Invalid, "no load was made"
		return o
	}
	e := r.client(0)
	o.verdict = report.Pass
	o.reason = fmt.Sprintf("p99 issue delay of the worst phase; the client's own error at p99 is %s ms on the "+
		"first token and %s ms between chunks",
		num(ms(e.TTFTErrorP99)), num(ms(e.GapErrorP99)))
	return o
}

// clientError is the generator's own error as the report shows it.
func (r *run) clientError() *report.ClientError {
	e := r.client(0)
	if e == nil {
		return nil
	}
	out := &report.ClientError{Streams: e.Streams, RPS: e.RPS, IssueP50MS: ms(e.IssueP50), IssueP99MS: ms(e.IssueP99),
		TTFTP50MS: ms(e.TTFTErrorP50), TTFTP99MS: ms(e.TTFTErrorP99), GapP50MS: ms(e.GapErrorP50),
		GapP99MS: ms(e.GapErrorP99),
		LimitMS:  r.c.Limits.IssueDelayMS, WithinLimit: len(r.problems) == 0}
	for _, p := range r.load("") {
		out.WorstIssue = max(out.WorstIssue, p.issueDelay())
	}
	return out
}

func preconditionsRule(r *run, _ *testcases.Check) outcome {
	if len(r.conditions) == 0 {
		return invalid("no precondition was checked")
	}
	lost := r.lost()
	held := 0
	var elsewhere []string
	for _, c := range r.conditions {
		if c.v.OK {
			held++
		} else if slices.Contains(independent, c.v.ID) {
			elsewhere = append(elsewhere, conditionName(c.v)+": "+c.v.Detail)
		}
	}
	o := outcome{measured: ptr(float64(len(lost))), op: "=", target: ptr(0), unit: "lost", verdict: report.Pass,
		reason: plural(held, "precondition holds", "preconditions hold")}
	if len(elsewhere) > 0 {
		o.reason += "; judged by their own checks: " + strings.Join(elsewhere, "; ")
	}
	if len(lost) > 0 {
		o.verdict, o.reason = report.Invalid, strings.Join(lost, "; ")
	}
	return o
}

// littleRule checks every loop by Little's law. Requests that cross an edge of the window cause a difference of about
// latency ÷ window at each edge. That is not an error, so it is allowed on top of the limit.
func littleRule(r *run, c *testcases.Check) outcome {
	limit, err := r.value(c, r.c.Limits.LittleShare)
	if err != nil {
		return invalid("%v", err)
	}
	var worst outcome
	judged := 0
	for _, p := range r.load(c.Phase) {
		w := p.window()
		if p.ran == nil || len(p.judged) == 0 || w <= 0 {
			continue
		}
		off, allowed := p.report.Little, limit+2*p.report.Latency.Mean/1000/w
		o := outcome{measured: ptr(off), op: "<=", target: ptr(limit), unit: "share", verdict: report.Pass,
			reason: fmt.Sprintf("phase %s: %s in flight on average; %s allowed, the window's edges included",
				p.plan.ID, num(p.report.InFlight), percent(allowed))}
		if off > allowed {
			o.verdict = report.Invalid
			o.reason = fmt.Sprintf("phase %s: L and λW differ by %s: it did not reach a steady state, or requests "+
				"are missing from the record; in flight on average %s, at the window's start %s and at its end %s",
				p.plan.ID, percent(off), num(p.report.InFlight), count(p.inFlightAt(p.from)),
				count(p.inFlightAt(p.to)))
		}
		if judged == 0 || o.worse(worst) {
			worst = o
		}
		judged++
	}
	if judged == 0 {
		return invalid("no loop ran")
	}
	return worst
}

// auditsRule fails a server whose answers or figures an audit found to be false. Missing determinism is only noted,
// because servers batch requests and batches change the order of sums.
func auditsRule(r *run, _ *testcases.Check) outcome {
	if len(r.audits) == 0 {
		return invalid("no audit ran")
	}
	var caught, unclear, noted []string
	timed := true // every audit that caught the server used times only
	for _, a := range r.audits {
		switch line := string(a.v.ID) + ": " + a.v.Detail; {
		case a.v.Valid && !a.v.OK && a.v.ID == evidence.AuditDeterminism:
			noted = append(noted, line)
		case a.v.Valid && !a.v.OK:
			caught = append(caught, line)
			timed = timed && (a.v.ID == evidence.AuditCache || a.v.ID == evidence.AuditEmptyFirst)
		case !a.v.Valid && a.v.ID != evidence.AuditDeterminism:
			unclear = append(unclear, line)
		}
	}
	o := outcome{measured: ptr(float64(len(caught))), op: "=", target: ptr(0), unit: "caught", verdict: report.Pass,
		reason: plural(len(r.audits)-len(unclear), "audit", "audits") + " found nothing"}
	if len(noted) > 0 {
		o.reason += "; noted: " + strings.Join(noted, "; ")
	}
	if len(unclear) > 0 {
		o.verdict, o.reason = report.Invalid, "could not be judged: "+strings.Join(unclear, "; ")
	}
	if len(caught) > 0 {
		o.verdict, o.reason = report.Fail, strings.Join(caught, "; ")
	}
	if timed && r.header.Rules >= 3 {
		return r.hindered(o, r.auditPhases())
	}
	return o
}

// auditPhases lists the phases of audits.
func (r *run) auditPhases() []*phase {
	var out []*phase
	for _, p := range r.phases {
		if p.plan.Kind == testcases.KindAudit {
			out = append(out, p)
		}
	}
	return out
}

// reportWritten is the last line of the specification's checklist: this report exists, and its record is complete.
func reportWritten(r *run, _ *testcases.Check) outcome {
	o := outcome{measured: ptr(0), op: "=", target: ptr(0), unit: "parts missing", verdict: report.Pass,
		reason: "the record is whole, and this report is derived from it"}
	if r.end == nil {
		o.measured, o.verdict, o.reason = ptr(1), report.Invalid,
			"the record has no end: the run was killed, or its file was cut"
	}
	return o
}

// stepsComplete says whether every planned phase ran as planned.
func stepsComplete(r *run, _ *testcases.Check) outcome {
	planned, complete := 0, 0
	var short, gone []string
	for _, p := range r.phases {
		if !p.planned {
			continue
		}
		planned++
		switch id := p.plan.ID; {
		case p.ran == nil:
			short = append(short, id+" did not run")
		case p.ran.CutShort == testcases.CutTargetLost:
			gone = append(gone, id)
		case p.ran.CutShort != "":
			short = append(short, fmt.Sprintf("%s was cut short (%s) after %s of %s requests", id, p.ran.CutShort,
				count(p.ran.Issued), count(p.ran.Planned)))
		case p.ran.Issued < p.plan.Requests && sends(p.plan.Kind):
			short = append(short, fmt.Sprintf("%s issued %s requests, its plan asks for %s", id, count(p.ran.Issued),
				count(p.plan.Requests)))
		case len(p.requests)+p.canceled < p.ran.Issued && sends(p.plan.Kind):
			short = append(short, fmt.Sprintf("%s issued %s requests, the record holds %s", id, count(p.ran.Issued),
				count(len(p.requests)+p.canceled)))
		default:
			complete++
		}
	}
	o := outcome{measured: ptr(float64(complete)), op: "=", target: ptr(float64(planned)), unit: "phases",
		verdict: report.Pass, reason: "every phase ran to its plan"}
	if planned == 0 {
		return invalid("the case has no phases in profile %q", r.header.Profile)
	}
	if len(short) > 0 {
		o.verdict, o.reason = report.Invalid, strings.Join(short, "; ")
	}
	if len(gone) > 0 {
		o.verdict, o.reason = report.Fail, "the server went away during "+strings.Join(gone, ", ")
	}
	return o
}

// sends says whether phases of this kind record each of their requests.
func sends(kind testcases.Kind) bool {
	switch kind {
	case testcases.KindClosed, testcases.KindOpen, testcases.KindBatch, testcases.KindQuality:
		return true
	}
	return false
}

// answered lists the requests of a phase that have an answer.
func (p *phase) answered() []*request {
	var out []*request
	for _, q := range p.requests {
		if q.OK() {
			out = append(out, q)
		}
	}
	return out
}
