package probe

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// series is one line of a scrape: a histogram comes as name_bucket, name_sum and name_count.
type series struct {
	name   string
	labels map[string]string
	value  float64
}

// dialect says how a server names its metrics. Where there are several names the first that the server offers counts:
// newer first, then what older versions called it.
type dialect struct {
	name       string
	prefix     string              // of its metric names; how it is recognised
	finish     []string            // labels of the request counter that hold the finish reason
	values     map[string][]string // canonical name → own names
	histograms map[string][]string
}

// dialects are the servers whose metrics are understood.
var dialects = []dialect{
	{name: "mixtral", prefix: "mixtral_", finish: []string{telemetry.LabelFinishReason},
		values: map[string][]string{
			evidence.MetricRequests:         {telemetry.Requests},
			evidence.MetricPromptTokens:     {telemetry.PromptTokens},
			evidence.MetricGenerationTokens: {telemetry.GenerationTokens},
			evidence.MetricRunning:          {telemetry.Running},
			evidence.MetricWaiting:          {telemetry.Waiting},
			evidence.MetricKVUsage:          {telemetry.KVCacheUsage},
		},
		histograms: map[string][]string{
			evidence.HistTTFT: {telemetry.TimeToFirstToken},
			evidence.HistE2E:  {telemetry.RequestLatency},
			evidence.HistITL:  {telemetry.InterTokenLatency},
		}},
	{name: "vllm", prefix: "vllm:", finish: []string{"finished_reason"},
		values: map[string][]string{
			evidence.MetricRequests:         {"vllm:request_success_total", "vllm:request_success"},
			evidence.MetricPromptTokens:     {"vllm:prompt_tokens_total", "vllm:prompt_tokens"},
			evidence.MetricGenerationTokens: {"vllm:generation_tokens_total", "vllm:generation_tokens"},
			evidence.MetricRunning:          {"vllm:num_requests_running"},
			evidence.MetricWaiting:          {"vllm:num_requests_waiting"},
			evidence.MetricKVUsage:          {"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"},
		},
		histograms: map[string][]string{
			evidence.HistTTFT: {"vllm:time_to_first_token_seconds"},
			evidence.HistE2E:  {"vllm:e2e_request_latency_seconds"},
			evidence.HistITL:  {"vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"},
		}},
	{name: "sglang", prefix: "sglang:",
		values: map[string][]string{
			evidence.MetricRequests:         {"sglang:num_requests_total"},
			evidence.MetricPromptTokens:     {"sglang:prompt_tokens_total"},
			evidence.MetricGenerationTokens: {"sglang:generation_tokens_total"},
			evidence.MetricRunning:          {"sglang:num_running_reqs"},
			evidence.MetricWaiting:          {"sglang:num_queue_reqs"},
			evidence.MetricKVUsage:          {"sglang:token_usage"},
		},
		histograms: map[string][]string{
			evidence.HistTTFT: {"sglang:time_to_first_token_seconds"},
			evidence.HistE2E:  {"sglang:e2e_request_latency_seconds"},
			evidence.HistITL:  {"sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"},
		}},
	{name: "llamacpp", prefix: "llamacpp:", // counts no requests, and of a prompt what it computed
		values: map[string][]string{
			evidence.MetricPromptComputed:   {"llamacpp:prompt_tokens_total"},
			evidence.MetricGenerationTokens: {"llamacpp:tokens_predicted_total"},
			evidence.MetricRunning:          {"llamacpp:requests_processing"},
			evidence.MetricWaiting:          {"llamacpp:requests_deferred"},
			evidence.MetricKVUsage:          {"llamacpp:kv_cache_usage_ratio"},
		}},
	{name: "tgi", prefix: "tgi_", // token counts are the sums of histograms over requests
		values: map[string][]string{
			evidence.MetricRequests:         {"tgi_request_success", "tgi_request_success_total"},
			evidence.MetricPromptTokens:     {"tgi_request_input_length_sum"},
			evidence.MetricGenerationTokens: {"tgi_request_generated_tokens_sum"},
			evidence.MetricRunning:          {"tgi_batch_current_size"},
			evidence.MetricWaiting:          {"tgi_queue_size"},
		},
		histograms: map[string][]string{
			evidence.HistE2E: {"tgi_request_duration"},
			evidence.HistITL: {"tgi_request_mean_time_per_token_duration"},
		}},
}

// Unknown is the dialect of a server whose metrics have none of the known prefixes.
const Unknown = "unknown"

// process metrics have the same names everywhere; GPU memory comes from an exporter beside the server.
var (
	processValues = map[string][]string{
		evidence.MetricRSS:        {"process_resident_memory_bytes"},
		evidence.MetricCPUSeconds: {"process_cpu_seconds_total"},
		// A server of any dialect may declare a cache that it fills as this service does.
		evidence.MetricCacheUsed:     {telemetry.KVCacheResident},
		evidence.MetricCacheCapacity: {telemetry.KVCacheBytes},
	}
	// → bytes
	gpuMemory = map[string]float64{"DCGM_FI_DEV_FB_USED": 1 << 20, "nvidia_smi_memory_used_bytes": 1,
		"nvidia_gpu_memory_used_bytes": 1}
)

// MetricGPU is the canonical name of used GPU memory in bytes.
const MetricGPU = "gpu_memory_bytes"

// maxValue is above every count of tokens or bytes; JSON has no infinity.
const maxValue = 1e300

// translate turns a server's own series into canonical names. model narrows the series of a server of several models.
func translate(all []series, model string, taught map[string]string) (name string, values map[string]float64,
	histograms map[string]evidence.Histogram) {
	values, histograms = map[string]float64{}, map[string]evidence.Histogram{}
	all = colons(all)
	d := recognise(all)
	own := narrow(all, d.prefix, model)
	byName := map[string][]series{}
	for _, s := range own {
		if math.Abs(s.value) <= maxValue { // no NaN, and no sum of them is infinite
			byName[s.name] = append(byName[s.name], s)
		}
	}
	for _, table := range []map[string][]string{d.values, processValues} {
		for canonical, names := range table {
			for _, n := range names {
				if found := byName[n]; len(found) > 0 {
					values[canonical] = combine(canonical, found)
					break
				}
			}
		}
	}
	for _, n := range d.values[evidence.MetricRequests] {
		if found := byName[n]; len(found) > 0 {
			byReason(values, found, d.finish)
			break
		}
	}
	for canonical, names := range d.histograms {
		for _, n := range names {
			if h, ok := histogram(byName, n); ok {
				histograms[canonical] = h
				break
			}
		}
	}
	for n, factor := range gpuMemory {
		for _, s := range byName[n] {
			values[MetricGPU] += s.value * factor
		}
	}
	if teach(values, histograms, byName, taught) && d.name == "" {
		d.name = Taught
	}
	if d.name == "" {
		d.name = Unknown
	}
	return d.name, values, histograms
}

// recognise finds the dialect that most series speak.
func recognise(all []series) (best dialect) {
	most := 0
	for _, d := range dialects {
		n := 0
		for _, s := range all {
			if strings.HasPrefix(s.name, d.prefix) {
				n++
			}
		}
		if n > most {
			best, most = d, n
		}
	}
	return best
}

// narrow keeps one server's series: those of the model where the label is there and matches something, and of the
// process metrics those of the same Prometheus instances.
func narrow(all []series, prefix, model string) []series {
	matches := func(s series) bool { return model != "" && s.labels["model_name"] == model }
	some := slices.ContainsFunc(all, matches)
	instances := map[string]bool{}
	var out []series
	for _, s := range all {
		own := prefix != "" && strings.HasPrefix(s.name, prefix)
		if own && some && s.labels["model_name"] != "" && !matches(s) {
			continue
		}
		if own {
			instances[s.labels["instance"]] = true
		}
		out = append(out, s)
	}
	if len(instances) == 0 {
		return out
	}
	return slices.DeleteFunc(out, func(s series) bool {
		return strings.HasPrefix(s.name, "process_") &&
			!instances[s.labels["instance"]]
	})
}

// combine adds a metric's series; of shares it takes the largest.
func combine(canonical string, found []series) float64 {
	var sum, top float64
	for _, s := range found {
		sum += s.value
		top = max(top, s.value)
	}
	switch canonical {
	case evidence.MetricKVUsage:
		return top
	case evidence.MetricRunning, evidence.MetricWaiting:
		return overRanks(found)
	}
	return sum
}

// byReason splits the request counter. Aborted and failed requests are told apart, and not among the successful.
func byReason(values map[string]float64, found []series, labels []string) {
	for _, label := range labels {
		for _, s := range found {
			reason := s.labels[label]
			if reason == "" {
				continue
			}
			values[evidence.MetricRequests+":"+reason] += s.value
			if reason == "abort" || reason == "error" {
				values[evidence.MetricRequests] -= s.value
			}
		}
	}
}

// histogram adds the series of a classic histogram over all its labels.
func histogram(byName map[string][]series, name string) (evidence.Histogram, bool) {
	counts := byName[name+"_count"]
	if len(counts) == 0 {
		return evidence.Histogram{}, false
	}
	h := evidence.Histogram{Count: combine("", counts), Sum: combine("", byName[name+"_sum"])}
	bounds := map[float64]float64{}
	for _, s := range byName[name+"_bucket"] {
		le, err := strconv.ParseFloat(s.labels["le"], 64)
		if err != nil || math.IsNaN(le) {
			continue
		}
		bounds[le] += s.value
	}
	for le, count := range bounds {
		if math.IsInf(le, 1) {
			h.Buckets = append(h.Buckets, evidence.Bucket{Inf: true, Count: count})
		} else if !math.IsInf(le, -1) {
			h.Buckets = append(h.Buckets, evidence.Bucket{LE: le, Count: count})
		}
	}
	slices.SortFunc(h.Buckets, func(a, b evidence.Bucket) int {
		switch {
		case a.Inf || b.Inf:
			if a.Inf == b.Inf {
				return 0
			} else if a.Inf {
				return 1
			}
			return -1
		case a.LE < b.LE:
			return -1
		case a.LE > b.LE:
			return 1
		}
		return 0
	})
	return h, true
}
