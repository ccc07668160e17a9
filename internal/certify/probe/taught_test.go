package probe

import (
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

func parsed(t *testing.T, text string) []series {
	t.Helper()
	all, err := parseText([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestGaugesOfRanksThatShareRequestsAreNotAdded(t *testing.T) {
	_, values, _ := translate(parsed(t, `
sglang:num_running_reqs{dp_rank="0",tp_rank="0"} 4
sglang:num_running_reqs{dp_rank="0",tp_rank="1"} 4
sglang:num_running_reqs{dp_rank="1",tp_rank="0"} 3
sglang:num_running_reqs{dp_rank="1",tp_rank="1",pp_rank="1"} 2
`), "", nil)
	if got := values[evidence.MetricRunning]; got != 7 {
		t.Errorf("%v requests run, want 4 + 3", got)
	}
}

func TestACaseTeachesNames(t *testing.T) {
	text := "x_done{finish_reason=\"stop\"} 5\nx_active 3\nx_first_bucket{le=\"+Inf\"} 5\nx_first_sum 2\n" +
		"x_first_count 5\nprocess_resident_memory_bytes 9\n"
	all := parsed(t, text)
	name, values, _ := translate(all, "", nil)
	if names := unknownNames(all); name != Unknown || !slices.Contains(names, "x_done") ||
		slices.Contains(names, "process_resident_memory_bytes") || values[evidence.MetricRSS] != 9 {
		t.Errorf("untaught: dialect %q, names %q, values %v", name, unknownNames(all), values)
	}
	name, values, histograms := translate(all, "", map[string]string{evidence.MetricRequests: "x_done",
		evidence.MetricRunning: "x_active", evidence.HistTTFT: "x_first"})
	if name != Taught || values[evidence.MetricRequests] != 5 || values["requests:stop"] != 5 ||
		values[evidence.MetricRunning] != 3 || histograms[evidence.HistTTFT].Count != 5 {
		t.Errorf("taught: dialect %q, %v, %v", name, values, histograms)
	}
}

func TestUnderscoresAreColons(t *testing.T) {
	name, values, _ := translate(parsed(t, "vllm_generation_tokens_total 12\n"), "", nil)
	if name != "vllm" || values[evidence.MetricGenerationTokens] != 12 {
		t.Errorf("dialect %q, %v", name, values)
	}
}

func TestKeysOfJSONMetrics(t *testing.T) {
	for in, want := range map[string][]string{`[{"b":1,"a":2}]`: {"a", "b"}, `{"c":1}`: {"c"}, `[]`: nil, `x`: nil} {
		if got := jsonNames([]byte(in)); !slices.Equal(got, want) {
			t.Errorf("%s: %q", in, got)
		}
	}
}
