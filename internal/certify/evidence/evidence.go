package evidence

import (
	"encoding/json"
	"time"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// SchemaVersion is the version of the event format.
const SchemaVersion = 1

// Rules is the revision of the judge's rules that new records are judged by. A record keeps the revision of its day in
// its header, so that its verdict stays the same to the byte: 0 has none, 1 shows the reasons of failures, and blames
// no server for what the client could not read or ran out of, 2 corrects the intervals of means for the bias of
// blocks, names the rules of checks and says in one sentence what others took of the machine in several phases, 3
// knows other servers' names of finish_reason, compares none where there is none, and tells what others took of the
// machine by the time that its counters account for; it says why questions failed where none was answered rightly, how
// many tokens prompts of needles had, and where rates count conversations.
const Rules = 3

// Event is one line. Exactly one of the pointers is set. All times in events are nanoseconds since Header.Start on the
// monotonic clock.
type Event struct {
	At        int64      `json:"at"`
	Header    *Header    `json:"header,omitempty"`    // first
	Condition *Condition `json:"condition,omitempty"` // preconditions
	Client    *Client    `json:"client,omitempty"`    // the generator's own error
	Phase     *Phase     `json:"phase,omitempty"`     // when a phase has ended
	Request   *Request   `json:"request,omitempty"`   // when a request has ended
	Sample    *Sample    `json:"sample,omitempty"`    // resources
	Scrape    *Scrape    `json:"scrape,omitempty"`    // the server's metrics
	Score     *Score     `json:"score,omitempty"`     // quality of one answer
	Grade     *Grade     `json:"grade,omitempty"`     // of one answer to a task
	Audit     *Audit     `json:"audit,omitempty"`
	Clock     *Clock     `json:"clock,omitempty"`   // wall clock against monotonic clock
	Host      *Host      `json:"host,omitempty"`    // who used the certifier's machine
	Against   *Against   `json:"against,omitempty"` // the run that this one is compared with
	GPU       *GPU       `json:"gpu,omitempty"`     // what accelerators used
	Part      *Part      `json:"part,omitempty"`    // a generator's share of a phase, when it has ended
	// a generator's clock against the run's
	Comparison *Comparison `json:"comparison,omitempty"`
	End        *End        `json:"end,omitempty"` // last; its absence means the run was killed
}

// Header says what was run against what, with everything the verdict needs to know.
type Header struct {
	SchemaVersion int             `json:"schema_version"`
	Start         time.Time       `json:"start"`
	Case          *testcases.Case `json:"case"` // with --set applied
	Profile       string          `json:"profile"`
	Seed          int64           `json:"seed"`
	Target        Target          `json:"target"`
	// the machine the certifier ran on: cpu, cores, memory, kernel, go, …
	Environment map[string]string `json:"environment"`
	// version, case_sha256, prompts_sha256, model_sha256, config_sha256; of a model that was converted from a
	// directory also model_sources_sha256, the hash of what sha256sum prints for its files by name
	Fingerprints map[string]string `json:"fingerprints"`
	Calibration  *Calibration      `json:"calibration,omitempty"`
	Rules        int               `json:"rules,omitempty"` // see Rules
	// the texts of the prompts whose answers are scored, by their keys; shortened
	Prompts map[string]string `json:"prompts,omitempty"`
	// the generators of a run whose load came from several machines, in the order of their numbers
	Generators []Generator `json:"generators,omitempty"`
	Run        string      `json:"run,omitempty"` // drawn for a run with generators: their own records have it too
	// in the record of a generator itself: its number, from 1. Its times are those of its own clock
	Generator int `json:"generator,omitempty"`
}

// Generator is one of the machines that make the load of a run.
type Generator struct {
	Name        string            `json:"name"`        // the address at which it was reached
	Environment map[string]string `json:"environment"` // the machine: cpu, cores, memory, kernel, go, …
}

// Part is a generator's share of a phase as it ran.
type Part struct {
	Phase       string    `json:"phase"`
	Generator   int       `json:"generator"` // its number, from 1
	Planned     int       `json:"planned"`
	Issued      int       `json:"issued"`
	MaxInFlight int       `json:"max_in_flight"`
	CapHit      bool      `json:"cap_hit,omitempty"` // its share of Limits.MaxInFlight was reached
	CutShort    CutReason `json:"cut_short,omitempty"`
	// why nothing more is known of it: what it sent after that is missing
	Lost string `json:"lost,omitempty"`
	// requests that only its own record has, since the connection was too slow for them
	Unsent int `json:"unsent,omitempty"`
}

// Comparison is one comparison of clocks, by the exchange of messages with the shortest round trip of
// several (Cristian 1989).
type Comparison struct {
	Generator int   `json:"generator"` // its number, from 1
	There     int64 `json:"there_ns"`  // the generator's clock
	// the run's clock − the generator's. It is off by error_ns at most, whatever way took longer
	Offset    int64 `json:"offset_ns"`
	Error     int64 `json:"error_ns"`
	RoundTrip int64 `json:"round_trip_ns"` // without the time that the generator took to answer
	Exchanges int   `json:"exchanges"`     // of which it is the best
}

// Target is the server under test.
type Target struct {
	Kind    TargetKind `json:"kind"`
	URL     string     `json:"url"`
	Model   string     `json:"model"`
	BuiltIn bool       `json:"built_in,omitempty"` // the demo or synthetic model: the report says so
	// where samples come from: "self", "pid 42", "cgroup /x", "metrics", "none"
	Resources string `json:"resources"`
	Metrics   string `json:"metrics"`            // where scrapes come from: a URL, "prometheus URL", "none"
	Protocol  string `json:"protocol,omitempty"` // that the load speaks; empty: HTTP/1.1
	// what the server says of itself: version, model, limits, flags
	Said map[string]string `json:"said,omitempty"`
	GPUs string            `json:"gpus,omitempty"` // where readings of accelerators come from; empty: nowhere
	// fields of the requests that the server refuses, and that the load therefore leaves out
	LeftOut []LeftOut `json:"left_out,omitempty"`
}

// LeftOut is a field that the server refuses.
type LeftOut struct {
	Field   string `json:"field"`
	Instead string `json:"instead,omitempty"` // the field that was sent in its place
	Message string `json:"message"`           // of the server
}

// Calibration of the quality score, as published with the product.
type Calibration struct {
	AUC       float64            `json:"auc"`
	PerFault  map[string]float64 `json:"auc_per_corruption"`
	FalsePass float64            `json:"false_pass"`
	FalseFail float64            `json:"false_fail"`
	Threshold float64            `json:"threshold"`
	Good, Bad int                `json:"-"`
}

// Condition is one precondition of the case.
type Condition struct {
	ID        ConditionID `json:"id"`
	OK        bool        `json:"ok"`
	Detail    string      `json:"detail"`
	Generator int         `json:"generator,omitempty"` // which generator looked, from 1; 0: the certifier itself
}

// Client is the generator's own error, measured against an in-process server that answers at known times.
type Client struct {
	Streams      int     `json:"streams"`
	RPS          float64 `json:"rps"`
	IssueP50     int64   `json:"issue_p50_ns"` // issued − scheduled
	IssueP99     int64   `json:"issue_p99_ns"`
	TTFTErrorP50 int64   `json:"ttft_error_p50_ns"` // measured − true
	TTFTErrorP99 int64   `json:"ttft_error_p99_ns"`
	GapErrorP50  int64   `json:"gap_error_p50_ns"`
	GapErrorP99  int64   `json:"gap_error_p99_ns"`
	Generator    int     `json:"generator,omitempty"` // whose error it is, from 1; 0: the certifier's own
}

// Phase is a phase as it ran.
type Phase struct {
	ID          string         `json:"id"`
	Kind        testcases.Kind `json:"kind"`
	Start       int64          `json:"start"`
	SteadyFrom  int64          `json:"steady_from"` // the steady window: what rates and means are taken over
	SteadyTo    int64          `json:"steady_to"`
	End         int64          `json:"end"` // when the last request had ended
	Planned     int            `json:"planned"`
	Issued      int            `json:"issued"`
	OfferedRPS  float64        `json:"offered_rps,omitempty"` // open loop
	MaxInFlight int            `json:"max_in_flight"`
	CapHit      bool           `json:"cap_hit,omitempty"` // Limits.MaxInFlight was reached
	CutShort    CutReason      `json:"cut_short,omitempty"`
	Step        *Step          `json:"step,omitempty"` // of a sweep: the phase is one load that it tried
}

// Step is one load that a sweep tried. Its requests bear the id of its phase.
type Step struct {
	Of    string  `json:"of"`    // the phase of the case that searches
	Load  float64 `json:"load"`  // requests a second, or in flight
	Times int     `json:"times"` // as long as a first step
}

// Request is one request as the client saw it.
type Request struct {
	Phase     string `json:"phase"`
	N         int    `json:"n"` // place in the phase's schedule, from 0
	Prompt    string `json:"prompt"`
	Scheduled int64  `json:"scheduled"` // closed loop: when the slot became free
	Issued    int64  `json:"issued"`
	First     int64  `json:"first,omitempty"` // first non-empty content; 0: none came, or not in a stream
	// first token of any kind, where reasoning came before the content or in its place
	FirstAny int64   `json:"first_any,omitempty"`
	Opened   int64   `json:"opened,omitempty"` // first chunk without a token, where it came before the first token
	Last     int64   `json:"last,omitempty"`   // last content
	Done     int64   `json:"done"`             // response complete, or failed
	Chunks   int     `json:"chunks,omitempty"`
	Gaps     []int32 `json:"gaps_us,omitempty"` // µs between content chunks
	Status   int     `json:"status,omitempty"`
	// chunks that a client without a processor read together with the next one, whose time they have
	Blurred      int     `json:"blurred,omitempty"`
	Fail         Failure `json:"fail,omitempty"`
	Detail       string  `json:"detail,omitempty"` // of the failure, ≤ 200 bytes
	Finish       string  `json:"finish,omitempty"`
	HasUsage     bool    `json:"has_usage,omitempty"`
	PromptTokens int     `json:"prompt_tokens,omitempty"`
	OutputTokens int     `json:"output_tokens,omitempty"`
	CachedTokens int     `json:"cached_tokens,omitempty"`
	TextBytes    int     `json:"text_bytes"`
	TextHash     string  `json:"text_hash,omitempty"` // first 16 hex digits of SHA-256
	Text         string  `json:"text,omitempty"`      // where the phase keeps texts
	Thoughts     int     `json:"thoughts,omitempty"`  // chunks of reasoning, which are not content
	Thought      string  `json:"thought,omitempty"`   // their text, where the phase keeps texts
	// times that it was sent again, since its reused connection was closed before the first byte of a response
	Retried   int    `json:"retried,omitempty"`
	MaxTokens int    `json:"max_tokens,omitempty"` // asked for, where the requests of a phase differ in it
	Session   string `json:"session,omitempty"`    // the conversation that it is a turn of
	Turn      int    `json:"turn,omitempty"`       // its place in it, from 0
	Cut       string `json:"cut,omitempty"`        // what of the answer was not kept
	Generator int    `json:"generator,omitempty"`  // which generator sent it, from 1; 0: the certifier itself

	ReasoningTokens int `json:"reasoning_tokens,omitempty"` // of OutputTokens, shown or not
	// that the answer names, where it is neither the one asked for nor a longer or shorter form of its name
	OtherModel string `json:"other_model,omitempty"`
	ToolCalls  int    `json:"tool_calls,omitempty"` // calls of tools in the answer
	Calls      []Call `json:"calls,omitempty"`      // what they are, where the phase keeps texts
}

// Call is a call of a tool that an answer has.
type Call struct {
	Name      string `json:"name"`                // of the tool
	Arguments string `json:"arguments,omitempty"` // as the server wrote them; JSON, if they are right
}

// Shown is how many of the output tokens came.
func (r *Request) Shown() int { return Shown(r.OutputTokens, r.ReasoningTokens, r.Thoughts) }

// Shown is how many of an answer's tokens came: those of reasoning that is billed and not shown did not. thoughts are
// the chunks of reasoning that came.
func Shown(output, reasoning, thoughts int) int {
	if thoughts > 0 {
		return output
	}
	return output - reasoning
}

// OK says that the request was answered.
func (r *Request) OK() bool { return r.Fail == "" }

// Times are its moments.
func (r *Request) Times() Times {
	return Times{Scheduled: r.Scheduled, Issued: r.Issued, First: r.First, FirstAny: r.FirstAny, Last: r.Last,
		Done: r.Done}
}

// Begins is when the first token of any kind came; 0 where that is not known.
func (r *Request) Begins() int64 { return r.Times().Begins() }

// Begin is the time from which latencies count in a phase of a kind.
func (r *Request) Begin(kind testcases.Kind) int64 { return r.Times().Begin(kind) }

// End is when the request's latency ends.
func (r *Request) End() int64 { return r.Times().End(r.OK()) }

// Latency is the end-to-end latency in a phase of a kind: from Begin to End.
func (r *Request) Latency(kind testcases.Kind) time.Duration {
	return time.Duration(r.End() - r.Begin(kind))
}

// Times are the moments of a request, and the one place that says from which to which its latency lasts.
type Times struct {
	Scheduled, Issued, First, FirstAny, Last, Done int64 // nanoseconds, as in Request
}

// Begins is when the first token of any kind came; 0 where that is not known.
func (t Times) Begins() int64 {
	if t.FirstAny != 0 {
		return t.FirstAny
	}
	return t.First
}

// Begin is the time from which latencies count in a phase of a kind: the schedule in the open loop, so that a server
// that stalls is charged for the requests that had to wait, and the issue elsewhere.
func (t Times) Begin(kind testcases.Kind) int64 {
	if kind == testcases.KindOpen {
		return t.Scheduled
	}
	return t.Issued
}

// End is when the request's latency ends: at the last token of an answer, not at the last byte of its stream. A
// failed request (answered is false) ends with its failure, an answer that did not come in a stream with its body.
func (t Times) End(answered bool) int64 {
	if answered && t.Last != 0 {
		return t.Last
	}
	return t.Done
}

// Sample is the resources of the server at one moment.
type Sample struct {
	Source     string  `json:"source"`
	RSS        int64   `json:"rss"` // bytes
	Anon       int64   `json:"anon,omitempty"`
	File       int64   `json:"file,omitempty"`
	Shared     int64   `json:"shared,omitempty"`
	CPUSeconds float64 `json:"cpu_s"` // since the process began
	// reading it; what was read is as old as that, or as new as the event
	Took    int64  `json:"took_ns,omitempty"`
	Threads int    `json:"threads,omitempty"`
	FDs     int    `json:"fds,omitempty"`
	GPU     int64  `json:"gpu,omitempty"`
	Load    int    `json:"load"` // requests in flight, as the client knows them
	Err     string `json:"err,omitempty"`
	// each of a fleet's replicas; RSS, CPUSeconds and GPU above are then their sums
	Replicas []ReplicaSample `json:"replicas,omitempty"`
}

// ReplicaSample is the resources of one replica of a fleet.
type ReplicaSample struct {
	Name       string  `json:"name"`
	RSS        int64   `json:"rss,omitempty"`
	CPUSeconds float64 `json:"cpu_s,omitempty"`
	GPU        int64   `json:"gpu,omitempty"`
	Err        string  `json:"err,omitempty"`
}

// Scrape is the server's metrics at one moment, in canonical names; see internal/certify/probe for every dialect's
// own.
type Scrape struct {
	Label      ScrapeLabel          `json:"label"`
	Dialect    string               `json:"dialect"` // mixtral, vllm, sglang, llamacpp, tgi, unknown
	Source     string               `json:"source"`
	Took       int64                `json:"took_ns"`
	Age        int64                `json:"age_ns,omitempty"` // of the sample, where a Prometheus server lies between
	Values     map[string]float64   `json:"values,omitempty"` // canonical counters and gauges
	Histograms map[string]Histogram `json:"histograms,omitempty"`
	// what metrics are called that nobody here understands, where none is understood; the first few
	Names []string `json:"names,omitempty"`
	Cut   []string `json:"cut,omitempty"` // what of the metrics was not kept, since it was too much
	Err   string   `json:"err,omitempty"`
	// there are metrics, and this client cannot read them; Err says why
	Unread bool `json:"unread,omitempty"`
	// each of a fleet's replicas; the figures above are then those of all together, with what replicas that were lost
	// or began anew had counted until then
	Replicas []ReplicaScrape `json:"replicas,omitempty"`
}

// ReplicaScrape is the metrics of one replica of a fleet.
type ReplicaScrape struct {
	Name   string             `json:"name"`
	Values map[string]float64 `json:"values,omitempty"`
	Err    string             `json:"err,omitempty"`
}

// Canonical names in Scrape.Values; requests by finish reason are "requests:stop", "requests:length", …
const (
	MetricRequests         = "requests" // successful, all finish reasons
	MetricPromptTokens     = "prompt_tokens"
	MetricPromptComputed   = "prompt_tokens_computed" // those of them that no cache held
	MetricGenerationTokens = "generation_tokens"
	MetricRunning          = "running" // gauges
	MetricWaiting          = "waiting"
	MetricKVUsage          = "kv_usage"
	MetricCacheUsed        = "cache_used_bytes"     // memory that the server's cache takes so far
	MetricCacheCapacity    = "cache_capacity_bytes" // the most it may ever take
	MetricRSS              = "process_rss_bytes"
	MetricCPUSeconds       = "process_cpu_seconds"
	MetricCollections      = "collections"  // of garbage, by the server's runtime
	HistTTFT               = "ttft_seconds" // in Histograms
	HistE2E                = "e2e_seconds"
	HistITL                = "itl_seconds"
)

// Histogram is a cumulative Prometheus histogram.
type Histogram struct {
	Count   float64  `json:"count"`
	Sum     float64  `json:"sum"`
	Buckets []Bucket `json:"buckets,omitempty"` // by rising bound; the last is +Inf, written as 0 with Inf set
}

// Bucket counts observations ≤ LE.
type Bucket struct {
	LE    float64 `json:"le"`
	Inf   bool    `json:"inf,omitempty"`
	Count float64 `json:"count"`
}

// Score is the quality of one recorded answer.
type Score struct {
	Phase        string   `json:"phase"`
	N            int      `json:"n"`
	Prompt       string   `json:"prompt"`
	Score        float64  `json:"score"`
	Relevance    float64  `json:"relevance"`
	Coherence    float64  `json:"coherence"`
	Completeness float64  `json:"completeness"`
	Why          []string `json:"why,omitempty"` // what cost points
	// the opinion of a reviewer, from 0 to 1; the keys are those of older records
	Review    *float64 `json:"judge,omitempty"`
	ReviewErr string   `json:"judge_err,omitempty"` // why there is none
}

// Grade is how right one recorded answer to a task is.
type Grade struct {
	Phase  string             `json:"phase"`           // of the request
	N      int                `json:"n"`               // of the request
	Item   string             `json:"item"`            // the question's id
	Of     int                `json:"of,omitempty"`    // questions that there are; 0: they are made up
	Group  string             `json:"group,omitempty"` // of questions alike: "4000 tokens, depth 0.5"
	Values map[string]float64 `json:"values"`          // by the rule that reads them, from 0 to 1
	Why    string             `json:"why,omitempty"`   // what is wrong, shortened
}

// Audit is one test of the server's honesty.
type Audit struct {
	ID       AuditID `json:"id"`
	OK       bool    `json:"ok"`
	Valid    bool    `json:"valid"` // false: could not be judged
	Measured float64 `json:"measured"`
	Limit    float64 `json:"limit"`
	Detail   string  `json:"detail"`
}

// Clock compares the wall clock with the monotonic one; a step makes timestamps of other machines incomparable.
type Clock struct {
	DriftNS   int64 `json:"drift_ns"`
	Generator int   `json:"generator,omitempty"` // whose clocks they are, from 1; 0: the certifier's own
}

// Host says who used the machine that the certifier runs on: counters of seconds, to be read by their differences.
type Host struct {
	Cores int     `json:"cores"`
	Busy  float64 `json:"busy_s"`            // of every process, over all cores; interrupts are nobody's
	Idle  float64 `json:"idle_s"`            // waiting for disks included
	Steal float64 `json:"steal_s,omitempty"` // what the hypervisor gave to other machines
	// Busy of the certifier, and of the server if its processes are known
	Own      float64 `json:"own_s"`
	Waited   float64 `json:"waited_s,omitempty"`   // for which their threads were ready, and no core took them
	Pressure float64 `json:"pressure_s,omitempty"` // in which anything on the machine was ready and waited (PSI)
	// Waited of threads that had a core for a quarter of the time since the last reading or more: those that compute
	Held float64 `json:"held_s,omitempty"`
	// how often a core took one of their threads; 0: the kernel tells neither
	Turns     int64      `json:"turns,omitempty"`
	Server    HostServer `json:"server"`
	Generator int        `json:"generator,omitempty"` // whose machine it is, from 1; 0: the certifier's own
}

// End closes the record.
type End struct {
	Interrupted bool   `json:"interrupted,omitempty"`
	Unanswered  bool   `json:"unanswered,omitempty"` // the warm-up had no answer, so nothing was measured
	Reason      string `json:"reason,omitempty"`
	LeftOut     int    `json:"left_out,omitempty"` // events that were too large to be recorded
}

// Against is an earlier run that this one is compared with.
type Against struct {
	Name   string          `json:"name"`   // the id of the run, or its report's file
	Report json.RawMessage `json:"report"` // its JSON report
	// samples of its phases of load, where its own record was at hand
	Phases []AgainstPhase `json:"phases,omitempty"`
}

// AgainstPhase is a phase of the earlier run: times of requests in milliseconds, in their order, every so manieth.
type AgainstPhase struct {
	ID      string    `json:"id"`
	Latency []float64 `json:"latency_ms"`
	TTFT    []float64 `json:"ttft_ms,omitempty"`
}

// GPU is one reading of the accelerators of the server.
type GPU struct {
	Took  int64     `json:"took_ns"`
	Cards []GPUCard `json:"cards,omitempty"`
	Err   string    `json:"err,omitempty"`
}

// GPUCard is one accelerator. What it does not tell is absent.
type GPUCard struct {
	ID     string   `json:"id"`
	Model  string   `json:"model,omitempty"`
	Memory *float64 `json:"memory_bytes,omitempty"` // used
	Total  *float64 `json:"memory_total_bytes,omitempty"`
	Busy   *float64 `json:"busy,omitempty"` // share of the time, 0 to 1
	Watts  *float64 `json:"watts,omitempty"`
	Joules *float64 `json:"joules,omitempty"` // since it was started
}
