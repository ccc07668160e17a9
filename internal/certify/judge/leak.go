package judge

import (
	"fmt"
	"math"
	"slices"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

const (
	// the trend is fitted to minima over windows, which do not have the sawtooth of garbage collection
	leakWindows  = 40
	fewestMinima = 12 // the smallest number for a trend of the whole and one of its second half
	mib          = 1 << 20

	// allocatorMB is growth that means nothing, because heaps take memory in steps of several MB.
	allocatorMB = 8

	// lateConf is the confidence of trends over parts of the window, which have too few points for 99 %.
	lateConf = 0.9

	// fading is the ratio of the second half's growth to that of the first below which growth is slowing down. A leak
	// grows equally fast in both halves. The growth of a cache that fills at random has fallen to half after 0.7 time
	// constants.
	fading = 0.7
)

// leakFit is the trend of memory under constant load.
type leakFit struct {
	phase        string
	what         string // "anonymous" or "resident"
	points       int
	x, y         []float64 // window minima: hours and MB since the fit's start
	from         int64
	slope        float64 // MB per hour, with its interval
	lo, hi       float64
	early, late  trend    // of the window's halves
	last         [2]trend // of the second half's halves
	smallest     float64  // the smallest slope that this run could have detected
	hours        float64
	requests     float64
	start, grown float64 // MB
	queued       bool    // the phase's backlog grew
	material     bool    // growth in the second half must be large enough to matter, and not only be certain
	collected    collections
	kept         *float64 // share of the growth that was left after idle; nil without an idle phase
	idles        bool     // memory grows in idle too, so requests are not the cause

	claim *cacheClaim // what the server reports about its cache; nil if it reports nothing
	rest  *leakFit    // the trend without that cache; nil if the cache explains nothing
}

// trend is a slope in MB per hour with its interval.
type trend struct{ slope, lo, hi float64 }

// fitLeak fits the trend of memory in one phase. Memory also rises with the load, so the load must be constant.
func (r *run) fitLeak() *leakFit {
	p := r.leakPhase()
	good := r.goodSamples()
	if p == nil || len(good) == 0 {
		return nil
	}
	what, value := "anonymous", func(s at[*evidence.Sample]) float64 { return float64(s.v.Anon) / mib }
	if !slices.ContainsFunc(good, func(s at[*evidence.Sample]) bool { return s.v.Anon > 0 }) {
		what, value = "resident", func(s at[*evidence.Sample]) float64 { return float64(s.v.RSS) / mib }
	}
	f := r.fitMemory(p, good, what, value)
	if f.claim = r.claimOf(p, good); f.claim.explains() && f.points >= fewestMinima {
		f.rest = r.fitMemory(p, good, what,
			func(s at[*evidence.Sample]) float64 { return value(s) - f.claim.grownAt(s.ns) })
		if f.rest.hi < 0 && -f.rest.grown > math.Max(r.c.Limits.LeakShare*f.start, allocatorMB) {
			// Such a claim would hide other growth.
			f.claim.refused = fmt.Sprintf("it claims %s MB more than memory grew by", num(-f.rest.grown))
		}
	}
	return f
}

// leakPhase is the phase that the case's leak check names, or else the longest loop.
func (r *run) leakPhase() *phase {
	name := ""
	for i := range r.c.Checks {
		if r.c.Checks[i].Rule == testcases.RuleLeak {
			name = r.c.Checks[i].Phase
		}
	}
	var longest *phase
	for _, p := range r.load(name) {
		if p.ran != nil && (longest == nil || p.to-p.from > longest.to-longest.from) {
			longest = p
		}
	}
	return longest
}

// fitMemory fits the trend of a figure of the samples, in MB, over a phase's steady window. what names the figure.
func (r *run) fitMemory(p *phase, good []at[*evidence.Sample], what string,
	value func(at[*evidence.Sample]) float64) *leakFit {
	f := &leakFit{queued: p.fallsBehind(p.offered(r.c)), phase: p.plan.ID, what: what, from: p.from,
		requests: float64(len(p.judged))}
	f.minima(good, p, value)
	if f.points < fewestMinima {
		return f
	}
	f.hours = seconds(p.to-p.from) / 3600
	f.slope, f.lo, f.hi = stats.TheilSen(f.x, f.y, r.conf())
	half, quarter := f.points/2, f.points*3/4
	f.early, f.late = f.part(0, half), f.part(half, f.points)
	f.last = [2]trend{f.part(half, quarter), f.part(quarter, f.points)}
	f.smallest = f.slope - f.lo
	f.material = r.header.Rules >= 1
	f.start, f.grown = f.y[0], f.slope*f.hours
	f.collected = r.collected(p, good, value, f.grown)
	rose := f.grown
	if rose <= 0 { // the growth may have begun late
		rose = f.y[f.points-1] - f.start
	}
	for _, q := range r.phases {
		if q.plan.Kind != testcases.KindIdle || q.ran == nil || q.ran.Start < p.to {
			continue
		}
		var idle []at[*evidence.Sample]
		for _, s := range good {
			if s.ns > q.ran.Start && s.ns <= q.ran.End && rose > 0 {
				f.kept = ptr((value(s) - f.start) / rose) // the last one stays
				idle = append(idle, s)
			}
		}
		f.idles = f.growsIn(idle, value)
	}
	return f
}

// growsIn says whether memory grows in idle at half of its speed under load or faster, and by more than allocatorMB.
func (f *leakFit) growsIn(idle []at[*evidence.Sample], value func(at[*evidence.Sample]) float64) bool {
	if len(idle) < 2 {
		return false
	}
	first, last := idle[0], idle[len(idle)-1]
	hours := seconds(last.ns-first.ns) / 3600
	grown := value(last) - value(first)
	return grown > allocatorMB && grown > f.slope*hours/2
}

// part is the trend of the minima from one index up to another.
func (f *leakFit) part(from, to int) trend {
	var t trend
	t.slope, t.lo, t.hi = stats.TheilSen(f.x[from:to], f.y[from:to], lateConf)
	return t
}

// minima fills x and y with the lowest value of each window of the steady time.
func (f *leakFit) minima(good []at[*evidence.Sample], p *phase, value func(at[*evidence.Sample]) float64) {
	width := max((p.to-p.from)/leakWindows, 1)
	cur := int64(-1)
	for _, s := range good {
		if s.ns < p.from || s.ns > p.to {
			continue
		}
		v, i := value(s), (s.ns-p.from)/width
		if i != cur {
			cur = i
			f.x, f.y = append(f.x, seconds(s.ns-p.from)/3600), append(f.y, v)
		} else if last := len(f.y) - 1; v < f.y[last] {
			f.x[last], f.y[last] = seconds(s.ns-p.from)/3600, v
		}
	}
	f.points = len(f.x)
}

// harmless says why a trend is not a leak. ok is false if the growth is certain, large enough to matter, goes on in
// the second half, and is not given back in idle.
func (f *leakFit) harmless(allowed float64) (why string, ok bool) {
	switch {
	case !(f.lo > 0) || !(f.grown > allowed):
		return "", true
	case !(f.late.lo > 0), f.material && f.late.slope*f.hours/2 < lateShare*allowed:
		return "; it grew at first and then stopped", true
	case f.kept != nil && *f.kept < 0.5: // more than half is given back: a pool that shrinks is not a leak
		return "; idle gave it back", true
	}
	return "", false
}

// lateLeak says that the second half alone certainly grows at a speed that matters. A leak that the filling of a cache
// hides at first shows there.
func (f *leakFit) lateLeak(allowed float64) bool {
	return f.late.lo*f.hours > allowed && !(f.kept != nil && *f.kept < 0.5)
}

// atItsEnd is the fit with the trend of the second half in place of that of the whole window.
func (f *leakFit) atItsEnd() *leakFit {
	g := *f
	g.slope, g.lo, g.hi, g.grown = f.late.slope, f.late.lo, f.late.hi, f.late.slope*f.hours
	return &g
}

// slows says that growth certainly slows down, and still does within the second half. There the growth would be steady
// if a leak were beside a cache that has filled in the first half.
func (f *leakFit) slows() bool {
	return f.late.hi < fading*f.early.lo && f.last[1].hi < f.last[0].lo
}

// leakRule fails growth that is certain, large enough to matter, still goes on in the second half, is not given back
// in idle, and is not that of a cache whose bound the server declares.
func leakRule(r *run, c *testcases.Check) outcome {
	limit, err := r.value(c, r.c.Limits.LeakMBPerHour)
	if err != nil {
		return invalid("%v", err)
	}
	f := r.leak
	if f == nil {
		return invalid("memory was not observed under load (source: %s)", orElse(r.header.Target.Resources, "none"))
	}
	if f.points < fewestMinima {
		return invalid("only %s of memory in phase %s, %d are the least", plural(f.points, "window", "windows"),
			f.phase, fewestMinima)
	}
	// The largest of three bounds applies: in a short run the limit per hour is less than memory fluctuates by itself.
	allowed := math.Max(math.Max(limit*f.hours, r.c.Limits.LeakShare*f.start), allocatorMB)
	said := fmt.Sprintf("%s memory over %s s of phase %s, %s MB/h; the smallest trend this run could see is %s MB/h",
		f.what, num(f.hours*3600), f.phase, signed(f.slope), num(f.smallest))
	if why, ok := f.harmless(allowed); ok {
		return f.outcome(report.Pass, allowed, said+why)
	}
	said += f.explained()
	g := f
	if f.claim.explains() {
		g = f.rest
		switch why, ok := g.harmless(allowed); {
		case ok && !g.lateLeak(allowed):
			return g.outcome(report.Pass, allowed, said+why)
		case ok:
			g = g.atItsEnd()
			said += fmt.Sprintf("; what it does not explain grows by %s MB/h in the second half", signed(g.late.slope))
		}
	}
	why, short := g.tooShort()
	switch h, hoards := hoarders[r.dialect()]; {
	case g.kept == nil:
		return g.outcome(report.Invalid, allowed, said+"; it grows, and no idle phase shows whether it comes back")
	case g.queued:
		return g.outcome(report.Invalid, allowed,
			said+"; the server fell behind its load, and memory grows with what waits")
	case short:
		return g.outcome(report.Invalid, allowed, said+"; "+why)
	case g.slows():
		return g.outcome(report.Invalid, allowed,
			said+fmt.Sprintf("; it slows down, from %s MB/h in the first half to %s in the second, and the run is "+
				"too short to see it stop: take a longer phase",
				signed(g.early.slope), signed(g.late.slope)))
	case hoards && r.grownSinceStart(f.what) <= h.mostMB:
		return g.outcome(report.Invalid, allowed, said+"; "+h.why)
	}
	said += fmt.Sprintf("; after idle %s of the growth is still there", percent(*g.kept))
	if f.claim == nil {
		said += ", and the server declares no cache that would explain it"
	}
	return g.outcome(report.Fail, allowed, said)
}

// outcome is a verdict with the figures of this trend.
func (f *leakFit) outcome(verdict report.Verdict, allowed float64, reason string) outcome {
	return outcome{measured: ptr(f.grown), interval: band(f.lo*f.hours, f.hi*f.hours), op: "<=", target: ptr(allowed),
		unit: "MB", verdict: verdict, reason: reason}
}
