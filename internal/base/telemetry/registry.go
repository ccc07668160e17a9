package telemetry

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Load holds the values of gauges at the moment of a scrape.
type Load struct {
	Running, Waiting int
	KVUsage          float64 // 0 to 1
	Preempted        int64   // since start
	Ready            bool
}

// Metrics counts and observes. All methods are safe for concurrent use.
type Metrics struct {
	registry                *prometheus.Registry
	requests                *prometheus.CounterVec
	http                    *prometheus.CounterVec
	prompt, generated       prometheus.Counter
	cached, panics, evicted prometheus.Counter
	kvBytes                 *prometheus.GaugeVec
	nonFinite               prometheus.Counter
	refused                 map[string]prometheus.Counter // by reason
	first, latency, gap, qt prometheus.Histogram
	load                    atomic.Pointer[func() Load]
	resident                atomic.Pointer[func() int64] // bytes of the KV cache in use; nil: there is none
	log                     atomic.Pointer[func() RequestLog]
	limits                  atomic.Pointer[Limits]
	connections             atomic.Pointer[connections]
	expiry                  atomic.Pointer[func() time.Time]
	fleet                   atomic.Pointer[func() Fleet]
}

// NewMetrics makes a registry with every metric of Table, and with those of the process and the Go runtime.
func NewMetrics(version string) *Metrics {
	vec := func(name string) *prometheus.CounterVec {
		d := mustLookup(name)
		return prometheus.NewCounterVec(prometheus.CounterOpts(d.opts()), d.labels())
	}
	counter := func(name string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts(mustLookup(name).opts()))
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: vec(Requests), http: vec(HTTPRequests),
		prompt: counter(PromptTokens), generated: counter(GenerationTokens), cached: counter(CachedTokens),
		panics: counter(Panics), evicted: counter(Evicted), nonFinite: counter(NonFinite),
		first: mustLookup(TimeToFirstToken).histogram(), latency: mustLookup(RequestLatency).histogram(),
		gap: mustLookup(InterTokenLatency).histogram(), qt: mustLookup(QueueTime).histogram(),
	}
	gauges := func(name string) *prometheus.GaugeVec {
		d := mustLookup(name)
		return prometheus.NewGaugeVec(prometheus.GaugeOpts(d.opts()), d.labels())
	}
	info := gauges(BuildInfo)
	m.kvBytes = gauges(KVCacheBytes)
	info.WithLabelValues(version).Set(1)
	for _, reason := range []string{"stop", "length", "abort", "error"} {
		m.requests.WithLabelValues(reason) // a series that starts at 0 shows its first increase
	}
	refused := vec(Refused)
	m.refused = map[string]prometheus.Counter{}
	for _, r := range Reasons {
		m.refused[r.Name] = refused.WithLabelValues(r.Name)
	}
	m.registry.MustRegister(m.requests, m.http, refused, m.prompt, m.generated, m.cached, m.panics, m.evicted,
		m.nonFinite, m.first, m.latency, m.gap, m.qt, info, m.kvBytes,
		&loadCollector{loadDescs, m}, &limitCollector{limitDescs, m}, &logCollector{logDescs, m},
		&fleetCollector{m}, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector())
	return m
}

// SetLoad sets the function that returns the gauges. Until then they are 0.
func (m *Metrics) SetLoad(load func() Load) { m.load.Store(&load) }

// SetKVCache sets the size and the format of the KV cache; resident returns how much of it is in use so far.
func (m *Metrics) SetKVCache(kvType string, bytes int64, resident func() int64) {
	m.kvBytes.WithLabelValues(kvType).Set(float64(bytes))
	m.resident.Store(&resident)
}

// Registry returns the registry, for further collectors and for tests.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Handler serves the metrics. A scrape is cheap, but only a few run at the same time.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 8, Timeout: 10 * time.Second,
		EnableOpenMetrics: true})
}

// HTTP counts a request. The route must come from a fixed set, because it is a label.
func (m *Metrics) HTTP(route string, code int) {
	m.http.WithLabelValues(route, strconv.Itoa(code)).Inc()
}

// Panic counts a recovered panic.
func (m *Metrics) Panic() { m.panics.Inc() }

// ConnectionEvicted counts an idle connection that was closed for a new one.
func (m *Metrics) ConnectionEvicted() { m.evicted.Inc() }

// NonFinite counts a completion that ended because the model's output was NaN or infinite.
func (m *Metrics) NonFinite() { m.nonFinite.Inc() }

// Prompt counts the tokens of a request's prompt, once for any number of choices.
func (m *Metrics) Prompt(tokens, cached int) {
	m.prompt.Add(float64(tokens))
	m.cached.Add(float64(cached))
}

// Completion observes one completion. It has no clock: each call passes the time. It is for one goroutine.
type Completion struct {
	m      *Metrics
	start  time.Time
	last   time.Time // of the last token
	tokens int
	ended  bool
	trace  string // id of the trace of the request; empty: none
}

// Begin starts to observe a completion of a request that arrived at start.
func (m *Metrics) Begin(start time.Time) Completion { return Completion{m: m, start: start} }

// Trace links the following observations to a trace by exemplars; an empty id ends that.
func (c *Completion) Trace(id string) { c.trace = id }

// observe adds to a histogram, with the trace as the exemplar of the bucket.
func (c *Completion) observe(h prometheus.Histogram, d time.Duration) {
	if c.trace == "" {
		h.Observe(d.Seconds())
		return
	}
	h.(prometheus.ExemplarObserver).ObserveWithExemplar(d.Seconds(), prometheus.Labels{"trace_id": c.trace})
}

// Tokens counts n tokens that arrived together.
func (c *Completion) Tokens(now time.Time, n int) {
	if n <= 0 {
		return
	}
	gaps := n
	if c.tokens == 0 {
		c.observe(c.m.first, now.Sub(c.start))
		c.last = now
		gaps-- // the first token has no gap before it
	}
	share := now.Sub(c.last).Seconds() / float64(n)
	for range gaps {
		c.m.gap.Observe(share)
	}
	c.last = now
	c.tokens += n
	c.m.generated.Add(float64(n))
}

// End counts the completion under its reason. Calls after the first do nothing: a completion counts once.
func (c *Completion) End(now time.Time, reason string, queued time.Duration) {
	if c.ended {
		return
	}
	c.ended = true
	c.m.requests.WithLabelValues(reason).Inc()
	if reason == "stop" || reason == "length" {
		c.observe(c.m.latency, now.Sub(c.start))
		c.observe(c.m.qt, queued)
	}
}

// loadCollector reads the load once for all gauges of a scrape, so that they are consistent.
type loadCollector struct {
	descs
	m *Metrics
}

var loadDescs = descsOf(nil, Running, Waiting, KVCacheUsage, Preemptions, Ready, KVCacheResident)

func (l *loadCollector) Collect(ch chan<- prometheus.Metric) {
	var load Load
	if f := l.m.load.Load(); f != nil {
		load = (*f)()
	}
	ch <- prometheus.MustNewConstMetric(loadDescs[0], prometheus.GaugeValue, float64(load.Running))
	ch <- prometheus.MustNewConstMetric(loadDescs[1], prometheus.GaugeValue, float64(load.Waiting))
	ch <- prometheus.MustNewConstMetric(loadDescs[2], prometheus.GaugeValue, load.KVUsage)
	ch <- prometheus.MustNewConstMetric(loadDescs[3], prometheus.CounterValue, float64(load.Preempted))
	ch <- prometheus.MustNewConstMetric(loadDescs[4], prometheus.GaugeValue, one(load.Ready))
	if resident := l.m.resident.Load(); resident != nil {
		ch <- prometheus.MustNewConstMetric(loadDescs[5], prometheus.GaugeValue, float64((*resident)()))
	}
}

// one returns the number that Prometheus uses for true or false.
func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
