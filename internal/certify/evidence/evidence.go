package evidence

import (
	"encoding/json"
	"time"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// SchemaVersion is the version of the event format.
const SchemaVersion = 1

// Rules is the revision of the judge's rules by which new records are judged. A record keeps the revision of its time
// in its header, so that its report stays the same, byte for byte. 0 is the revision of records without the field. 1
// shows the reasons of failures, and does not blame the server for what the client could not read or ran out of. 2
// corrects the intervals of means for the bias of blocks, names the rule of each check, and describes in one sentence
// how other programs used the machine in several phases. 3 knows other servers' names of finish_reason, and compares
// no finish reasons if some answers had none. It computes the shares of other programs from the time that the
// machine's counters account for. It also says why requests failed if no question was answered correctly, how many
// tokens the prompts of needles had, and which rates count conversations.
const Rules = 3

// Event is one line of the record. Exactly one of the pointers is set. All times in events are nanoseconds since
// Header.Start on the monotonic clock.
type Event struct {
	At        int64      `json:"at"`
	Header    *Header    `json:"header,omitempty"`    // the first event
	Condition *Condition `json:"condition,omitempty"` // a precondition of the case
	Client    *Client    `json:"client,omitempty"`    // the client's own error
	Phase     *Phase     `json:"phase,omitempty"`     // a phase that has ended
	Request   *Request   `json:"request,omitempty"`   // a request that has ended
	Sample    *Sample    `json:"sample,omitempty"`    // the server's memory and CPU
	Scrape    *Scrape    `json:"scrape,omitempty"`    // the server's metrics
	Score     *Score     `json:"score,omitempty"`     // the quality of one answer
	Grade     *Grade     `json:"grade,omitempty"`     // the grade of one answer to a task
	Audit     *Audit     `json:"audit,omitempty"`
	Clock     *Clock     `json:"clock,omitempty"`   // a comparison of the wall clock with the monotonic clock
	Host      *Host      `json:"host,omitempty"`    // who used the certifier's machine
	Against   *Against   `json:"against,omitempty"` // the run that this one is compared with
	GPU       *GPU       `json:"gpu,omitempty"`     // what accelerators used
	Part      *Part      `json:"part,omitempty"`    // a generator's share of a phase that has ended
	// a comparison of a generator's clock with the run's
	Comparison *Comparison `json:"comparison,omitempty"`
	End        *End        `json:"end,omitempty"` // the last event; if it is missing, the run was killed
}

// Header says which case was run against which server, with everything that the verdict needs to know.
type Header struct {
	SchemaVersion int             `json:"schema_version"`
	Start         time.Time       `json:"start"`
	Case          *testcases.Case `json:"case"` // with --set applied
	Profile       string          `json:"profile"`
	Seed          int64           `json:"seed"`
	Target        Target          `json:"target"`
	// the machine on which the certifier ran: cpu, cores, memory, kernel, go, …
	Environment map[string]string `json:"environment"`
	// by name: version, case_sha256, prompts_sha256, model_sha256, config_sha256; for a model that was converted from
	// a directory also model_sources_sha256, the hash of what sha256sum prints for its files, sorted by name
	Fingerprints map[string]string `json:"fingerprints"`
	Calibration  *Calibration      `json:"calibration,omitempty"`
	Rules        int               `json:"rules,omitempty"` // the revision of the judge's rules
	// the texts of the prompts whose answers are scored, by key, shortened
	Prompts map[string]string `json:"prompts,omitempty"`
	// the generators of a run whose load came from several machines, in the order of their numbers
	Generators []Generator `json:"generators,omitempty"`
	// a random id of a run with generators, which is also in the generators' own records
	Run string `json:"run,omitempty"`
	// only in the record that a generator itself keeps: its number, from 1. Times are then those of its own clock
	Generator int `json:"generator,omitempty"`
}

// Generator is one of the machines that made the load of a run.
type Generator struct {
	Name        string            `json:"name"`        // the address at which it was reached
	Environment map[string]string `json:"environment"` // the machine: cpu, cores, memory, kernel, go, …
}

// Part is what one generator did in a phase.
type Part struct {
	Phase       string `json:"phase"`             // the phase's id
	Generator   int    `json:"generator"`         // its number, from 1
	Planned     int    `json:"planned"`           // requests planned
	Issued      int    `json:"issued"`            // requests sent
	MaxInFlight int    `json:"max_in_flight"`     // largest number of its requests in flight
	CapHit      bool   `json:"cap_hit,omitempty"` // it reached its share of Limits.MaxInFlight
	// why it stopped before its plan was complete; absent if it did not
	CutShort testcases.CutReason `json:"cut_short,omitempty"`
	// why the connection to it was lost: the requests that it sent later are missing
	Lost string `json:"lost,omitempty"`
	// requests that are only in its own record, because the connection was too slow
	Unsent int `json:"unsent,omitempty"`
}

// Comparison is one comparison of clocks. It uses the exchange of messages with the shortest round trip of several
// (Cristian 1989).
type Comparison struct {
	Generator int   `json:"generator"` // its number, from 1
	There     int64 `json:"there_ns"`  // the time on the generator's clock
	// the run's clock − the generator's. The error is at most error_ns, whichever direction took longer
	Offset    int64 `json:"offset_ns"`
	Error     int64 `json:"error_ns"`      // largest possible error of offset_ns
	RoundTrip int64 `json:"round_trip_ns"` // the round trip without the time that the generator took to answer
	Exchanges int   `json:"exchanges"`     // exchanges of which this is the best
}

// Target is the server under test.
type Target struct {
	Kind  TargetKind `json:"kind"`
	URL   string     `json:"url"`
	Model string     `json:"model"`
	// the model is the demonstration model or a synthetic one, which the report mentions
	BuiltIn bool `json:"built_in,omitempty"`
	// where samples come from: "self", "pid 42", "cgroup /x", "metrics", "none"
	Resources string `json:"resources"`
	Metrics   string `json:"metrics"`            // where scrapes come from: a URL, "prometheus URL", "none"
	Protocol  string `json:"protocol,omitempty"` // protocol of the load; empty: HTTP/1.1
	// what the server reports about itself: version, model, limits, flags
	Said map[string]string `json:"said,omitempty"`
	GPUs string            `json:"gpus,omitempty"` // where readings of accelerators come from; empty: there are none
	// fields that the server refuses, and that requests therefore leave out
	LeftOut []LeftOut `json:"left_out,omitempty"`
}

// LeftOut is a field of requests that the server refuses.
type LeftOut struct {
	Field   string `json:"field"`
	Instead string `json:"instead,omitempty"` // the field that was sent in its place
	Message string `json:"message"`           // the server's error message
}

// Calibration is the calibration of the quality score, as published with the product.
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
	ID     ConditionID `json:"id"`
	OK     bool        `json:"ok"`
	Detail string      `json:"detail"`
	// the generator that checked it, from 1; 0: the certifier itself
	Generator int `json:"generator,omitempty"`
}

// Client is the client's own error, measured against a server in the same process that answers at known times.
type Client struct {
	Streams      int     `json:"streams"`
	RPS          float64 `json:"rps"`
	IssueP50     int64   `json:"issue_p50_ns"` // issued − scheduled
	IssueP99     int64   `json:"issue_p99_ns"`
	TTFTErrorP50 int64   `json:"ttft_error_p50_ns"` // measured − true
	TTFTErrorP99 int64   `json:"ttft_error_p99_ns"`
	GapErrorP50  int64   `json:"gap_error_p50_ns"`
	GapErrorP99  int64   `json:"gap_error_p99_ns"`
	Generator    int     `json:"generator,omitempty"` // the generator whose error it is, from 1; 0: the certifier
}

// Phase is a phase as it ran.
type Phase struct {
	ID    string         `json:"id"`
	Kind  testcases.Kind `json:"kind"`
	Start int64          `json:"start"`
	// beginning of the steady window, over which rates and means are computed
	SteadyFrom  int64               `json:"steady_from"`
	SteadyTo    int64               `json:"steady_to"`
	End         int64               `json:"end"` // when its last request had ended
	Planned     int                 `json:"planned"`
	Issued      int                 `json:"issued"`
	OfferedRPS  float64             `json:"offered_rps,omitempty"` // planned rate of an open loop
	MaxInFlight int                 `json:"max_in_flight"`
	CapHit      bool                `json:"cap_hit,omitempty"` // Limits.MaxInFlight was reached
	CutShort    testcases.CutReason `json:"cut_short,omitempty"`
	Step        *Step               `json:"step,omitempty"` // set if the phase is a step of a sweep
}

// Step is one load that a sweep tried. Its requests have the id of the step's own phase.
type Step struct {
	Of    string  `json:"of"`    // id of the sweep's phase in the case
	Load  float64 `json:"load"`  // requests per second, or requests in flight
	Times int     `json:"times"` // length of the step, as a multiple of a first step's
}

// Request is one request as the client saw it.
type Request struct {
	Phase     string `json:"phase"`
	N         int    `json:"n"` // position in the phase's schedule, from 0
	Prompt    string `json:"prompt"`
	Scheduled int64  `json:"scheduled"` // when the schedule asks for it; in a closed loop, when the slot became free
	Issued    int64  `json:"issued"`
	First     int64  `json:"first,omitempty"` // first non-empty content; 0: none came, or the answer was not streamed
	// first token of any kind, if reasoning came before the content or without any
	FirstAny int64   `json:"first_any,omitempty"`
	Opened   int64   `json:"opened,omitempty"` // first chunk without a token, if one came before the first token
	Last     int64   `json:"last,omitempty"`   // last non-empty content
	Done     int64   `json:"done"`             // when the response was complete
	Chunks   int     `json:"chunks,omitempty"`
	Gaps     []int32 `json:"gaps_us,omitempty"` // µs between content chunks
	Status   int     `json:"status,omitempty"`
	// chunks that the client read together with the next one, because it had no processor; they have the time of that
	// one
	Blurred      int     `json:"blurred,omitempty"`
	Fail         Failure `json:"fail,omitempty"`
	Detail       string  `json:"detail,omitempty"` // message of the failure, at most 200 bytes
	Finish       string  `json:"finish,omitempty"`
	HasUsage     bool    `json:"has_usage,omitempty"`
	PromptTokens int     `json:"prompt_tokens,omitempty"`
	OutputTokens int     `json:"output_tokens,omitempty"`
	CachedTokens int     `json:"cached_tokens,omitempty"`
	TextBytes    int     `json:"text_bytes"`
	TextHash     string  `json:"text_hash,omitempty"` // first 16 hexadecimal digits of the SHA-256 of the text
	Text         string  `json:"text,omitempty"`      // text of the answer, if the phase keeps texts
	Thoughts     int     `json:"thoughts,omitempty"`  // chunks of reasoning, which do not count as content
	Thought      string  `json:"thought,omitempty"`   // text of the reasoning, if the phase keeps texts
	// how often it was sent again because its reused connection was closed before the first byte of a response
	Retried int `json:"retried,omitempty"`
	// the max_tokens of the request, if it differs between the requests of a phase
	MaxTokens int    `json:"max_tokens,omitempty"`
	Session   string `json:"session,omitempty"`   // the conversation of which it is a turn
	Turn      int    `json:"turn,omitempty"`      // position of the turn in the conversation, from 0
	Cut       string `json:"cut,omitempty"`       // which part of the answer was not kept, and why
	Generator int    `json:"generator,omitempty"` // the generator that sent it, from 1; 0: the certifier itself

	ReasoningTokens int `json:"reasoning_tokens,omitempty"` // how many of output_tokens are reasoning, shown or not
	// model that the answer names, if it is neither the one asked for nor a longer or shorter form of its name
	OtherModel string `json:"other_model,omitempty"`
	ToolCalls  int    `json:"tool_calls,omitempty"` // number of tool calls in the answer
	Calls      []Call `json:"calls,omitempty"`      // the tool calls, if the phase keeps texts
}

// Call is one tool call of an answer.
type Call struct {
	Name      string `json:"name"`                // name of the tool
	Arguments string `json:"arguments,omitempty"` // arguments as the server wrote them; JSON, if they are correct
}

// Shown is the number of output tokens that the client received.
func (r *Request) Shown() int { return Shown(r.OutputTokens, r.ReasoningTokens, r.Thoughts) }

// Shown is the number of an answer's tokens that the client received: reasoning that is billed but not shown is left
// out. thoughts is the number of reasoning chunks that were received.
func Shown(output, reasoning, thoughts int) int {
	if thoughts > 0 {
		return output
	}
	return output - reasoning
}

// OK says whether the request was answered.
func (r *Request) OK() bool { return r.Fail == "" }

// Sample is the memory and CPU time of the server at one moment.
type Sample struct {
	Source     string  `json:"source"`
	RSS        int64   `json:"rss"` // bytes
	Anon       int64   `json:"anon,omitempty"`
	File       int64   `json:"file,omitempty"`
	Shared     int64   `json:"shared,omitempty"`
	CPUSeconds float64 `json:"cpu_s"` // CPU time since the process began
	// how long the reading took: the values were read at some moment in that time before the event
	Took    int64  `json:"took_ns,omitempty"`
	Threads int    `json:"threads,omitempty"`
	FDs     int    `json:"fds,omitempty"`
	GPU     int64  `json:"gpu,omitempty"`
	Load    int    `json:"load"` // requests in flight, as the client counts them
	Err     string `json:"err,omitempty"`
	// the replicas of a fleet; rss, cpu_s and gpu of the sample are then sums over them
	Replicas []ReplicaSample `json:"replicas,omitempty"`
}

// ReplicaSample is the memory and CPU time of one replica of a fleet.
type ReplicaSample struct {
	// name of the replica: its host and port, its pod or its Prometheus instance
	Name       string  `json:"name"`
	RSS        int64   `json:"rss,omitempty"`   // resident memory. Unit: bytes
	CPUSeconds float64 `json:"cpu_s,omitempty"` // CPU time since the process began
	GPU        int64   `json:"gpu,omitempty"`   // memory on accelerators. Unit: bytes
	Err        string  `json:"err,omitempty"`   // why there is no sample of this replica
}

// Scrape is the server's metrics at one moment, under canonical names. Package probe translates them from each
// server's own names.
type Scrape struct {
	Label   ScrapeLabel `json:"label"`
	Dialect string      `json:"dialect"` // mixtral, vllm, sglang, llamacpp, tgi, unknown
	Source  string      `json:"source"`
	Took    int64       `json:"took_ns"`
	// age of the figures, if they come through a Prometheus server
	Age        int64                `json:"age_ns,omitempty"`
	Values     map[string]float64   `json:"values,omitempty"` // canonical counters and gauges
	Histograms map[string]Histogram `json:"histograms,omitempty"`
	// names of the server's metrics if none of them is understood; the first few
	Names []string `json:"names,omitempty"`
	Cut   []string `json:"cut,omitempty"` // which metrics were not kept because there were too many
	Err   string   `json:"err,omitempty"`
	// there are metrics, but this client cannot read them; err says why
	Unread bool `json:"unread,omitempty"`
	// the replicas of a fleet; the figures of the scrape are then sums over them, including what replicas counted
	// before they were lost or restarted
	Replicas []ReplicaScrape `json:"replicas,omitempty"`
}

// ReplicaScrape is the metrics of one replica of a fleet.
type ReplicaScrape struct {
	// name of the replica: its host and port, its pod or its Prometheus instance
	Name   string             `json:"name"`
	Values map[string]float64 `json:"values,omitempty"` // canonical counters and gauges
	Err    string             `json:"err,omitempty"`    // why there are no metrics of this replica
}

// Canonical names in Scrape.Values; requests by finish reason are "requests:stop", "requests:length", …
const (
	MetricRequests         = "requests" // successful ones, with any finish reason
	MetricPromptTokens     = "prompt_tokens"
	MetricPromptComputed   = "prompt_tokens_computed" // prompt tokens that did not come from a cache
	MetricGenerationTokens = "generation_tokens"
	MetricRunning          = "running" // gauges
	MetricWaiting          = "waiting"
	MetricKVUsage          = "kv_usage"
	MetricCacheUsed        = "cache_used_bytes"     // memory that the server's cache uses
	MetricCacheCapacity    = "cache_capacity_bytes" // the most it may ever take
	MetricRSS              = "process_rss_bytes"
	MetricCPUSeconds       = "process_cpu_seconds"
	MetricCollections      = "collections"  // garbage collections of the server's runtime
	HistTTFT               = "ttft_seconds" // this and the next are in Histograms
	HistE2E                = "e2e_seconds"
	HistITL                = "itl_seconds"
)

// Histogram is a cumulative Prometheus histogram.
type Histogram struct {
	Count   float64  `json:"count"`
	Sum     float64  `json:"sum"`
	Buckets []Bucket `json:"buckets,omitempty"` // sorted by bound; the last bound is +Inf, written as 0 with inf set
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
	// score by a reviewer, from 0 to 1; the key is that of older records
	Review    *float64 `json:"judge,omitempty"`
	ReviewErr string   `json:"judge_err,omitempty"` // why there is no score by the reviewer
}

// Grade says how correct one recorded answer to a task is.
type Grade struct {
	Phase  string                     `json:"phase"`           // of the request
	N      int                        `json:"n"`               // of the request
	Item   string                     `json:"item"`            // the question's id
	Of     int                        `json:"of,omitempty"`    // number of questions in the set; 0: questions are generated
	Group  string                     `json:"group,omitempty"` // group of similar questions, such as "4000 tokens, depth 0.5"
	Values map[testcases.Rule]float64 `json:"values"`          // grades from 0 to 1, by the rule that reads them
	Why    string                     `json:"why,omitempty"`   // what is wrong with the answer, shortened
}

// Audit is one test of the server's honesty.
type Audit struct {
	ID       AuditID `json:"id"`
	OK       bool    `json:"ok"`
	Valid    bool    `json:"valid"` // false: the audit could not be judged
	Measured float64 `json:"measured"`
	Limit    float64 `json:"limit"`
	Detail   string  `json:"detail"`
}

// Clock compares the wall clock with the monotonic clock. After a step of the wall clock, timestamps of other machines
// cannot be compared.
type Clock struct {
	DriftNS   int64 `json:"drift_ns"`
	Generator int   `json:"generator,omitempty"` // the generator whose clocks they are, from 1; 0: the certifier
}

// Host says who used a machine of the run. Its figures are counters of seconds; only differences between two events
// mean something.
type Host struct {
	Cores int     `json:"cores"`
	Busy  float64 `json:"busy_s"`            // CPU time of all processes on all cores, without interrupts
	Idle  float64 `json:"idle_s"`            // idle time of all cores, including waits for disks
	Steal float64 `json:"steal_s,omitempty"` // CPU time that the hypervisor gave to other machines
	// CPU time of the certifier, and of the server if its processes are known
	Own float64 `json:"own_s"`
	// time for which threads of these processes were ready and waited for a core
	Waited float64 `json:"waited_s,omitempty"`
	// time in which anything on the machine waited for a core (pressure stall information)
	Pressure float64 `json:"pressure_s,omitempty"`
	// the waited_s of the threads that compute: those that had a core for at least a quarter of the time since the
	// last reading
	Held float64 `json:"held_s,omitempty"`
	// how often a thread of these processes was given a core; 0: the kernel reports neither this nor waited_s
	Turns     int64      `json:"turns,omitempty"`
	Server    HostServer `json:"server"`
	Generator int        `json:"generator,omitempty"` // the generator whose machine it is, from 1; 0: the certifier
}

// End is the last event of a complete record.
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
	// latencies of its phases under load, if its own record was available
	Phases []AgainstPhase `json:"phases,omitempty"`
}

// AgainstPhase is a phase of the earlier run. It has evenly spaced samples of the requests' times in milliseconds, in
// their order.
type AgainstPhase struct {
	ID      string    `json:"id"`                // the phase's id
	Latency []float64 `json:"latency_ms"`        // latencies of judged requests
	TTFT    []float64 `json:"ttft_ms,omitempty"` // times to the first token of judged requests
}

// GPU is one reading of the accelerators of the server.
type GPU struct {
	Took  int64     `json:"took_ns"`         // how long the reading took
	Cards []GPUCard `json:"cards,omitempty"` // the accelerators
	Err   string    `json:"err,omitempty"`   // why there is no reading
}

// GPUCard is one accelerator. Figures that it does not report are absent.
type GPUCard struct {
	// the card's name: the label of the exporter, with the host if there is one
	ID     string   `json:"id"`
	Model  string   `json:"model,omitempty"`              // model of the card, as the exporter reports it
	Memory *float64 `json:"memory_bytes,omitempty"`       // memory in use. Unit: bytes
	Total  *float64 `json:"memory_total_bytes,omitempty"` // all of its memory. Unit: bytes
	Busy   *float64 `json:"busy,omitempty"`               // utilization, from 0 to 1
	Watts  *float64 `json:"watts,omitempty"`              // power. Unit: W
	Joules *float64 `json:"joules,omitempty"`             // energy since it was started. Unit: J
}
