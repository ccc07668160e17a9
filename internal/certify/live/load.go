package live

import (
	"math"
	"slices"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

const (
	// mostTimes bounds the times that are kept of a phase. If there are more, every second one is dropped, so
	// percentiles are computed from a sample of all of them.
	mostTimes = 16384

	// mostBins bounds the bins in which rates are counted. If a phase has more, neighbouring bins are joined in pairs.
	mostBins = 240

	// recent is the time over which the current rates are computed.
	recent = 10 * time.Second

	// bands is the largest number of parts of a phase for percentiles of the time to the first token. Each part needs
	// fewestInBand requests on average.
	bands        = 40
	fewestInBand = 8
)

// Load is the load of one phase so far.
type Load struct {
	Phase, Kind string
	Over        bool
	Offered     float64 // planned requests/s; 0 if the phase has no rate
	Concurrency int     // requests in flight that a closed loop keeps; 0 for other phases
	Completed   float64 // requests/s in the last ten seconds, or over the whole phase if it has ended
	InFlight    int
	MostFlight  int
	Ended       int
	Failed      int
	Tokens      float64 // output tokens/s over the phase
	Times       []Times
	// offered, sent and completed requests, requests in flight, and time to the first token
	Series report.PhaseSeries
}

// Times describes times of one kind, such as latencies, in milliseconds.
type Times struct {
	Name      string
	N         int
	Quantiles []Quantile
}

// Quantile is a quantile of a sample with its interval, which assumes that requests are independent. Known is false if
// the sample is too small for the quantile.
type Quantile struct {
	P         float64
	Known     bool
	Value     float64
	Low, High float64
}

// load counts the requests of a phase.
type load struct {
	id         string
	plan       testcases.Phase
	offered    float64
	inFlight   int // requests in flight that a closed loop keeps
	confidence float64
	start, now int64
	end        int64 // 0 while the phase runs
	done       int
	failed     int
	tokens     int
	flight     int
	most       int
	width      int64 // length of a bin, in nanoseconds
	bins       []bin
	latest     []int64 // when the newest answers ended
	times      [3]sample
}

// bin counts the requests of a part of the phase.
type bin struct {
	completed, ended int
	flying, most     int // requests in flight at its end, and the most
	seen             bool
}

// Indices of load.times.
const (
	latency = iota
	ttft
	tpot
)

// TimeNames are the names of Load.Times, in their order.
var TimeNames = [...]string{latency: "Latency", ttft: "Time to first token", tpot: "Time per output token"}

func newLoad(h *evidence.Header, id string, plan testcases.Phase, at int64) *load {
	l := &load{id: id, plan: plan, start: at, now: at, width: int64(time.Second), confidence: 0.99}
	if c := h.Case; c != nil {
		if x := c.Limits.Confidence; x > 0 && x < 1 {
			l.confidence = x
		}
		switch plan.Kind {
		case testcases.KindOpen:
			l.offered = c.Rate(plan)
		case testcases.KindClosed, testcases.KindQuality:
			l.inFlight = c.InFlight(plan)
		}
	}
	return l
}

// at returns the bin of a moment. It adds bins, or joins them, if needed.
func (l *load) at(ns int64) *bin {
	i := max(int((ns-l.start)/l.width), 0)
	for i >= mostBins {
		for k := range (len(l.bins) + 1) / 2 {
			b := l.bins[2*k]
			if 2*k+1 < len(l.bins) {
				b = b.joined(l.bins[2*k+1])
			}
			l.bins[k] = b
		}
		l.bins = l.bins[:(len(l.bins)+1)/2]
		l.width *= 2
		i = int((ns - l.start) / l.width)
	}
	for len(l.bins) <= i {
		b := bin{}
		if n := len(l.bins); n > 0 {
			b.flying, b.most = l.bins[n-1].flying, l.bins[n-1].flying
		}
		l.bins = append(l.bins, b)
	}
	return &l.bins[i]
}

func (b bin) joined(next bin) bin {
	return bin{completed: b.completed + next.completed, ended: b.ended + next.ended, flying: next.flying,
		most: max(b.most, next.most), seen: b.seen || next.seen}
}

// flying sets how many requests are in flight at a moment.
func (l *load) flying(at int64, n int) {
	if l.end != 0 || at < l.start {
		return
	}
	l.now = max(l.now, at)
	l.flight, l.most = n, max(l.most, n)
	b := l.at(at)
	b.flying, b.most, b.seen = n, max(b.most, n), true
}

func (l *load) add(q *evidence.Request) {
	if q.Fail == evidence.FailCanceled {
		return
	}
	l.now = max(l.now, q.Done)
	b := l.at(q.Done)
	b.ended++
	l.done++
	if !q.OK() {
		l.failed++
		return
	}
	b.completed++
	l.tokens += q.OutputTokens
	l.latest = append(l.latest, q.Done)
	for len(l.latest) > 0 && l.latest[0] < l.now-int64(recent) {
		l.latest = l.latest[1:]
	}
	begin := q.Begin(l.plan.Kind)
	l.times[latency].add(begin, milliseconds(q.Latency(l.plan.Kind)))
	if d, ok := q.Times().FirstToken(l.plan.Kind); ok {
		l.times[ttft].add(begin, milliseconds(d))
	}
	if each, ok := q.PerToken(); ok {
		l.times[tpot].add(begin, each)
	}
}

func (l *load) ended(rec *evidence.Phase) {
	l.end, l.now, l.flight, l.most = rec.End, max(l.now, rec.End), 0, max(l.most, rec.MaxInFlight)
}

// view is the load at a moment.
func (l *load) view(now int64) *Load {
	if l.end != 0 {
		now = l.end
	}
	v := &Load{Phase: l.id, Kind: string(l.plan.Kind), Over: l.end != 0, Offered: l.offered,
		Concurrency: l.inFlight, InFlight: l.flight, MostFlight: l.most, Ended: l.done, Failed: l.failed}
	took := time.Duration(max(now-l.start, 1)).Seconds()
	v.Tokens = float64(l.tokens) / took
	if l.end != 0 {
		v.Completed = float64(l.done-l.failed) / took
	} else if took >= 1 {
		n := 0
		for _, t := range l.latest {
			if t > now-int64(recent) {
				n++
			}
		}
		v.Completed = float64(n) / min(took, recent.Seconds())
	}
	for i := range l.times {
		v.Times = append(v.Times, l.times[i].describe(TimeNames[i], l.confidence))
	}
	v.Series = l.series(now)
	return v
}

// series is the load over time, without the last bin, which is not complete.
func (l *load) series(now int64) report.PhaseSeries {
	s := report.PhaseSeries{ID: l.id, Kind: l.plan.Kind}
	width := time.Duration(l.width).Seconds()
	whole := min(int((now-l.start)/l.width), len(l.bins))
	before := 0
	for i, b := range l.bins[:max(whole, 0)] {
		x := (float64(i) + 0.5) * width
		s.Completed = append(s.Completed, report.Point{X: x, Y: float64(b.completed) / width})
		s.Issued = append(s.Issued, report.Point{X: x, Y: max(float64(b.ended+b.flying-before)/width, 0)})
		s.InFlight = append(s.InFlight, report.Point{X: x, Y: float64(b.most)})
		if l.plan.Kind == testcases.KindOpen {
			s.Offered = append(s.Offered, report.Point{X: x, Y: l.rateAt(x)})
		}
		before = b.flying
	}
	s.SteadyFrom = l.plan.RampS
	s.TTFT = l.times[ttft].bands(l.start, now)
	return s
}

// rateAt is the planned rate x seconds after the start of the phase.
func (l *load) rateAt(x float64) float64 {
	if len(l.plan.Stages) == 0 {
		return l.offered
	}
	for _, stage := range l.plan.Stages {
		if x < stage.DurationS {
			return stage.Arrivals() / stage.DurationS
		}
		x -= stage.DurationS
	}
	return 0
}

// sample is a list of times in the order in which they ended, thinned out if there are many.
type sample struct {
	n    int // number of times added
	step int // one of this many is kept
	kept []timed
}

type timed struct {
	at int64
	ms float64
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (s *sample) add(at int64, ms float64) {
	if s.step == 0 { // allocate all memory at once, so that the memory of a page that is open for hours does not grow
		s.step, s.kept = 1, make([]timed, 0, mostTimes)
	}
	if s.n++; (s.n-1)%s.step != 0 {
		return
	}
	s.kept = append(s.kept, timed{at, ms})
	if len(s.kept) < mostTimes {
		return
	}
	for i := range len(s.kept) / 2 {
		s.kept[i] = s.kept[2*i]
	}
	s.kept, s.step = s.kept[:len(s.kept)/2], 2*s.step
}

func (s *sample) describe(name string, confidence float64) Times {
	sorted := make([]float64, len(s.kept))
	for i, t := range s.kept {
		sorted[i] = t.ms
	}
	slices.Sort(sorted)
	out := Times{Name: name, N: s.n}
	for _, p := range []float64{0.5, 0.9, 0.95, 0.99} {
		out.Quantiles = append(out.Quantiles, quantile(sorted, p, confidence))
	}
	return out
}

// quantile is a quantile of a sorted sample. The ends of its interval are the order statistics at the ends of the
// Wilson interval of the share.
func quantile(sorted []float64, p, confidence float64) Quantile {
	n := len(sorted)
	q := Quantile{P: p}
	if n < stats.MinSamples(p, 0.99, 0) {
		return q
	}
	k := stats.Rank(n, p)
	lo, hi := stats.Wilson(k, n, confidence)
	q.Known, q.Value = true, sorted[k-1]
	below, above := int(math.Floor(lo*float64(n))), int(math.Ceil(hi*float64(n)))
	q.Low, q.High = sorted[max(below, 1)-1], sorted[min(above, n)-1]
	return q
}

// bands are percentiles over time, for the parts of the phase that have enough requests.
func (s *sample) bands(start, now int64) []report.Band {
	if len(s.kept) < 3*fewestInBand || now <= start {
		return nil
	}
	parts := min(bands, len(s.kept)/fewestInBand)
	in := make([][]float64, parts)
	for _, t := range s.kept {
		i := min(max(int(float64(t.at-start)/float64(now-start)*float64(parts)), 0), parts-1)
		in[i] = append(in[i], t.ms)
	}
	var out []report.Band
	width := time.Duration(now-start).Seconds() / float64(parts)
	for i, x := range in {
		if len(x) < fewestInBand/2 {
			continue
		}
		slices.Sort(x)
		out = append(out, report.Band{X: (float64(i) + 0.5) * width, P50: stats.Percentile(x, 0.5),
			P90: stats.Percentile(x, 0.9), Max: x[len(x)-1]})
	}
	return out
}
