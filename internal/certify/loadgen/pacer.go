package loadgen

import (
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// After a refused connection, a slot of a closed loop waits for backoff. A server counts as lost after lostAfter and
// lostCount refusals in a row: a crashed server can restart within that time, and a wrong address never answers.
const (
	backoff   = 200 * time.Millisecond // closed loop only, which would otherwise spin
	lostAfter = 10 * time.Second
	lostCount = 20
)

// verb is a decision of a pacer.
type verb uint8

const (
	issue verb = iota // send request n now; it was due at due
	wait              // call next again at due
	hold              // call next again when a request has ended
	stop              // nothing more to send
)

type decision struct {
	do  verb
	n   int
	due time.Duration
	// the turn to send; nil: the next request from Make
	follow *follow
}

// pacer runs one plan as a state machine: its input is events and the time, its output decisions. Times count from the
// record's epoch.
type pacer struct {
	plan  *Plan
	start time.Duration

	issued   int
	inFlight int
	most     int
	capHit   bool
	cut      testcases.CutReason
	stopped  time.Duration // when sending ended; valid if ended is set
	ended    bool

	free    []time.Duration // closed: since when each free slot can send
	cooling []time.Duration // closed: when each waiting slot can send; sorted

	later    later // turns of conversations that are not sent yet
	followed int   // number of such turns among issued

	refused   int // refusals in a row
	refusedAt time.Duration
}

func newPacer(p *Plan, start time.Duration) *pacer {
	m := &pacer{plan: p, start: start}
	if m.closedLoop() {
		m.free = make([]time.Duration, p.Concurrency)
		for i := range m.free {
			m.free[i] = start
		}
	}
	return m
}

func (m *pacer) closedLoop() bool {
	return m.plan.Kind != testcases.KindOpen && m.plan.Kind != testcases.KindBatch
}

// planned is the number of requests that the plan asks for.
func (m *pacer) planned() int {
	switch m.plan.Kind {
	case testcases.KindOpen:
		return len(m.plan.Offsets) + m.followed
	case testcases.KindBatch:
		return m.plan.Requests + m.followed
	}
	return max(m.plan.Requests, m.issued) // a closed loop's duration may ask for more than its count
}

// next decides what to do at time now.
func (m *pacer) next(now time.Duration) decision {
	switch {
	case m.ended:
		return decision{do: stop}
	case now < m.start:
		return decision{do: wait, due: m.start}
	case m.enough(now):
		return m.end(now, "")
	case m.plan.MaxDuration > 0 && now >= m.start+m.plan.MaxDuration:
		return m.end(now, testcases.CutMaxTime)
	case m.lost(now):
		return m.end(now, testcases.CutTargetLost)
	case m.closedLoop():
		return m.nextClosed(now)
	}
	return m.nextOpen(now)
}

func (m *pacer) enough(now time.Duration) bool {
	if !m.closedLoop() {
		return m.issued == m.planned() && !m.talking()
	}
	return m.issued >= m.plan.Requests && now >= m.start+m.plan.MinDuration
}

func (m *pacer) lost(now time.Duration) bool {
	return m.refused >= lostCount && now >= m.refusedAt+lostAfter
}

func (m *pacer) end(now time.Duration, cut testcases.CutReason) decision {
	m.ended, m.stopped, m.cut = true, now, cut
	return decision{do: stop}
}

// nextOpen follows the schedule, whatever the server does. A late arrival is sent at once, and keeps its scheduled
// time.
func (m *pacer) nextOpen(now time.Duration) decision {
	f := m.later.first()
	due, fresh := m.fresh()
	if !fresh && f == nil {
		return decision{do: hold} // until a conversation continues or ends
	}
	if f != nil && (!fresh || f.due <= due) {
		due = f.due
	} else {
		f = nil
	}
	if now < due {
		return decision{do: wait, due: due}
	}
	if m.plan.Cap > 0 && m.inFlight >= m.plan.Cap {
		m.capHit = true
		return decision{do: hold}
	}
	if f != nil {
		return m.goOn()
	}
	return m.issue(due)
}

// nextClosed sends a request for a free slot. The request was due when the slot became free.
func (m *pacer) nextClosed(now time.Duration) decision {
	for len(m.cooling) > 0 && m.cooling[0] <= now {
		m.free = append(m.free, m.cooling[0])
		m.cooling = m.cooling[1:]
	}
	f := m.later.first()
	if f != nil && f.due <= now {
		return m.goOn()
	}
	if len(m.free) > 0 {
		due := m.free[0]
		m.free = m.free[1:]
		return m.issue(due)
	}
	if f != nil && (len(m.cooling) == 0 || f.due < m.cooling[0]) {
		return decision{do: wait, due: f.due}
	}
	if len(m.cooling) > 0 {
		return decision{do: wait, due: m.cooling[0]}
	}
	return decision{do: hold}
}

func (m *pacer) issue(due time.Duration) decision {
	d := decision{do: issue, n: m.issued, due: due}
	m.issued++
	m.inFlight++
	m.most = max(m.most, m.inFlight)
	return d
}

// done tells the pacer that a request has ended. class is "" if it was answered, and next is the turn that follows it,
// or nil.
func (m *pacer) done(now time.Duration, class evidence.Failure, next *follow) {
	m.inFlight--
	if class != evidence.FailConnect {
		m.refused = 0
	} else if m.refused++; m.refused == 1 {
		m.refusedAt = now
	}
	switch {
	case next != nil:
		m.later.push(next)
	case !m.closedLoop():
	case class == evidence.FailConnect:
		m.cooling = append(m.cooling, now+backoff)
	default:
		m.free = append(m.free, now)
	}
}

// interrupt stops the plan before it is complete.
func (m *pacer) interrupt(now time.Duration) {
	if !m.ended {
		m.end(now, testcases.CutInterrupted)
	}
}

// phase is the record of the plan. end is when its last request had ended.
func (m *pacer) phase(end time.Duration) evidence.Phase {
	p := evidence.Phase{
		ID: m.plan.ID, Kind: m.plan.Kind, Start: int64(m.start), End: int64(end), Planned: m.planned(),
		Issued:      m.issued,
		MaxInFlight: m.most, CapHit: m.capHit, CutShort: m.cut,
	}
	to := m.stopped
	switch m.plan.Kind {
	case testcases.KindOpen:
		last := m.plan.Offsets[len(m.plan.Offsets)-1]
		if m.cut == "" {
			to = m.start + last
		}
		if span := max(last, m.plan.MinDuration).Seconds(); span > 0 {
			p.OfferedRPS = float64(len(m.plan.Offsets)) / span
		}
	case testcases.KindBatch:
		to = end
	}
	p.SteadyTo = int64(to)
	p.SteadyFrom = min(int64(m.start+m.plan.Ramp), p.SteadyTo)
	return p
}
