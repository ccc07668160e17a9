package probe

import (
	"maps"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// Taught is the dialect of a server whose metrics are only known from the case's map of names.
const Taught = "case"

// colonised are the prefixes of servers that put a colon after the prefix.
var colonised = []string{"vllm", "sglang", "llamacpp", "lmdeploy"}

// colons restores the colons in the names of vLLM's and other servers' metrics, because some exporters and collectors
// replace them by "_".
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

// teach reads the metrics that a case names. ok says whether the server has at least one of them.
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

// overRanks adds a gauge over engines and data-parallel ranks, which share the requests. Tensor and pipeline ranks of
// one model each report all of its requests, so of these the largest counts.
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

// mostNames bounds how many names of unknown metrics are recorded.
const mostNames = 20

// everybodys are the prefixes of metrics that do not count the requests of a model server.
var everybodys = []string{"process_", "go_", "python_", "promhttp_", "prometheus_", "scrape_", "jvm_", "nodejs_",
	"DCGM_", "nvidia_", "node_", "up"}

// unknownNames lists metrics of a server that may count its requests under names that are not known here.
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
		sorted[i] = strings.Clone(n) // so that the name does not keep the whole scrape in memory
	}
	return sorted[:min(len(sorted), mostNames)]
}
