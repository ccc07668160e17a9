package judge

import (
	"fmt"
	"math"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

const (
	// settleS is how many seconds a phase must last before growth counts as a trend if no garbage collection was seen.
	// In a shorter phase a collection may not have been due yet, and a new heap still grows to its working size.
	settleS = 60
)

// collections says how often a garbage collector ran.
type collections struct {
	seen bool // there is a collector
	n    int  // cycles in the phase
	// the least time between two cycles, in seconds
	period float64
	how    string
}

// collected finds out how often the server's garbage collector ran in the phase of a trend, from the metrics of its
// runtime or else from falls of memory. A collector whose cycle is longer than the phase does not show in it, so the
// falls in other phases under load show that there is one.
func (r *run) collected(p *phase, good []at[*evidence.Sample], value func(at[*evidence.Sample]) float64,
	grown float64) collections {
	window := p.window()
	if n, ok := r.counted(p); ok {
		return collections{true, n, window / float64(max(n, 1)), fmt.Sprintf("its runtime counts %s in it",
			plural(n, "collection", "collections"))}
	}
	if n := teethOf(good, p, value, grown); n > 0 {
		return collections{true, n, window / float64(n), fmt.Sprintf("a collector worked %s in it",
			plural(n, "time", "times"))}
	}
	for _, q := range r.phases {
		loaded := q.plan.Kind.Loop()
		if q != p && loaded && q.ran != nil && teethOf(good, q, value, grown) > 0 {
			return collections{true, 0, window, "a collector worked in phase " + q.plan.ID + " and not in it"}
		}
	}
	return collections{}
}

// counted is how often a collector ran in a phase by the server's own metrics. ok is false if the server does not
// count it.
func (r *run) counted(p *phase) (n int, ok bool) {
	for _, s := range r.spans() {
		if s.phase == p {
			d, ok := s.delta(evidence.MetricCollections)
			return int(math.Max(d, 0)), ok
		}
	}
	return 0, false
}

// tooShort says why the phase is too short to tell a leak from garbage that was not collected yet, and how long it
// must be. ok is false if the phase is long enough.
func (f *leakFit) tooShort() (why string, ok bool) {
	length := f.hours * 3600
	switch c := f.collected; {
	case !f.material:
	case c.seen && c.n < fewestTeeth:
		return fmt.Sprintf("%s, and what lies between its cycles is not a trend: the phase must last %s s or longer",
			c.how, num(math.Ceil(fewestTeeth*c.period))), true
	case !c.seen && !f.idles && length < settleS:
		return fmt.Sprintf("it grows with the requests, and no collector has worked in it that would tell whether "+
			"they leave garbage or leak: the phase must last %d s or longer", settleS), true
	}
	return "", false
}
