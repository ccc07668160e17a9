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
	Invalid Verdict = "INVALID" // could not be judged
	Info    Verdict = "INFO"    // of a check alone: it is no gate
)

// Report is reports/performance_<case>_<unix>.json. The first six keys are the specification's own.
type Report struct {
	TestCase  string  `json:"test_case"`
	Timestamp float64 `json:"timestamp"` // Unix seconds at the run's start
	Summary   Summary `json:"summary"`
	Targets   Targets `json:"targets"`
	Status    Verdict `json:"status"`

	SchemaVersion int    `json:"schema_version"`
	Profile       string `json:"profile"`
	// what a reader must know first: quick profile, built-in model, interrupted
	Notices        []string          `json:"notices,omitempty"`
	Arithmetic     string            `json:"arithmetic"` // what the targets imply (Little's law)
	Preconditions  []Precondition    `json:"preconditions"`
	Checks         []Check           `json:"checks"`
	Phases         []Phase           `json:"phases"`
	Sweeps         []Sweep           `json:"sweeps,omitempty"`
	Quality        Quality           `json:"quality"`
	Reconciliation []Reconciled      `json:"reconciliation"`
	ClientError    *ClientError      `json:"client_error,omitempty"`
	Generators     []Generator       `json:"generators,omitempty"` // the machines that made the load; absent: one did
	Resources      Resources         `json:"resources"`
	Environment    map[string]string `json:"environment"`
	Fingerprints   map[string]string `json:"fingerprints"`
	Case           CaseInfo          `json:"case"`
	Target         TargetInfo        `json:"target"`
	Against        *Against          `json:"against,omitempty"`
	Server         map[string]string `json:"server,omitempty"` // what the server says of itself
	Evidence       Evidence          `json:"evidence"`
}

// Summary has the specification's keys; nil where nothing was measured.
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

// Check is one criterion, judged.
type Check struct {
	ID       string      `json:"id"`
	Clause   string      `json:"clause"`
	Covers   []string    `json:"covers,omitempty"` // keys of CaseInfo.Criteria
	Phase    string      `json:"phase,omitempty"`
	Measured *float64    `json:"measured"`
	Interval *[2]float64 `json:"interval,omitempty"` // at the case's confidence
	Op       string      `json:"op,omitempty"`       // how measured is held against target: "<", "<=", ">=", "="
	Target   *float64    `json:"target"`
	Unit     string      `json:"unit,omitempty"`
	Verdict  Verdict     `json:"verdict"`
	Reason   string      `json:"reason"`
	Gate     bool        `json:"gate"`
	Rule     string      `json:"rule,omitempty"` // how it was judged; absent in reports of earlier versions
}

// Precondition is a condition that had to hold before the load, and what was found.
type Precondition struct {
	ID     string `json:"id"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Dist describes a sample. Percentiles are exact order statistics; a percentile is nil if the sample is too small for
// it.
type Dist struct {
	N        int      `json:"n"`
	Mean     float64  `json:"mean"`
	MeanLow  float64  `json:"mean_low"` // block-bootstrap interval of the mean
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

// Phase is what one phase measured. Times are milliseconds.
type Phase struct {
	ID          string         `json:"id"`
	Kind        testcases.Kind `json:"kind"`
	StartS      float64        `json:"start_s"` // since the run's start
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
	Reasons     []Reason       `json:"failure_reasons,omitempty"` // the commonest of each class
	Retried     int            `json:"retried,omitempty"`         // requests sent again on a new connection
	RPS         float64        `json:"rps"`                       // completions in the steady window / window
	RPSLow      float64        `json:"rps_low"`
	RPSHigh     float64        `json:"rps_high"`
	Goodput     float64        `json:"goodput"` // share of scheduled requests that met every target
	Latency     *Dist          `json:"latency_ms,omitempty"`
	TTFT        *Dist          `json:"ttft_ms,omitempty"`
	FirstAny    *Dist          `json:"first_any_token_ms,omitempty"` // where reasoning comes before the content
	TPOT        *Dist          `json:"tpot_ms,omitempty"`
	Gap         *Dist          `json:"gap_ms,omitempty"`
	BlurredGaps int            `json:"blurred_gaps,omitempty"` // whose ends this client was too late to tell apart
	IssueDelay  *Dist          `json:"issue_delay_ms,omitempty"`
	InFlight    float64        `json:"in_flight"` // time average
	MaxInFlight int            `json:"max_in_flight"`
	Little      float64        `json:"little_error"` // abs(L − λW)/L
	OutputTPS   float64        `json:"output_tokens_per_s"`
	// of answers with usage: a latency means nothing without lengths
	PromptMean float64   `json:"prompt_tokens_mean,omitempty"`
	OutputMean float64   `json:"output_tokens_mean,omitempty"`
	CutShort   string    `json:"cut_short,omitempty"`
	Taken      string    `json:"taken,omitempty"` // what others took of the machine meanwhile, where it was much
	GPU        *PhaseGPU `json:"gpu,omitempty"`
	Step       string    `json:"step,omitempty"` // the phase is one step of the sweep with this id
	// offered_rps counts conversations, each of one request or more
	Conversations bool `json:"conversations,omitempty"`
}

// Reason is the commonest reason of a class of failures.
type Reason struct {
	Class   string `json:"class"`
	Status  int    `json:"status,omitempty"` // of HTTP, where a response had begun
	Message string `json:"message"`          // of the server, or of the error; shortened
	Count   int    `json:"count"`            // failures with this reason
	Of      int    `json:"of"`               // failures of the class
}

// String is "status 422: unknown field seed (20,104 of 20,104)".
func (r Reason) String() string {
	what := r.Class
	if r.Status != 0 && r.Class == "status" {
		what += " " + strconv.Itoa(r.Status)
	}
	return fmt.Sprintf("%s: %s (%s of %s)", what, r.Message, Number(float64(r.Count)), Number(float64(r.Of)))
}

// Quality is the scores of the answers.
type Quality struct {
	Score        *float64           `json:"score"`
	Quiet        *float64           `json:"quiet"`      // one request in flight
	UnderLoad    *float64           `json:"under_load"` // texts kept in load phases
	Relevance    float64            `json:"relevance"`
	Coherence    float64            `json:"coherence"`
	Completeness float64            `json:"completeness"`
	PerPrompt    map[string]float64 `json:"per_prompt,omitempty"`
	// mean of a reviewer's scores, where one was asked; no part of the verdict
	Review       *float64           `json:"judge,omitempty"`
	ReviewErrors int                `json:"judge_errors,omitempty"`
	Worst        []string           `json:"worst,omitempty"` // what cost most
	Samples      []QualitySample    `json:"samples,omitempty"`
	N            int                `json:"n"`
	Calibration  map[string]float64 `json:"calibration,omitempty"`
}

// QualitySample is an answer as it was scored, shortened.
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

// ClientError is the generator's own error on this run, in milliseconds.
type ClientError struct {
	Streams     int     `json:"streams"`
	RPS         float64 `json:"rps"`
	IssueP50MS  float64 `json:"issue_p50_ms"`
	IssueP99MS  float64 `json:"issue_p99_ms"`
	TTFTP50MS   float64 `json:"ttft_p50_ms"`
	TTFTP99MS   float64 `json:"ttft_p99_ms"`
	GapP50MS    float64 `json:"gap_p50_ms"`
	GapP99MS    float64 `json:"gap_p99_ms"`
	WorstIssue  float64 `json:"worst_issue_p99_ms"` // over the judged phases
	LimitMS     float64 `json:"limit_ms"`
	WithinLimit bool    `json:"within_limit"`
}

// Resources is what the server used.
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
	PeakCPU10s   float64     `json:"peak_cpu_10s,omitempty"` // absent where the run was shorter
	PeakCPU60s   float64     `json:"peak_cpu_60s,omitempty"`
	SlopeMBH     *float64    `json:"slope_mb_per_hour"` // Theil-Sen on window minima of anonymous memory
	SlopeBand    *[2]float64 `json:"slope_interval,omitempty"`
	SlopePer1000 *float64    `json:"slope_mb_per_1000_requests,omitempty"`
	SmallestMBH  *float64    `json:"smallest_detectable_mb_per_hour,omitempty"`
	Cache        *Cache      `json:"cache,omitempty"` // over the time of the slope
	GPU          *GPU        `json:"gpu,omitempty"`
	// each replica of a fleet; the peaks above are then the largest of one replica, and what is said of the baseline,
	// idle and growth is of all together
	Replicas []Replica `json:"replicas,omitempty"`
}

// Replica is one of the servers behind the target's URL.
type Replica struct {
	Name       string   `json:"name"`
	PeakGB     float64  `json:"peak_gb"`
	PeakGPUGB  float64  `json:"peak_gpu_gb,omitempty"`
	PeakCPU1s  float64  `json:"peak_cpu_1s"`
	PeakCPU10s float64  `json:"peak_cpu_10s,omitempty"`
	PeakCPU60s float64  `json:"peak_cpu_60s,omitempty"`
	News       []string `json:"news,omitempty"` // that it was lost or began anew, and when
}

// GPU is what the server's accelerators used over the run. GB are 2³⁰ bytes.
type GPU struct {
	Source    string    `json:"source"`
	Readings  int       `json:"readings"`
	Errors    int       `json:"errors,omitempty"`
	Error     string    `json:"error,omitempty"` // the last
	PeakGB    float64   `json:"peak_gb"`         // of all cards together
	PeakWatts float64   `json:"peak_w"`
	Cards     []GPUCard `json:"cards"`
}

// GPUCard is one accelerator.
type GPUCard struct {
	ID        string  `json:"id"`
	Model     string  `json:"model,omitempty"`
	PeakGB    float64 `json:"peak_gb"`
	TotalGB   float64 `json:"total_gb,omitempty"`
	MeanBusy  float64 `json:"mean_busy"` // share of the time
	MeanWatts float64 `json:"mean_w"`
	PeakWatts float64 `json:"peak_w"`
}

// PhaseGPU is what all accelerators together used in the steady window of a phase.
type PhaseGPU struct {
	Watts          float64  `json:"mean_w"`
	Busy           float64  `json:"mean_busy"` // share of the time, the mean of the cards
	Joules         float64  `json:"joules"`
	From           string   `json:"joules_from"`      // "counters of energy" or "readings of power"
	TokensPerJoule *float64 `json:"tokens_per_joule"` // output tokens
}

// Cache is what the server's own metrics say about a cache that it fills, in MB of 2²⁰ bytes.
type Cache struct {
	GrownMB    float64 `json:"grown_mb"`
	UsedMB     float64 `json:"used_mb"` // at the end
	CapacityMB float64 `json:"capacity_mb"`
	Refused    string  `json:"refused,omitempty"` // why it explains no growth of memory
}

// CaseInfo names the test case and where it comes from.
type CaseInfo struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Level        string            `json:"level,omitempty"`
	Category     string            `json:"category,omitempty"`
	Priority     string            `json:"priority,omitempty"`
	Traceability map[string]string `json:"traceability,omitempty"`
	Criteria     map[string]string `json:"criteria,omitempty"` // the source's own sentences by id
}

// TargetInfo names the server.
type TargetInfo struct {
	Kind    string `json:"kind"`
	URL     string `json:"url"`
	Model   string `json:"model"`
	Dialect string `json:"metrics_dialect,omitempty"`
}

// Evidence points to the events file and names the command that derives the verdict again.
type Evidence struct {
	File   string `json:"file"`
	Events int    `json:"events"`
	SHA256 string `json:"sha256"` // of the uncompressed lines
	Verify string `json:"verify"` // the command
}
