package judge

import (
	"context"
	"errors"
	"maps"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// Live judges a record while it is written: as it would be judged if the run ended now. It keeps what the rules read.
type Live struct {
	collector *collector
	now       int64            // the time of the newest event
	begun     map[string]int64 // when the first request of a phase was scheduled
	flying    int              // requests in flight, by the last sample
	most      map[string]int   // the most in flight, by phase
	phase     string           // of the newest request
}

// NewLive begins with no event.
func NewLive() *Live {
	return &Live{collector: newCollector(), begun: map[string]int64{}, most: map[string]int{}}
}

// Add takes the next event, which the caller must not change any more.
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

// Kept is how many events are in memory.
func (l *Live) Kept() int { return l.collector.n }

// Now judges what was added so far. Before the run has ended, a phase that is under way counts as if it ended now, and
// checks that cannot be judged yet are INVALID.
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

// Standing is how a record stands that is being written.
type Standing struct {
	Report *report.Report
	At     int64 // the time of its newest event
	Ended  bool  // the record has its end: the report has its verdict
}

// ErrTooLarge is matched by the error of Stand about a record of more events than the caller wants to have judged.
var ErrTooLarge = errors.New("the record is too large to be judged while it grows; the report will have the verdict")

// Stand judges a record that is being written from its file, as Live judges what it was given. Nothing of it stays in
// memory. It reads at most so many events, and stops reading when ctx ends.
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

// underWay is a phase that has not ended, as if it had.
func (l *Live) underWay(c *testcases.Case, plan testcases.Phase, ended int) *evidence.Phase {
	p := &evidence.Phase{ID: plan.ID, Kind: plan.Kind, Start: l.begun[plan.ID], End: l.now, SteadyTo: l.now,
		Planned: plan.Requests, Issued: ended, MaxInFlight: l.most[plan.ID]}
	p.SteadyFrom = min(p.Start+int64(plan.RampS*1e9), l.now)
	if plan.Kind == testcases.KindOpen {
		p.OfferedRPS = c.Rate(plan)
	}
	return p
}
