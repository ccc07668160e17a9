package testcases

import (
	"errors"
)

// ErrInvalid matches every error about a case's content. The message names the key, and for YAML shows the line.
var ErrInvalid = errors.New("invalid test case")

// SchemaVersion is the version of the file format.
const SchemaVersion = 1

// Case is one test case. The comments of its fields and of the types below are also the text of docs/CASES.md, of the
// JSON Schema and of `mixtral case explain`.
type Case struct {
	// Version of the file format: 1.
	SchemaVersion int `yaml:"schema_version" json:"schema_version"`
	// Name of the case in reports and file names.
	ID string `yaml:"id" json:"id"`
	// Another case, by id or path, that this one extends. What this case says replaces what the other says.
	Extends string `yaml:"extends" json:"extends,omitempty"`
	// Title of the case.
	Name string `yaml:"name" json:"name"`
	// Shown in the report, as are level, priority and type.
	Category string `yaml:"category" json:"category,omitempty"`
	// Shown in the report.
	Level string `yaml:"level" json:"level,omitempty"`
	// Shown in the report.
	Priority string `yaml:"priority" json:"priority,omitempty"`
	// Shown in the report.
	Type string `yaml:"type" json:"type,omitempty"`
	// What the case is meant to show, in one sentence.
	Objective string `yaml:"objective" json:"objective,omitempty"`
	// What is tested, with any names and values.
	Component map[string]string `yaml:"component" json:"component,omitempty"`
	// The documents with the requirements, with any names and values.
	Traceability map[string]string `yaml:"traceability" json:"traceability,omitempty"`
	// What the server's machine must have. It is a precondition.
	Environment Environment `yaml:"environment" json:"environment"`
	// The numbers that checks compare the measured figures with.
	Targets Targets `yaml:"targets" json:"targets"`
	// Limits that decide what is valid and what is noise. Each has a default.
	Limits Limits `yaml:"limits" json:"limits"`
	// The sentences of the source document, by id. A check must cover each of them.
	Criteria map[string]string `yaml:"criteria" json:"criteria,omitempty"`
	// "builtin" (default), or the path of a prompt file, relative to the case file.
	Prompts string `yaml:"prompts" json:"prompts"`
	// What all requests have in common.
	Request Request `yaml:"request" json:"request"`
	// The server's names of the metrics that the certifier reads, by the certifier's own names: requests,
	// prompt_tokens, generation_tokens, running, waiting, kv_usage, ttft_seconds, e2e_seconds, itl_seconds.
	Metrics map[string]string `yaml:"metrics,omitempty" json:"metrics,omitempty"`
	// URL of the metrics of the server's accelerators: an exporter such as DCGM's, or a Prometheus server.
	GPUMetrics string `yaml:"gpu_metrics,omitempty" json:"gpu_metrics,omitempty"`
	// Labels that a series of gpu_metrics must have, such as Hostname. Other series do not count.
	GPUMatch map[string]string `yaml:"gpu_match,omitempty" json:"gpu_match,omitempty"`
	// The phases of each profile, such as "quick" and "full", in the order in which they run.
	Profiles map[string]Phases `yaml:"profiles" json:"profiles"`
	// Objectives by phase, such as "ttft:p99<2s,tpot:p99<200ms,goodput>=0.95". Each becomes a check.
	SLO map[string]string `yaml:"slo" json:"slo,omitempty"`
	// The checks that decide the verdict.
	Checks []Check `yaml:"checks" json:"checks"`
}

// Environment is what the case demands of the server's machine. It is a precondition, which is reported; it decides
// the verdict only if the case has a check for it.
type Environment struct {
	// Shown in the report.
	Type string `yaml:"type" json:"type,omitempty"`
	// Minimum number of cores.
	CPUCores int `yaml:"cpu_cores" json:"cpu_cores,omitempty"`
	// Minimum memory, in GB of 2³⁰ bytes.
	MemoryGB float64 `yaml:"memory_gb" json:"memory_gb,omitempty"`
	// Minimum free disk space, in GB of 2³⁰ bytes.
	StorageGB float64 `yaml:"storage_gb" json:"storage_gb,omitempty"`
	// Minimum speed of the network, in Gbit/s.
	NetworkGbps float64 `yaml:"network_gbps" json:"network_gbps,omitempty"`
}

// Targets are the numbers of the specification. A GB has 2³⁰ bytes, as in the specification.
type Targets struct {
	// Upper limit of the mean end-to-end latency, in ms.
	LatencyMS float64 `yaml:"latency_ms" json:"latency_ms"`
	// Minimum sustained rate of completed requests, per second.
	ThroughputRPS float64 `yaml:"throughput_rps" json:"throughput_rps"`
	// Minimum mean score of the answers, 0 to 1.
	Quality float64 `yaml:"quality" json:"quality"`
	// Maximum peak of memory, in GB of 2³⁰ bytes.
	MemoryGB float64 `yaml:"memory_gb" json:"memory_gb"`
	// Maximum peak of busy cores, over windows of 1 s.
	CPUCores float64 `yaml:"cpu_cores" json:"cpu_cores"`
	// Number of requests in flight in a closed phase.
	Concurrency int `yaml:"concurrency" json:"concurrency"`

	// Time to the first token, in ms.
	TTFTMS float64 `yaml:"ttft_ms" json:"ttft_ms,omitempty"`
	// Mean time of each token of an answer after the first, in ms.
	TPOTMS float64 `yaml:"tpot_ms" json:"tpot_ms,omitempty"`
	// Time between two tokens, in ms.
	ITLMS float64 `yaml:"itl_ms" json:"itl_ms,omitempty"`
	// Minimum share of requests that meet every objective, 0 to below 1.
	Goodput float64 `yaml:"goodput" json:"goodput,omitempty"`
}

// Limits decide what is valid and what is noise. Defaults returns their defaults.
type Limits struct {
	// Share of scheduled requests that may fail (0.001).
	ErrorBudget float64 `yaml:"error_budget" json:"error_budget"`
	// Maximum p99 of the delay between a request's scheduled time and its sending. If it is larger, the load generator
	// was late and the result is INVALID (50 ms).
	IssueDelayMS float64 `yaml:"issue_delay_ms" json:"issue_delay_ms"`
	// Maximum number of requests in flight in an open phase. If it is reached, the result is INVALID (2000).
	MaxInFlight int `yaml:"max_in_flight" json:"max_in_flight"`
	// Time limit of a request, after which it has failed (30 s).
	RequestTimeoutS float64 `yaml:"request_timeout_s" json:"request_timeout_s"`
	// For rule degradation_within: smallest rise of latency that counts as degradation, as a share (0.05).
	DegradationShare float64 `yaml:"degradation_share" json:"degradation_share"`
	// Smallest rise of latency that counts as degradation, in ms, whatever its share (5 ms).
	DegradationMS float64 `yaml:"degradation_ms" json:"degradation_ms,omitempty"`
	// If no bytes arrive for longer although requests wait, that is a stall (1000 ms).
	StallMS float64 `yaml:"stall_ms" json:"stall_ms"`
	// Smallest growth of memory that counts as a leak, in MB per hour (100).
	LeakMBPerHour float64 `yaml:"leak_mb_per_hour" json:"leak_mb_per_hour"`
	// Smallest growth of memory over the run that counts as a leak, as a share of the memory at the start (0.005).
	LeakShare float64 `yaml:"leak_share" json:"leak_share"`
	// In an audit, the answer to a repeated prompt may come faster by this share (0.1).
	CacheSpeedup float64 `yaml:"cache_speedup" json:"cache_speedup"`
	// Maximum difference between the client's mean latency and that of the server's metrics (40 ms).
	MetricsGapMS float64 `yaml:"metrics_gap_ms" json:"metrics_gap_ms"`
	// Maximum deviation from Little's law, |L − λW|/L (0.05).
	LittleShare float64 `yaml:"little_share" json:"little_share"`
	// Confidence of every interval and of early stopping (0.99).
	Confidence float64 `yaml:"confidence" json:"confidence"`
	// The server is known to cache prefixes or answers.
	CachingDeclared bool `yaml:"caching_declared" json:"caching_declared"`
	// Maximum difference by which the mean score under load may be below that of the quality phase (0.05).
	QualityTolerance float64 `yaml:"quality_tolerance" json:"quality_tolerance"`
	// For rule degradation_after: smallest rise of latency over the earlier phase that counts, as a share (0.1).
	BaselineShare float64 `yaml:"baseline_share" json:"baseline_share"`
}

// Request is what all requests of the case have in common; a phase may override it.
type Request struct {
	// Maximum number of tokens of an answer (64).
	MaxTokens int `yaml:"max_tokens" json:"max_tokens"`
	// Sampling temperature, 0 to 2 (0.7).
	Temperature float64 `yaml:"temperature" json:"temperature"`
	// Answers are streamed token by token (true).
	Stream bool `yaml:"stream" json:"stream"`
	// Each prompt begins with a different marker, so that caches cannot answer (true). Quality phases never have
	// markers.
	Salt bool `yaml:"salt" json:"salt"`
	// Headers that are sent with every request, for example to a gateway. The report hides their values.
	Headers map[string]string `yaml:"headers,omitempty" json:"headers,omitempty"`
	// Parameters that are added to the URL of every request, such as api-version.
	Query map[string]string `yaml:"query,omitempty" json:"query,omitempty"`
	// Fields that are added to the body of every request. They replace fields that the case sets.
	Body map[string]any `yaml:"body,omitempty" json:"body,omitempty"`
}

// Phases run in order.
type Phases []Phase

// ByID returns the phase called id.
func (p Phases) ByID(id string) (Phase, bool) {
	for _, ph := range p {
		if ph.ID == id {
			return ph, true
		}
	}
	return Phase{}, false
}

// Kind is the kind of a phase: what it does.
type Kind string

// Kinds of phase.
const (
	KindWarmup Kind = "warmup" // closed loop until the latencies are steady; not judged
	KindClosed Kind = "closed" // Concurrency requests in flight; the next begins when one ends
	// requests arrive at RPS, however fast the server is; latencies count from the scheduled times
	KindOpen Kind = "open"
	// sends Requests requests at once, as the specification's step 2; reported beside the sustained rate
	KindBatch Kind = "batch"
	KindIdle  Kind = "idle" // no load, so that memory should be freed
	// every prompt once (or Requests prompts), one in flight; the texts are kept and scored
	KindQuality Kind = "quality"
	KindSweep   Kind = "sweep" // searches for the highest load at which the objectives are met
	KindAudit   Kind = "audit" // audits the server's caches, empty chunks, usage and finish reasons
)

// Arrivals is how the requests of an open phase are spread over time.
type Arrivals string

// The values of Arrivals. The default is Poisson.
const (
	ArrivalsPoisson  Arrivals = "poisson"  // independent of each other, as with many users
	ArrivalsConstant Arrivals = "constant" // evenly spaced
	ArrivalsGamma    Arrivals = "gamma"    // the gaps have a gamma distribution: in bursts, or more even than Poisson
	ArrivalsTrace    Arrivals = "trace"    // at the times of the traffic's trace
)

// Phase is a part of a run with one kind of load.
type Phase struct {
	// Name of the phase in checks and in the report.
	ID string `yaml:"id" json:"id"`
	// What the phase does.
	Kind Kind `yaml:"kind" json:"kind"`
	// Keys "category/level" of the prompts, which are taken in turn; default: all.
	Prompts []string `yaml:"prompts" json:"prompts,omitempty"`
	// In a closed phase, number of requests in flight; 0: targets.concurrency.
	Concurrency int `yaml:"concurrency" json:"concurrency,omitempty"`
	// In an open phase, requests per second; 0: targets.throughput_rps. If the traffic has turns, it counts
	// conversations.
	RPS float64 `yaml:"rps" json:"rps,omitempty"`
	// In an open phase, when requests arrive: "poisson" (default), "constant", "gamma" or "trace".
	Arrivals Arrivals `yaml:"arrivals" json:"arrivals,omitempty"`
	// With arrivals "gamma", the shape of the distribution of gaps: 1 is Poisson, less than 1 gives bursts, more
	// than 1 is more even.
	Burstiness float64 `yaml:"burstiness" json:"burstiness,omitempty"`
	// In an open phase, stages with different rates, instead of rps and duration_s.
	Stages []Stage `yaml:"stages" json:"stages,omitempty"`
	// Requests of the phase, instead of prompts.
	Traffic *Traffic `yaml:"traffic" json:"traffic,omitempty"`
	// Questions whose answers are graded, instead of prompts.
	Task *Task `yaml:"task" json:"task,omitempty"`
	// In a phase of kind sweep, what to search for.
	Sweep *Sweep `yaml:"sweep" json:"sweep,omitempty"`
	// In an open phase whose rps is 0, the rate is targets.throughput_rps times this. Above 1, the lower bound of
	// the measured rate can reach the target.
	RPSFactor float64 `yaml:"rps_factor" json:"rps_factor,omitempty"`
	// Minimum number of requests of the phase.
	Requests int `yaml:"requests" json:"requests,omitempty"`
	// Minimum length of the phase, in seconds.
	DurationS float64 `yaml:"duration_s" json:"duration_s,omitempty"`
	// Time at the start that is not part of the steady window, in seconds.
	RampS float64 `yaml:"ramp_s" json:"ramp_s,omitempty"`
	// Maximum length of a closed phase, in seconds. If it ends with too few requests, the result is INVALID.
	MaxS float64 `yaml:"max_s" json:"max_s,omitempty"`
	// Maximum number of tokens of an answer; 0: request.max_tokens.
	MaxTokens int `yaml:"max_tokens" json:"max_tokens,omitempty"`
	// Time limit of one request, in seconds; 0: limits.request_timeout_s.
	TimeoutS float64 `yaml:"timeout_s" json:"timeout_s,omitempty"`
	// The texts of answers are recorded and scored.
	KeepText bool `yaml:"keep_text" json:"keep_text,omitempty"`
	// Id of an earlier phase of the same kind, for rule degradation_after.
	CompareTo string `yaml:"compare_to" json:"compare_to,omitempty"`
}

// Check is one criterion of the verdict.
type Check struct {
	// Name of the check in the report.
	ID string `yaml:"id" json:"id"`
	// The sentence of the test case that the check tests.
	Clause string `yaml:"clause" json:"clause"`
	// Keys of criteria that the check covers.
	Covers []string `yaml:"covers" json:"covers,omitempty"`
	// How the check is judged, see below.
	Rule Rule `yaml:"rule" json:"rule"`
	// Id of the phase that the check is about, if the rule needs one.
	Phase string `yaml:"phase" json:"phase,omitempty"`
	// A key of targets or limits, such as "targets.latency_ms".
	Target string `yaml:"target" json:"target,omitempty"`
	// The limit itself, in the rule's unit, instead of target.
	Limit float64 `yaml:"limit" json:"limit,omitempty"`
	// For rules about a percentile: the percentile, such as 0.99.
	P float64 `yaml:"p" json:"p,omitempty"`
	// If false, the check is reported but does not count in the verdict; default: true.
	Gate *bool `yaml:"gate" json:"gate,omitempty"`
}
