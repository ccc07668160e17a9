package judge

import (
	"fmt"
	"math"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

const (
	// settleS is how long a phase must be for growth to be a trend where no collector has shown: in a shorter one a
	// collector may not have come yet, and a heap takes what it takes while it settles.
	settleS = 60
)

// collections is how often a collector worked.
type collections struct {
	seen bool // there is one
	n    int  // in the phase
	// seconds between two cycles at least
	period float64
	how    string
}

// collected finds out how often the server's collector worked in the phase of a trend: as its runtime's metrics count
// it, or as falls of memory show it. One whose cycle is longer than the phase shows in none of it: the falls of other
// phases under load tell that there is one.
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
		loaded := q.plan.Kind == testcases.KindClosed || q.plan.Kind == testcases.KindOpen
		if q != p && loaded && q.ran != nil && teethOf(good, q, value, grown) > 0 {
			return collections{true, 0, window, "a collector worked in phase " + q.plan.ID + " and not in it"}
		}
	}
	return collections{}
}

// counted is how often a collector worked in a phase by the server's own metrics.
func (r *run) counted(p *phase) (n int, ok bool) {
	for _, s := range r.spans() {
		if s.phase == p {
			d, ok := s.delta(evidence.MetricCollections)
			return int(math.Max(d, 0)), ok
		}
	}
	return 0, false
}

// tooShort says why the phase is too short to tell a leak from what a collector has not come to yet, and how long it
// must be; ok is false where it is long enough.
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
