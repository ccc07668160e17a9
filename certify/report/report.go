package report

import (
	"fmt"
	"strconv"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// SchemaVersion is the version of the JSON report.
const SchemaVersion = 1

// Verdict is the result of a check or of a whole run.
type Verdict string

// Verdicts.
const (
	Pass    Verdict = "PASS"
	Fail    Verdict = "FAIL"
	Invalid Verdict = "INVALID" // the check or run could not be judged
	Info    Verdict = "INFO"    // only of a check: it is not a gate, so it does not count
)

// Report is the file performance_<case>_<unix>.json. Its first five keys are the specification's own.
type Report struct {
	TestCase  string  `json:"test_case"`
	Timestamp float64 `json:"timestamp"` // Unix seconds at the run's start
	Summary   Summary `json:"summary"`
	Targets   Targets `json:"targets"`
	Status    Verdict `json:"status"`

	SchemaVersion int    `json:"schema_version"`
	Profile       string `json:"profile"`
	// what a reader must know first, such as a quick profile, the built-in model or an interruption
	Notices        []string       `json:"notices,omitempty"`
	Arithmetic     string         `json:"arithmetic"` // what the targets imply by Little's law
	Preconditions  []Precondition `json:"preconditions"`
	Checks         []Check        `json:"checks"`
	Phases         []Phase        `json:"phases"`
	Sweeps         []Sweep        `json:"sweeps,omitempty"` // one for each sweep of the case that ran
	Quality        Quality        `json:"quality"`
	Reconciliation []Reconciled   `json:"reconciliation"`
	ClientError    *ClientError   `json:"client_error,omitempty"`
	// machines that made the load; absent if the certifier made it alone
	Generators   []Generator       `json:"generators,omitempty"`
	Resources    Resources         `json:"resources"`
	Environment  map[string]string `json:"environment"`
	Fingerprints map[string]string `json:"fingerprints"`
	Case         CaseInfo          `json:"case"`
	Target       TargetInfo        `json:"target"`
	// the comparison with an earlier run; absent if none was given
	Against  *Against          `json:"against,omitempty"`
	Server   map[string]string `json:"server,omitempty"` // what the server reports about itself
	Evidence Evidence          `json:"evidence"`
}

// Summary has the specification's keys. A figure that was not measured is nil.
type Summary struct {
	AvgLatencyMS     *float64 `json:"avg_latency_ms"`
	AvgThroughputRPS *float64 `json:"avg_throughput_rps"`
	AvgQualityScore  *float64 `json:"avg_quality_score"`
	PeakMemoryGB     *float64 `json:"peak_memory_gb"`
	PeakCPUCores     *float64 `json:"peak_cpu_cores"`
}

// Targets has the specification's keys.
type Targets struct {
	LatencyMS     float64 `json:"latency_target_ms"`
	ThroughputRPS float64 `json:"throughput_target_rps"`
	Quality       float64 `json:"quality_target"`
	MemoryGB      float64 `json:"memory_limit_gb"`
	CPUCores      float64 `json:"cpu_limit_cores"`
}

// Check is the result of one check.
type Check struct {
	ID       string      `json:"id"`
	Clause   string      `json:"clause"`
	Covers   []string    `json:"covers,omitempty"` // keys of `case.criteria`
	Phase    string      `json:"phase,omitempty"`
	Measured *float64    `json:"measured"`
	Interval *[2]float64 `json:"interval,omitempty"` // interval at the case's confidence
	Op       string      `json:"op,omitempty"`       // how measured is compared with target: "<", "<=", ">=" or "="
	Target   *float64    `json:"target"`
	Unit     string      `json:"unit,omitempty"`
	Verdict  Verdict     `json:"verdict"`
	Reason   string      `json:"reason"`
	Gate     bool        `json:"gate"`
	// rule that judged it; absent in reports of earlier versions
	Rule testcases.Rule `json:"rule,omitempty"`
}

// Precondition is a condition that must hold for the load to count, and what was found.
type Precondition struct {
	ID     string `json:"id"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Dist describes a sample. Percentiles are order statistics of the sample. A percentile is nil if the sample is too
// small for it.
type Dist struct {
	N        int      `json:"n"`
	Mean     float64  `json:"mean"`
	MeanLow  float64  `json:"mean_low"` // lower end of the block-bootstrap interval of the mean
	MeanHigh float64  `json:"mean_high"`
	Min      float64  `json:"min"`
	P50      *float64 `json:"p50"`
	P90      *float64 `json:"p90"`
	P95      *float64 `json:"p95"`
	P99      *float64 `json:"p99"`
	P999     *float64 `json:"p999"`
	Max      float64  `json:"max"`
	NEff     float64  `json:"n_eff"` // effective sample size under autocorrelation
}

// Phase is what one phase measured.
type Phase struct {
	ID          string         `json:"id"`
	Kind        testcases.Kind `json:"kind"`
	StartS      float64        `json:"start_s"` // when the phase began, since the run's start
	DurationS   float64        `json:"duration_s"`
	SteadyFromS float64        `json:"steady_from_s"`
	SteadyToS   float64        `json:"steady_to_s"`
	Concurrency int            `json:"concurrency,omitempty"`
	OfferedRPS  float64        `json:"offered_rps,omitempty"`
	Scheduled   int            `json:"scheduled"`
	Issued      int            `json:"issued"`
	Completed   int            `json:"completed"`
	Failed      int            `json:"failed"`
	Failures    map[string]int `json:"failures,omitempty"`
	Reasons     []Reason       `json:"failure_reasons,omitempty"` // most common reason of each class
	// how often requests were sent again on a new connection
	Retried int `json:"retried,omitempty"`
	// completions in the steady window, divided by its length
	RPS     float64 `json:"rps"`
	RPSLow  float64 `json:"rps_low"`
	RPSHigh float64 `json:"rps_high"`
	Goodput float64 `json:"goodput"` // share of the scheduled requests that met every target
	Latency *Dist   `json:"latency_ms,omitempty"`
	TTFT    *Dist   `json:"ttft_ms,omitempty"`
	// time to the first token of any kind, if an answer began with reasoning. Unit: ms
	FirstAny *Dist `json:"first_any_token_ms,omitempty"`
	TPOT     *Dist `json:"tpot_ms,omitempty"`
	Gap      *Dist `json:"gap_ms,omitempty"`
	// gaps whose ends this client read too late to tell apart
	BlurredGaps int     `json:"blurred_gaps,omitempty"`
	IssueDelay  *Dist   `json:"issue_delay_ms,omitempty"`
	InFlight    float64 `json:"in_flight"` // time average of requests in flight
	MaxInFlight int     `json:"max_in_flight"`
	Little      float64 `json:"little_error"` // abs(L − λW)/L
	OutputTPS   float64 `json:"output_tokens_per_s"`
	// mean prompt tokens of answers with usage, because a latency means nothing without lengths
	PromptMean float64             `json:"prompt_tokens_mean,omitempty"`
	OutputMean float64             `json:"output_tokens_mean,omitempty"`
	CutShort   testcases.CutReason `json:"cut_short,omitempty"`
	// how much of the machine other programs took during the phase, if it was much
	Taken string `json:"taken,omitempty"`
	// what accelerators used in the window; absent if they were not observed
	GPU  *PhaseGPU `json:"gpu,omitempty"`
	Step string    `json:"step,omitempty"` // id of the sweep of which the phase is a step
	// whether offered_rps counts conversations, each of which has one or more requests
	Conversations bool `json:"conversations,omitempty"`
}

// Reason is the most common reason of a class of failures.
type Reason struct {
	Class   string `json:"class"`
	Status  int    `json:"status,omitempty"` // HTTP status, if a response had begun
	Message string `json:"message"`          // message of the server or of the error, shortened
	Count   int    `json:"count"`            // number of failures with this reason
	Of      int    `json:"of"`               // number of failures of the class
}

// String formats the reason like "status 422: unknown field seed (20,104 of 20,104)".
func (r Reason) String() string {
	what := r.Class
	if r.Status != 0 && r.Class == "status" {
		what += " " + strconv.Itoa(r.Status)
	}
	return fmt.Sprintf("%s: %s (%s of %s)", what, r.Message, Number(float64(r.Count)), Number(float64(r.Of)))
}

// Quality has the scores of the answers.
type Quality struct {
	Score        *float64           `json:"score"`
	Quiet        *float64           `json:"quiet"`      // score of the quality phase, with one request in flight
	UnderLoad    *float64           `json:"under_load"` // score of the answers whose texts were kept under load
	Relevance    float64            `json:"relevance"`
	Coherence    float64            `json:"coherence"`
	Completeness float64            `json:"completeness"`
	PerPrompt    map[string]float64 `json:"per_prompt,omitempty"`
	// mean of a reviewer's scores, if one was asked; it does not affect the verdict
	Review       *float64           `json:"judge,omitempty"`
	ReviewErrors int                `json:"judge_errors,omitempty"`
	Worst        []string           `json:"worst,omitempty"` // reasons for the lowest scores
	Samples      []QualitySample    `json:"samples,omitempty"`
	N            int                `json:"n"`
	Calibration  map[string]float64 `json:"calibration,omitempty"`
}

// QualitySample is an answer and its score. The text is shortened.
type QualitySample struct {
	Prompt   string   `json:"prompt"`
	Question string   `json:"question,omitempty"` // the text of the prompt
	Text     string   `json:"text"`
	Score    float64  `json:"score"`
	Why      []string `json:"why,omitempty"`
}

// Reconciled is one comparison of the server's metrics with the client's own counts.
type Reconciled struct {
	ID      string   `json:"id"`
	Server  *float64 `json:"server"`
	Client  *float64 `json:"client"`
	Unit    string   `json:"unit,omitempty"`
	Verdict Verdict  `json:"verdict"`
	Reason  string   `json:"reason"`
}

// ClientError is the client's own error, in milliseconds.
type ClientError struct {
	Streams     int     `json:"streams"`
	RPS         float64 `json:"rps"`
	IssueP50MS  float64 `json:"issue_p50_ms"`
	IssueP99MS  float64 `json:"issue_p99_ms"`
	TTFTP50MS   float64 `json:"ttft_p50_ms"`
	TTFTP99MS   float64 `json:"ttft_p99_ms"`
	GapP50MS    float64 `json:"gap_p50_ms"`
	GapP99MS    float64 `json:"gap_p99_ms"`
	WorstIssue  float64 `json:"worst_issue_p99_ms"` // p99 of issued − scheduled
	LimitMS     float64 `json:"limit_ms"`
	WithinLimit bool    `json:"within_limit"`
}

// Resources is the memory and CPU that the server used.
type Resources struct {
	Source       string      `json:"source"`
	Samples      int         `json:"samples"`
	Errors       int         `json:"errors"`
	BaselineGB   float64     `json:"baseline_gb"`
	PeakGB       float64     `json:"peak_gb"`
	AfterIdleGB  *float64    `json:"after_idle_gb"`
	PeakAnonGB   float64     `json:"peak_anon_gb"`
	PeakFileGB   float64     `json:"peak_file_gb"`
	PeakGPUGB    float64     `json:"peak_gpu_gb,omitempty"`
	PeakCPU1s    float64     `json:"peak_cpu_1s"`
	PeakCPU10s   float64     `json:"peak_cpu_10s,omitempty"` // absent if the run was shorter
	PeakCPU60s   float64     `json:"peak_cpu_60s,omitempty"`
	SlopeMBH     *float64    `json:"slope_mb_per_hour"` // Theil-Sen slope of the window minima of anonymous memory
	SlopeBand    *[2]float64 `json:"slope_interval,omitempty"`
	SlopePer1000 *float64    `json:"slope_mb_per_1000_requests,omitempty"`
	SmallestMBH  *float64    `json:"smallest_detectable_mb_per_hour,omitempty"`
	Cache        *Cache      `json:"cache,omitempty"` // the server's own cache in the phase of the slope
	// what accelerators used over the run; absent if they were not observed
	GPU *GPU `json:"gpu,omitempty"`
	// the replicas of a fleet. The peaks of `resources` are then those of the largest replica; the baseline, the value
	// after idle and the growth are sums over all
	Replicas []Replica `json:"replicas,omitempty"`
}

// Replica is one of the servers behind the target's URL.
type Replica struct {
	Name       string   `json:"name"`                   // as in the events
	PeakGB     float64  `json:"peak_gb"`                // largest `rss` of the replica
	PeakGPUGB  float64  `json:"peak_gpu_gb,omitempty"`  // largest `gpu` of the replica
	PeakCPU1s  float64  `json:"peak_cpu_1s"`            // see [CPU](#memory-and-cpu). Unit: cores
	PeakCPU10s float64  `json:"peak_cpu_10s,omitempty"` // the same over windows of 10 s. Unit: cores
	PeakCPU60s float64  `json:"peak_cpu_60s,omitempty"` // the same over windows of 60 s. Unit: cores
	News       []string `json:"news,omitempty"`         // when the replica was lost or restarted
}

// GPU is what the server's accelerators used over the run. A GB is 2³⁰ bytes.
type GPU struct {
	Source    string    `json:"source"`           // where the readings come from
	Readings  int       `json:"readings"`         // number of readings without an error
	Errors    int       `json:"errors,omitempty"` // number of readings that failed
	Error     string    `json:"error,omitempty"`  // the last error
	PeakGB    float64   `json:"peak_gb"`          // highest memory in use of all cards together
	PeakWatts float64   `json:"peak_w"`           // highest power of all cards together. Unit: W
	Cards     []GPUCard `json:"cards"`            // one for each card
}

// GPUCard is one accelerator.
type GPUCard struct {
	ID        string  `json:"id"`                 // as in the event
	Model     string  `json:"model,omitempty"`    // as in the event
	PeakGB    float64 `json:"peak_gb"`            // highest memory in use
	TotalGB   float64 `json:"total_gb,omitempty"` // all of its memory
	MeanBusy  float64 `json:"mean_busy"`          // mean utilization, from 0 to 1
	MeanWatts float64 `json:"mean_w"`             // mean power. Unit: W
	PeakWatts float64 `json:"peak_w"`             // highest power. Unit: W
}

// PhaseGPU is what all accelerators used together in the steady window of a phase.
type PhaseGPU struct {
	Watts          float64  `json:"mean_w"`           // joules divided by the length of the window. Unit: W
	Busy           float64  `json:"mean_busy"`        // mean utilization of the cards, from 0 to 1
	Joules         float64  `json:"joules"`           // energy of all cards together. Unit: J
	From           string   `json:"joules_from"`      // source of joules: "counters of energy" or "readings of power"
	TokensPerJoule *float64 `json:"tokens_per_joule"` // output tokens per joule
}

// Cache is what the server's metrics report about its cache. An MB is 2²⁰ bytes.
type Cache struct {
	GrownMB    float64 `json:"grown_mb"`
	UsedMB     float64 `json:"used_mb"` // memory that the cache used at the end of the phase
	CapacityMB float64 `json:"capacity_mb"`
	Refused    string  `json:"refused,omitempty"` // why the cache does not explain growth of memory
}

// CaseInfo identifies the test case and its source.
type CaseInfo struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Level        string            `json:"level,omitempty"`
	Category     string            `json:"category,omitempty"`
	Priority     string            `json:"priority,omitempty"`
	Traceability map[string]string `json:"traceability,omitempty"`
	Criteria     map[string]string `json:"criteria,omitempty"` // sentences of the specification, by id
}

// TargetInfo identifies the server.
type TargetInfo struct {
	Kind    string `json:"kind"`
	URL     string `json:"url"`
	Model   string `json:"model"`
	Dialect string `json:"metrics_dialect,omitempty"`
}

// Evidence identifies the record, and names the command that derives the verdict again.
type Evidence struct {
	File   string `json:"file"`
	Events int    `json:"events"`
	SHA256 string `json:"sha256"` // SHA-256 of the record's uncompressed lines
	Verify string `json:"verify"` // command that derives the report again
}
