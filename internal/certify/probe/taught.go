package probe

import (
	"maps"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// Taught is the dialect of a server whose metrics only the case's map of names explains.
const Taught = "case"

// colonised are the prefixes of servers that put a colon behind it.
var colonised = []string{"vllm", "sglang", "llamacpp", "lmdeploy"}

// colons gives the metrics of vLLM and others their colons back: some exporters and collectors write "_" instead.
func colons(all []series) []series {
	out := slices.Clone(all)
	for _, prefix := range colonised {
		if slices.ContainsFunc(all, func(s series) bool { return strings.HasPrefix(s.name, prefix+":") }) {
			continue
		}
		for i := range out {
			if rest, ok := strings.CutPrefix(out[i].name, prefix+"_"); ok {
				out[i].name = prefix + ":" + rest
			}
		}
	}
	return out
}

// teach reads the metrics that a case names; ok says that there was one of them at least.
func (t *told) teach(from table, taught map[string]string) (ok bool) {
	for canonical, own := range taught {
		if strings.HasSuffix(canonical, "_seconds") {
			if h, found := from.histogram(own); found {
				t.histograms[canonical], ok = h, true
			}
			continue
		}
		found := from.byName[own]
		if len(found) == 0 {
			continue
		}
		t.values[canonical], ok = combine(canonical, found), true
		if canonical == evidence.MetricRequests {
			t.byReason(found, []string{"finish_reason", "finished_reason"})
		}
	}
	return ok
}

// overRanks adds a gauge over engines and data ranks, which share the requests. The ranks of one model (tensor and
// pipeline ranks) each hold all of its requests: of them the largest counts.
func overRanks(found []series) float64 {
	top := map[string]float64{}
	for _, s := range found {
		var key strings.Builder
		for _, name := range slices.Sorted(maps.Keys(s.labels)) {
			switch name {
			case "tp_rank", "pp_rank", "tensor_parallel_rank", "pipeline_parallel_rank", "rank", "local_rank", "pid":
			default:
				key.WriteString(name + "=" + s.labels[name] + ";")
			}
		}
		top[key.String()] = max(top[key.String()], s.value)
	}
	sum := 0.0
	for _, v := range top {
		sum += v
	}
	return sum
}

// mostNames bounds how many names of unknown metrics are kept.
const mostNames = 20

// everybodys are the prefixes of metrics that say nothing of the requests of a model server.
var everybodys = []string{"process_", "go_", "python_", "promhttp_", "prometheus_", "scrape_", "jvm_", "nodejs_",
	"DCGM_", "nvidia_", "node_", "up"}

// unknownNames lists the metrics of a server that may count its requests under names that nobody here knows.
func unknownNames(all []series) []string {
	names := map[string]bool{}
	for _, s := range all {
		if !slices.ContainsFunc(everybodys, func(p string) bool { return strings.HasPrefix(s.name, p) }) {
			names[s.name] = true
		}
	}
	return first(names)
}

func first(names map[string]bool) []string {
	sorted := slices.Sorted(maps.Keys(names))
	for i, n := range sorted {
		if len(n) > 80 {
			n = strings.ToValidUTF8(n[:80], "")
		}
		sorted[i] = strings.Clone(n) // and not the whole scrape with it
	}
	return sorted[:min(len(sorted), mostNames)]
}
