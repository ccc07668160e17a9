package certify

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// Kind is the kind of an Event.
type Kind string

// Kinds of Event, in the order in which they come.
const (
	EventPlan      Kind = "plan"      // before the run: Text explains the plan, Expected is the time that it takes
	EventRecord    Kind = "record"    // the record has begun: Text is the path that it will have at the end
	EventCondition Kind = "condition" // a precondition was checked: Text, OK
	EventStart     Kind = "start"     // a phase begins: Phase, Expected
	EventProgress  Kind = "progress"  // at most ten per second: Done of Planned, Summary
	EventEnd       Kind = "end"       // a phase has ended: Text summarizes it
	EventNote      Kind = "note"      // Text is something that the user should know
	EventReport    Kind = "report"    // the report has been written: Text is its path
)

// Event is what a run reports to Options.Progress.
type Event struct {
	Kind     Kind
	At       time.Duration   // since the run's start
	Phase    testcases.Phase // of EventStart, EventProgress, EventEnd
	Index    int             // of the phase, from 1
	Phases   int             // the number of phases
	Done     int             // requests that have ended
	Planned  int             // the least number of requests; 0: not known
	Failed   int
	InFlight int
	Elapsed  time.Duration // of the phase
	Expected time.Duration // the least time of the phase
	OK       bool
	Text     string
	Summary  Summary // of the run so far
}

// progress is the current state of a run: the parts of a run share it, and it reports events to the caller.
type progress struct {
	told    func(Event) // Options.Progress; nil: events are not reported
	monitor *Monitor
	record  *record // for its clock
	phases  int

	inFlight atomic.Int64 // requests in flight
	current  atomic.Pointer[testcases.Phase]
	telling  sync.Mutex
}

func newProgress(p *plan, r *record) *progress {
	return &progress{told: p.o.Progress, monitor: p.o.Monitor, record: r, phases: len(p.phases)}
}

// tell reports an event to the caller, from one goroutine at a time.
func (p *progress) tell(e Event) {
	if p.told == nil {
		return
	}
	e.At, e.Phases = time.Duration(p.record.since()), p.phases
	p.telling.Lock()
	defer p.telling.Unlock()
	p.told(e)
}

// note reports something that the user should know.
func (p *progress) note(text string) { p.tell(Event{Kind: EventNote, Text: text}) }

// noteSlow reports the text if something takes longer than a time. stop ends this, and the note does not come after
// it. The clock of the record must not be set meanwhile.
func (p *progress) noteSlow(after time.Duration, text string) (stop func()) {
	done := make(chan struct{})
	var told sync.WaitGroup
	told.Go(func() {
		select {
		case <-done:
		case <-time.After(after):
			p.note(text)
		}
	})
	return func() { close(done); told.Wait() }
}

// during names the current phase, for the end of a sentence.
func (p *progress) during() string {
	if ph := p.current.Load(); ph != nil {
		return " during phase " + ph.ID
	}
	return ""
}
