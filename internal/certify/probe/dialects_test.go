package probe

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// TestServersOfOthersTellTheSameStory: every dialect translates to ten requests, 120 and 80 tokens, three running
// requests and a waiting one. The names are those of each server's documentation or source. Metrics that a server does
// not have are left out of its row.
func TestServersOfOthersTellTheSameStory(t *testing.T) {
	for _, tt := range []struct {
		dialect, text string
		without       []string
	}{
		{"lmdeploy", `
lmdeploy:request_success_total{engine="0",finished_reason="ResponseType.FINISH",model_name="m"} 10
lmdeploy:prompt_tokens_total{engine="0",model_name="m"} 60
lmdeploy:prompt_tokens_total{engine="1",model_name="m"} 60
lmdeploy:generation_tokens_total{engine="0",model_name="m"} 80
lmdeploy:num_requests_running{engine="0",model_name="m"} 1
lmdeploy:num_requests_running{engine="1",model_name="m"} 2
lmdeploy:num_requests_waiting{engine="0",model_name="m"} 1
lmdeploy:gpu_cache_usage_perc{engine="0",model_name="m"} 0.5
lmdeploy:time_to_first_token_seconds_sum{model_name="m"} 5
lmdeploy:time_to_first_token_seconds_count{model_name="m"} 10`, nil},
		{"tensorrt-llm", `
trtllm_request_success_total{model_name="m",engine_type="trtllm",finished_reason="stop"} 7
trtllm_request_success_total{model_name="m",engine_type="trtllm",finished_reason="length"} 3
trtllm_prompt_tokens_total{model_name="m"} 120
trtllm_generation_tokens_total{model_name="m"} 80
trtllm_num_requests_running{model_name="m"} 3
trtllm_num_requests_waiting{model_name="m"} 1
trtllm_kv_cache_utilization{model_name="m"} 0.5
trtllm_time_to_first_token_seconds_sum{model_name="m"} 5
trtllm_time_to_first_token_seconds_count{model_name="m"} 10`, nil},
		{"triton", `
nv_inference_request_success{model="m",version="1"} 10
nv_inference_request_success{model="preprocessing",version="1"} 10
nv_inference_request_success{model="tensorrt_llm",version="1"} 10
nv_llm_input_token_len_sum{model="tensorrt_llm",response_metric_type="total_input_tokens",version="1"} 120
nv_llm_input_token_len_count{model="tensorrt_llm",version="1"} 10
nv_llm_output_token_len_sum{model="tensorrt_llm",version="1"} 80
nv_inference_first_response_histogram_ms_sum{model="m",version="1"} 5000
nv_inference_first_response_histogram_ms_count{model="m",version="1"} 10
nv_inference_first_response_histogram_ms_bucket{model="m",version="1",le="100"} 4
nv_inference_first_response_histogram_ms_bucket{model="m",version="1",le="+Inf"} 10`,
			[]string{evidence.MetricRunning, evidence.MetricWaiting, evidence.MetricKVUsage}},
		{"nim", `
num_requests_running{model_name="m"} 3
num_requests_waiting{model_name="m"} 1
num_request_max{model_name="m"} 64
prompt_tokens_total{model_name="m"} 120
generation_tokens_total{model_name="m"} 80
request_success_total{model_name="m"} 10
gpu_cache_usage_perc{model_name="m"} 0.5
time_to_first_token_seconds_sum{model_name="m"} 5
time_to_first_token_seconds_count{model_name="m"} 10`, nil},
		{"dynamo", `
dynamo_frontend_requests_total{endpoint="chat_completions",model="M",request_type="stream",status="success"} 9
dynamo_frontend_requests_total{endpoint="chat_completions",model="M",request_type="unary",status="success"} 1
dynamo_frontend_requests_total{endpoint="chat_completions",model="M",request_type="stream",status="error"} 4
dynamo_frontend_input_sequence_tokens_sum{model="M"} 120
dynamo_frontend_output_sequence_tokens_sum{model="M"} 80
dynamo_frontend_inflight_requests{model="M"} 3
dynamo_frontend_time_to_first_token_seconds_sum{model="M"} 5
dynamo_frontend_time_to_first_token_seconds_count{model="M"} 10`,
			[]string{evidence.MetricWaiting, evidence.MetricKVUsage}},
		{"litellm", `
litellm_proxy_total_requests_metric_total{requested_model="m",status_code="200"} 10
litellm_proxy_total_requests_metric_total{requested_model="m",status_code="500"} 2
litellm_proxy_total_requests_metric_total{requested_model="other",status_code="200"} 99
litellm_proxy_failed_requests_metric_total{requested_model="m",exception_status="500"} 2
litellm_input_tokens_metric_total{model="m",requested_model="m"} 120
litellm_output_tokens_metric_total{model="m",requested_model="m"} 80
litellm_in_flight_requests 3
litellm_llm_api_time_to_first_token_metric_sum{model="m"} 5
litellm_llm_api_time_to_first_token_metric_count{model="m"} 10`,
			[]string{evidence.MetricWaiting, evidence.MetricKVUsage}},
	} {
		all, err := parseText([]byte(tt.text), (&Scraper{}).wanted)
		if err != nil {
			t.Errorf("%s: %v", tt.dialect, err)
			continue
		}
		got := translate(all, "m", nil)
		want := map[string]float64{evidence.MetricRequests: 10, evidence.MetricPromptTokens: 120,
			evidence.MetricGenerationTokens: 80, evidence.MetricRunning: 3, evidence.MetricWaiting: 1,
			evidence.MetricKVUsage: 0.5}
		maps.DeleteFunc(want, func(k string, _ float64) bool { return slices.Contains(tt.without, k) })
		for k := range got.values {
			if strings.HasPrefix(k, evidence.MetricRequests+":") {
				delete(got.values, k)
			}
		}
		if got.dialect != tt.dialect || !maps.Equal(got.values, want) || got.cut != nil {
			t.Errorf("%s: %s, %v, cut %q", tt.dialect, got.dialect, got.values, got.cut)
		}
		if h := got.histograms[evidence.HistTTFT]; h.Count != 10 || h.Sum != 5 {
			t.Errorf("%s: time to the first token %+v", tt.dialect, h)
		}
	}
}

// TestModelsOfTritonThatNobodyAsked: the models within an ensemble count each request again, so a sum over them is not
// the client's count.
func TestModelsOfTritonThatNobodyAsked(t *testing.T) {
	got := translate(parsed(t, `
nv_inference_request_success{model="a"} 10
nv_inference_request_success{model="b"} 10
nv_llm_output_token_len_sum{model="b"} 80
`), "served-as-c", nil)
	if _, ok := got.values[evidence.MetricRequests]; ok || got.values[evidence.MetricGenerationTokens] != 80 ||
		len(got.cut) != 1 || !strings.Contains(got.cut[0], "2 models (a, b)") {
		t.Errorf("%+v", got)
	}
}
