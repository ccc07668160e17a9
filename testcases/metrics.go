package testcases

// MetricNames returns the allowed keys of Case.Metrics: counters of requests and tokens; gauges of running and waiting
// requests and of the used share of the KV cache; and histograms, in seconds, of the time to the first token, of the
// whole request, and between tokens.
func MetricNames() []string {
	return []string{"requests", "prompt_tokens", "generation_tokens", "running", "waiting", "kv_usage",
		"ttft_seconds", "e2e_seconds", "itl_seconds"}
}
