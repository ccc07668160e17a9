package certify

import (
	"time"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// Kind says what an Event reports.
type Kind string

// Kinds of Event, in the order in which they come.
const (
	EventPlan      Kind = "plan"      // what will be done: Text holds the arithmetic, Expected the time it takes
	EventCondition Kind = "condition" // a precondition was checked: Text, OK
	EventStart     Kind = "start"     // a phase begins: Phase, Expected
	EventProgress  Kind = "progress"  // at most ten a second: Done of Planned, Summary
	EventEnd       Kind = "end"       // a phase has ended: Text says how
	EventNote      Kind = "note"      // something that a person should know
	EventReport    Kind = "report"    // the report is written: Text is its path
)

// Event is what a run tells whoever watches it.
type Event struct {
	Kind     Kind
	At       time.Duration   // since the run's start
	Phase    testcases.Phase // of EventStart, EventProgress, EventEnd
	Index    int             // of the phase, from 1
	Phases   int             // how many there are
	Done     int             // requests that have ended
	Planned  int             // requests at least; 0: not known
	Failed   int
	InFlight int
	Elapsed  time.Duration // of the phase
	Expected time.Duration // of the phase, at least
	OK       bool
	Text     string
	Summary  Summary // so far
}

// tell hands an event to the caller. Run calls it from one goroutine at a time.
func (r *runner) tell(e Event) {
	if r.o.Progress == nil {
		return
	}
	e.At, e.Phases = time.Since(r.epoch), len(r.phases)
	r.telling.Lock()
	defer r.telling.Unlock()
	r.o.Progress(e)
}
