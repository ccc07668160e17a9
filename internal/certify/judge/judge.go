package judge

import (
	"errors"
	"fmt"
	"math"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// ErrEvidence matches every error about events that cannot be judged at all: the header or its case is missing, or the
// version belongs to a later release. Evidence that is only incomplete gives a report with the status INVALID.
var ErrEvidence = errors.New("unusable evidence")

// Judge derives the report. The order of the events only affects the digest of the record. Its errors match
// ErrEvidence.
func Judge(events []evidence.Event) (*report.Report, error) {
	r, err := read(events)
	if err != nil {
		return nil, err
	}
	return r.deriveFrom(events)
}

func (r *run) deriveFrom(events []evidence.Event) (*report.Report, error) {
	digest, err := evidence.Digest(events)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	return r.derive(len(events), digest)
}

// derive makes the report. events is the number of events in the record, and digest is the SHA-256 of its lines.
func (r *run) derive(events int, digest string) (*report.Report, error) {
	out := &report.Report{
		TestCase:      r.c.ID,
		Timestamp:     float64(r.header.Start.UnixMilli()) / 1000,
		SchemaVersion: report.SchemaVersion,
		Profile:       r.header.Profile,
		Notices:       r.notices(),
		Arithmetic:    Arithmetic(r.c),
		Targets:       targetsOf(r.c),
		Environment:   r.environment(),
		Fingerprints:  r.fingerprints(),
		Case: report.CaseInfo{ID: r.c.ID, Name: r.c.Name, Level: r.c.Level, Category: r.c.Category,
			Priority:     r.c.Priority,
			Traceability: r.c.Traceability, Criteria: r.c.Criteria},
		Target: report.TargetInfo{Kind: string(r.header.Target.Kind), URL: r.header.Target.URL,
			Model: r.header.Target.Model, Dialect: r.dialect()},
		Resources: r.resources(),
		Quality:   r.qualityReport(),
	}
	out.Reconciliation = r.rows
	out.ClientError = r.clientError()
	out.Preconditions, out.Phases = []report.Precondition{}, []report.Phase{}
	for _, c := range r.conditions {
		out.Preconditions = append(out.Preconditions, report.Precondition{ID: conditionName(c.v), OK: c.v.OK,
			Detail: c.v.Detail})
	}
	for _, p := range r.load("") {
		p.report.Taken = r.taken(p)
	}
	out.Resources.GPU = r.gpuReport()
	for _, p := range r.phases {
		if len(p.requests) > 0 && p.ran != nil {
			p.report.GPU = r.gpuOf(p)
		}
	}
	for _, p := range r.phases {
		if p.ran != nil {
			out.Phases = append(out.Phases, p.report)
		}
	}
	out.Sweeps = r.sweepReports()
	out.Generators = r.generatorReports()
	out.Checks, out.Status = r.judgeAll()
	out.Summary = r.summary(out)
	out.Server = r.header.Target.Said
	base := report.BaseName(r.c.ID, r.header.Start)
	out.Evidence = report.Evidence{File: base + report.EventsExt, Events: events, SHA256: digest,
		Verify: "mixtral report verify " + base + ".json"}
	tidy(out)
	var err error
	if out.Against, err = r.compare(out); err != nil {
		return nil, err
	}
	tidy(out.Against)
	return out, nil
}

// judgeAll judges every check of the case. A check of load is INVALID, whatever it measured, if its generator or the
// preconditions cannot be trusted. So every FAIL rests on evidence that holds, and therefore FAIL takes precedence
// over INVALID.
func (r *run) judgeAll() ([]report.Check, report.Verdict) {
	checks := []report.Check{}
	failed, invalid, gates := false, false, 0
	for i := range r.c.Checks {
		c := &r.c.Checks[i]
		o := r.judge(c)
		gate := c.Gate == nil || *c.Gate
		if gate {
			gates++
			failed = failed || o.verdict == report.Fail
			invalid = invalid || o.verdict == report.Invalid
		} else if o.verdict != report.Pass {
			o.reason = "not a gate; as one it would be " + string(o.verdict) + ": " + o.reason
			o.verdict = report.Info
		} else {
			o.verdict = report.Info
		}
		checks = append(checks, report.Check{ID: c.ID, Clause: c.Clause, Covers: c.Covers, Phase: c.Phase,
			Measured: o.measured, Interval: o.interval,
			Op: o.op, Target: o.target, Unit: o.unit, Verdict: o.verdict, Reason: o.reason, Gate: gate,
			Rule: r.ruleName(c)})
	}
	switch {
	case failed:
		return checks, report.Fail
	case invalid || gates == 0 || r.end == nil || r.end.Interrupted:
		return checks, report.Invalid
	}
	return checks, report.Pass
}

// ruleName is the rule of a check. Reports show it since revision 2 of the rules.
func (r *run) ruleName(c *testcases.Check) testcases.Rule {
	if r.header.Rules < 2 {
		return ""
	}
	return c.Rule
}

// judge applies the rule of one check.
func (r *run) judge(c *testcases.Check) outcome {
	rule, ok := rules[c.Rule]
	info, known := c.Rule.Info()
	if !ok || !known {
		return invalid("there is no rule %q", c.Rule)
	}
	if r.end != nil && r.end.Unanswered && c.Rule != testcases.RuleReportWritten {
		return invalid("nothing was measured: %s", r.end.Reason)
	}
	o := rule.judge(r, c)
	if x, err := r.value(c, math.NaN()); err == nil && o.target == nil && info.Op != "" {
		o.target, o.op = ptr(x), info.Op
	}
	if info.Load {
		if why := r.distrust(c); why != "" && o.verdict != report.Invalid {
			return distrusted(o, why)
		}
		if !rule.machine {
			o = r.hindered(o, r.rests(c))
		}
	}
	return o
}

// outcome is what a rule found.
type outcome struct {
	measured *float64
	interval *[2]float64
	op       string
	target   *float64
	unit     string
	verdict  report.Verdict
	reason   string
	beyond   float64 // milliseconds by which a shift is above its limit
}

func invalid(format string, args ...any) outcome {
	return outcome{verdict: report.Invalid, reason: fmt.Sprintf(format, args...)}
}

// worse says whether o is worse than another outcome of the same check in another phase.
func (o outcome) worse(than outcome) bool {
	rank := map[report.Verdict]int{report.Pass: 0, report.Invalid: 1, report.Fail: 2}
	if rank[o.verdict] != rank[than.verdict] {
		return rank[o.verdict] > rank[than.verdict]
	}
	if o.measured == nil || than.measured == nil {
		return o.measured != nil && than.measured == nil
	}
	if o.op == ">=" {
		return *o.measured < *than.measured
	}
	return *o.measured > *than.measured
}

// targetsOf copies the case's targets into the report's type, which uses the specification's keys.
func targetsOf(c *testcases.Case) report.Targets {
	t := c.Targets
	return report.Targets{LatencyMS: t.LatencyMS, ThroughputRPS: t.ThroughputRPS, Quality: t.Quality,
		MemoryGB: t.MemoryGB, CPUCores: t.CPUCores}
}

// Arithmetic explains what the targets of a case imply together, by Little's law L = λW. It is empty for a case
// without a concurrency or a throughput target.
func Arithmetic(c *testcases.Case) string {
	t := c.Targets
	if t.Concurrency <= 0 || t.ThroughputRPS <= 0 {
		return ""
	}
	closed := float64(t.Concurrency) / t.ThroughputRPS * 1000
	s := fmt.Sprintf("Little's law, L = λW: %d requests in flight that complete at %s requests/s take %s ms each "+
		"on average.",
		t.Concurrency, num(t.ThroughputRPS), num(closed))
	if t.LatencyMS <= 0 {
		return s
	}
	open := t.ThroughputRPS * t.LatencyMS / 1000
	if closed < t.LatencyMS {
		s += fmt.Sprintf(" So a closed loop of %d reaches %s requests/s only below %s ms, and the limit of %s ms "+
			"cannot bind in it.",
			t.Concurrency, num(t.ThroughputRPS), num(closed), num(t.LatencyMS))
	}
	return s + fmt.Sprintf(" In the open loop at %s requests/s, %s ms on average means %s requests in flight: "+
		"latency at a fixed concurrency and throughput at a fixed rate are therefore measured in phases of their own.",
		num(t.ThroughputRPS), num(t.LatencyMS), num(open))
}

// summary fills the specification's five figures: latency over every judged request under load, the sustained rate,
// quality, peaks.
func (r *run) summary(out *report.Report) report.Summary {
	var s report.Summary
	total, n := 0.0, 0
	for _, p := range r.load("") {
		for _, x := range p.latencies {
			total += x
		}
		n += len(p.latencies)
	}
	if n > 0 {
		s.AvgLatencyMS = ptr(total / float64(n))
	}
	if p := r.sustainedPhase(); p != nil {
		s.AvgThroughputRPS = ptr(p.report.RPS)
	} else if step := highestHeld(out.Sweeps); step != nil { // a run that only searched sustained this rate
		s.AvgThroughputRPS = ptr(step.RPS)
		if n == 0 && step.Latency != nil {
			s.AvgLatencyMS = ptr(step.Latency.Mean)
		}
	}
	s.AvgQualityScore = out.Quality.Score
	if res := out.Resources; res.Samples > 0 {
		s.PeakMemoryGB, s.PeakCPUCores = ptr(res.PeakGB), ptr(res.PeakCPU1s)
	}
	return s
}

// ptr returns a pointer to a finite x, and nil for NaN and infinities, which JSON cannot hold.
func ptr(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

// band is the interval from lo to hi, or nil if either end is not finite.
func band(lo, hi float64) *[2]float64 {
	if math.IsNaN(lo) || math.IsInf(lo, 0) || math.IsNaN(hi) || math.IsInf(hi, 0) {
		return nil
	}
	return &[2]float64{lo, hi}
}
