package plan

import (
	"math"
	"slices"

	"github.com/hxp-enterprise/mixtral/internal/base/slo"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
)

// Result is the result of a simulation. Times are in seconds.
type Result struct {
	Replicas  int
	Completed int
	Refused   int     // because the queue was full
	Duration  float64 // to the end of the last request
	Offered   float64 // arrivals per second; in a closed loop, the rate that was served

	// From the first arrival after the warm-up to the last one: how many requests ended per second, and how many
	// tokens their answers had.
	Throughput float64
	TokensPS   float64
	// TTFT, TPOT and Latency of those requests, sorted. TPOT has those with at least two tokens.
	TTFT, TPOT, Latency []float64

	Steps       int64
	Preemptions int64
	CacheHits   int64   // prompt tokens found in a prefix cache
	Busy        float64 // mean share of the time that a replica computes
	Batch       float64 // mean tokens of a step, by its time
	KVPeak      int     // maximum number of blocks that one replica held
	// Bounds is the share of the computing time for each bound. Queue and KV are the shares of it in which requests
	// waited because the maximum number was running, or because there was no memory for more keys and values.
	Bounds    map[Bound]float64
	Queue, KV float64

	observed func(Observed)
	warmup   int     // number of requests before the window
	middle   int     // the request in the middle of the window
	last     float64 // when the last request ended
	open     window
	answers  []outcome
	busy     float64
	batch    float64
	bounds   map[Bound]float64
}

// outcome is the result of one request after the warm-up.
type outcome struct{ ttft, tpot, latency float64 }

func newResult(s *Setup) *Result {
	warmup := int(s.Warmup * float64(s.Traffic.Requests))
	return &Result{Replicas: s.Replicas, observed: s.observed, warmup: warmup,
		middle: (warmup + s.Traffic.Requests) / 2,
		bounds: map[Bound]float64{}, Bounds: map[Bound]float64{}}
}

// window is the time over which rates are computed: from the first arrival after the warm-up to the last arrival, so
// that neither empty nor draining queues count. A request that ends in it arrived in it, or arrived as long before it
// as others end after it.
type window struct {
	from, to        float64
	begun           bool
	arrived         int
	ended, tokensIn int
	// At its middle: how many requests had arrived and ended since its start, and how many were under way.
	halfArrived, halfEnded, halfFlying int
}

// arrive counts an arrival. A closed loop has no last arrival of its own, so there the window ends with the last end.
func (r *Result) arrive(c *Call, now float64) {
	if c.N < r.warmup {
		return
	}
	if w := &r.open; !w.begun {
		w.begun, w.from = true, now
	} else {
		w.arrived++
	}
	r.open.to = now
	if c.N == r.middle {
		r.open.halfArrived, r.open.halfEnded = r.open.arrived, r.open.ended
		r.open.halfFlying = c.N - r.Completed - r.Refused
	}
}

// growing says that the queue grew through the second half of the window: fewer requests ended than arrived, by more
// than a share of them and by more than the number under way varies by chance.
func (r *Result) growing() bool {
	came := float64(r.open.arrived - r.open.halfArrived)
	more := came - float64(r.open.ended-r.open.halfEnded)
	return more > growth*came+4*math.Sqrt(float64(max(r.open.halfFlying, 1)))
}

// growth is the share of the offered rate that may be unserved.
const growth = 0.02

// take counts a request whose last token was computed now. beside is the time that it takes besides its steps; more
// says that other requests are still to come.
func (r *Result) take(f *flight, now, beside float64, more bool) {
	at := now + beside
	r.Completed++
	r.last = max(r.last, at)
	if w := &r.open; w.begun && more {
		w.ended++
		w.tokensIn += f.Output
	}
	if r.observed != nil {
		r.observed(Observed{f.Arrival, f.first + beside, at, f.Prompt, f.Output})
	}
	if f.N < r.warmup {
		return
	}
	o := outcome{ttft: f.first + beside - f.Arrival, tpot: math.NaN(), latency: at - f.Arrival}
	if f.Output > 1 {
		o.tpot = (now - f.first) / float64(f.Output-1)
	}
	r.answers = append(r.answers, o)
}

// usage is the work of a server.
type usage struct {
	seconds, tokens float64
	steps           int64
	bounds          map[Bound]float64
	queue, kv       float64
	held            int
}

// add counts a step that begins.
func (u *usage) add(s *server, seconds float64, b Bound) {
	if u.bounds == nil {
		u.bounds = map[Bound]float64{}
	}
	u.steps++
	u.seconds += seconds
	u.tokens += seconds * float64(s.step.Tokens())
	u.bounds[b] += seconds
	u.held = max(u.held, s.sched.Pool.Held())
	if s.sched.Waiting() > 0 {
		if len(s.sched.Running()) >= s.r.MaxRunning {
			u.queue += seconds
		} else {
			u.kv += seconds
		}
	}
}

// add adds the work of a server.
func (r *Result) add(s *server) {
	r.Steps += s.took.steps
	r.Preemptions += s.sched.Preemptions
	r.CacheHits += s.sched.CacheHits
	r.KVPeak = max(r.KVPeak, s.took.held)
	r.busy += s.took.seconds
	r.batch += s.took.tokens
	r.Queue += s.took.queue
	r.KV += s.took.kv
	for b, seconds := range s.took.bounds {
		r.bounds[b] += seconds
	}
}

// finish computes statistics from sums.
func (r *Result) finish(now float64) {
	r.Duration = max(now, r.last)
	if r.Duration > 0 {
		r.Busy = r.busy / r.Duration / float64(r.Replicas)
	}
	if r.busy > 0 {
		r.Batch, r.Queue, r.KV = r.batch/r.busy, r.Queue/r.busy, r.KV/r.busy
		for b, seconds := range r.bounds {
			r.Bounds[b] = seconds / r.busy
		}
	}
	for _, o := range r.answers {
		r.TTFT, r.Latency = append(r.TTFT, o.ttft), append(r.Latency, o.latency)
		if !math.IsNaN(o.tpot) {
			r.TPOT = append(r.TPOT, o.tpot)
		}
	}
	slices.Sort(r.TTFT)
	slices.Sort(r.TPOT)
	slices.Sort(r.Latency)
	if w := r.open; w.to > w.from {
		seconds := w.to - w.from
		r.Offered = float64(w.arrived) / seconds
		r.Throughput = float64(w.ended) / seconds
		r.TokensPS = float64(w.tokensIn) / seconds
	}
}

// Of returns the values of a metric, sorted. ITL is the same as TPOT: in the simulation each step of a sequence gives
// one token.
func (r *Result) Of(m slo.Metric) []float64 {
	switch m {
	case slo.TTFT:
		return r.TTFT
	case slo.TPOT, slo.ITL:
		return r.TPOT
	}
	return r.Latency
}

// Percentile returns a percentile of a metric, NaN if there is no value.
func (r *Result) Percentile(m slo.Metric, p float64) float64 {
	v := r.Of(m)
	if len(v) == 0 {
		return math.NaN()
	}
	return stats.Percentile(v, p)
}

// Goodput is the share of the requests after the warm-up, including refused ones, that met every objective: each
// objective's limit applies to each single request, whatever its statistic.
func (r *Result) Goodput(objectives []slo.Objective) float64 {
	good := 0
	for _, o := range r.answers {
		if o.meets(objectives) {
			good++
		}
	}
	if n := len(r.answers) + r.Refused; n > 0 {
		return float64(good) / float64(n)
	}
	return 0
}

func (o outcome) meets(objectives []slo.Objective) bool {
	for _, want := range objectives {
		v := o.latency
		switch want.Metric {
		case slo.TTFT:
			v = o.ttft
		case slo.TPOT, slo.ITL:
			v = o.tpot
		}
		if v >= want.Limit {
			return false
		}
	}
	return true
}

// Misses returns the objectives that the result does not meet.
func (r *Result) Misses(objectives []slo.Objective) []slo.Objective {
	var missed []slo.Objective
	for _, o := range objectives {
		if v := r.Of(o.Metric); len(v) > 0 && !(o.Of(v) < o.Limit) {
			missed = append(missed, o)
		}
	}
	return missed
}
