package judge

import (
	"iter"
	"math"
	"slices"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// phase is one phase: its plan, how it ran, and what was measured. All lists are in the order in which requests were
// scheduled.
type phase struct {
	plan       testcases.Phase
	planned    bool
	ran        *evidence.Phase
	requests   []*request // as recorded; measure removes the canceled ones
	canceled   int
	step       *evidence.Step    // of a sweep; nil for a phase of the case itself
	objectives []testcases.Check // of the sweep
	broken     []*request        // canceled requests of a step: the server had enough time for them

	from, to int64      // the steady window
	judged   []*request // the requests scheduled inside the window

	// Samples of the judged requests in milliseconds, one for each request. In latencies a failed request counts with
	// its time or the target, whichever is longer, so that a failure never improves a mean.
	latencies []float64
	ttft      []float64 // of requests with content
	firstAny  []float64 // filled if any answer began with reasoning
	tpot      []float64
	delay     []float64   // issued − scheduled, of all requests
	delayOf   [][]float64 // the same for each generator, sorted

	generators int // how many made the load; 0: the certifier alone

	rules   int // the revision of the rules that the record asks for
	failed  int
	report  report.Phase
	backlog backlog

	begun, ended []int64 // of requests, sorted; see inFlightAt
}

// measure fills everything that the rules read.
func (p *phase) measure(c *testcases.Case) {
	slices.SortFunc(p.requests, compareRequests)
	p.takeOutCanceled()
	if p.ran == nil {
		return
	}
	p.from, p.to = p.ran.SteadyFrom, p.ran.SteadyTo
	if p.to <= p.from || !p.plan.Kind.Loop() {
		p.from, p.to = p.ran.Start, p.ran.End // only loops have a steady state
	}
	p.delayOf = make([][]float64, p.generators)
	target := c.Targets.LatencyMS
	p.reserve()
	for _, q := range p.requests {
		p.delay = append(p.delay, max(ms(q.Issued-q.Scheduled), 0))
		if g := q.Generator; g > 0 && g <= p.generators {
			p.delayOf[g-1] = append(p.delayOf[g-1], p.delay[len(p.delay)-1])
		}
		if !q.OK() {
			p.failed++
		}
		if q.Scheduled < p.from || q.Scheduled > p.to {
			continue
		}
		p.judged = append(p.judged, q)
		p.latencies = append(p.latencies, p.latency(q, target))
		if x, ok := p.firstToken(q); ok {
			p.ttft = append(p.ttft, x)
		}
		if x, ok := perToken(q); ok {
			p.tpot = append(p.tpot, x)
		}
	}
	p.measureFirstAny()
	for _, delay := range p.delayOf {
		slices.Sort(delay)
	}
	p.backlog = p.measureBacklog(confidence(c))
	p.describe(c)
}

// takeOutCanceled removes canceled requests from the list. It builds a new list only if there are any, because a list
// can hold ten million requests. It never changes the old list, which Live shares with later verdicts on a growing
// record.
func (p *phase) takeOutCanceled() {
	canceled := func(q *request) bool { return q.Fail == evidence.FailCanceled }
	if !slices.ContainsFunc(p.requests, canceled) {
		return
	}
	all := p.requests
	p.requests = make([]*request, 0, len(all))
	for _, q := range all {
		if canceled(q) {
			p.canceled++
			p.broken = append(p.broken, q)
		} else {
			p.requests = append(p.requests, q)
		}
	}
}

// reserve allocates the samples at their final size: in a large phase only the requests take more memory.
func (p *phase) reserve() {
	n := 0
	for _, q := range p.requests {
		if q.Scheduled >= p.from && q.Scheduled <= p.to {
			n++
		}
	}
	p.delay = make([]float64, 0, len(p.requests))
	p.judged = make([]*request, 0, n)
	p.latencies, p.ttft, p.tpot = make([]float64, 0, n), make([]float64, 0, n), make([]float64, 0, n)
}

// measureFirstAny takes the times to the first token of any kind. If no answer began with reasoning they equal the
// times to the first content, and it does nothing.
func (p *phase) measureFirstAny() {
	if !slices.ContainsFunc(p.judged, func(q *request) bool { return q.OK() && q.FirstAny > 0 }) {
		return
	}
	for _, q := range p.judged {
		if d, ok := q.FirstAnyToken(p.plan.Kind); ok && q.OK() {
			p.firstAny = append(p.firstAny, ms(int64(d)))
		}
	}
}

// latency is the end-to-end latency in milliseconds. A failed request counts with the target at least.
func (p *phase) latency(q *request, target float64) float64 {
	l := float64(q.Latency(p.plan.Kind)) / float64(time.Millisecond)
	if !q.OK() {
		return math.Max(l, target)
	}
	return l
}

// firstToken is the time to the first token in milliseconds. ok is false if the request was not answered, or if its
// answer has no such time.
func (p *phase) firstToken(q *request) (v float64, ok bool) {
	d, ok := q.FirstToken(p.plan.Kind)
	return ms(int64(d)), ok && q.OK()
}

// perToken is the time per output token after the first, in milliseconds. ok is false if the request was not answered,
// or if its answer has no such time.
func perToken(q *request) (v float64, ok bool) {
	if !q.OK() {
		return 0, false
	}
	return q.PerToken(q.Shown())
}

// window is the steady window's length in seconds.
func (p *phase) window() float64 { return seconds(p.to - p.from) }

// describe fills the report of the phase.
func (p *phase) describe(c *testcases.Case) {
	ran, conf := p.ran, confidence(c)
	d := report.Phase{ID: p.plan.ID, Kind: p.plan.Kind, StartS: seconds(ran.Start),
		DurationS:   seconds(ran.End - ran.Start),
		SteadyFromS: seconds(p.from), SteadyToS: seconds(p.to), Concurrency: p.concurrency(c),
		OfferedRPS: p.offered(c),
		Scheduled:  max(len(p.requests), ran.Issued-p.canceled), Issued: len(p.requests), Failed: p.failed,
		Completed:   len(p.requests) - p.failed,
		MaxInFlight: ran.MaxInFlight, CutShort: ran.CutShort}
	for _, q := range p.requests {
		if !q.OK() {
			if d.Failures == nil {
				d.Failures = map[string]int{}
			}
			d.Failures[string(q.Fail)]++
		}
	}
	if p.rules >= 1 {
		d.Reasons = reasonsOf(p.requests)
		for _, q := range p.requests {
			d.Retried += q.Retried
		}
	}
	if len(p.requests) == 0 {
		p.report = d
		return
	}
	for _, q := range p.judged {
		d.BlurredGaps += int(q.Blurred)
	}
	d.Latency, d.TTFT, d.TPOT = distribution(p.latencies, conf, p.rules), distribution(p.ttft, conf, p.rules),
		distribution(p.tpot, conf, p.rules)
	d.FirstAny = distribution(p.firstAny, conf, p.rules)
	d.Gap, d.IssueDelay = p.gapDistribution(conf), distribution(p.delay, conf, p.rules)
	n, tokens := p.completions()
	if w := p.window(); w > 0 {
		d.RPS, d.RPSLow, d.RPSHigh = stats.RateInterval(n, w, conf)
		d.OutputTPS = float64(tokens) / w
	}
	if p.step != nil {
		d.Step = p.step.Of
	}
	if p.plan.Kind == testcases.KindBatch {
		d.RPS, d.RPSLow, d.RPSHigh = p.batchRate(conf)
	}
	d.Conversations = p.rules >= 3 && p.plan.Kind == testcases.KindOpen && p.plan.Traffic.Talks()
	d.PromptMean, d.OutputMean = p.lengths()
	d.Goodput = p.goodput(c)
	d.InFlight, d.Little = p.little()
	p.report = d
}

// offered is the planned rate of an open loop, in requests per second; 0 for other phases.
func (p *phase) offered(c *testcases.Case) float64 {
	switch {
	case p.plan.Kind != testcases.KindOpen:
		return 0
	case p.ran != nil && !p.planned:
		return p.ran.OfferedRPS
	}
	return c.Rate(p.plan)
}

func (p *phase) concurrency(c *testcases.Case) int {
	if p.plan.Kind == testcases.KindClosed || p.plan.Kind == testcases.KindQuality {
		return c.InFlight(p.plan)
	}
	return p.plan.Concurrency
}

// completions counts answers that ended in the steady window, and their tokens.
func (p *phase) completions() (n, tokens int) {
	for _, q := range p.requests {
		if q.OK() && q.Done > p.from && q.Done <= p.to {
			n++
			tokens += int(q.OutputTokens)
		}
	}
	return n, tokens
}

// lengths are the mean numbers of tokens of prompts and answers, over the answers that came with usage.
func (p *phase) lengths() (prompt, output float64) {
	n := 0.0
	for _, q := range p.requests {
		if q.OK() && q.HasUsage {
			n++
			prompt += float64(q.PromptTokens)
			output += float64(q.OutputTokens)
		}
	}
	return prompt / math.Max(n, 1), output / math.Max(n, 1)
}

// batchRate is the rate that the specification's step 2 computes, in answers per second: the number of answers divided
// by the time from the first request to the last answer.
func (p *phase) batchRate(conf float64) (rate, lo, hi float64) {
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for _, q := range p.requests {
		first, last = min(first, q.Issued), max(last, q.Done)
	}
	if last <= first {
		return 0, 0, 0
	}
	return stats.RateInterval(len(p.requests)-p.failed, seconds(last-first), conf)
}

// goodput is the share of scheduled requests that met every target that applies to a single request.
func (p *phase) goodput(c *testcases.Case) float64 {
	limits, good := p.limits(c), 0
	for _, q := range p.requests {
		if p.good(q, limits) {
			good++
		}
	}
	return float64(good) / float64(max(len(p.requests), 1))
}

// little compares the steady window with Little's law. It returns the time average of requests in flight, and its
// relative difference to λW, which is computed from the requests that ended in the window.
func (p *phase) little() (inFlight, off float64) {
	w := p.window()
	if w <= 0 {
		return 0, 0
	}
	var area, spent float64
	ended := 0
	for _, q := range p.requests {
		if over := min(q.Done, p.to) - max(q.Issued, p.from); over > 0 {
			area += seconds(over)
		}
		if q.Done > p.from && q.Done <= p.to {
			ended++
			spent += seconds(q.Done - q.Issued)
		}
	}
	if area == 0 || ended == 0 {
		return area / w, 0
	}
	return area / w, stats.LittleError(area/w, float64(ended)/w, spent/float64(ended))
}

// inFlightAt counts the requests that had been issued and had not ended at time t.
func (p *phase) inFlightAt(t int64) int {
	if p.begun == nil {
		p.begun, p.ended = make([]int64, 0, len(p.requests)), make([]int64, 0, len(p.requests))
		for _, q := range p.requests {
			if q.Done > q.Issued {
				p.begun, p.ended = append(p.begun, q.Issued), append(p.ended, q.Done)
			}
		}
		slices.Sort(p.begun)
		slices.Sort(p.ended)
	}
	until := func(times []int64) int {
		n, _ := slices.BinarySearch(times, t+1) // how many are not later than t
		return n
	}
	return until(p.begun) - until(p.ended)
}

// backlog describes over the steady window how many scheduled requests had not ended yet.
type backlog struct {
	start, end float64
	arrivals   int
	slope      float64 // requests a second, with its interval
	lo, hi     float64
}

// backlogBins is the number of bins of the steady window. The mean of each bin is one point of the trend. Thirty
// points are enough for the interval of the trend, and few enough that neighbours hardly depend on each other.
const backlogBins = 30

func (p *phase) measureBacklog(conf float64) backlog {
	b := backlog{arrivals: len(p.judged)}
	w := p.window()
	if w <= 0 || p.plan.Kind != testcases.KindOpen {
		return b
	}
	x, y := make([]float64, backlogBins), make([]float64, backlogBins)
	width := w / backlogBins
	for i := range x {
		x[i] = (float64(i) + 0.5) * width
	}
	for _, q := range p.requests {
		s, e := seconds(q.Scheduled-p.from)/width, seconds(q.Done-p.from)/width // in bins
		for i := max(int(s), 0); i < backlogBins && float64(i) < e; i++ {
			y[i] += math.Max(0, math.Min(e, float64(i+1))-math.Max(s, float64(i)))
		}
		if q.Scheduled <= p.from && q.Done > p.from {
			b.start++
		}
		if q.Scheduled <= p.to && q.Done > p.to {
			b.end++
		}
	}
	b.slope, b.lo, b.hi = stats.TheilSen(x, y, conf)
	return b
}

// distribution describes a sample, which is in the order of time; nil for an empty one.
func distribution(x []float64, conf float64, rules int) *report.Dist {
	n := len(x)
	if n == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(x))
	d := &report.Dist{N: n, Min: sorted[0], Max: sorted[n-1], NEff: stats.EffectiveN(x)}
	d.Mean, d.MeanLow, d.MeanHigh = meanInterval(x, conf, rules)
	if n == 1 { // one value has no interval: both ends are the value
		d.MeanLow, d.MeanHigh = d.Mean, d.Mean
	}
	for _, q := range quantiles(d) {
		if n >= stats.MinSamples(q.p, 0.99, 0) {
			*q.to = ptr(stats.Percentile(sorted, q.p))
		}
	}
	return d
}

// quantile is one of the quantiles that a report shows, and where it is stored.
type quantile struct {
	p  float64
	to **float64
}

func quantiles(d *report.Dist) []quantile {
	return []quantile{{.5, &d.P50}, {.9, &d.P90}, {.95, &d.P95}, {.99, &d.P99}, {.999, &d.P999}}
}

// bootstrapPoints bounds the work of the bootstrap. Longer series are first reduced to the means of this many
// consecutive blocks. A thousand of them give the interval to a few percent of its width.
const bootstrapPoints = 1000

// meanInterval is the mean with its block-bootstrap interval. The same sample always gives the same interval. If no
// value is negative, the lower end is not either.
func meanInterval(x []float64, conf float64, rules int) (mean, lo, hi float64) {
	mean, lo, hi = bootstrap(x, conf, rules)
	if slices.Min(x) >= 0 {
		lo = math.Max(lo, 0)
	}
	return mean, lo, hi
}

// bootstrapMean takes most of the time of a verdict. It is a variable because tests, which judge thousands of nearly
// equal runs, replace it by a version with a cache.
var (
	bootstrapMean = stats.SeriesInterval
	biasedMean    = stats.MeanInterval // of records before revision 2
)

// bootstrapSeed is fixed so that a sample always has the same interval.
const bootstrapSeed = 1

// intervalOf is the bootstrap that a revision of the rules uses.
func intervalOf(rules int) func(x []float64, conf float64, seed uint64) (mean, lo, hi float64) {
	if rules < 2 {
		return biasedMean
	}
	return bootstrapMean
}

func bootstrap(x []float64, conf float64, rules int) (mean, lo, hi float64) {
	if len(x) <= bootstrapPoints {
		return intervalOf(rules)(x, conf, bootstrapSeed)
	}
	return longMean(len(x), slices.Values(x), conf, rules)
}

// longMean is bootstrap for a series of more than bootstrapPoints values, which need not be in memory. n is their
// number.
func longMean(n int, x iter.Seq[float64], conf float64, rules int) (mean, lo, hi float64) {
	runs := make([]float64, bootstrapPoints)
	total, s := 0.0, 0.0
	i, k, from, to := 0, 0, 0, n/bootstrapPoints
	for v := range x {
		s += v
		if k++; k == to {
			total += s
			runs[i] = s / float64(to-from)
			i++
			s, from, to = 0, to, (i+1)*n/bootstrapPoints
		}
	}
	mid, lo, hi := intervalOf(rules)(runs, conf, bootstrapSeed)
	mean = total / float64(n)
	return mean, mean + lo - mid, mean + hi - mid
}
