package judge

import (
	"math"
	"slices"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// How many points a plot has. More could not be told apart on a page, and the page must stay small.
const (
	timeBuckets = 300 // of single latencies; each keeps its smallest, median and largest
	ecdfPoints  = 200
	rateBins    = 120
	lineBuckets = 400 // memory and CPU over the whole run
	mostFailed  = 200
)

// series reduces the evidence to the points of the report's plots.
func (r *run) series() report.Series {
	var s report.Series
	for _, p := range r.phases {
		if p.ran == nil {
			continue
		}
		s.Duration = math.Max(s.Duration, seconds(p.ran.End))
		if p.step != nil { // the sweep's charts show it
			continue
		}
		s.Spans = append(s.Spans, report.Marker{Name: p.plan.ID, From: seconds(p.ran.Start), To: seconds(p.ran.End)})
		if len(p.requests) > 0 && (p.plan.Kind.Loop() || p.plan.Kind == testcases.KindBatch) {
			s.Phases = append(s.Phases, p.series())
		}
	}
	r.overlay(&s)
	good := r.goodSamples()
	for _, x := range good {
		t := seconds(x.ns)
		s.Duration = math.Max(s.Duration, t)
		s.Memory = append(s.Memory, report.Point{X: t, Y: gb(x.v.RSS)})
		if x.v.Anon > 0 {
			s.Anon = append(s.Anon, report.Point{X: t, Y: gb(x.v.Anon)})
		}
	}
	for _, w := range cpuWindows(good, time.Second) {
		s.CPU = append(s.CPU, report.Point{X: seconds(w.ns), Y: w.cores})
	}
	r.gpuSeries(&s)
	s.Memory, s.Anon, s.CPU = thin(s.Memory), thin(s.Anon), thin(s.CPU)
	if f := r.leak; f != nil && f.points >= fewestMinima {
		s.FitPhase = f.phase
		s.Fit = f.line()
	}
	return s
}

// line is the fitted trend of memory, in GiB, from the first minimum to the last. Its offset is the median of the
// points' offsets.
func (f *leakFit) line() []report.Point {
	offsets := make([]float64, f.points)
	for i := range offsets {
		offsets[i] = f.y[i] - f.slope*f.x[i]
	}
	slices.Sort(offsets)
	mid := offsets[f.points/2]
	at := func(h float64) report.Point {
		return report.Point{X: seconds(f.from) + h*3600, Y: (mid + f.slope*h) / 1024}
	}
	return []report.Point{at(f.x[0]), at(f.x[f.points-1])}
}

// series reduces one phase to the points of its plots. Times count from its start, in seconds.
func (p *phase) series() report.PhaseSeries {
	start := p.ran.Start
	length := math.Max(seconds(p.ran.End-start), 1e-3)
	s := report.PhaseSeries{ID: p.plan.ID, Kind: p.plan.Kind, SteadyFrom: seconds(p.from - start),
		SteadyTo: seconds(p.to - start)}
	buckets := make([][]report.Point, timeBuckets)
	for _, q := range p.requests {
		pt := report.Point{X: seconds(q.Begin(p.plan.Kind) - start), Y: p.latency(q, 0)}
		if !q.OK() {
			if len(s.Failed) < mostFailed {
				s.Failed = append(s.Failed, pt)
			}
			continue
		}
		i := min(max(int(pt.X/length*timeBuckets), 0), timeBuckets-1)
		buckets[i] = append(buckets[i], pt)
		s.RequestsInSeries++
	}
	for _, b := range buckets {
		s.Latency = append(s.Latency, extremes(b)...)
	}
	s.LatencyECDF, s.TTFTECDF, s.RequestsInECDF = ecdf(p.latencies), ecdf(p.ttft), len(p.latencies)
	s.TTFT = p.ttftBands(length)
	p.rates(&s, length)
	return s
}

// bandParts is the largest number of parts of a phase for percentiles over time. A part needs fewestInBand requests to
// have a 90th percentile.
const (
	bandParts    = 60
	fewestInBand = 10
)

// ttftBands are percentiles of the time to the first token over time. There are as many parts as have enough requests
// on average.
func (p *phase) ttftBands(length float64) []report.Band {
	if len(p.ttft) < 4*fewestInBand {
		return nil
	}
	parts := min(bandParts, len(p.ttft)/fewestInBand)
	in := make([][]float64, parts)
	for _, q := range p.requests {
		if x, ok := p.firstToken(q); ok {
			at := seconds(q.Begin(p.plan.Kind)-p.ran.Start) / length * float64(parts)
			i := min(max(int(at), 0), parts-1)
			in[i] = append(in[i], x)
		}
	}
	var out []report.Band
	for i, x := range in {
		if len(x) < fewestInBand/2 {
			continue
		}
		slices.Sort(x)
		out = append(out, report.Band{X: (float64(i) + 0.5) * length / float64(parts), P50: stats.Percentile(x, 0.5),
			P90: stats.Percentile(x, 0.9), Max: x[len(x)-1]})
	}
	return out
}

// extremes keeps the smallest, the median and the largest point of a bucket, in the order of time.
func extremes(b []report.Point) []report.Point {
	if len(b) <= 3 {
		return b
	}
	byY := slices.Clone(b)
	slices.SortStableFunc(byY, func(x, y report.Point) int { return cmpFloat(x.Y, y.Y) })
	out := []report.Point{byY[0], byY[len(byY)/2], byY[len(byY)-1]}
	slices.SortStableFunc(out, func(x, y report.Point) int { return cmpFloat(x.X, y.X) })
	return out
}

// ecdf is the empirical distribution at evenly spaced ranks, its ends included.
func ecdf(x []float64) []report.Point {
	n := len(x)
	if n == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(x))
	k := min(n, ecdfPoints)
	out := make([]report.Point, 0, k+1)
	out = append(out, report.Point{X: sorted[0], Y: 0})
	for i := 1; i <= k; i++ {
		rank := i * n / k
		out = append(out, report.Point{X: sorted[rank-1], Y: float64(rank) / float64(n)})
	}
	return out
}

// rates fills the rates of arrivals, of sent and of completed requests, and the requests in flight. A bin is a second
// long, or longer in long phases.
func (p *phase) rates(s *report.PhaseSeries, length float64) {
	width := math.Max(1, math.Ceil(length/rateBins))
	n := min(int(length/width)+1, rateBins+1)
	offered, issued, completed, inFlight := make([]float64, n), make([]float64, n), make([]float64, n),
		make([]float64, n)
	bin := func(ns int64) int { return min(max(int(seconds(ns-p.ran.Start)/width), 0), n-1) }
	for _, q := range p.requests {
		offered[bin(q.Scheduled)]++
		issued[bin(q.Issued)]++
		if q.OK() {
			completed[bin(q.Done)]++
		}
		from, to := seconds(q.Issued-p.ran.Start)/width, seconds(q.Done-p.ran.Start)/width
		for i := bin(q.Issued); i <= bin(q.Done); i++ {
			inFlight[i] += math.Max(0, math.Min(to, float64(i+1))-math.Max(from, float64(i)))
		}
	}
	for i := range n {
		if i == n-1 && i > 0 && length-float64(i)*width < width/2 {
			break // a last bin shorter than half gives no rate
		}
		t := (float64(i) + 0.5) * width
		s.Offered = append(s.Offered, report.Point{X: t, Y: offered[i] / width})
		s.Issued = append(s.Issued, report.Point{X: t, Y: issued[i] / width})
		s.Completed = append(s.Completed, report.Point{X: t, Y: completed[i] / width})
		s.InFlight = append(s.InFlight, report.Point{X: t, Y: inFlight[i]})
	}
}

// thin keeps the largest value of each of lineBuckets parts, so that peaks stay visible.
func thin(x []report.Point) []report.Point {
	if len(x) <= lineBuckets {
		return x
	}
	out := make([]report.Point, 0, lineBuckets)
	for i := range lineBuckets {
		part := x[i*len(x)/lineBuckets : (i+1)*len(x)/lineBuckets]
		peak := part[0]
		for _, p := range part {
			if p.Y > peak.Y {
				peak = p
			}
		}
		out = append(out, peak)
	}
	return out
}
