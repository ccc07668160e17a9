package certify

import (
	"errors"
	"math"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// errOverdue ends a run that takes longer than its plan can last. All requests have timeouts, so this happens only if
// a timeout does not work. Without this limit, such a defect would keep the run from ending.
var errOverdue = errors.New("the run took longer than its plan can last")

const (
	// grace is added to the longest time of a plan, for scrapes and preconditions between phases.
	grace = 2 * time.Minute

	// auditRequests is more than the requests of one round of audits.
	auditRequests = 40

	// A phase of quality or audits ends after silentRow timeouts in a row, for each request in flight. A request of
	// such a phase may take minutes, and more timeouts would show nothing new.
	silentRow = 3
)

// longest is the longest time that the run's phases can last, if each request takes its timeout. 0: there is no limit,
// because a phase has conversations, whose length depends on the server.
func (p *plan) longest() (d time.Duration) {
	for _, ph := range p.phases {
		if ph.Traffic != nil && ph.Traffic.Turns != nil && ph.MaxS == 0 {
			return 0
		}
		d += p.longestPhase(ph)
	}
	return d + grace
}

func (p *plan) longestPhase(ph testcases.Phase) time.Duration {
	timeout := seconds(p.c.Timeout(ph))
	rounds := func(requests, atOnce int) time.Duration {
		return time.Duration(math.Ceil(float64(max(requests, 1))/float64(max(atOnce, 1)))) * timeout
	}
	switch ph.Kind {
	case testcases.KindIdle:
		return seconds(ph.DurationS)
	case testcases.KindAudit:
		return rounds(auditRequests*max(1, ph.Requests), 1)
	case testcases.KindBatch:
		return timeout
	case testcases.KindWarmup:
		return seconds(max(ph.MaxS, ph.DurationS, maxWarmS)) + 2*timeout
	case testcases.KindOpen:
		n := int(p.expected(ph).Seconds()*p.c.Rate(ph)*2) + ph.Requests
		return p.expected(ph) + timeout + rounds(n, p.c.Limits.MaxInFlight)
	}
	if ph.MaxS > 0 {
		return seconds(ph.MaxS) + timeout
	}
	n := ph.Requests
	if ph.Kind == testcases.KindQuality && n == 0 {
		n = len(p.loaded.Prompts.Prompts)
	}
	return seconds(ph.DurationS) + rounds(n, p.c.InFlight(ph)) + timeout
}

// hear counts the timeouts in a row in phases whose requests may take minutes, and ends the phase after too many.
func (p *phaseRun) hear(q evidence.Request) {
	switch {
	case q.Fail != evidence.FailTimeout:
		p.silent = 0
	case p.ph.Kind == testcases.KindQuality || p.ph.Kind == testcases.KindAudit:
		if p.silent++; p.silent >= silentRow*p.atOnce() && p.hush != nil {
			p.hush()
		}
	}
}

// hushed says whether the phase had too many timeouts in a row.
func (p *phaseRun) hushed() bool { return p.silent >= silentRow*p.atOnce() }

func (p *phaseRun) atOnce() int {
	if p.ph.Kind == testcases.KindAudit {
		return 1
	}
	return max(p.r.plan.c.InFlight(p.ph), 1)
}
