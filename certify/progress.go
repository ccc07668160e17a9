package certify

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// Kind says what an Event reports.
type Kind string

// Kinds of Event, in the order in which they come.
const (
	EventPlan      Kind = "plan"      // what will be done: Text holds the arithmetic, Expected the time it takes
	EventRecord    Kind = "record"    // the record of events has begun: Text is its path when the run has ended
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

// progress is how far a run has come: what the parts of a run need to know of the load, and who is told.
type progress struct {
	told    func(Event) // nil: nobody
	monitor *Monitor
	record  *record // has the clock
	phases  int

	inFlight atomic.Int64 // requests
	current  atomic.Pointer[testcases.Phase]
	telling  sync.Mutex
}

func newProgress(p *plan, r *record) *progress {
	return &progress{told: p.o.Progress, monitor: p.o.Monitor, record: r, phases: len(p.phases)}
}

// tell hands an event to the caller, from one goroutine at a time.
func (p *progress) tell(e Event) {
	if p.told == nil {
		return
	}
	e.At, e.Phases = time.Duration(p.record.since()), p.phases
	p.telling.Lock()
	defer p.telling.Unlock()
	p.told(e)
}

// note tells something that a person should know.
func (p *progress) note(text string) { p.tell(Event{Kind: EventNote, Text: text}) }

// during names the phase that runs now, for the end of a sentence.
func (p *progress) during() string {
	if ph := p.current.Load(); ph != nil {
		return " during phase " + ph.ID
	}
	return ""
}
