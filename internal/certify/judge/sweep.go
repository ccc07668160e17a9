package judge

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/slo"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/knee"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// asStep turns a phase of the record into a step of a sweep. Its plan is that of the sweep, with the load of the step.
func (p *phase) asStep(c *testcases.Case, of testcases.Phase) {
	s, of := c.SweepOf(of)
	p.step, p.objectives = p.ran.Step, s.SweepChecks(p.plan.ID)
	p.plan = StepPhase(of, p.ran.ID, p.ran.Step.Load, p.ran.Step.Times)
	p.plan.Kind = p.ran.Kind
}

// StepPhase is the plan of one step of a sweep. of is the sweep's phase as testcases.Case.SweepOf returns it. load is
// in requests per second or requests in flight, and times multiplies the length of the step.
func StepPhase(of testcases.Phase, id string, load float64, times int) testcases.Phase {
	ph := of
	ph.ID, ph.Sweep = id, nil
	t := float64(max(times, 1))
	ph.DurationS, ph.RampS, ph.MaxS, ph.Requests = of.DurationS*t, of.RampS*t, of.MaxS*t, of.Requests*max(times, 1)
	if of.Sweep != nil && of.Sweep.Over == testcases.OverConcurrency {
		ph.Kind, ph.Concurrency = testcases.KindClosed, int(load)
		ph.Arrivals, ph.Burstiness = "", 0
		return ph
	}
	ph.Kind, ph.RPS = testcases.KindOpen, load
	// No more requests than arrive within the longest time.
	ph.Requests = min(ph.Requests, int(math.Ceil(load*ph.MaxS)))
	ph.MaxS = 0
	return ph
}

// Search returns the search for the knee in a sweep's phase, and the error probability alpha of each step. Together
// all steps then have the confidence of the sweep.
func Search(c *testcases.Case, ph testcases.Phase) (search knee.Search, alpha float64) {
	s, _ := c.SweepOf(ph)
	return knee.Search{From: s.From, To: s.To, Whole: s.Over == testcases.OverConcurrency, Within: s.Within,
		Most: s.Steps}, (1 - s.Confidence) / float64(s.Steps)
}

// StepOutcome judges one step of a sweep by its own record. hosts are the readings of who used the machine during the
// step.
func StepOutcome(c *testcases.Case, of testcases.Phase, rec evidence.Phase, requests []*evidence.Request,
	hosts []evidence.Event) knee.Outcome {
	r := &run{c: c}
	for _, e := range hosts {
		if e.Host != nil {
			r.hosts = append(r.hosts, at[*evidence.Host]{e.At, e.Host})
		}
	}
	byTime(r.hosts)
	r.uses = uses(r.hosts, evidence.Rules)
	p := &phase{plan: testcases.Phase{ID: rec.ID}, ran: &rec, rules: evidence.Rules}
	var kept store
	for _, q := range requests {
		p.requests = append(p.requests, kept.add(q))
		p.generators = max(p.generators, q.Generator)
	}
	p.asStep(c, of)
	p.measure(c)
	_, outcome := r.judgeStep(p, of)
	return outcome
}

// judgeStep returns what a step measured, and its verdict. If other programs took the machine, the step proves nothing
// about the server.
func (r *run) judgeStep(p *phase, of testcases.Phase) (knee.Measured, knee.Outcome) {
	search, alpha := Search(r.c, of)
	m := p.measured(r.c)
	if why := r.taken(p); why != "" {
		m.Doubt = why
	}
	return m, knee.Decide(m, alpha, search.Within/2)
}

// growthParts is the number of parts of a step's window: enough to see whether a backlog shrinks again.
const growthParts = 60

// measured is what the search needs to know about a step. Requests that were canceled had more time than the others,
// so they count as failures.
func (p *phase) measured(c *testcases.Case) knee.Measured {
	m := knee.Measured{Requests: len(p.judged), ErrorBudget: c.Limits.ErrorBudget}
	cut := p.ran.CutShort == testcases.CutDrain
	lost := 0
	for _, q := range p.judged {
		if !q.OK() {
			m.Failed++
		}
	}
	if cut {
		for _, q := range p.broken {
			if q.Scheduled >= p.from && q.Scheduled <= p.to {
				lost++
			}
		}
		m.Requests, m.Failed = m.Requests+lost, m.Failed+lost
	}
	if p.plan.Kind == testcases.KindOpen {
		m.Rate = p.plan.RPS
		m.Arrived, m.Answered, m.PartS = p.flow(cut)
	}
	for _, x := range p.objectives {
		m.Objectives = append(m.Objectives, p.objective(c, x, lost))
	}
	limit := c.Limits.IssueDelayMS
	if late := p.issueDelay(); limit > 0 && late > limit && !p.ran.CapHit {
		m.Doubt = fmt.Sprintf("the load generator was %s ms late at p99, the limit is %s ms", num(late), num(limit))
	}
	if n, why := blameless(p.requests); n > 0 && float64(n) > c.Limits.ErrorBudget*float64(len(p.requests)) {
		m.Doubt = fmt.Sprintf("%s failed for no fault of the server: %s", plural(n, "request", "requests"), why)
	}
	return m
}

// flow counts arrivals and answers in equal parts of the window. width is the length of a part in seconds.
func (p *phase) flow(cut bool) (arrived, answered []float64, width float64) {
	arrived, answered = make([]float64, growthParts), make([]float64, growthParts)
	width = p.window() / growthParts
	if !(width > 0) {
		return nil, nil, 0
	}
	count := func(t int64, in []float64) {
		if k := int(seconds(t-p.from) / width); t >= p.from && k < growthParts {
			in[k]++
		}
	}
	all := p.requests
	if cut {
		all = append(slices.Clone(all), p.broken...)
	}
	for _, q := range all {
		count(q.Scheduled, arrived)
		if q.Fail != evidence.FailCanceled {
			count(q.Done, answered)
		}
	}
	return arrived, answered, width
}

// objective collects the sample of an objective. lost is the number of canceled requests; each counts as bad.
func (p *phase) objective(c *testcases.Case, x testcases.Check, lost int) knee.Objective {
	o := knee.Objective{Name: objectiveName(x), Limit: x.Limit, Allowed: 1 - x.P}
	value := func(q *request) (float64, bool) { return p.latency(q, x.Limit), true }
	switch x.Rule {
	case testcases.RuleTTFTMean, testcases.RuleTTFTPercentile:
		value = func(q *request) (float64, bool) {
			v, ok := p.firstToken(q)
			return v, ok || q.OK() && p.rules < 3 // an answer that did not come as a stream has no first token
		}
	case testcases.RuleTPOTMean, testcases.RuleTPOTPercentile:
		value = perToken
	case testcases.RuleITLMean, testcases.RuleITLPercentile:
		value = meanGap
	case testcases.RuleGoodput:
		limits := p.limits(c)
		o.Allowed = 1 - x.Limit
		for i, q := range p.judged {
			o.Bad, o.Of = append(o.Bad, !p.good(q, limits)), append(o.Of, p.latencies[i])
		}
	}
	mean := x.P == 0 && x.Rule != testcases.RuleGoodput
	for _, q := range p.judged {
		if x.Rule == testcases.RuleGoodput {
			break
		}
		v, ok := value(q)
		if !q.OK() {
			v, ok = math.Max(p.latency(q, x.Limit), x.Limit), true
		}
		switch {
		case !ok:
		case mean:
			o.Mean = append(o.Mean, v)
		default:
			o.Bad, o.Of = append(o.Bad, !q.OK() || v > x.Limit), append(o.Of, v)
		}
	}
	for range lost {
		if mean {
			o.Mean = append(o.Mean, math.Max(x.Limit, ms(p.ran.End-p.to)))
		} else {
			o.Bad, o.Of = append(o.Bad, true), append(o.Of, ms(p.ran.End-p.to))
		}
	}
	return o
}

// meanGap is the mean time between two chunks of an answer, in milliseconds.
func meanGap(q *request) (float64, bool) {
	if !q.OK() || q.gapCount == 0 {
		return 0, false
	}
	return q.gapMean(), true
}

// objectiveName formats an objective as it is written on the command line, such as "ttft:p99<500 ms".
func objectiveName(x testcases.Check) string {
	if x.Rule == testcases.RuleGoodput {
		return "goodput>=" + percent(x.Limit)
	}
	m := markOf(x)
	return fmt.Sprintf("%s:%s<%s ms", m.Metric, m.Statistic, num(m.Limit))
}

func markOf(x testcases.Check) report.Mark {
	m := report.Mark{Statistic: slo.Objective{Percentile: x.P}.Statistic(), Limit: x.Limit}
	switch x.Rule {
	case testcases.RuleTTFTMean, testcases.RuleTTFTPercentile:
		m.Metric = report.MetricTTFT
	case testcases.RuleTPOTMean, testcases.RuleTPOTPercentile:
		m.Metric = report.MetricTPOT
	case testcases.RuleITLMean, testcases.RuleITLPercentile:
		m.Metric = report.MetricITL
	case testcases.RuleGoodput:
		m.Metric, m.Statistic = report.MetricGoodput, ""
	default:
		m.Metric = report.MetricLatency
	}
	return m
}

// sweepReports derives the result of each sweep.
func (r *run) sweepReports() []report.Sweep {
	var out []report.Sweep
	for _, p := range r.phases {
		if p.planned && p.plan.Kind == testcases.KindSweep {
			if s := r.sweepOf(p); s != nil {
				out = append(out, *s)
			}
		}
	}
	return out
}

// sweepOf derives one sweep from its steps; nil if none ran.
func (r *run) sweepOf(p *phase) *report.Sweep {
	s, _ := r.c.SweepOf(p.plan)
	search, _ := Search(r.c, p.plan)
	out := &report.Sweep{Phase: p.plan.ID, Over: string(s.Over), Unit: s.Over.Unit(), From: s.From, To: s.To,
		Confidence: s.Confidence, Within: s.Within, Objectives: []string{}}
	if r.header.Rules >= 3 {
		out.Unit = p.plan.LoadUnit()
	}
	for _, x := range s.SweepChecks(p.plan.ID) {
		out.Objectives, out.Marks = append(out.Objectives, objectiveName(x)), append(out.Marks, markOf(x))
	}
	var steps []knee.Step
	for _, q := range r.phases {
		if q.step == nil || q.step.Of != p.plan.ID {
			continue
		}
		m, o := r.judgeStep(q, p.plan)
		steps = append(steps, knee.Step{Load: q.step.Load, Times: q.step.Times, Verdict: o.Verdict, Likely: o.Likely})
		out.Steps = append(out.Steps, r.stepReport(q, m, o))
	}
	if len(steps) == 0 {
		return nil
	}
	if p.ran != nil {
		out.CutShort = p.ran.CutShort
	} else if !r.goesOn {
		out.CutShort = "the record ends in it"
	}
	k := search.Knee(steps)
	out.Located = search.Located(k)
	if !k.Above && !k.Below {
		out.Knee = ptr(k.Best)
	}
	if k.Low > 0 {
		out.Low = ptr(k.Low)
	}
	if k.High > 0 {
		out.High = ptr(k.High)
	}
	out.Finding = finding(out, k)
	return out
}

// finding states in a sentence what a sweep found.
func finding(s *report.Sweep, k knee.Knee) string {
	sure := fmt.Sprintf(" at %s confidence", percent(s.Confidence))
	var text string
	switch {
	case k.Conflict:
		text = fmt.Sprintf("a load was proven to hold above %s %s, which was proven to miss: the server changed "+
			"while it was measured, or has no single knee", num(k.High), s.Unit)
	case k.Below && k.High > 0:
		text = fmt.Sprintf("below %s %s: that load misses the objectives%s", num(k.High), s.Unit, sure)
	case k.Below:
		text = fmt.Sprintf("no step held the objectives, the least load of %s %s included; that is not proven",
			num(s.From),
			s.Unit)
	case k.Above && k.Low > 0:
		text = fmt.Sprintf("above %s %s: that load holds the objectives%s", num(k.Low), s.Unit, sure)
		if k.Low < s.To {
			text += fmt.Sprintf("; up to %s every step rather held", num(k.Best))
		}
	case k.Above:
		text = fmt.Sprintf("no step missed the objectives, up to %s %s; that they held is not proven", num(k.Best),
			s.Unit)
	default:
		text = fmt.Sprintf("%s %s", num(k.Best), s.Unit)
		switch {
		case k.Low > 0 && k.High > 0:
			text += fmt.Sprintf(", from %s to %s%s", num(k.Low), num(k.High), sure)
		case k.Low > 0:
			text += fmt.Sprintf(", not below %s%s; no upper end is proven", num(k.Low), sure)
		case k.High > 0:
			text += fmt.Sprintf(", not above %s%s; no lower end is proven", num(k.High), sure)
		default:
			text += "; neither end is proven"
		}
		if !s.Located && k.Low > 0 && k.High > 0 {
			text += fmt.Sprintf("; wider than the %s asked for", percent(s.Within))
		}
	}
	if s.CutShort != "" {
		text += "; the sweep was cut short: " + string(s.CutShort)
	}
	return text
}

// stepReport is one step as the report shows it.
func (r *run) stepReport(p *phase, m knee.Measured, o knee.Outcome) report.Step {
	d := p.report
	x := report.Step{Phase: p.plan.ID, Load: p.step.Load, Seconds: d.DurationS, Verdict: report.StepVerdict(o.Verdict),
		Likely: o.Likely, Why: o.Why, Requests: m.Requests, Failed: m.Failed, RPS: d.RPS, OutputTPS: d.OutputTPS,
		TTFT: d.TTFT, TPOT: d.TPOT, Latency: d.Latency, MaxInFlight: d.MaxInFlight}
	if p.window() <= 0 || m.Requests == 0 {
		return x
	}
	x.RPSBand = band(d.RPSLow, d.RPSHigh)
	x.OutputBand = p.tokenBand(r.conf())
	good, limits := 0, p.limits(r.c)
	for _, q := range p.judged {
		if p.good(q, limits) {
			good++
		}
	}
	x.Goodput = float64(good) / float64(m.Requests)
	lo, hi := stats.Wilson(good, m.Requests, r.conf())
	x.GoodputBand = band(lo, hi)
	return x
}

// tokenBand is the interval of the output tokens per second. Its sample is the rate of tokens in equal parts of the
// window, where a request's tokens count in the part in which it ended.
func (p *phase) tokenBand(conf float64) *[2]float64 {
	parts, width := make([]float64, growthParts), p.window()/growthParts
	for _, q := range p.requests {
		if k := int(seconds(q.Done-p.from) / width); q.OK() && q.Done > p.from && k < growthParts {
			parts[k] += float64(q.OutputTokens) / width
		}
	}
	_, lo, hi := meanInterval(parts, conf, p.rules)
	return band(lo, hi)
}

// highestHeld is the step with the highest load that was proven to meet the objectives; nil if there is none.
func highestHeld(sweeps []report.Sweep) (best *report.Step) {
	for i := range sweeps {
		for k := range sweeps[i].Steps {
			if x := &sweeps[i].Steps[k]; x.Verdict == report.StepHeld && (best == nil || x.Load > best.Load) {
				best = x
			}
		}
	}
	return best
}

// kneeRule compares the proven ends of the knee with the target. PASS needs a load at or above the target that was
// proven to hold. FAIL needs a load at or below it that was proven to miss.
func kneeRule(r *run, c *testcases.Check) outcome {
	p := r.byID(c.Phase)
	if p == nil {
		return invalid("%s", noPhase(c))
	}
	s := r.sweepOf(p)
	if s == nil {
		return invalid("no step of the sweep ran")
	}
	o := outcome{measured: s.Knee, op: ">=", unit: s.Unit, reason: "the knee: " + s.Finding}
	if s.Low != nil && s.High != nil {
		o.interval = band(*s.Low, *s.High)
	}
	if o.measured == nil {
		o.measured = s.Low
	}
	target := r.c.Limit(*c)
	conflict := strings.Contains(s.Finding, "no single knee")
	switch {
	case conflict:
		o.verdict = report.Invalid
	case target <= 0 && s.Located:
		o.verdict = report.Pass
	case target <= 0:
		o.verdict = report.Invalid
	case s.Low != nil && *s.Low >= target*(1-1e-9):
		o.verdict = report.Pass
	case s.High != nil && *s.High <= target*(1+1e-9):
		o.verdict = report.Fail
	default:
		o.verdict = report.Invalid
		o.reason += fmt.Sprintf("; the target of %s %s is not proven either way: it needs longer steps", num(target),
			s.Unit)
	}
	if target > 0 {
		o.target = ptr(target)
	}
	return o
}
