package probe

import (
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

func parsed(t *testing.T, text string) []series {
	t.Helper()
	all, err := parseText([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestGaugesOfRanksThatShareRequestsAreNotAdded(t *testing.T) {
	told := translate(parsed(t, `
sglang:num_running_reqs{dp_rank="0",tp_rank="0"} 4
sglang:num_running_reqs{dp_rank="0",tp_rank="1"} 4
sglang:num_running_reqs{dp_rank="1",tp_rank="0"} 3
sglang:num_running_reqs{dp_rank="1",tp_rank="1",pp_rank="1"} 2
`), "", nil)
	if got := told.values[evidence.MetricRunning]; got != 7 {
		t.Errorf("%v requests run, want 4 + 3", got)
	}
}

func TestACaseTeachesNames(t *testing.T) {
	text := "x_done{finish_reason=\"stop\"} 5\nx_active 3\nx_first_bucket{le=\"+Inf\"} 5\nx_first_sum 2\n" +
		"x_first_count 5\nprocess_resident_memory_bytes 9\n"
	all := parsed(t, text)
	got := translate(all, "", nil)
	if names := unknownNames(all); got.dialect != Unknown || !slices.Contains(names, "x_done") ||
		slices.Contains(names, "process_resident_memory_bytes") || got.values[evidence.MetricRSS] != 9 {
		t.Errorf("untaught: %+v, names %q", got, unknownNames(all))
	}
	got = translate(all, "", map[string]string{evidence.MetricRequests: "x_done",
		evidence.MetricRunning: "x_active", evidence.HistTTFT: "x_first"})
	if got.dialect != Taught || got.values[evidence.MetricRequests] != 5 || got.values["requests:stop"] != 5 ||
		got.values[evidence.MetricRunning] != 3 || got.histograms[evidence.HistTTFT].Count != 5 {
		t.Errorf("taught: %+v", got)
	}
}

func TestUnderscoresAreColons(t *testing.T) {
	for _, text := range []string{"vllm_generation_tokens_total 12\n", "lmdeploy_generation_tokens_total 12\n"} {
		got := translate(parsed(t, text), "", nil)
		if got.dialect != text[:strings.IndexByte(text, '_')] || got.values[evidence.MetricGenerationTokens] != 12 {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func TestMetricsInJSONAreTaughtByTheirPaths(t *testing.T) {
	for in, want := range map[string][]string{`[{"b":7,"a":1},{"b":1,"a":{"x":2,"y":"no"}}]`: {"a.x", "b"},
		`{"c":1}`: {"c"}} {
		all, err := parseText([]byte(in), func(string) bool { return false })
		if names := unknownNames(all); err != nil || !slices.Equal(names, want) {
			t.Errorf("%s: %q, %v", in, names, err)
		}
	}
	for _, in := range []string{"[]", "{}", `{"a":"b"}`, `[1,`, "{\"a\":" + strings.Repeat("[", 1<<17)} {
		if all, err := parseText([]byte(in), nil); err == nil {
			t.Errorf("%.20s: %v", in, all)
		}
	}
	all, err := parseText([]byte(`{"stats":{"done":5,"tokens_out":60}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := translate(all, "", map[string]string{evidence.MetricRequests: "stats.done",
		evidence.MetricGenerationTokens: "stats.tokens_out"})
	if got.dialect != Taught || got.values[evidence.MetricRequests] != 5 ||
		got.values[evidence.MetricGenerationTokens] != 60 {
		t.Errorf("%+v", got)
	}
}
