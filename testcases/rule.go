package testcases

import "slices"

// Rule names how a check is judged. docs/VERDICT.md says when a check with each rule is PASS, FAIL or INVALID.
type Rule string

// The rules.
const (
	RuleAnswersValid      Rule = "answers_valid"
	RuleMeanLatency       Rule = "mean_latency"
	RulePercentileLatency Rule = "percentile_latency"
	RuleTTFTPercentile    Rule = "ttft_percentile"
	RuleTPOTPercentile    Rule = "tpot_percentile"
	RuleThroughput        Rule = "throughput"
	RuleBatchThroughput   Rule = "batch_throughput"
	RuleErrorBudget       Rule = "error_budget"
	RulePeakMemory        Rule = "peak_memory"
	RulePeakCPU           Rule = "peak_cpu"
	RuleQuality           Rule = "quality"
	RuleQualityUnderLoad  Rule = "quality_under_load"
	RuleMetricsReported   Rule = "metrics_reported"
	RuleDegradationWithin Rule = "degradation_within"
	RuleDegradationAfter  Rule = "degradation_after"
	RuleStalls            Rule = "stalls"
	RuleLeak              Rule = "leak"
	RuleAudits            Rule = "audits"
	RuleGenerator         Rule = "generator"
	RulePreconditions     Rule = "preconditions"
	RuleLittle            Rule = "little"
	RuleReportWritten     Rule = "report_written"
	RuleStepsComplete     Rule = "steps_complete"
	RuleTTFTMean          Rule = "ttft_mean"
	RuleTPOTMean          Rule = "tpot_mean"
	RuleITLMean           Rule = "itl_mean"
	RuleITLPercentile     Rule = "itl_percentile"
	RuleGoodput           Rule = "goodput"
	RuleExactMatch        Rule = "exact_match"
	RuleRouge1            Rule = "rouge1"
	RuleRouge2            Rule = "rouge2"
	RuleRougeL            Rule = "rougeL"
	RuleJSONValid         Rule = "json_valid"
	RuleNeedle            Rule = "needle"
	RuleToolValid         Rule = "tool_valid"
	RuleToolName          Rule = "tool_name"
	RuleToolMatch         Rule = "tool_match"
	RuleKnee              Rule = "knee"
	RuleGPUMemory         Rule = "gpu_memory"
	RuleGPUPower          Rule = "gpu_power"
	RuleTokensPerJoule    Rule = "tokens_per_joule"
)

// RuleInfo describes a rule, and what a check with that rule must have.
type RuleInfo struct {
	Rule       Rule
	Asks       string // the question that the rule answers
	Phase      bool   // the check must name a phase
	Percentile bool   // the check must give P
	// the rule is about times or rates under load, so that it is INVALID if the load generator was late
	Load bool
	// the key that must be set if the check has neither a target nor a limit; empty: none
	Needs string
	Op    string // how the measured figure is compared with the target: "<", "<=" or ">="; empty: it is not
}

// needsLimit is the value of RuleInfo.Needs for rules whose checks must have their own limit.
const needsLimit = "limit"

// rules is the table of all rules, sorted by name.
var rules = []RuleInfo{
	{Rule: RuleAnswersValid, Asks: "Does every answer have content, a correct finish reason and plausible usage?"},
	{Rule: RuleAudits, Asks: "Did the server pass every audit?"},
	{Rule: RuleBatchThroughput, Phase: true, Load: true, Op: ">=",
		Asks: "Is one burst of requests answered at the target rate?"},
	{Rule: RuleDegradationAfter, Phase: true, Load: true, Op: "<=",
		Asks: "Is the phase as fast as the earlier phase that it is compared to?"},
	{Rule: RuleDegradationWithin, Phase: true, Load: true, Op: "<=",
		Asks: "Is the last third of the phase as fast as its first?"},
	{Rule: RuleErrorBudget, Op: "<=", Asks: "Is the share of failed requests within the budget?"},
	{Rule: RuleExactMatch, Phase: true, Op: ">=",
		Asks: "Is the share of answers that end with the reference's number at least the limit?"},
	{Rule: RuleGenerator, Asks: "Did the load generator keep its schedule?"},
	{Rule: RuleGoodput, Phase: true, Load: true, Op: ">=", Needs: "targets.goodput",
		Asks: "Is the share of scheduled requests that meet every objective as high as the target?"},
	{Rule: RuleGPUMemory, Op: "<=", Needs: needsLimit,
		Asks: "Is the highest total memory of all accelerators within the limit?"},
	{Rule: RuleGPUPower, Phase: true, Op: "<=", Needs: needsLimit,
		Asks: "Is the mean total power of all accelerators within the limit?"},
	{Rule: RuleITLMean, Phase: true, Load: true, Op: "<", Needs: "targets.itl_ms",
		Asks: "Is the mean time between two tokens below the target?"},
	{Rule: RuleITLPercentile, Phase: true, Percentile: true, Load: true, Op: "<=", Needs: "targets.itl_ms",
		Asks: "Is the percentile of the time between two tokens within the target?"},
	{Rule: RuleJSONValid, Phase: true, Op: ">=",
		Asks: "Is the share of answers that satisfy the request's JSON Schema at least the limit?"},
	{Rule: RuleKnee, Phase: true, Load: true, Op: ">=",
		Asks: "Is the highest load at which the sweep's objectives are met at least the target?"},
	{Rule: RuleLeak, Asks: "Does memory stop growing under constant load?"},
	{Rule: RuleLittle, Op: "<=", Asks: "Does the mean number in flight agree with Little's law?"},
	{Rule: RuleMeanLatency, Phase: true, Load: true, Op: "<", Asks: "Is the mean latency below the target?"},
	{Rule: RuleMetricsReported, Asks: "Do the server's metrics agree with the client's own counts?"},
	{Rule: RuleNeedle, Phase: true, Op: ">=",
		Asks: "Is the share of answers that find the sentence in a long text at least the limit?"},
	{Rule: RulePeakCPU, Op: "<=", Asks: "Does the busiest second use no more cores than the target?"},
	{Rule: RulePeakMemory, Op: "<=", Asks: "Is the highest sample of memory within the target?"},
	{Rule: RulePercentileLatency, Phase: true, Percentile: true, Load: true, Op: "<=",
		Asks: "Is the percentile of the latency within the target?"},
	{Rule: RulePreconditions, Asks: "Did every precondition hold before the load?"},
	{Rule: RuleQuality, Op: ">=", Asks: "Does the mean score of the answers reach the target?"},
	{Rule: RuleQualityUnderLoad, Op: "<=", Asks: "Are answers under load as good as answers without load?"},
	{Rule: RuleReportWritten, Asks: "Is the record of the run complete?"},
	{Rule: RuleRouge1, Phase: true, Op: ">=", Asks: "Is the mean ROUGE-1 score of the answers at least the limit?"},
	{Rule: RuleRouge2, Phase: true, Op: ">=", Asks: "Is the mean ROUGE-2 score of the answers at least the limit?"},
	{Rule: RuleRougeL, Phase: true, Op: ">=", Asks: "Is the mean ROUGE-L score of the answers at least the limit?"},
	{Rule: RuleStalls, Phase: true, Load: true, Op: "<=",
		Asks: "Is the longest time without any bytes, while requests are in flight, within the limit?"},
	{Rule: RuleStepsComplete, Asks: "Did every phase run as planned?"},
	{Rule: RuleThroughput, Phase: true, Load: true, Op: ">=", Asks: "Is the target rate sustained?"},
	{Rule: RuleTokensPerJoule, Phase: true, Op: ">=", Needs: needsLimit,
		Asks: "Is the number of output tokens per joule of the accelerators at least the limit?"},
	{Rule: RuleToolMatch, Phase: true, Op: ">=",
		Asks: "Is the share of answers that call the expected tools with the expected arguments at least the limit?"},
	{Rule: RuleToolName, Phase: true, Op: ">=",
		Asks: "Is the share of answers that call the expected tools, with any arguments, at least the limit?"},
	{Rule: RuleToolValid, Phase: true, Op: ">=",
		Asks: "Is the share of answers whose calls satisfy the tools' schemas at least the limit?"},
	{Rule: RuleTPOTMean, Phase: true, Load: true, Op: "<", Needs: "targets.tpot_ms",
		Asks: "Is the mean time per output token below the target?"},
	{Rule: RuleTPOTPercentile, Phase: true, Percentile: true, Load: true, Op: "<=",
		Asks: "Is the percentile of the time per output token within the target?"},
	{Rule: RuleTTFTMean, Phase: true, Load: true, Op: "<", Needs: "targets.ttft_ms",
		Asks: "Is the mean time to the first token below the target?"},
	{Rule: RuleTTFTPercentile, Phase: true, Percentile: true, Load: true, Op: "<=",
		Asks: "Is the percentile of the time to the first token within the target?"},
}

// Rules lists every rule, sorted by name.
func Rules() []RuleInfo { return slices.Clone(rules) }

// Info returns the description of the rule. ok is false if there is no such rule.
func (r Rule) Info() (info RuleInfo, ok bool) {
	i := slices.IndexFunc(rules, func(x RuleInfo) bool { return x.Rule == r })
	if i < 0 {
		return RuleInfo{}, false
	}
	return rules[i], true
}
