package route

import (
	"math/bits"
	"time"
)

// State says whether a replica gets requests, and if not, why.
type State string

// The states of a replica.
const (
	Up       State = "up"
	Starting State = "starting" // its share of requests grows to its weight
	Trial    State = "trial"    // after an ejection: it gets one request at a time, until it serves one
	Paused   State = "paused"   // it asked for a pause
	Ejected  State = "ejected"  // too many of its answers failed
	Down     State = "down"     // its health check failed, or it is new and no check has succeeded yet
	Draining State = "draining" // it finishes its requests and gets no new ones
)

// Limits of a replica's failures. Three in a row are not an accident, and neither is half of the last twenty. A
// refused connection means for certain that nobody listens there. The wait doubles from 1 s on: a replica that
// restarts is back soon, and one that is gone costs little.
const (
	failuresToEject = 3
	window          = 20
	firstEjection   = time.Second
	lastEjection    = 30 * time.Second
	forgiven        = 2 * lastEjection // after this time without an ejection, the next one counts as the first
	lateToFail      = 2                // health checks in a row without an answer: a busy server may be late once
)

// leastRamp is the share of its weight with which a replica begins: it needs some requests to become warm.
const leastRamp = 0.1

// Outcome says how a try of a request ended, as far as it tells something about the replica.
type Outcome int

// The outcomes of a try.
const (
	Served  Outcome = iota // answered, with any content
	Broken                 // no answer, a server error, or a stream that broke off
	Refused                // no connection: nobody listens there
	Busy                   // it asked for a pause
	Ignored                // says nothing about the replica: the client left
)

// Health is what a health check says.
type Health int

// The results of a health check.
const (
	Healthy   Health = iota
	Unhealthy        // it says that it is not ready, or nobody listens there
	Late             // no answer in time
)

// Replica is a server of a Pool. The pool keeps its state.
type Replica struct {
	member      Member
	id          uint64 // hash of its name
	models      []string
	outstanding int
	sent        int64 // tries, since it was added
	failed      int64 // of these

	gone bool // it was removed and finishes its requests
	down bool
	late int // late checks in a row

	failures  int       // failed tries in a row
	recent    uint32    // the last tries, one bit each: 1 failed
	known     int       // how many of these bits are used
	ejections int       // the wait doubles with each
	ejected   time.Time // time of the last ejection
	until     time.Time // no requests before this time
	trial     bool      // ejected; it has to serve one request first
	trying    int       // requests under way that it was given for this
	since     time.Time // when it came into use again, for slow start; zero: long ago
}

// Name is the name of the replica's Member.
func (r *Replica) Name() string { return r.member.Name }

// draining says that the replica was taken out on purpose.
func (r *Replica) draining() bool { return r.gone || r.member.Drain }

// usable says that a replica may get a request now.
func (r *Replica) usable(now time.Time) bool {
	return !r.down && !r.draining() && !now.Before(r.until) && !(r.trial && r.trying > 0)
}

// state returns the replica's state.
func (r *Replica) state(now time.Time, slow time.Duration) State {
	switch {
	case r.draining():
		return Draining
	case r.down:
		return Down
	case now.Before(r.until) && r.trial:
		return Ejected
	case now.Before(r.until):
		return Paused
	case r.trial:
		return Trial
	case r.ramp(now, slow) < 1:
		return Starting
	}
	return Up
}

// ramp is the share of its weight that a replica has during its slow start: it grows linearly over the time slow.
func (r *Replica) ramp(now time.Time, slow time.Duration) float64 {
	if r.since.IsZero() || slow <= 0 {
		return 1
	}
	return min(max(float64(now.Sub(r.since))/float64(slow), leastRamp), 1)
}

// note records how a try ended. probe says that the try was one of those that end a trial.
func (r *Replica) note(now time.Time, o Outcome, probe bool, pause time.Duration) {
	if o == Broken || o == Refused {
		r.failed++
	}
	if r.trial && !probe { // it began before the ejection, so it tells nothing new
		return
	}
	switch o {
	case Served:
		r.failures = 0
		r.remember(0)
		r.pass(now)
	case Busy:
		r.failures = 0
		r.pass(now)
		r.until = later(r.until, now.Add(pause))
	case Broken:
		r.failures++
		r.remember(1)
		half := r.known == window && bits.OnesCount32(r.recent) >= window/2
		if r.trial || half || r.failures >= failuresToEject {
			r.eject(now)
		}
	case Refused:
		r.eject(now)
	}
}

// remember keeps the result of a try.
func (r *Replica) remember(failed uint32) {
	r.recent = (r.recent<<1 | failed) & (1<<window - 1)
	r.known = min(r.known+1, window)
}

// pass ends a trial.
func (r *Replica) pass(now time.Time) {
	if r.trial {
		r.trial, r.until, r.since = false, time.Time{}, now
	}
}

// eject takes a replica out of use for a while.
func (r *Replica) eject(now time.Time) {
	if !r.ejected.IsZero() && now.Sub(r.ejected) > forgiven {
		r.ejections = 0
	}
	wait := min(firstEjection<<min(r.ejections, 10), lastEjection)
	r.ejections++
	r.ejected, r.until, r.trial = now, later(r.until, now.Add(wait)), true
	r.failures, r.recent, r.known = 0, 0, 0
}

// check records a health check. One that succeeds after others failed also ends an ejection.
func (r *Replica) check(now time.Time, h Health) {
	switch h {
	case Healthy:
		if r.down {
			r.down, r.trial, r.until, r.since = false, false, time.Time{}, now
			r.failures, r.recent, r.known, r.ejections = 0, 0, 0, 0
		}
		r.late = 0
	case Unhealthy:
		r.down = true
	case Late:
		if r.late++; r.late >= lateToFail {
			r.down = true
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
