package certify

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// The resources of RecordResourceUsage.
const (
	ResourceMemory = "memory" // bytes
	ResourceCPU    = "cpu"    // cores
)

// Monitor collects the measurements of a performance test: the specification's PerformanceMonitor. It is safe for
// concurrent use. Run feeds it; it can also be used alone. In its averages every value has the same weight. A verdict
// needs the statistics of a report.
type Monitor struct {
	mu          sync.Mutex
	latency     map[string]*average // milliseconds
	throughput  map[string]*average // requests/s
	quality     map[string]*average
	memory, cpu float64
	usage       int
}

// Summary has the averages and peaks of a Monitor. If nothing was recorded, averages are NaN and peaks 0.
type Summary struct {
	AvgLatencyMS     float64 // over all values of all names
	AvgThroughputRPS float64
	AvgQualityScore  float64
	PeakMemoryBytes  float64
	PeakCPUCores     float64
	Latency          map[string]Stat // milliseconds, by name
	Throughput       map[string]Stat // requests/s
	Quality          map[string]Stat
	ResourceRecords  int
}

// Stat summarizes the values of one name.
type Stat struct {
	N              int
	Mean, Min, Max float64
}

type average struct {
	Stat
	sum float64
}

func (a *average) add(v float64) {
	if a.N == 0 || v < a.Min {
		a.Min = v
	}
	if a.N == 0 || v > a.Max {
		a.Max = v
	}
	a.N++
	a.sum += v
	a.Mean = a.sum / float64(a.N)
}

// NewMonitor makes an empty Monitor; the zero value works as well.
func NewMonitor() *Monitor { return &Monitor{} }

// RecordLatency records how long one request of a scenario took.
func (m *Monitor) RecordLatency(scenario string, d time.Duration) {
	m.record(&m.latency, scenario, float64(d)/float64(time.Millisecond))
}

// RecordThroughput records a rate of a scenario in requests/s.
func (m *Monitor) RecordThroughput(scenario string, rps float64) {
	m.record(&m.throughput, scenario, rps)
}

// RecordQuality records a score between 0 and 1.
func (m *Monitor) RecordQuality(scenario string, score float64) {
	m.record(&m.quality, scenario, score)
}

// RecordResourceUsage records a reading of ResourceMemory in bytes or of ResourceCPU in cores. Readings of other
// resources are counted but not kept.
func (m *Monitor) RecordResourceUsage(resource string, value float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if math.IsNaN(value) {
		return
	}
	m.usage++
	switch resource {
	case ResourceMemory:
		m.memory = max(m.memory, value)
	case ResourceCPU:
		m.cpu = max(m.cpu, value)
	}
}

// record adds a value to a name's average. NaN is not recorded.
func (m *Monitor) record(table *map[string]*average, name string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if *table == nil {
		*table = map[string]*average{}
	}
	a := (*table)[name]
	if a == nil {
		a = &average{}
		(*table)[name] = a
	}
	a.add(v)
}

// Summary summarizes what has been recorded so far.
func (m *Monitor) Summary() Summary {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Summary{PeakMemoryBytes: m.memory, PeakCPUCores: m.cpu, ResourceRecords: m.usage}
	s.AvgLatencyMS, s.Latency = summarise(m.latency)
	s.AvgThroughputRPS, s.Throughput = summarise(m.throughput)
	s.AvgQualityScore, s.Quality = summarise(m.quality)
	return s
}

func summarise(table map[string]*average) (float64, map[string]Stat) {
	out, sum, n := map[string]Stat{}, 0.0, 0
	for _, name := range slices.Sorted(maps.Keys(table)) { // a sum depends on its order
		a := table[name]
		out[name] = a.Stat
		sum += a.sum
		n += a.N
	}
	if n == 0 {
		return math.NaN(), out
	}
	return sum / float64(n), out
}
