package probe

import (
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// dialects are the names of metrics of all known servers.
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
	{name: "llamacpp", prefix: "llamacpp:", // counts no requests, and only the prompt tokens that it computed
		values: map[string][]string{
			evidence.MetricPromptComputed:   {"llamacpp:prompt_tokens_total"},
			evidence.MetricGenerationTokens: {"llamacpp:tokens_predicted_total"},
			evidence.MetricRunning:          {"llamacpp:requests_processing"},
			evidence.MetricWaiting:          {"llamacpp:requests_deferred"},
			evidence.MetricKVUsage:          {"llamacpp:kv_cache_usage_ratio"},
		}},
	{name: "tgi", prefix: "tgi_", // token counts are sums of histograms
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
	{name: "lmdeploy", prefix: "lmdeploy:", // its reasons are names of its own
		values: map[string][]string{
			evidence.MetricRequests:         {"lmdeploy:request_success_total"},
			evidence.MetricPromptTokens:     {"lmdeploy:prompt_tokens_total"},
			evidence.MetricGenerationTokens: {"lmdeploy:generation_tokens_total"},
			evidence.MetricRunning:          {"lmdeploy:num_requests_running"},
			evidence.MetricWaiting:          {"lmdeploy:num_requests_waiting"},
			evidence.MetricKVUsage:          {"lmdeploy:gpu_cache_usage_perc"},
		},
		histograms: map[string][]string{
			evidence.HistTTFT: {"lmdeploy:time_to_first_token_seconds"},
			evidence.HistE2E:  {"lmdeploy:e2e_request_latency_seconds"},
			evidence.HistITL:  {"lmdeploy:iter_token_latency", "lmdeploy:time_per_output_token_seconds"},
		}},
	// its metrics are at /prometheus/metrics
	{name: "tensorrt-llm", prefix: "trtllm_", finish: []string{"finished_reason"},
		values: map[string][]string{
			evidence.MetricRequests:         {"trtllm_request_success_total", "trtllm_num_requests_completed_total"},
			evidence.MetricPromptTokens:     {"trtllm_prompt_tokens_total"},
			evidence.MetricGenerationTokens: {"trtllm_generation_tokens_total"},
			evidence.MetricRunning:          {"trtllm_num_requests_running"},
			evidence.MetricWaiting:          {"trtllm_num_requests_waiting"},
			evidence.MetricKVUsage:          {"trtllm_kv_cache_utilization"},
		},
		histograms: map[string][]string{
			evidence.HistTTFT: {"trtllm_time_to_first_token_seconds"},
			evidence.HistE2E:  {"trtllm_e2e_request_latency_seconds"},
			evidence.HistITL:  {"trtllm_time_per_output_token_seconds"},
		}},
	// the models within an ensemble count its requests too, under their own names
	{name: "triton", prefix: "nv_", inner: "nv_llm_",
		values: map[string][]string{
			evidence.MetricRequests:         {"nv_inference_request_success"},
			evidence.MetricPromptTokens:     {"nv_llm_input_token_len_sum"},
			evidence.MetricGenerationTokens: {"nv_llm_output_token_len_sum"},
		},
		histograms: map[string][]string{evidence.HistTTFT: {"nv_inference_first_response_histogram_ms"}}},
	// its metrics are at /v1/metrics, without a prefix
	{name: "nim", finish: []string{"finished_reason", "finish_reason"},
		marks: []string{"num_requests_running", "num_requests_waiting", "num_request_max", "prompt_tokens_total",
			"generation_tokens_total", "request_success_total", "request_finish_total", "request_failure_total",
			"gpu_cache_usage_perc", "time_to_first_token_seconds", "e2e_request_latency_seconds",
			"time_per_output_token_seconds"},
		values: map[string][]string{
			evidence.MetricRequests:         {"request_success_total", "request_finish_total"},
			evidence.MetricPromptTokens:     {"prompt_tokens_total"},
			evidence.MetricGenerationTokens: {"generation_tokens_total"},
			evidence.MetricRunning:          {"num_requests_running"},
			evidence.MetricWaiting:          {"num_requests_waiting"},
			evidence.MetricKVUsage:          {"gpu_cache_usage_perc"},
		},
		histograms: map[string][]string{
			evidence.HistTTFT: {"time_to_first_token_seconds"},
			evidence.HistE2E:  {"e2e_request_latency_seconds"},
			evidence.HistITL:  {"time_per_output_token_seconds"},
		}},
	{name: "dynamo", prefix: "dynamo_frontend_", // its requests in flight include waiting ones
		values: map[string][]string{
			evidence.MetricRequests:         {"dynamo_frontend_requests_total{status=success}"},
			evidence.MetricPromptTokens:     {"dynamo_frontend_input_sequence_tokens_sum"},
			evidence.MetricGenerationTokens: {"dynamo_frontend_output_sequence_tokens_sum"},
			evidence.MetricRunning: {"dynamo_frontend_inflight_requests",
				"dynamo_frontend_inflight_requests_total"},
		},
		histograms: map[string][]string{
			evidence.HistTTFT: {"dynamo_frontend_time_to_first_token_seconds"},
			evidence.HistE2E:  {"dynamo_frontend_request_duration_seconds"},
			evidence.HistITL:  {"dynamo_frontend_inter_token_latency_seconds"},
		}},
	{name: "litellm", prefix: "litellm_", failed: []string{"litellm_proxy_failed_requests_metric_total"},
		values: map[string][]string{
			evidence.MetricRequests: {"litellm_proxy_total_requests_metric_total",
				"litellm_requests_metric_total"},
			evidence.MetricPromptTokens:     {"litellm_input_tokens_metric_total", "litellm_input_tokens_total"},
			evidence.MetricGenerationTokens: {"litellm_output_tokens_metric_total", "litellm_output_tokens_total"},
			evidence.MetricRunning:          {"litellm_in_flight_requests"},
		},
		histograms: map[string][]string{
			evidence.HistTTFT: {"litellm_llm_api_time_to_first_token_metric"},
			evidence.HistE2E:  {"litellm_request_total_latency_metric"},
		}},
}
