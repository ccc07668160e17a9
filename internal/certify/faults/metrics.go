package faults

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics holds the server's metrics, under vLLM's names. Memory and CPU are invented as the fault demands, because
// the server itself uses hardly any.
type metrics struct {
	registry           *prometheus.Registry
	requests           *prometheus.CounterVec
	prompt, generation prometheus.Counter
	ttft, e2e, itl     prometheus.Histogram
	fault              Fault
	failures           atomic.Int64
}

const gib = 1 << 30

func newMetrics(s *Server) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), fault: s.cfg.Fault}
	labels := prometheus.Labels{"model_name": ModelID}
	counter := func(name string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, ConstLabels: labels, Help: "See vLLM."})
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name string) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, ConstLabels: labels, Help: "See vLLM.",
			Buckets: []float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80}})
		m.registry.MustRegister(h)
		return h
	}
	read := func(name string, counter bool, f func() float64) {
		if counter {
			m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: "Simulated."},
				f))
			return
		}
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: "Simulated."}, f))
	}
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vllm:request_success_total",
		ConstLabels: labels, Help: "See vLLM."}, []string{"finished_reason"})
	m.registry.MustRegister(m.requests)
	m.prompt, m.generation = counter("vllm:prompt_tokens_total"), counter("vllm:generation_tokens_total")
	m.ttft, m.e2e, m.itl = histogram("vllm:time_to_first_token_seconds"),
		histogram("vllm:e2e_request_latency_seconds"), histogram("vllm:inter_token_latency_seconds")
	read("vllm:num_requests_running", false, func() float64 { return float64(s.running.Load()) })
	read("vllm:num_requests_waiting", false, func() float64 { return 0 })
	read("vllm:kv_cache_usage_perc", false, func() float64 { return math.Min(1, float64(s.running.Load())/256) })
	read("process_resident_memory_bytes", false, s.memory)
	read("process_cpu_seconds_total", true, s.cpu)
	if s.cfg.Fault == HealthyCache || s.cfg.Fault == LyingCache {
		read("mixtral_kv_cache_resident_bytes", false, func() float64 { used, _ := s.cache(); return used })
		read("mixtral_kv_cache_bytes", false, func() float64 { _, capacity := s.cache(); return capacity })
	}
	return m
}

// memory is the resident memory in bytes: a base, 4 MiB for each request in flight, and what the fault adds.
func (s *Server) memory() float64 {
	t := time.Since(s.start).Seconds()
	running := float64(s.running.Load())
	if rss, ok := s.heap(); ok {
		return rss
	}
	rss := 40*gib + running*(4<<20)
	switch s.cfg.Fault {
	case Leak, LyingCache:
		rss += s.leaked()
	case HealthyCache:
		used, _ := s.cache()
		rss += used
	case HealthyWarming: // complete after 500 requests
		rss += math.Min(float64(s.requests.Load()), 500) * (1 << 20)
	case HealthySawtooth: // 200 MiB up and down every 3 s
		rss += 200 << 20 * math.Mod(t, 3) / 3
	case MemoryHog:
		if running > 4 {
			rss = (s.cfg.MemoryGB + 2) * gib
		}
	}
	return rss
}

// heap is the memory, in bytes, of a server in a language with a garbage collector; ok is false for other servers.
// Each request makes a quarter of a mebibyte of garbage.
func (s *Server) heap() (rss float64, ok bool) {
	const live, garbage = 60 << 20, 1 << 18
	made := float64(s.requests.Load()) * garbage
	switch s.cfg.Fault {
	case HealthyGo: // about twice the live objects once a cycle has ended, and some pages more later
		return live + math.Min(made, live+8<<20) + 0.8*(1<<20)*math.Min(math.Floor(made/(200<<20)), 1), true
	case HealthyJVM: // a cycle of 1,200 requests, 24 s at the specification's rate
		return live + math.Mod(made, 300<<20), true
	case HealthyArenas: // grows until there are enough arenas
		return live + math.Min(math.Floor(made/(16<<20)), 9)*(1<<20), true
	case LeakJVM: // an eighth of what looks like garbage is never freed
		return live + math.Mod(made, 600<<20) + made/8, true
	case LeakArenas:
		return live + math.Floor(made/(4<<20))*(1<<20), true
	case LeakGo: // on top of a collector's cycle of 80 requests
		return live + s.leaked() + math.Mod(made, 20<<20), true
	}
	return 0, false
}

// leaked is the memory leaked so far, in bytes: 2 GiB an hour, times Config.Speed.
func (s *Server) leaked() float64 {
	return 2 * gib * time.Since(s.start).Seconds() / 3600 * s.cfg.Speed
}

// cache is what the server reports about its cache, in bytes: the memory that it uses now, and the most that it may
// use.
func (s *Server) cache() (used, capacity float64) {
	if s.cfg.Fault == HealthyCache {
		const capacity = 16 * gib
		// keys and values of some tens of tokens each
		return math.Min(float64(s.requests.Load())*(2<<20), capacity), capacity
	}
	used = s.leaked()
	const low = 3 * gib / 4
	switch s.cfg.Seed % 4 {
	case 0:
		return used, used + gib // a limit that rises with the memory is no limit
	case 1:
		return math.Min(used, low), low // the leak goes beyond what the cache reports
	case 2:
		return used, low // the cache exceeds its own limit
	}
	return used, 16 * gib // the cache grows while the server is idle, when no request can fill it
}

// cpu is the CPU time that the process has used so far, in seconds.
func (s *Server) cpu() float64 {
	t := time.Since(s.start).Seconds()
	if s.cfg.Fault == CPUBurner {
		return t * (s.cfg.CPUCores + 1.5)
	}
	return t*0.5*s.cfg.CPUCores + 0.001*float64(s.requests.Load())
}

// done counts one answered request.
func (m *metrics) done(a *answer, arrived, first, done time.Time) {
	m.requests.WithLabelValues(a.finish).Inc()
	tokens := float64(len(a.words))
	prompt := float64(a.prompt)
	if m.fault == InflatedUsage { // the counter agrees with the usage, so that only the text reveals the fault
		tokens = float64(a.usage)
	}
	if m.fault == LyingTokens {
		tokens, prompt = math.Ceil(tokens*1.03), math.Ceil(prompt*1.03)
	}
	m.prompt.Add(prompt)
	m.generation.Add(tokens)
	ttft := first.Sub(arrived).Seconds()
	if m.fault == LyingTTFT {
		ttft /= 4
	}
	m.ttft.Observe(ttft)
	m.e2e.Observe(done.Sub(arrived).Seconds())
	for i := 1; i < len(a.words); i++ {
		m.itl.Observe(a.gap.Seconds())
	}
}

// fail counts a request that got an error. /metrics does not show this count, because vLLM counts only successful
// requests.
func (m *metrics) fail() { m.failures.Add(1) }
