package judge

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// ruling says how a rule is judged. What the rule needs, and whether it is about load, is in the table of package
// testcases.
type ruling struct {
	judge func(*run, *testcases.Check) outcome
	// machine marks rules of load that check for themselves who else used the machine, and when.
	machine bool
}

// rules holds the implementation of each rule.
var rules = map[testcases.Rule]ruling{
	testcases.RuleAnswersValid:      {judge: answersValid},
	testcases.RuleMeanLatency:       {judge: perPhase(meanLatency)},
	testcases.RulePercentileLatency: {judge: perPhase(percentileLatency)},
	testcases.RuleTTFTPercentile:    {judge: perPhase(ttftPercentile)},
	testcases.RuleTPOTPercentile:    {judge: perPhase(tpotPercentile)},
	testcases.RuleTTFTMean:          {judge: perPhase(ttftMean)},
	testcases.RuleTPOTMean:          {judge: perPhase(tpotMean)},
	testcases.RuleITLMean:           {judge: perPhase(itlMean)},
	testcases.RuleITLPercentile:     {judge: perPhase(itlPercentile)},
	testcases.RuleGoodput:           {judge: perPhase(goodputRule)},
	testcases.RuleExactMatch:        {judge: graded},
	testcases.RuleRouge1:            {judge: graded},
	testcases.RuleRouge2:            {judge: graded},
	testcases.RuleRougeL:            {judge: graded},
	testcases.RuleJSONValid:         {judge: graded},
	testcases.RuleNeedle:            {judge: graded},
	testcases.RuleToolValid:         {judge: graded},
	testcases.RuleToolName:          {judge: graded},
	testcases.RuleToolMatch:         {judge: graded},
	testcases.RuleKnee:              {judge: kneeRule, machine: true},
	testcases.RuleGPUMemory:         {judge: gpuMemory},
	testcases.RuleGPUPower:          {judge: gpuPower},
	testcases.RuleTokensPerJoule:    {judge: tokensPerJoule},
	testcases.RuleThroughput:        {judge: throughput},
	testcases.RuleBatchThroughput:   {judge: batchThroughput},
	testcases.RuleErrorBudget:       {judge: errorBudget},
	testcases.RulePeakMemory:        {judge: peakMemory},
	testcases.RulePeakCPU:           {judge: peakCPU},
	testcases.RuleQuality:           {judge: qualityScore},
	testcases.RuleQualityUnderLoad:  {judge: qualityUnderLoad},
	testcases.RuleMetricsReported:   {judge: metricsReported},
	testcases.RuleDegradationWithin: {judge: perPhase(degradationWithin), machine: true},
	testcases.RuleDegradationAfter:  {judge: degradationAfter, machine: true},
	testcases.RuleStalls:            {judge: perPhase(stalls), machine: true},
	testcases.RuleLeak:              {judge: leakRule},
	testcases.RuleAudits:            {judge: auditsRule},
	testcases.RuleGenerator:         {judge: generatorRule},
	testcases.RulePreconditions:     {judge: preconditionsRule},
	testcases.RuleLittle:            {judge: littleRule},
	testcases.RuleReportWritten:     {judge: reportWritten},
	testcases.RuleStepsComplete:     {judge: stepsComplete},
}

// perPhase applies a rule to the phase that the check names, or to every closed and open loop. The worst outcome
// counts.
func perPhase(judge func(*run, *testcases.Check, *phase) outcome) func(*run, *testcases.Check) outcome {
	return func(r *run, c *testcases.Check) outcome {
		phases := r.load(c.Phase)
		if len(phases) == 0 {
			return invalid("%s", noPhase(c))
		}
		var worst outcome
		for i, p := range phases {
			o := invalid("the phase did not run")
			if p.ran != nil {
				o = judge(r, c, p)
			}
			if len(phases) > 1 {
				o.reason = "phase " + p.plan.ID + ": " + o.reason
			}
			if i == 0 || o.worse(worst) {
				worst = o
			}
		}
		return worst
	}
}

func noPhase(c *testcases.Check) string {
	if c.Phase != "" {
		return fmt.Sprintf("there is no phase %q", c.Phase)
	}
	return "there is no phase to judge"
}

// meanLatency compares the upper end of the interval of the mean with the target.
func meanLatency(r *run, c *testcases.Check, p *phase) outcome {
	target, err := r.value(c, r.c.Targets.LatencyMS)
	if err != nil {
		return invalid("%v", err)
	}
	return r.below(target, p.latencies, len(p.latencies), "mean of %s")
}

// below compares the upper end of the interval of the mean of x with a target. what is the format of the reason's
// beginning, into which the count of n requests goes.
func (r *run) below(target float64, x []float64, n int, what string) outcome {
	if len(x) == 0 {
		return invalid("no request was judged")
	}
	mean, lo, hi := meanInterval(x, r.conf(), r.header.Rules)
	mean, hi = significant(mean), significant(hi)
	o := outcome{measured: ptr(mean), interval: band(lo, hi), op: "<", target: ptr(target), unit: "ms"}
	over := fmt.Sprintf(what+", at %s confidence %s to %s ms", plural(n, "request", "requests"), percent(r.conf()),
		num(lo), num(hi))
	switch {
	case hi < target:
		o.verdict, o.reason = report.Pass, over
	case mean < target:
		o.verdict = report.Invalid
		o.reason = over + ": the bound is not below the target; " + moreNeeded(n, hi-mean, target-mean)
	default:
		o.verdict, o.reason = report.Fail, over
	}
	return o
}

// moreNeeded says how many more samples would shrink the half-width of an interval to a distance; widths shrink with
// √n.
func moreNeeded(n int, half, distance float64) string {
	if math.IsInf(half, 0) || math.IsNaN(half) || distance <= 0 {
		return "not enough evidence"
	}
	need := math.Ceil(float64(n) * (half*half/(distance*distance) - 1))
	if need > 1e7 {
		return "not enough evidence, and no practical number of requests would settle it"
	}
	return "not enough evidence: need about " + num(math.Max(need, 1)) + " more"
}

// percentileLatency judges a percentile of the latency by the criterion of early stopping.
func percentileLatency(r *run, c *testcases.Check, p *phase) outcome {
	target, err := r.value(c, r.c.Targets.LatencyMS)
	if err != nil {
		return invalid("%v", err)
	}
	failed := map[int]bool{}
	for i, q := range p.judged {
		failed[i] = !q.OK()
	}
	return r.percentile(c, "latency", "ms", p.latencies, target, func(i int) bool { return failed[i] })
}

func ttftPercentile(r *run, c *testcases.Check, p *phase) outcome {
	target, err := r.value(c, r.c.Targets.LatencyMS)
	if err != nil {
		return invalid("%v", err)
	}
	if !r.c.Request.Stream {
		return invalid("the case does not stream: there is no time to first token")
	}
	x, failed := make([]float64, len(p.judged)), make([]bool, len(p.judged))
	for i, q := range p.judged {
		if v, ok := p.firstToken(q); ok {
			x[i] = v
		} else {
			x[i], failed[i] = p.latency(q, target), true
		}
	}
	return r.percentile(c, "time to first token", "ms", x, target, func(i int) bool { return failed[i] })
}

// tpotPercentile judges answers of two or more tokens; others have no time per token after the first.
func tpotPercentile(r *run, c *testcases.Check, p *phase) outcome {
	target, err := r.value(c, r.c.Targets.LatencyMS)
	if err != nil {
		return invalid("%v", err)
	}
	var x []float64
	var failed []bool
	for _, q := range p.judged {
		v, ok := perToken(q)
		if ok || !q.OK() {
			x, failed = append(x, v), append(failed, !ok)
		}
	}
	return r.percentile(c, "time per output token", "ms", x, target, func(i int) bool { return failed[i] })
}

// percentile judges the check's percentile of x against a limit. A failed request counts as above the limit. FAIL
// needs as much confidence as PASS. Without either the verdict is INVALID, with the number of samples that would
// decide it.
func (r *run) percentile(c *testcases.Check, what, unit string, x []float64, limit float64,
	failed func(int) bool) outcome {
	p, conf, n := c.P, r.conf(), len(x)
	if !(p > 0 && p < 1) {
		return invalid("p = %v is not between 0 and 1", p)
	}
	if n == 0 {
		return invalid("no request was judged")
	}
	over := 0
	ranked := slices.Clone(x)
	for i := range ranked {
		if failed(i) {
			ranked[i] = math.Max(ranked[i], limit)
		}
		if failed(i) || ranked[i] > limit {
			over++
		}
	}
	slices.Sort(ranked)
	o := outcome{op: "<=", target: ptr(limit), unit: unit}
	name := "p" + num(p*100)
	if n >= stats.MinSamples(p, 0.99, 0) {
		o.measured = ptr(stats.Percentile(ranked, p))
	}
	seen := fmt.Sprintf("%s of %s above %s %s", count(over), plural(n, "request", "requests"), num(limit), unit)
	pass, more := stats.EarlyStopping(p, conf, n, over)
	switch lo, _ := stats.Wilson(over, n, conf); {
	case pass:
		o.verdict, o.reason = report.Pass, fmt.Sprintf("%s of %s: %s", name, what, seen)
	case lo > 1-p:
		o.verdict, o.reason = report.Fail, fmt.Sprintf("%s of %s: %s, more than the %s allowed", name, what, seen,
			percent(1-p))
	default:
		o.verdict = report.Invalid
		o.reason = fmt.Sprintf("%s of %s: %s; not enough evidence: need about %s more", name, what, seen, count(more))
	}
	return o
}

// errorBudget counts every failure of every phase that sent requests. The count itself is compared and not the end of
// an interval, because a budget is spent by the failures that happened.
func errorBudget(r *run, c *testcases.Check) outcome {
	budget, err := r.value(c, r.c.Limits.ErrorBudget)
	if err != nil {
		return invalid("%v", err)
	}
	n, failed, excused, why, classes := 0, 0, 0, "", map[string]int{}
	var all []*request
	for _, p := range r.phases {
		if c.Phase != "" && c.Phase != p.plan.ID || p.plan.Kind == testcases.KindWarmup && c.Phase == "" ||
			p.step != nil { // a sweep looks for loads at which requests fail
			continue
		}
		n += len(p.requests)
		failed += p.failed
		taken := r.taken(p)
		for _, q := range p.requests {
			if p.plan.Kind == testcases.KindAudit && q.Fail == evidence.FailThinking {
				failed-- // audits cut answers short on purpose
				continue
			}
			all = append(all, q)
			if !q.OK() {
				classes[string(q.Fail)]++
			}
			if taken != "" && forLackOfTime(q) {
				excused, why = excused+1, taken
			}
		}
	}
	if n == 0 {
		return invalid("no request was sent")
	}
	lo, hi := stats.Wilson(failed, n, r.conf())
	share := func(k int) float64 { return significant(float64(k) / float64(n)) }
	o := outcome{measured: ptr(share(failed)), interval: band(lo, hi), op: "<=", target: ptr(budget), unit: "share",
		verdict: report.Pass,
		reason: fmt.Sprintf("%s of %s failed%s", count(failed), plural(n, "request", "requests"),
			breakdown(classes)) + r.because(all)}
	if share(failed) > budget {
		o.verdict = report.Fail
		o.reason += fmt.Sprintf("; the budget of %s allows %s", percent(budget),
			num(math.Floor(significant(budget*float64(n)))))
		if share(failed-excused) <= budget {
			return distrusted(o, why)
		}
		if lone, what := r.oneSided(all); lone > 0 && share(failed-lone) <= budget {
			return distrusted(o, what)
		}
		if spoiled, what := blameless(all); share(failed-spoiled) <= budget {
			return distrusted(o, fmt.Sprintf("%s of them failed for no fault of the server: %s", count(spoiled), what))
		}
	}
	return o
}

// forLackOfTime says that a request may have failed because the server was slow: it timed out, or it was refused
// because earlier requests had not been served yet.
func forLackOfTime(q *request) bool {
	return q.Fail == evidence.FailTimeout || q.Fail == evidence.FailStatus &&
		(q.Status == http.StatusTooManyRequests || q.Status == http.StatusServiceUnavailable)
}

// breakdown formats counts by name: " (status 3, timeout 1)".
func breakdown(m map[string]int) string {
	if len(m) == 0 {
		return ""
	}
	var parts []string
	for _, k := range sortedKeys(m) {
		parts = append(parts, k+" "+count(m[k]))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// answersValid is the functional criterion: every answer has choices, content and a correct finish_reason, and every
// prompt was answered at least once. Requests without an answer count in the error budget instead.
func answersValid(r *run, c *testcases.Check) outcome {
	faults, answers, withUsage := map[string]int{}, 0, 0
	var wrong, unread []*request
	prompts := map[string]bool{} // whether the prompt was answered
	for _, p := range r.phases {
		if c.Phase != "" && c.Phase != p.plan.ID || p.plan.Kind == testcases.KindAudit {
			continue
		}
		limit := r.c.MaxTokens(p.plan)
		for _, q := range p.requests {
			if _, ok := prompts[q.Prompt]; !ok {
				prompts[q.Prompt] = false
			}
			most := limit
			if q.MaxTokens > 0 {
				most = q.MaxTokens
			}
			fault := answerFault(q, most, r.header.Rules)
			if q.OK() {
				answers++
				if q.HasUsage {
					withUsage++
				}
			}
			if q.Fail.Blameless() {
				unread = append(unread, q)
			}
			if fault != "" {
				faults[fault]++
				wrong = append(wrong, q)
			} else if q.OK() {
				prompts[q.Prompt] = true
			}
		}
	}
	if len(prompts) == 0 {
		return invalid("no request was sent")
	}
	if withUsage > 0 && withUsage < answers {
		faults["no usage"] += answers - withUsage
	}
	bad := 0
	for _, n := range faults {
		bad += n
	}
	var silent []string
	for _, key := range sortedKeys(prompts) {
		if !prompts[key] {
			silent = append(silent, key)
		}
	}
	o := outcome{measured: ptr(float64(bad + len(silent))), op: "=", target: ptr(0), unit: "faults",
		verdict: report.Pass,
		reason: fmt.Sprintf("%s to %s were valid", plural(answers, "answer", "answers"),
			plural(len(prompts), "prompt", "prompts"))}
	if withUsage == 0 && answers > 0 {
		o.reason += "; the server reports no usage, so token counts were not checked"
	}
	if bad > 0 {
		o.verdict, o.reason = report.Fail, plural(bad, "answer was", "answers were")+" not valid"+breakdown(faults)+
			r.because(wrong)
	}
	if len(silent) > 0 && bad == 0 && r.unheard(silent, unread) {
		return invalid("%s has no answer, for no fault of the server: %s", strings.Join(silent, ", "),
			unread[0].Detail)
	}
	if len(silent) > 0 {
		o.verdict, o.reason = report.Fail, o.reason+"; no valid answer to "+strings.Join(silent, ", ")
	}
	return o
}

// answerFault names what is wrong with an answer; "" for a valid one, and for a request without an answer.
func answerFault(q *request, maxTokens, rules int) string {
	end := q.Finish
	if rules >= 3 {
		end = q.Ended()
	}
	switch {
	case q.Fail == evidence.FailProtocol || q.Fail == evidence.FailEmpty:
		return string(q.Fail)
	case !q.OK():
		return ""
	case q.TextBytes == 0:
		return string(evidence.FailEmpty)
	case rules >= 3 && end == "":
		return "no finish_reason"
	case end != evidence.EndStop && end != evidence.EndLength && !(end == evidence.EndTools && q.ToolCalls > 0):
		return fmt.Sprintf("finish_reason %.20q", q.Finish)
	case q.HasUsage && (q.OutputTokens <= 0 || q.PromptTokens <= 0):
		return "usage of no tokens"
	case q.HasUsage && maxTokens > 0 && int(q.OutputTokens) > maxTokens:
		return "more than max_tokens"
	}
	return ""
}
