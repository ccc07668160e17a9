package probe

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// series is one line of a scrape. A histogram has the lines name_bucket, name_sum and name_count.
type series struct {
	name   string
	labels map[string]string
	value  float64
}

// dialect says how a server names its metrics. Of several names the first that the server has counts; names of newer
// versions come first. A name may select series by one label, as name{label=value}.
type dialect struct {
	name       string
	prefix     string              // prefix of its metric names, by which it is recognised
	marks      []string            // names by which it is recognised if it has no prefix
	finish     []string            // labels of the request counter that hold the finish reason
	values     map[string][]string // canonical name → own names
	failed     []string            // counter of failed requests, which its counter of requests includes
	inner      string              // prefix of metrics that are about a model within the one that the client asked
	histograms map[string][]string
}

// Unknown is the dialect of a server whose metrics have none of the known prefixes.
const Unknown = "unknown"

// Metrics of processes have the same names for all servers. GPU memory comes from an exporter beside the server.
var (
	processValues = map[string][]string{
		evidence.MetricRSS:        {"process_resident_memory_bytes"},
		evidence.MetricCPUSeconds: {"process_cpu_seconds_total"},
		// Collections of Go, of the JVM by two libraries, of Node and of .NET. CPython's are left out, because
		// reference counting frees nearly all memory there.
		evidence.MetricCollections: {"go_gc_duration_seconds_count", "jvm_gc_pause_seconds_count",
			"jvm_gc_collection_seconds_count", "nodejs_gc_duration_seconds_count", "dotnet_collection_count_total"},
		// A server of any dialect may declare a cache under this service's names.
		evidence.MetricCacheUsed:     {telemetry.KVCacheResident},
		evidence.MetricCacheCapacity: {telemetry.KVCacheBytes},
	}
	// Factors that convert the metrics to bytes.
	gpuMemory = map[string]float64{"DCGM_FI_DEV_FB_USED": 1 << 20, "nvidia_smi_memory_used_bytes": 1,
		"nvidia_gpu_memory_used_bytes": 1}
)

// MetricGPU is the canonical name of used GPU memory in bytes.
const MetricGPU = "gpu_memory_bytes"

// maxValue bounds the values that are used, because JSON has no infinity. Counts of tokens and bytes are far below it.
const maxValue = 1e300

// told is what a server's metrics report, under canonical names.
type told struct {
	dialect    string
	values     map[string]float64
	histograms map[string]evidence.Histogram
	cut        []string // which metrics were too many to be kept
}

// translate converts a server's own series to canonical names. model selects the series of one model if the server has
// several. taught are names from the case.
func translate(all []series, model string, taught map[string]string) told {
	out := told{values: map[string]float64{}, histograms: map[string]evidence.Histogram{}}
	all = colons(all)
	d := recognise(all)
	out.dialect = d.name
	t := table{byName: map[string][]series{}}
	all = narrow(all, d, model)
	if d.inner != "" {
		all = out.oneModel(all, d)
	}
	for _, s := range all {
		if math.Abs(s.value) <= maxValue { // excludes NaN, and infinite sums
			t.byName[s.name] = append(t.byName[s.name], s)
		}
	}
	for _, names := range []map[string][]string{d.values, processValues} {
		for canonical, own := range names {
			if found := t.first(own); len(found) > 0 {
				out.values[canonical] = combine(canonical, found)
			}
		}
	}
	if found := t.first(d.values[evidence.MetricRequests]); len(found) > 0 {
		out.byReason(found, d.finish)
		out.values[evidence.MetricRequests] -= combine("", t.first(d.failed))
	}
	for canonical, names := range d.histograms {
		for _, n := range names {
			if h, ok := t.histogram(n); ok {
				out.histograms[canonical] = h
				break
			}
		}
	}
	for n, factor := range gpuMemory {
		for _, s := range t.byName[n] {
			out.values[MetricGPU] += s.value * factor
		}
	}
	if out.teach(t, taught) && d.name == "" {
		out.dialect = Taught
	}
	if out.dialect == "" {
		out.dialect = Unknown
	}
	out.bound()
	return out
}

// recognise finds the dialect to which most series belong.
func recognise(all []series) (best dialect) {
	most := 0
	for _, d := range dialects {
		n := 0
		for _, s := range all {
			if d.owns(s.name) {
				n++
			}
		}
		if d.prefix == "" && n < fewestMarks {
			continue
		}
		if n > most {
			best, most = d, n
		}
	}
	return best
}

// fewestMarks is how many of a dialect's marks must be present to recognise a server whose names have no prefix. Other
// servers have one or two of them too.
const fewestMarks = 4

// owns says whether a metric belongs to this dialect.
func (d dialect) owns(name string) bool {
	return d.prefix != "" && strings.HasPrefix(name, d.prefix) || slices.Contains(d.marks, name)
}

// knownName says whether a metric may belong to a dialect, or is one that all servers have.
func knownName(name string) bool {
	for _, d := range dialects {
		if d.owns(name) {
			return true
		}
		for _, m := range d.marks {
			if strings.HasPrefix(name, m) {
				return true
			}
		}
	}
	for _, p := range colonised {
		if strings.HasPrefix(name, p+"_") {
			return true
		}
	}
	if _, gpu := gpuMemory[name]; gpu {
		return true
	}
	if _, gpu := gpuMetrics[name]; gpu || strings.HasSuffix(name, "_info") { // used by GPUs and Infos
		return true
	}
	for _, names := range processValues {
		if slices.Contains(names, name) {
			return true
		}
	}
	return false
}

// oneModel removes the counts of requests if several models have them and none has the name that was asked for. Then
// it is not known which of the models the client used.
func (t *told) oneModel(all []series, d dialect) []series {
	outer := func(s series) bool {
		return d.owns(s.name) && !strings.HasPrefix(s.name, d.inner) && s.labels["model"] != ""
	}
	names := map[string]bool{}
	for _, s := range all {
		if outer(s) {
			names[s.labels["model"]] = true
		}
	}
	if len(names) < 2 {
		return all
	}
	some := slices.Sorted(maps.Keys(names))
	t.cut = append(t.cut, bounded.Short(fmt.Sprintf("requests of %d models (%s), none of which has the name that was "+
		"asked for", len(some), strings.Join(some[:min(len(some), 5)], ", ")), evidence.MaxMessage))
	return slices.DeleteFunc(all, outer)
}

// modelLabels are the labels that name the model of a series.
var modelLabels = []string{"model_name", "requested_model", "model"}

// narrow keeps one server's series. If some series have the model as a label, those of other models are left out. Of
// the process metrics it keeps those of the same Prometheus instances.
func narrow(all []series, d dialect, model string) []series {
	label := ""
	for _, l := range modelLabels {
		if label == "" && model != "" && slices.ContainsFunc(all, func(s series) bool {
			return d.owns(s.name) && strings.EqualFold(s.labels[l], model)
		}) {
			label = l
		}
	}
	instances := map[string]bool{}
	var out []series
	for _, s := range all {
		own := d.owns(s.name)
		if own && label != "" && s.labels[label] != "" && !strings.EqualFold(s.labels[label], model) &&
			!(d.inner != "" && strings.HasPrefix(s.name, d.inner)) {
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

// table has the series of a scrape by the metric's name.
type table struct{ byName map[string][]series }

// first returns the series of the first name that the server has.
func (t table) first(names []string) []series {
	for _, n := range names {
		if found := t.find(n); len(found) > 0 {
			return found
		}
	}
	return nil
}

// find returns the series of a name, or of name{label=value}.
func (t table) find(n string) []series {
	name, selector, ok := strings.Cut(n, "{")
	if !ok {
		return t.byName[n]
	}
	label, value, _ := strings.Cut(strings.TrimSuffix(selector, "}"), "=")
	var out []series
	for _, s := range t.byName[name] {
		if s.labels[label] == value {
			out = append(out, s)
		}
	}
	return out
}

// combine adds a metric's series. Of shares it takes the largest.
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

// byReason splits the request counter by finish reason. Aborted and failed requests are subtracted from the total,
// which counts successful ones.
func (t *told) byReason(found []series, labels []string) {
	for _, label := range labels {
		for _, s := range found {
			reason := s.labels[label]
			if reason == "" {
				continue
			}
			t.values[evidence.MetricRequests+":"+reason] += s.value
			if reason == "abort" || reason == "error" {
				t.values[evidence.MetricRequests] -= s.value
			}
		}
	}
}

// bound removes what is too much for a record, and notes it in cut: finish reasons if there are too many, and the
// buckets of histograms with too many. The sums stay.
func (t *told) bound() {
	reasons := 0
	for k := range t.values {
		if strings.HasPrefix(k, evidence.MetricRequests+":") {
			reasons++
			if len(k) > evidence.MaxName {
				reasons += evidence.MaxReasons
			}
		}
	}
	if reasons > evidence.MaxReasons {
		maps.DeleteFunc(t.values, func(k string, _ float64) bool {
			return strings.HasPrefix(k, evidence.MetricRequests+":")
		})
		t.cut = append(t.cut, fmt.Sprintf("requests by finish reason: at most %d reasons of %d bytes are compared, "+
			"there are more", evidence.MaxReasons, evidence.MaxName))
	}
	for _, k := range slices.Sorted(maps.Keys(t.histograms)) {
		if h := t.histograms[k]; len(h.Buckets) > evidence.MaxBuckets {
			t.cut = append(t.cut, fmt.Sprintf("buckets of %s: %d, at most %d are compared", k, len(h.Buckets),
				evidence.MaxBuckets))
			h.Buckets = nil
			t.histograms[k] = h
		}
	}
}

// histogram adds the series of a classic histogram over all labels. Milliseconds are converted to seconds.
func (t table) histogram(name string) (evidence.Histogram, bool) {
	counts := t.byName[name+"_count"]
	if len(counts) == 0 {
		return evidence.Histogram{}, false
	}
	unit := 1.0
	if strings.HasSuffix(name, "_ms") {
		unit = 1000
	}
	h := evidence.Histogram{Count: combine("", counts), Sum: combine("", t.byName[name+"_sum"]) / unit}
	bounds := map[float64]float64{}
	for _, s := range t.byName[name+"_bucket"] {
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
			h.Buckets = append(h.Buckets, evidence.Bucket{LE: le / unit, Count: count})
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
