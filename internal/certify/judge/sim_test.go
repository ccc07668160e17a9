package judge

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// sim makes the evidence of a run against a simulated server, so that every rule can be tested on servers whose
// properties are known.
type sim struct {
	seed     uint64
	service  func(r *rand.Rand, t float64) float64 // seconds of work for a request, t seconds into the run
	servers  int                                   // requests processed at once; others queue. 0: no limit
	failRate float64
	failAs   evidence.Failure
	stall    time.Duration // the server sends nothing for this long, every ten seconds
	leakMB   float64       // growth per second of load
	idleBack bool          // idle gives the leak back
	// additional memory in MB after loaded seconds of load, t seconds into the run; nil: none
	grow func(loaded, t float64) float64
	// what the server reports about its cache, in MB; nil: nothing
	claim    func(loaded, t float64) (used, capacity float64)
	cores    float64 // CPU used under load
	memoryMB float64
	score    func(r *rand.Rand, loaded bool) float64
	late     time.Duration // the delay with which the generator sends
	lie      func(*evidence.Scrape)
	noStats  bool    // the server has no metrics
	gauges   bool    // the server's gauges are read under load
	extra    float64 // requests that the gauges show too many
	cached   int     // prompt tokens of each request that came from a cache
	edit     func(*testcases.Case)
	touch    func(*evidence.Request)
	skip     map[string]bool // phases that do not run
	noEnd    bool

	rng    *rand.Rand
	c      *testcases.Case
	now    int64
	events []evidence.Event
	done   []*evidence.Request // the requests that the server has ended
	shed   []span64            // times of load, for CPU and memory
}

type span64 struct{ from, to int64 }

const sec = int64(time.Second)

// healthy is a server that passes every check. A request takes 80 ms on average: 50 ms and an exponential part.
func healthy(seed uint64) *sim {
	return &sim{seed: seed, cores: 3, memoryMB: 4000, failAs: evidence.FailStatus,
		service: func(r *rand.Rand, _ float64) float64 { return 0.05 + 0.03*r.ExpFloat64() },
		score:   func(r *rand.Rand, _ bool) float64 { return 0.9 + 0.04*(r.Float64()-0.5) }}
}

func simCase() *testcases.Case {
	c := testcases.Defaults()
	c.SchemaVersion, c.ID, c.Name = testcases.SchemaVersion, "TC-SIM", "Simulated service"
	c.Targets = testcases.Targets{LatencyMS: 500, ThroughputRPS: 20, Quality: 0.8, MemoryGB: 16, CPUCores: 8,
		Concurrency: 10}
	c.Limits.IssueDelayMS = 20
	c.Criteria = map[string]string{"P1": "Average response time < 500ms", "V7": "No memory leaks"}
	single := []string{"reasoning/complex"}
	c.Profiles = map[string]testcases.Phases{"full": {
		{ID: "warmup", Kind: testcases.KindWarmup, Concurrency: 2, Requests: 10},
		{ID: "single", Kind: testcases.KindClosed, Concurrency: 1, Requests: 60, Prompts: single},
		{ID: "batch", Kind: testcases.KindBatch, Requests: 50},
		{ID: "concurrent", Kind: testcases.KindClosed, Concurrency: 10, Requests: 200},
		{ID: "sustained", Kind: testcases.KindOpen, RPSFactor: 1.15, DurationS: 42, RampS: 2},
		{ID: "again", Kind: testcases.KindClosed, Concurrency: 1, Requests: 60, Prompts: single, CompareTo: "single"},
		{ID: "idle", Kind: testcases.KindIdle, DurationS: 5},
		{ID: "audits", Kind: testcases.KindAudit},
		{ID: "quality", Kind: testcases.KindQuality, Concurrency: 1, KeepText: true},
		{ID: "quality-load", Kind: testcases.KindQuality, Concurrency: 10, KeepText: true},
	}}
	yes := func(id string, rule testcases.Rule, phase string) testcases.Check {
		return testcases.Check{ID: id, Clause: "clause of " + id, Rule: rule, Phase: phase}
	}
	c.Checks = []testcases.Check{
		yes("preconditions", "preconditions", ""), yes("answers", "answers_valid", ""),
		yes("errors", "error_budget", ""),
		yes("mean", "mean_latency", ""), yes("throughput", "throughput", "sustained"),
		yes("memory", "peak_memory", ""), yes("cpu", "peak_cpu", ""),
		yes("quality", "quality", "quality"), yes("quality-load", "quality_under_load", ""),
		yes("metrics", "metrics_reported", ""),
		yes("within", "degradation_within", "sustained"), yes("after", "degradation_after", ""),
		yes("leak", "leak", ""), yes("audits", "audits", ""),
		yes("generator", "generator", ""), yes("little", "little", ""), yes("steps", "steps_complete", ""),
		yes("report", "report_written", ""),
	}
	p90, ttft, tpot, batch := yes("p90", "percentile_latency", "sustained"),
		yes("ttft", "ttft_percentile", "sustained"), yes("tpot", "tpot_percentile", "sustained"),
		yes("batch", "batch_throughput", "")
	p90.P, ttft.P, tpot.P = 0.9, 0.9, 0.9
	no := false
	batch.Gate = &no
	c.Checks = append(c.Checks, p90, ttft, tpot, batch, yes("stalls", "stalls", "sustained"))
	c.Checks[3].Covers, c.Checks[12].Covers = []string{"P1"}, []string{"V7"}
	return &c
}

// run simulates the whole case.
func (s *sim) run() []evidence.Event {
	s.rng = rand.New(rand.NewPCG(s.seed, 99))
	s.c = simCase()
	if s.edit != nil {
		s.edit(s.c)
	}
	s.events, s.done, s.shed, s.now = nil, nil, nil, 0
	s.add(evidence.Event{Header: &evidence.Header{SchemaVersion: 1,
		Start: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Case: s.c, Profile: "full", Seed: int64(s.seed),
		Target: evidence.Target{Kind: "url", URL: "http://127.0.0.1:11400/v1", Model: "mixtral",
			Resources: "pid 42", Metrics: "http://127.0.0.1:11400/metrics"},
		Environment:  map[string]string{"cpu": "imagined", "cores": "8"},
		Fingerprints: map[string]string{"version": "test", "model_sha256": "00"},
		Calibration: &evidence.Calibration{AUC: 0.99, PerFault: map[string]float64{"shuffled": 0.98},
			FalsePass: 0.01, FalseFail: 0.02, Threshold: 0.8}}})
	for _, id := range []string{"ready", "model", "metrics", "prompts", "baseline", "resources", "client"} {
		s.add(evidence.Event{Condition: &evidence.Condition{ID: evidence.ConditionID(id),
			OK:     id != "metrics" || !s.noStats,
			Detail: "seen"}})
	}
	s.add(evidence.Event{Client: &evidence.Client{Streams: 100, RPS: 50, IssueP50: 50_000, IssueP99: 400_000,
		TTFTErrorP50: 100_000, TTFTErrorP99: 900_000, GapErrorP50: 20_000, GapErrorP99: 700_000}})
	for _, p := range s.c.Profiles["full"] {
		if !s.skip[p.ID] {
			s.phase(p)
		}
	}
	s.resources()
	if s.gauges {
		s.readGauges()
	}
	if s.claim != nil {
		s.declare()
	}
	s.add(evidence.Event{Clock: &evidence.Clock{DriftNS: 1_000_000}})
	if !s.noEnd {
		s.add(evidence.Event{End: &evidence.End{}})
	}
	return s.events
}

func (s *sim) add(e evidence.Event) {
	e.At = s.now
	s.events = append(s.events, e)
}

// phase simulates one phase and records its scrapes, requests and end.
func (s *sim) phase(p testcases.Phase) {
	s.scrape(evidence.ScrapeBefore.Of(p.ID))
	ph := evidence.Phase{ID: p.ID, Kind: p.Kind, Start: s.now}
	var reqs []*evidence.Request
	switch p.Kind {
	case testcases.KindIdle:
		s.now += int64(p.DurationS * 1e9)
	case testcases.KindAudit:
		for _, id := range []evidence.AuditID{evidence.AuditCache, evidence.AuditUsage,
			evidence.AuditDeterminism} {
			s.add(evidence.Event{Audit: &evidence.Audit{ID: id, OK: true, Valid: true, Detail: "as claimed"}})
		}
	case testcases.KindOpen:
		reqs = s.open(p)
		ph.OfferedRPS = s.c.Rate(p)
	case testcases.KindBatch:
		reqs = s.closed(p, p.Requests, p.Requests)
	case testcases.KindQuality:
		reqs = s.closed(p, p.Concurrency, 9)
	default:
		reqs = s.closed(p, p.Concurrency, p.Requests)
	}
	ph.SteadyFrom, ph.SteadyTo = ph.Start, ph.Start
	for _, q := range reqs {
		ph.SteadyTo = max(ph.SteadyTo, q.Scheduled)
		s.now = max(s.now, q.Done)
		s.add(evidence.Event{Request: q})
	}
	if p.RampS > 0 {
		ph.SteadyFrom += int64(p.RampS * 1e9)
	}
	ph.End, ph.Planned, ph.Issued, ph.MaxInFlight = s.now, max(p.Requests, len(reqs)), len(reqs), 10
	if len(reqs) > 0 {
		s.shed = append(s.shed, span64{ph.Start, ph.End})
	}
	s.add(evidence.Event{Phase: &ph})
	s.scrape(evidence.ScrapeAfter.Of(p.ID))
	if p.KeepText {
		for _, q := range reqs {
			if q.OK() {
				x := s.score(s.rng, p.Concurrency > 1)
				s.add(evidence.Event{Score: &evidence.Score{Phase: p.ID, N: q.N, Prompt: q.Prompt, Score: x,
					Relevance: x, Coherence: x, Completeness: x, Why: []string{"it could say more"}}})
			}
		}
	}
	s.now += sec / 10
}

// request simulates one request, which the server starts at start.
func (s *sim) request(p testcases.Phase, n int, scheduled, issued, start int64) *evidence.Request {
	q := &evidence.Request{Phase: p.ID, N: n, Scheduled: scheduled, Issued: issued, Status: 200, Finish: "stop",
		HasUsage: true, PromptTokens: 20, CachedTokens: s.cached, OutputTokens: 11, Chunks: 11,
		Prompt: fmt.Sprintf("reasoning/p%d", n%9), TextBytes: 60, Text: "An answer with <b>some</b> words."}
	if len(p.Prompts) > 0 {
		q.Prompt = p.Prompts[n%len(p.Prompts)]
	}
	work := int64(s.service(s.rng, float64(start)/1e9) * 1e9)
	q.Done = start + work
	if s.stall > 0 {
		q.Done = afterStall(start+work, s.stall)
	}
	q.First, q.Last = start+work/4, q.Done
	if s.stall > 0 {
		q.First = min(afterStall(q.First, s.stall), q.Done)
	}
	for range 10 {
		if s.stall > 0 { // chunks would arrive during the stall too
			break
		}
		q.Gaps = append(q.Gaps, int32((q.Last-q.First)/10/1000))
	}
	if s.rng.Float64() < s.failRate {
		q.Fail, q.Finish, q.HasUsage, q.OutputTokens, q.First, q.Last, q.TextBytes, q.Text = s.failAs, "", false, 0,
			0, 0, 0, ""
		q.Done = issued + 2e6 // fails fast
	}
	if s.touch != nil {
		s.touch(q)
	}
	s.done = append(s.done, q)
	return q
}

// afterStall moves a moment that falls into a stall to its end.
func afterStall(t int64, stall time.Duration) int64 {
	if into := t % (10 * sec); into < int64(stall) {
		return t - into + int64(stall)
	}
	return t
}

// closed keeps a number of requests in flight until n have been sent.
func (s *sim) closed(p testcases.Phase, concurrency, n int) []*evidence.Request {
	free := make([]int64, max(concurrency, 1))
	for i := range free {
		free[i] = s.now
	}
	workers := s.workers()
	var out []*evidence.Request
	for i := range n {
		k := slices.Index(free, slices.Min(free))
		issued := free[k] + int64(s.late)
		q := s.request(p, i, free[k], issued, startAt(workers, issued))
		occupy(workers, issued, q.Done)
		free[k] = q.Done
		out = append(out, q)
	}
	return out
}

// open sends Poisson arrivals.
func (s *sim) open(p testcases.Phase) []*evidence.Request {
	workers := s.workers()
	var out []*evidence.Request
	t := float64(s.now)
	for i := 0; ; i++ {
		t += s.rng.ExpFloat64() / s.c.Rate(p) * 1e9
		if t > float64(s.now)+p.DurationS*1e9 {
			return out
		}
		at := int64(t)
		issued := at + int64(s.late)
		q := s.request(p, i, at, issued, startAt(workers, issued))
		occupy(workers, issued, q.Done)
		out = append(out, q)
	}
}

func (s *sim) workers() []int64 { return make([]int64, s.servers) }

func startAt(workers []int64, t int64) int64 {
	if len(workers) == 0 {
		return t
	}
	return max(t, slices.Min(workers))
}

func occupy(workers []int64, from, until int64) {
	if len(workers) > 0 {
		k := slices.Index(workers, slices.Min(workers))
		workers[k] = max(until, from)
	}
}

// scrape records metrics of what was answered, which lie may change.
func (s *sim) scrape(label evidence.ScrapeLabel) {
	if s.noStats {
		return
	}
	x := &evidence.Scrape{Label: label, Dialect: "mixtral", Source: "http", Took: 1e6, Values: map[string]float64{},
		Histograms: map[string]evidence.Histogram{}}
	bounds := []float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}
	for _, name := range []string{evidence.HistE2E, evidence.HistTTFT} {
		h := evidence.Histogram{Buckets: make([]evidence.Bucket, len(bounds)+1)}
		for i, b := range bounds {
			h.Buckets[i].LE = b
		}
		h.Buckets[len(bounds)].Inf = true
		for _, q := range s.done {
			if !q.OK() {
				continue
			}
			v := float64(q.Done-q.Issued)/1e9 - 0.0005 // only the client sees the time on the network
			if name == evidence.HistTTFT {
				v = float64(q.First-q.Issued)/1e9 - 0.0005
			}
			h.Count++
			h.Sum += v
			for i := range h.Buckets {
				if h.Buckets[i].Inf || v <= h.Buckets[i].LE {
					h.Buckets[i].Count++
				}
			}
		}
		x.Histograms[name] = h
	}
	for _, q := range s.done {
		if q.OK() {
			x.Values[evidence.MetricRequests]++
			x.Values[evidence.MetricRequests+":"+q.Finish]++
			x.Values[evidence.MetricPromptTokens] += float64(q.PromptTokens)
			x.Values[evidence.MetricGenerationTokens] += float64(q.OutputTokens)
		}
	}
	if s.lie != nil {
		s.lie(x)
	}
	s.add(evidence.Event{Scrape: x})
}

// readGauges adds the server's gauges twice per second under load.
func (s *sim) readGauges() {
	var loops []evidence.Phase
	for _, e := range s.events {
		if e.Phase != nil && (e.Phase.Kind == testcases.KindClosed || e.Phase.Kind == testcases.KindOpen) {
			loops = append(loops, *e.Phase)
		}
	}
	for _, p := range loops {
		for t := p.Start + sec/2; t < p.End; t += sec / 2 {
			n := s.extra
			for _, q := range s.done {
				if q.Issued <= t && t < q.Done {
					n++
				}
			}
			s.events = append(s.events, evidence.Event{At: t,
				Scrape: &evidence.Scrape{Label: evidence.ScrapeDuring.Of(p.ID), Dialect: "mixtral", Source: "http",
					Values: map[string]float64{evidence.MetricRunning: n}}})
		}
	}
}

// declare adds what the server reports about its cache to every scrape, and adds scrapes of the cache alone twice per
// second.
func (s *sim) declare() {
	for t := int64(0); t <= s.now; t += sec / 2 {
		s.events = append(s.events, evidence.Event{At: t, Scrape: &evidence.Scrape{Label: "idle", Dialect: "mixtral",
			Source: "http"}})
	}
	for _, e := range s.events {
		if e.Scrape != nil {
			values := map[string]float64{}
			for k, v := range e.Scrape.Values {
				values[k] = v
			}
			used, capacity := s.claim(s.loadedBy(e.At), seconds(e.At))
			values[evidence.MetricCacheUsed], values[evidence.MetricCacheCapacity] = used*mib, capacity*mib
			e.Scrape.Values = values
		}
	}
}

// loadedBy is the number of seconds of load before a moment.
func (s *sim) loadedBy(t int64) float64 {
	var sum int64
	for _, x := range s.shed {
		sum += max(min(t, x.to)-x.from, 0)
	}
	return seconds(sum)
}

// resources adds samples at 10 Hz over the whole run.
func (s *sim) resources() {
	end, cpu, leaked := s.now, 0.0, 0.0
	for t := int64(0); t <= end; t += sec / 10 {
		busy := slices.ContainsFunc(s.shed, func(x span64) bool { return t >= x.from && t <= x.to })
		if busy {
			cpu += s.cores / 10
			leaked += s.leakMB / 10
		} else {
			cpu += 0.005
			if s.idleBack {
				leaked = 0
			}
		}
		saw := 20 * math.Mod(float64(t)/1e9, 0.7) // a collector's sawtooth
		if s.grow != nil {
			saw += s.grow(s.loadedBy(t), seconds(t))
		}
		anon := int64((s.memoryMB/2 + leaked + saw) * mib)
		load := 0
		if busy {
			load = 5
		}
		s.events = append(s.events, evidence.Event{At: t, Sample: &evidence.Sample{Source: "pid 42", Anon: anon,
			File: int64(s.memoryMB / 2 * mib), RSS: anon + int64(s.memoryMB/2*mib), CPUSeconds: cpu, Load: load}})
	}
}
