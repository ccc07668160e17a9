package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Kind is a metric's Prometheus type.
type Kind string

// Kinds of metric.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Names of the metrics. Each has the meaning of the vLLM metric beside it in Table.
const (
	Requests          = "mixtral_requests_total"
	PromptTokens      = "mixtral_prompt_tokens_total"
	GenerationTokens  = "mixtral_generation_tokens_total"
	CachedTokens      = "mixtral_prompt_cached_tokens_total"
	TimeToFirstToken  = "mixtral_time_to_first_token_seconds"
	RequestLatency    = "mixtral_e2e_request_latency_seconds"
	InterTokenLatency = "mixtral_inter_token_latency_seconds"
	QueueTime         = "mixtral_request_queue_time_seconds"
	Running           = "mixtral_requests_running"
	Waiting           = "mixtral_requests_waiting"
	KVCacheUsage      = "mixtral_kv_cache_usage_ratio"
	KVCacheBytes      = "mixtral_kv_cache_bytes"
	KVCacheResident   = "mixtral_kv_cache_resident_bytes"
	Preemptions       = "mixtral_preemptions_total"
	HTTPRequests      = "mixtral_http_requests_total"
	Refused           = "mixtral_refused_requests_total"
	Ready             = "mixtral_ready"
	RunningLimit      = "mixtral_requests_running_limit"
	WaitingLimit      = "mixtral_requests_waiting_limit"
	MemoryLimit       = "mixtral_memory_limit_bytes"
	Connections       = "mixtral_connections"
	ConnectionsLimit  = "mixtral_connections_limit"
	Evicted           = "mixtral_connections_evicted_total"
	CertificateExpiry = "mixtral_tls_certificate_expiry_timestamp_seconds"
	UpstreamUp        = "mixtral_upstream_up"
	UpstreamFailures  = "mixtral_upstream_failures_total"
	UpstreamRequests  = "mixtral_upstream_requests_total"
	UpstreamState     = "mixtral_upstream_state"
	UpstreamWeight    = "mixtral_upstream_weight"
	UpstreamFirstByte = "mixtral_upstream_first_byte_seconds"
	UpstreamRetries   = "mixtral_upstream_retries_total"
	Panics            = "mixtral_panics_total"
	NonFinite         = "mixtral_non_finite_logits_total"
	BuildInfo         = "mixtral_build_info"
	LogWritten        = "mixtral_request_log_written_total"
	LogDropped        = "mixtral_request_log_dropped_total"
	LogFailures       = "mixtral_request_log_failures_total"
	LogPending        = "mixtral_request_log_pending"

	UpstreamOutstanding   = "mixtral_upstream_outstanding"
	UpstreamRetriesDenied = "mixtral_upstream_retries_denied_total"
	UpstreamModelsMissing = "mixtral_upstream_models_missing"
)

// Labels.
const (
	LabelFinishReason = "finish_reason" // stop, length, abort, error
	LabelRoute        = "route"
	LabelCode         = "code"
	LabelVersion      = "version"
	LabelKVType       = "kv_type" // f16, q8_0
	LabelReason       = "reason"  // one of Reasons
	LabelReplica      = "replica" // host:port, as in the configuration; the URL where two have the same
	LabelState        = "state"   // one of ReplicaStates
)

// Definition describes one metric.
type Definition struct {
	Name    string
	Kind    Kind
	Help    string
	Label   string    // the one label, or none
	Buckets []float64 // upper bounds in seconds
	VLLM    string    // vLLM's metric with the same meaning, if there is one
}

// Buckets reach from the fastest small model on one core to the slowest answer worth waiting for. One bound is 2 s
// because that is the latency target of TC-L1-COMP-MIXTRAL-003.
var (
	latencyBuckets = []float64{.005, .01, .025, .05, .1, .2, .3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 60, 120,
		240}
	firstBuckets = []float64{.001, .0025, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2, 2.5, 5, 7.5, 10,
		20, 40, 80}
	gapBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .075, .1, .15, .2, .3, .4, .5,
		.75, 1, 2.5, 5}
)

// FirstByteBuckets are the buckets of mixtral_upstream_first_byte_seconds: fewer, because each replica has them.
var FirstByteBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 10, 30, 60}

// Table describes every metric of the service, except those of the process and the Go runtime (process_*, go_*).
var Table = []Definition{
	{Name: Requests, Kind: Counter, Label: LabelFinishReason, VLLM: "vllm:request_success_total",
		Help: "Completions that ended, by reason. Each of a request's n choices counts. Refused requests do not " +
			"count."},
	{Name: PromptTokens, Kind: Counter, VLLM: "vllm:prompt_tokens_total",
		Help: "Prompt tokens of the requests that ended, as their usage reports them."},
	{Name: GenerationTokens, Kind: Counter, VLLM: "vllm:generation_tokens_total",
		Help: "Generated tokens, counted when they are generated. For completions that ended with stop or length " +
			"they add up to the usage."},
	{Name: CachedTokens, Kind: Counter, VLLM: "vllm:prefix_cache_hits_total",
		Help: "Prompt tokens that were found in the prefix cache."},
	{Name: TimeToFirstToken, Kind: Histogram, Buckets: firstBuckets, VLLM: "vllm:time_to_first_token_seconds",
		Help: "Time from the request's arrival to the completion's first token."},
	{Name: RequestLatency, Kind: Histogram, Buckets: latencyBuckets, VLLM: "vllm:e2e_request_latency_seconds",
		Help: "Time from the request's arrival to the completion's end, for those that ended with stop or length."},
	{Name: InterTokenLatency, Kind: Histogram, Buckets: gapBuckets, VLLM: "vllm:inter_token_latency_seconds",
		Help: "Time between a completion's tokens. Tokens that arrive together share the time before them " +
			"equally."},
	{Name: QueueTime, Kind: Histogram, Buckets: firstBuckets, VLLM: "vllm:request_queue_time_seconds",
		Help: "Time that a completion waited before the model first computed for it, for those that ended with " +
			"stop or length."},
	{Name: Running, Kind: Gauge, VLLM: "vllm:num_requests_running",
		Help: "Completions being computed."},
	{Name: Waiting, Kind: Gauge, VLLM: "vllm:num_requests_waiting",
		Help: "Completions in the queue."},
	{Name: KVCacheUsage, Kind: Gauge, VLLM: "vllm:kv_cache_usage_perc",
		Help: "Share of the KV cache held by running completions, from 0 to 1."},
	{Name: KVCacheBytes, Kind: Gauge, Label: LabelKVType,
		Help: "Memory reserved for keys and values, in bytes; the label is their format."},
	{Name: KVCacheResident, Kind: Gauge,
		Help: "Memory that keys and values occupy so far, in bytes. A block occupies its memory from its first " +
			"use on."},
	{Name: Preemptions, Kind: Counter, VLLM: "vllm:num_preemptions_total",
		Help: "Completions that gave their KV cache to an older one and were computed again."},
	{Name: HTTPRequests, Kind: Counter, // two labels: see httpLabels
		Help: "HTTP requests by route and status code; 499 means that the client disconnected before there was a " +
			"status."},
	{Name: Refused, Kind: Counter, Label: LabelReason,
		Help: "Requests refused before anything was computed for them, by reason. Health checks do not count."},
	{Name: Ready, Kind: Gauge,
		Help: "1 while the service accepts requests, as /readyz reports; 0 while the model loads, the service " +
			"drains or no upstream server is available."},
	{Name: RunningLimit, Kind: Gauge,
		Help: "Maximum number of completions that are computed at the same time: max_concurrent_requests."},
	{Name: WaitingLimit, Kind: Gauge,
		Help: "Maximum number of completions that wait in the queue: max_queued_requests."},
	{Name: MemoryLimit, Kind: Gauge,
		Help: "Maximum memory that the process may use, in bytes: memory_limit_gb, or less where the machine or its " +
			"control group allows less."},
	{Name: Connections, Kind: Gauge,
		Help: "Open connections to the API. At the limit, each new one takes the place of one that is idle."},
	{Name: ConnectionsLimit, Kind: Gauge,
		Help: "Maximum number of open connections to the API: max_connections, or half of the files that the " +
			"process may open."},
	{Name: Evicted, Kind: Counter,
		Help: "Idle connections that were closed to make room for a new one at the limit."},
	{Name: CertificateExpiry, Kind: Gauge,
		Help: "Time at which the TLS certificate in use expires, in Unix seconds."},
	{Name: UpstreamUp, Kind: Gauge, Label: LabelReplica,
		Help: "1 while a replica receives requests; 0 while its health check fails or it is left out after " +
			"failures."},
	{Name: UpstreamFailures, Kind: Counter, Label: LabelReplica,
		Help: "Failed attempts at a replica: no connection, no answer, a server error, or an answer that broke " +
			"off."},
	{Name: UpstreamRequests, Kind: Counter, Label: LabelReplica,
		Help: "Requests sent to a replica, retries included, since it was added."},
	{Name: UpstreamOutstanding, Kind: Gauge, Label: LabelReplica,
		Help: "Requests that a replica has and has not finished."},
	{Name: UpstreamState, Kind: Gauge, // two labels: see stateLabels
		Help: "1 for the state that a replica is in, 0 for the others: up, starting (slow start), trial (one " +
			"request at a time after an ejection), paused (it asked for it), ejected (after failures), down " +
			"(its health check failed), draining (taken out)."},
	{Name: UpstreamWeight, Kind: Gauge, Label: LabelReplica,
		Help: "Weight that a replica has now: its own, less while it starts, 0 while it receives nothing."},
	{Name: UpstreamFirstByte, Kind: Histogram, Label: LabelReplica, Buckets: FirstByteBuckets,
		Help: "Time from sending a request to a replica to the first byte of its answer; to the whole answer where " +
			"it is not streamed."},
	{Name: UpstreamRetries, Kind: Counter,
		Help: "Requests sent to another replica because one failed or refused before an answer began."},
	{Name: UpstreamRetriesDenied, Kind: Counter,
		Help: "Retries that were not made because upstream_retry_budget had no room for them."},
	{Name: UpstreamModelsMissing, Kind: Gauge,
		Help: "Models that no replica can be asked for now."},
	{Name: Panics, Kind: Counter,
		Help: "Panics caught while a request was handled."},
	{Name: NonFinite, Kind: Counter,
		Help: "Completions that ended with an error because the model's output was NaN or infinite, which means " +
			"broken weights or a broken machine."},
	{Name: LogWritten, Kind: Counter,
		Help: "Requests that the request log has written to its database."},
	{Name: LogDropped, Kind: Counter,
		Help: "Requests that the request log lost, because its buffer was full while the database was slow or " +
			"unreachable, or because the database refused them."},
	{Name: LogFailures, Kind: Counter,
		Help: "Failed attempts of the request log to reach its database or to write to it. It tries again."},
	{Name: LogPending, Kind: Gauge,
		Help: "Requests of the request log that wait in memory for its database."},
	{Name: BuildInfo, Kind: Gauge, Label: LabelVersion,
		Help: "Always 1; the label is the version of the service."},
}

var (
	httpLabels  = []string{LabelRoute, LabelCode}
	stateLabels = []string{LabelReplica, LabelState}
)

func (d Definition) opts() prometheus.Opts { return prometheus.Opts{Name: d.Name, Help: d.Help} }

func (d Definition) labels() []string {
	if d.Name == HTTPRequests {
		return httpLabels
	}
	if d.Name == UpstreamState {
		return stateLabels
	}
	if d.Label != "" {
		return []string{d.Label}
	}
	return nil
}

// nativeFactor bounds the relative error of a quantile read from a native histogram to 10 %.
const nativeFactor = 1.1

func (d Definition) histogram() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: d.Name, Help: d.Help, Buckets: d.Buckets,
		// Prometheus' own default maximum
		NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: 160,
	})
}

// Lookup finds a metric's definition by name.
func Lookup(name string) (Definition, bool) {
	for _, d := range Table {
		if d.Name == name {
			return d, true
		}
	}
	return Definition{}, false
}

func mustLookup(name string) Definition {
	d, ok := Lookup(name)
	if !ok {
		panic("telemetry: " + name + " is not in the table")
	}
	return d
}
