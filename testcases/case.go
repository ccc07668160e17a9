package testcases

import (
	"errors"
)

// ErrInvalid is matched by every error about a case's content; the message names the key, and for YAML shows the line.
var ErrInvalid = errors.New("invalid test case")

// SchemaVersion is the version of the file format.
const SchemaVersion = 1

// Case is one test case.
type Case struct {
	SchemaVersion int    `yaml:"schema_version" json:"schema_version"` // of this format: 1
	ID            string `yaml:"id" json:"id"`                         // names the case in reports and file names
	// another case, by its id or path, that this one goes over
	Extends      string            `yaml:"extends" json:"extends,omitempty"`
	Name         string            `yaml:"name" json:"name"`                           // a title for people
	Category     string            `yaml:"category" json:"category,omitempty"`         // shown in the report, as are level, priority and type
	Level        string            `yaml:"level" json:"level,omitempty"`               // shown in the report
	Priority     string            `yaml:"priority" json:"priority,omitempty"`         // shown in the report
	Type         string            `yaml:"type" json:"type,omitempty"`                 // shown in the report
	Objective    string            `yaml:"objective" json:"objective,omitempty"`       // what the case is to show, in a sentence
	Component    map[string]string `yaml:"component" json:"component,omitempty"`       // what is tested: names and values of your own
	Traceability map[string]string `yaml:"traceability" json:"traceability,omitempty"` // where the requirements stand: names and values of your own
	Environment  Environment       `yaml:"environment" json:"environment"`             // what the case asks of the machine that serves; a precondition
	Targets      Targets           `yaml:"targets" json:"targets"`                     // the numbers that checks hold figures against
	Limits       Limits            `yaml:"limits" json:"limits"`                       // what is valid, and what is noise; every one has a default
	// the source's own sentences by id; every one is covered by a check
	Criteria map[string]string `yaml:"criteria" json:"criteria,omitempty"`
	// "builtin", or a path relative to the case file
	Prompts string  `yaml:"prompts" json:"prompts"`
	Request Request `yaml:"request" json:"request"` // what all requests have in common
	// what the server calls the metrics that the certifier reads, by the certifier's names (see MetricNames)
	Metrics map[string]string `yaml:"metrics,omitempty" json:"metrics,omitempty"`
	// where the server's accelerators are measured: the metrics of DCGM's exporter or another, or a Prometheus server
	GPUMetrics string `yaml:"gpu_metrics,omitempty" json:"gpu_metrics,omitempty"`
	// labels that a series of gpu_metrics must have, such as Hostname, so that only the server's cards count
	GPUMatch map[string]string `yaml:"gpu_match,omitempty" json:"gpu_match,omitempty"`
	// the phases of each profile, such as "quick" and "full", in their order
	Profiles map[string]Phases `yaml:"profiles" json:"profiles"`
	// objectives by phase, such as "ttft:p99<2s,tpot:p99<200ms,goodput>=0.95"; each becomes a check
	SLO    map[string]string `yaml:"slo" json:"slo,omitempty"`
	Checks []Check           `yaml:"checks" json:"checks"` // the criteria that make the verdict
}

// Environment is what the case asks of the machine that serves. It is a precondition, reported and not gated unless
// the case has a check for it.
type Environment struct {
	Type        string  `yaml:"type" json:"type,omitempty"`                 // shown in the report
	CPUCores    int     `yaml:"cpu_cores" json:"cpu_cores,omitempty"`       // cores, at least
	MemoryGB    float64 `yaml:"memory_gb" json:"memory_gb,omitempty"`       // memory, at least
	StorageGB   float64 `yaml:"storage_gb" json:"storage_gb,omitempty"`     // free disk, at least
	NetworkGbps float64 `yaml:"network_gbps" json:"network_gbps,omitempty"` // network, at least
}

// Targets are the numbers that the specification names. GB are 2³⁰ bytes, as the specification computes them.
type Targets struct {
	LatencyMS     float64 `yaml:"latency_ms" json:"latency_ms"`         // mean end-to-end latency stays below
	ThroughputRPS float64 `yaml:"throughput_rps" json:"throughput_rps"` // sustained completions a second, at least
	Quality       float64 `yaml:"quality" json:"quality"`               // mean score, at least
	MemoryGB      float64 `yaml:"memory_gb" json:"memory_gb"`           // peak, at most
	CPUCores      float64 `yaml:"cpu_cores" json:"cpu_cores"`           // peak over 1 s windows, at most
	Concurrency   int     `yaml:"concurrency" json:"concurrency"`       // requests in flight in the closed loop

	TTFTMS  float64 `yaml:"ttft_ms" json:"ttft_ms,omitempty"` // time to the first token
	TPOTMS  float64 `yaml:"tpot_ms" json:"tpot_ms,omitempty"` // mean time of each further token of an answer
	ITLMS   float64 `yaml:"itl_ms" json:"itl_ms,omitempty"`   // time between two tokens
	Goodput float64 `yaml:"goodput" json:"goodput,omitempty"` // share of requests that meet every objective, at least
}

// Limits decide what is valid and what is noise.
type Limits struct {
	// share of scheduled requests that may fail
	ErrorBudget float64 `yaml:"error_budget" json:"error_budget"`
	// p99 above it: the generator was late, INVALID
	IssueDelayMS float64 `yaml:"issue_delay_ms" json:"issue_delay_ms"`
	// reached in the open loop: INVALID
	MaxInFlight int `yaml:"max_in_flight" json:"max_in_flight"`
	// a request without an end by then has failed
	RequestTimeoutS float64 `yaml:"request_timeout_s" json:"request_timeout_s"`
	// shift of latency that matters (0.05)
	DegradationShare float64 `yaml:"degradation_share" json:"degradation_share"`
	// a shift below it matters to nobody, whatever its share
	DegradationMS float64 `yaml:"degradation_ms" json:"degradation_ms,omitempty"`
	// nothing at all arrives for longer, though requests wait: a stall
	StallMS       float64 `yaml:"stall_ms" json:"stall_ms"`
	LeakMBPerHour float64 `yaml:"leak_mb_per_hour" json:"leak_mb_per_hour"` // growth that matters
	// of the memory at the start, growth over the run that matters
	LeakShare float64 `yaml:"leak_share" json:"leak_share"`
	// audit: a repeated prompt may be this share faster
	CacheSpeedup float64 `yaml:"cache_speedup" json:"cache_speedup"`
	// reconciliation: client mean minus server mean
	MetricsGapMS float64 `yaml:"metrics_gap_ms" json:"metrics_gap_ms"`
	LittleShare  float64 `yaml:"little_share" json:"little_share"` // abs(L − λW)/L
	// of every interval and early stopping (0.99)
	Confidence float64 `yaml:"confidence" json:"confidence"`
	// the server says it caches prefixes or answers
	CachingDeclared bool `yaml:"caching_declared" json:"caching_declared"`
	// quality under load may be this much below the quiet run's
	QualityTolerance float64 `yaml:"quality_tolerance" json:"quality_tolerance"`
	// phase D may differ from A by this before it counts
	BaselineShare float64 `yaml:"baseline_share" json:"baseline_share"`
}

// Request is what all requests of the case have in common; a phase may override it.
type Request struct {
	MaxTokens   int     `yaml:"max_tokens" json:"max_tokens"`   // of an answer
	Temperature float64 `yaml:"temperature" json:"temperature"` // of sampling, 0 to 2
	Stream      bool    `yaml:"stream" json:"stream"`           // answers come token by token
	// a seeded marker at each prompt's start, so that caches cannot answer; never in quality phases
	Salt bool `yaml:"salt" json:"salt"`
	// sent with every request, as gateways want them; a report hides their values
	Headers map[string]string `yaml:"headers,omitempty" json:"headers,omitempty"`
	// added to the address, such as api-version
	Query map[string]string `yaml:"query,omitempty" json:"query,omitempty"`
	// fields added to the body of every request; they replace those of the case
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

// Kind is what a phase does.
type Kind string

// Kinds of phase.
const (
	KindWarmup Kind = "warmup" // closed loop until latencies are steady; not judged
	KindClosed Kind = "closed" // Concurrency in flight, next when one ends
	KindOpen   Kind = "open"   // arrivals at RPS whatever the server does; latency from the schedule
	// Requests at once, as the specification's step 2: informative, reported beside the sustained figure
	KindBatch   Kind = "batch"
	KindIdle    Kind = "idle"    // no load: memory should come back
	KindQuality Kind = "quality" // every prompt once (or Requests times), one in flight, texts kept and scored
	KindSweep   Kind = "sweep"   // load after load, until the highest one is found that keeps the objectives
	KindAudit   Kind = "audit"   // repeats, empties, usage, finish reasons: is the server honest?
)

// Arrivals is how the requests of an open phase are spread over time.
type Arrivals string

// Spreads of arrivals; an open phase that names none has Poisson's.
const (
	ArrivalsPoisson  Arrivals = "poisson"  // independent of each other, as users are
	ArrivalsConstant Arrivals = "constant" // evenly spaced
	ArrivalsGamma    Arrivals = "gamma"    // gaps of a gamma distribution: in bursts, or more even than Poisson's
	ArrivalsTrace    Arrivals = "trace"    // when the trace of the phase's traffic says
)

// Phase is a stretch of load.
type Phase struct {
	ID          string   `yaml:"id" json:"id"`                             // names the phase for checks and the report
	Kind        Kind     `yaml:"kind" json:"kind"`                         // what the phase does
	Prompts     []string `yaml:"prompts" json:"prompts,omitempty"`         // keys "category/level", taken in turn; none: all
	Concurrency int      `yaml:"concurrency" json:"concurrency,omitempty"` // requests in flight in a closed loop; 0: targets.concurrency
	// open; 0: targets.throughput_rps. Where traffic has turns, conversations a second and not requests
	RPS      float64  `yaml:"rps" json:"rps,omitempty"`
	Arrivals Arrivals `yaml:"arrivals" json:"arrivals,omitempty"` // "poisson" (default), "constant", "gamma" or "trace"
	// arrivals "gamma": the shape of its gaps. 1 is Poisson's, less comes in bursts, more is more even
	Burstiness float64  `yaml:"burstiness" json:"burstiness,omitempty"`
	Stages     []Stage  `yaml:"stages" json:"stages,omitempty"`   // open, instead of rps and duration_s
	Traffic    *Traffic `yaml:"traffic" json:"traffic,omitempty"` // instead of Prompts
	Task       *Task    `yaml:"task" json:"task,omitempty"`       // instead of Prompts: questions whose answers are graded
	Sweep      *Sweep   `yaml:"sweep" json:"sweep,omitempty"`     // of a phase of kind sweep: what to search for
	// open, where RPS is 0: times Targets.ThroughputRPS; above 1, so that the rate's lower bound can reach the target
	RPSFactor float64 `yaml:"rps_factor" json:"rps_factor,omitempty"`
	Requests  int     `yaml:"requests" json:"requests,omitempty"`     // at least this many …
	DurationS float64 `yaml:"duration_s" json:"duration_s,omitempty"` // … and at least this long
	RampS     float64 `yaml:"ramp_s" json:"ramp_s,omitempty"`         // left out of the steady window at its start
	// a closed phase ends here even with too few requests (then INVALID)
	MaxS      float64 `yaml:"max_s" json:"max_s,omitempty"`
	MaxTokens int     `yaml:"max_tokens" json:"max_tokens,omitempty"` // 0: Request.MaxTokens
	TimeoutS  float64 `yaml:"timeout_s" json:"timeout_s,omitempty"`   // of one request; 0: Limits.RequestTimeoutS
	KeepText  bool    `yaml:"keep_text" json:"keep_text,omitempty"`   // texts recorded and scored
	// an earlier phase of the same shape (degradation)
	CompareTo string `yaml:"compare_to" json:"compare_to,omitempty"`
}

// Check is one criterion. Rule names the function that judges it (see Rules); Phase narrows it.
type Check struct {
	ID     string   `yaml:"id" json:"id"`                   // names the check in the report
	Clause string   `yaml:"clause" json:"clause"`           // the sentence of the test case that it keeps
	Covers []string `yaml:"covers" json:"covers,omitempty"` // keys of Criteria
	Rule   Rule     `yaml:"rule" json:"rule"`               // how it is judged
	Phase  string   `yaml:"phase" json:"phase,omitempty"`   // which phase it is about, where the rule needs one
	Target string   `yaml:"target" json:"target,omitempty"` // a key of targets or limits, e.g. "targets.latency_ms"
	Limit  float64  `yaml:"limit" json:"limit,omitempty"`   // instead of target: the number itself, in the rule's unit
	P      float64  `yaml:"p" json:"p,omitempty"`           // percentile rules: 0.99
	Gate   *bool    `yaml:"gate" json:"gate,omitempty"`     // false: reported, no part of the verdict
}
