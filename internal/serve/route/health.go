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
	Starting State = "starting" // it gets a growing share of its weight
	Trial    State = "trial"    // after an ejection: one request at a time, until one is served
	Paused   State = "paused"   // it asked to be left alone for a while
	Ejected  State = "ejected"  // its answers failed
	Down     State = "down"     // its health check failed, or it is new and none has succeeded
	Draining State = "draining" // it finishes what it has
)

// Limits of a replica's failures. Three in a row are not an accident, and neither is half of the last twenty. A
// refused connection says for certain that nobody is there. The wait doubles from 1 s, so that a replica that
// restarts is back soon and one that is gone costs little.
const (
	failuresToEject = 3
	window          = 20
	firstEjection   = time.Second
	lastEjection    = 30 * time.Second
	forgiven        = 2 * lastEjection // without an ejection for so long, the next one is the first again
	lateToFail      = 2                // health checks in a row without an answer: a busy server may miss one
)

// leastRamp is the share of its weight with which a replica begins: it must get requests to become warm.
const leastRamp = 0.1

// Outcome says how a try of a request ended, as far as the replica is to blame.
type Outcome int

// The outcomes of a try.
const (
	Served  Outcome = iota // answered, whatever it said
	Broken                 // no answer, the answer of a broken server, a stream that broke off
	Refused                // no connection: nobody is there
	Busy                   // it asked for a pause
	Ignored                // says nothing about the replica: the client left
)

// Health is what a health check says.
type Health int

// The results of a health check.
const (
	Healthy   Health = iota
	Unhealthy        // it says that it is not ready, or nobody is there
	Late             // no answer in time
)

// Replica is a server of a Pool. Its state is the pool's.
type Replica struct {
	member      Member
	id          uint64 // of its name
	models      []string
	outstanding int
	sent        int64 // tries, since it was added
	failed      int64 // of these

	gone bool // no member any more: it finishes what it has
	down bool
	late int // checks in a row

	failures  int       // tries in a row
	recent    uint32    // the last tries, a bit each: 1 failed
	known     int       // how many of these bits count
	ejections int       // the next wait doubles with each
	ejected   time.Time // the last time
	until     time.Time // not before
	trial     bool      // ejected; it has to serve one request first
	trying    int       // requests that it was given for that
	since     time.Time // when it began to be used again, for slow start; zero: long ago
}

// Name is that of the replica's Member.
func (r *Replica) Name() string { return r.member.Name }

// draining says that the replica was taken out on purpose.
func (r *Replica) draining() bool { return r.gone || r.member.Drain }

// usable says that a replica may get a request now.
func (r *Replica) usable(now time.Time) bool {
	return !r.down && !r.draining() && !now.Before(r.until) && !(r.trial && r.trying > 0)
}

// state says how the replica stands.
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

// ramp is the share of its weight that a replica has while it starts: it grows evenly over slow.
func (r *Replica) ramp(now time.Time, slow time.Duration) float64 {
	if r.since.IsZero() || slow <= 0 {
		return 1
	}
	return min(max(float64(now.Sub(r.since))/float64(slow), leastRamp), 1)
}

// note takes in how a try ended. probe says that it was one of those that end a trial.
func (r *Replica) note(now time.Time, o Outcome, probe bool, pause time.Duration) {
	if o == Broken || o == Refused {
		r.failed++
	}
	if r.trial && !probe { // begun before the ejection: nothing new
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

// remember keeps how a try ended.
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

// eject leaves a replica out for a while.
func (r *Replica) eject(now time.Time) {
	if !r.ejected.IsZero() && now.Sub(r.ejected) > forgiven {
		r.ejections = 0
	}
	wait := min(firstEjection<<min(r.ejections, 10), lastEjection)
	r.ejections++
	r.ejected, r.until, r.trial = now, later(r.until, now.Add(wait)), true
	r.failures, r.recent, r.known = 0, 0, 0
}

// check takes in a health check. One that succeeds after others failed ends an ejection, too.
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
