package judge

import (
	"context"
	"errors"
	"maps"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// Live judges a record while it is written, as if the run ended now. It keeps in memory what the rules read. It must
// not be used by several goroutines at once.
type Live struct {
	collector *collector
	now       int64            // the time of the newest event
	begun     map[string]int64 // when the first request of each phase was scheduled
	flying    int              // requests in flight, by the last sample
	most      map[string]int   // the most in flight, by phase
	phase     string           // of the newest request
}

// NewLive returns a Live without events.
func NewLive() *Live {
	return &Live{collector: newCollector(), begun: map[string]int64{}, most: map[string]int{}}
}

// Add adds the next event. It clears texts of a request that no check reads, and the caller must not change the event
// afterwards. Its errors match ErrEvidence.
func (l *Live) Add(e *evidence.Event) error {
	l.now = max(l.now, e.At)
	switch {
	case e.Request != nil:
		q := e.Request
		q.Text, q.Thought, q.TextHash = "", "", "" // no check reads them
		if from, ok := l.begun[q.Phase]; !ok || q.Scheduled < from {
			l.begun[q.Phase] = q.Scheduled
		}
		l.phase, l.now = q.Phase, max(l.now, q.Done)
	case e.Sample != nil:
		l.flying = e.Sample.Load
		l.most[l.phase] = max(l.most[l.phase], e.Sample.Load)
	}
	return l.collector.add(e)
}

// Kept is the number of events added.
func (l *Live) Kept() int { return l.collector.n }

// Now judges the events added so far. Before the run has ended, a phase that is under way counts as if it ended now,
// and checks that cannot be judged yet are INVALID. It fails without a header; see ErrEvidence.
func (l *Live) Now() (*report.Report, report.Series, error) {
	c := *l.collector
	r := *c.r
	c.r, c.ran = &r, maps.Clone(c.ran)
	r.goesOn = r.end == nil
	if r.header != nil && r.header.Case != nil && r.end == nil {
		for _, plan := range r.header.Case.Profiles[r.header.Profile] {
			if c.ran[plan.ID] == nil && len(c.requests[plan.ID]) > 0 {
				c.ran[plan.ID] = l.underWay(r.header.Case, plan, len(c.requests[plan.ID]))
			}
		}
	}
	done, err := c.run()
	if err != nil {
		return nil, report.Series{}, err
	}
	rep, err := done.derive(c.n, "")
	if err != nil {
		return nil, report.Series{}, err
	}
	return rep, done.series(), nil
}

// Standing is the state of a record that is being written.
type Standing struct {
	Report *report.Report
	At     int64 // the time of its newest event, in nanoseconds since the start
	Ended  bool  // the record is complete, so the verdict of Report is final
}

// ErrTooLarge is the error of Stand for a record with more events than the caller allows.
var ErrTooLarge = errors.New("the record is too large to be judged while it grows; the report will have the verdict")

// Stand reads a record that is being written from its file, and judges it as Live does. It keeps nothing in memory
// afterwards. It reads at most most events, and stops reading when ctx ends.
func Stand(ctx context.Context, path string, most int) (Standing, error) {
	l := NewLive()
	_, err := evidence.ScanFile(path, func(e *evidence.Event) error {
		if l.Kept() >= most {
			return ErrTooLarge
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return l.Add(e)
	})
	if err != nil {
		return Standing{}, err
	}
	ended := l.collector.r.end != nil
	rep, _, err := l.Now()
	return Standing{rep, l.now, ended}, err
}

// underWay is the record of a phase that has not ended, as if it ended now.
func (l *Live) underWay(c *testcases.Case, plan testcases.Phase, ended int) *evidence.Phase {
	p := &evidence.Phase{ID: plan.ID, Kind: plan.Kind, Start: l.begun[plan.ID], End: l.now, SteadyTo: l.now,
		Planned: plan.Requests, Issued: ended, MaxInFlight: l.most[plan.ID]}
	p.SteadyFrom = min(p.Start+int64(plan.RampS*1e9), l.now)
	if plan.Kind == testcases.KindOpen {
		p.OfferedRPS = c.Rate(plan)
	}
	return p
}
