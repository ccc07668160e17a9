package upstream

import (
	"time"
)

// Limits of a replica's failures. Three in a row are no accident; the wait doubles from 1 s, so that a replica that
// restarts is back soon and one that is gone costs little.
const (
	failuresToEject = 3
	firstEjection   = time.Second
	lastEjection    = 30 * time.Second
)

// replica is one upstream server as the pool sees it.
type replica struct {
	url         string
	outstanding int
	failures    int       // in a row
	ejections   int       // in a row; the next wait doubles with each
	until       time.Time // not before; a replica that asked for a pause, or is ejected
	unhealthy   bool      // its last health check failed
	failed      int64     // tries, since start
}

// pool decides which replica gets the next request: a pure state machine, whose events are begin, end and health.
type pool struct {
	replicas []replica
	turn     int // ties go round
}

func newPool(urls []string) *pool {
	p := &pool{}
	for _, u := range urls {
		p.replicas = append(p.replicas, replica{url: u})
	}
	return p
}

// usable says that a replica may get a request now.
func (r *replica) usable(now time.Time) bool { return !r.unhealthy && !now.Before(r.until) }

// begin picks the replica with the least outstanding requests among those that may be used and were not tried before.
// Where none may be used, the one that comes back first is tried all the same: it may be back already, and refusing
// would surely fail. It gives −1 if all were tried.
func (p *pool) begin(now time.Time, tried []bool) int {
	best := -1
	for k := range p.replicas {
		i := (p.turn + k) % len(p.replicas)
		if tried[i] {
			continue
		}
		if best < 0 || p.better(now, i, best) {
			best = i
		}
	}
	if best >= 0 {
		p.turn = (best + 1) % len(p.replicas)
		p.replicas[best].outstanding++
	}
	return best
}

// better says that replica i should be preferred to j.
func (p *pool) better(now time.Time, i, j int) bool {
	a, b := &p.replicas[i], &p.replicas[j]
	switch ua, ub := a.usable(now), b.usable(now); {
	case ua != ub:
		return ua
	case ua:
		return a.outstanding < b.outstanding
	case a.unhealthy != b.unhealthy:
		return b.unhealthy
	}
	return a.until.Before(b.until)
}

// outcome of a request, as far as the replica is to blame.
type outcome int

const (
	served  outcome = iota // answered, whatever it said
	broken                 // no connection, no answer, 5xx of a gateway, a stream that broke off
	busy                   // asked for a pause
	ignored                // says nothing about the replica: the client went away
)

// end records how a request ended. pause is how long a busy replica asked to be left alone.
func (p *pool) end(now time.Time, i int, o outcome, pause time.Duration) {
	r := &p.replicas[i]
	r.outstanding--
	switch o {
	case served:
		r.failures, r.ejections = 0, 0
	case busy:
		r.failures = 0
		r.until = later(r.until, now.Add(pause))
	case broken:
		r.failed++
		if r.failures++; r.failures >= failuresToEject {
			r.failures = 0
			wait := min(firstEjection<<min(r.ejections, 10), lastEjection)
			r.ejections++
			r.until = later(r.until, now.Add(wait))
		}
	}
}

// health records a health check. One that succeeds also ends an ejection.
func (p *pool) health(i int, ok bool) {
	r := &p.replicas[i]
	if ok && r.unhealthy {
		r.failures, r.ejections, r.until = 0, 0, time.Time{}
	}
	r.unhealthy = !ok
}

// status counts replicas that may be used, and requests under way.
func (p *pool) status(now time.Time) (usable, outstanding int) {
	for i := range p.replicas {
		if p.replicas[i].usable(now) {
			usable++
		}
		outstanding += p.replicas[i].outstanding
	}
	return usable, outstanding
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
