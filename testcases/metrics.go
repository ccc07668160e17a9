package testcases

// MetricNames are the keys of Case.Metrics: counters of requests and tokens, gauges of requests, and the histograms of
// the time to the first token, of the whole request and between tokens, in seconds.
func MetricNames() []string {
	return []string{"requests", "prompt_tokens", "generation_tokens", "running", "waiting", "kv_usage",
		"ttft_seconds", "e2e_seconds", "itl_seconds"}
}
