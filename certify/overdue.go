package certify

import (
	"errors"
	"math"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// errOverdue ends a run that takes longer than its plan can last. Requests and questions have limits of their own, so
// this only happens when those do not work; it keeps such a mistake from holding the run for ever.
var errOverdue = errors.New("the run took longer than its plan can last")

const (
	// grace is what a run may take beyond the longest that its plan can last: time for scrapes and conditions between
	// phases.
	grace = 2 * time.Minute

	// auditRequests bounds the requests of one round of audits.
	auditRequests = 40

	// silentRow ends a phase of quality or audits in which so many requests in a row timed out: a request of theirs
	// may take minutes, and the next ones would tell nothing new.
	silentRow = 3
)

// longest is how long the run's phases can last at most: each request may take its timeout. 0: there is no bound,
// since a phase has conversations, which go on as the server answers.
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

// hear counts timeouts in a row, of the phases whose requests may take minutes.
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

// hushed says that the server does not answer any more.
func (p *phaseRun) hushed() bool { return p.silent >= silentRow*p.atOnce() }

func (p *phaseRun) atOnce() int {
	if p.ph.Kind == testcases.KindAudit {
		return 1
	}
	return max(p.r.plan.c.InFlight(p.ph), 1)
}
