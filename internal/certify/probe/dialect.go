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

// series is one line of a scrape: a histogram comes as name_bucket, name_sum and name_count.
type series struct {
	name   string
	labels map[string]string
	value  float64
}

// dialect says how a server names its metrics. Where there are several names the first that the server offers counts:
// newer first, then what older versions called it. A name may select series by one label, as name{label=value}.
type dialect struct {
	name       string
	prefix     string              // of its metric names; how it is recognised
	marks      []string            // names that recognise it, where it has no prefix
	finish     []string            // labels of the request counter that hold the finish reason
	values     map[string][]string // canonical name → own names
	failed     []string            // counter of the failed requests that its counter of requests includes
	inner      string              // prefix of metrics that name a model within the one that is asked
	histograms map[string][]string
}

// Unknown is the dialect of a server whose metrics have none of the known prefixes.
const Unknown = "unknown"

// process metrics have the same names everywhere; GPU memory comes from an exporter beside the server.
var (
	processValues = map[string][]string{
		evidence.MetricRSS:        {"process_resident_memory_bytes"},
		evidence.MetricCPUSeconds: {"process_cpu_seconds_total"},
		// of Go, of the JVM by two libraries, of Node and of .NET. CPython's frees little that its counts would not.
		evidence.MetricCollections: {"go_gc_duration_seconds_count", "jvm_gc_pause_seconds_count",
			"jvm_gc_collection_seconds_count", "nodejs_gc_duration_seconds_count", "dotnet_collection_count_total"},
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

// told is what a server's metrics say, in canonical names.
type told struct {
	dialect    string
	values     map[string]float64
	histograms map[string]evidence.Histogram
	cut        []string // what was too much to be kept
}

// translate turns a server's own series into canonical names. model narrows the series of a server of several models.
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
		if math.Abs(s.value) <= maxValue { // no NaN, and no sum of them is infinite
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

// recognise finds the dialect that most series speak.
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

// fewestMarks recognise a server whose names have no prefix: one or two of them others have too.
const fewestMarks = 4

// owns says that a metric is one of this dialect's.
func (d dialect) owns(name string) bool {
	return d.prefix != "" && strings.HasPrefix(name, d.prefix) || slices.Contains(d.marks, name)
}

// knownName says that a metric may be one of a dialect's, or of those that all servers have.
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
	if _, gpu := gpuMetrics[name]; gpu || strings.HasSuffix(name, "_info") { // for GPUs and Infos
		return true
	}
	for _, names := range processValues {
		if slices.Contains(names, name) {
			return true
		}
	}
	return false
}

// oneModel leaves out what is told of several models that work for one, since nobody knows which of them the client
// asked.
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

// narrow keeps one server's series: those of the model where a label is there and matches something, and of the
// process metrics those of the same Prometheus instances.
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

// table is a scrape by names of metrics.
type table struct{ byName map[string][]series }

// first gives the series of the first name that the server offers.
func (t table) first(names []string) []series {
	for _, n := range names {
		if found := t.find(n); len(found) > 0 {
			return found
		}
	}
	return nil
}

// find gives the series of a name, or of name{label=value}.
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

// bound takes out what is too much for a record, and says so: reasons by which nobody would sort requests, and
// buckets that no histogram has. The sums stay.
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

// histogram adds the series of a classic histogram over all its labels. One in milliseconds becomes one in seconds.
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
