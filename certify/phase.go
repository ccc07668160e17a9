package certify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/knee"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/testcases"
)

const (
	tellEvery = 100 * time.Millisecond // between two reports of progress

	// warmRound is how many requests a warm-up adds while it has not settled. maxWarmS limits it, in seconds, if the
	// case does not.
	warmRound = 25
	maxWarmS  = 120

	// A warm-up ends after hopelessWarm failed requests without an answer: more requests would show nothing new.
	hopelessWarm = 20
)

// errUnanswered ends a run whose warm-up had no answer, because later phases would measure nothing.
var errUnanswered = errors.New("no answer to the warm-up")

// phase runs one phase between two scrapes of the metrics, and then scores the texts that it kept.
func (r *runner) phase(ctx context.Context, index int, ph testcases.Phase) {
	r.progress.current.Store(&ph)
	if ph.Kind != testcases.KindSweep { // each of its steps reports its own start
		r.progress.tell(Event{Kind: EventStart, Phase: ph, Index: index + 1, Planned: ph.Requests,
			Expected: r.plan.expected(ph)})
	}
	r.metrics.before(ctx, ph.ID)
	run := &phaseRun{r: r, ph: ph, index: index, begun: time.Now()}
	var rec evidence.Phase
	switch ph.Kind {
	case testcases.KindIdle:
		rec = run.idle(ctx)
	case testcases.KindAudit:
		rec = run.audits(ctx)
	case testcases.KindWarmup:
		rec = run.warmup(ctx)
	case testcases.KindSweep:
		rec = run.sweep(ctx)
	default:
		audible, hush := context.WithCancel(ctx)
		run.hush = hush
		rec = run.load(audible, r.requests.load(r.plan, index, ph, 0))
		hush()
	}
	if run.hushed() && ctx.Err() == nil {
		rec.CutShort = testcases.CutSilent
	}
	if rec.CutShort == "" && ctx.Err() != nil || rec.CutShort == testcases.CutInterrupted {
		rec.CutShort = testcases.CutInterrupted
		switch {
		case errors.Is(context.Cause(ctx), errTargetLost):
			rec.CutShort = testcases.CutTargetLost
		case errors.Is(context.Cause(ctx), errUnanswered):
			rec.CutShort = testcases.CutUnanswered
		}
	}
	r.metrics.after(ctx, ph.ID, run.answered)
	r.record.add(evidence.Event{Phase: &rec})
	if t := r.plan.tasks[index]; t != nil {
		run.grade(ctx, t)
	} else {
		run.score(ctx)
	}
	r.progress.tell(Event{Kind: EventEnd, Phase: ph, Index: index + 1, Done: run.done, Failed: run.failed,
		OK:   rec.CutShort == "" && run.failed == 0,
		Text: run.describe(rec), Elapsed: time.Since(run.begun), Summary: r.progress.monitor.Summary()})
}

// phaseRun is the state of a running phase.
type phaseRun struct {
	r     *runner
	ph    testcases.Phase
	index int
	begun time.Time
	told  time.Time

	done, failed, answered int
	planned                int
	from                   int       // the number of the first request of this round
	latencies              []float64 // of the answered requests, in milliseconds, in the order of their ends
	texts                  []evidence.Request
	keep                   bool // keeps the requests of a sweep's step, which decide the next step
	kept                   []*evidence.Request
	found                  knee.Knee               // the result of a sweep
	why                    string                  // why the last request failed
	giveUp                 context.CancelCauseFunc // ends a warm-up without an answer
	silent                 int                     // timeouts in a row; see hear
	hush                   context.CancelFunc      // ends a phase without answers
}

// load makes the load of a plan and returns the record of the phase.
func (p *phaseRun) load(ctx context.Context, plan loadgen.Plan) evidence.Phase {
	r := p.r
	if r.generators != nil {
		return r.generators.load(ctx, p, plan)
	}
	begin := r.record.since()
	none := evidence.Phase{ID: p.ph.ID, Kind: p.ph.Kind, Start: begin, SteadyFrom: begin, Planned: plan.Requests}
	client, err := r.server.loadClient(r.plan.c, p.ph)
	if err == nil {
		defer client.Close()
		if werr := client.Warm(ctx, connections(p.r.plan.c, p.ph)); werr != nil && ctx.Err() == nil {
			r.progress.note(werr.Error())
		}
		p.planned = max(plan.Requests, len(plan.Offsets))
		plan.Sink, plan.InFlight = p.sink, &r.progress.inFlight
		var rec evidence.Phase
		if rec, err = loadgen.Run(ctx, client, r.record.epoch, plan); err == nil {
			return rec
		}
	}
	r.progress.note(err.Error())
	none.End, none.SteadyTo, none.CutShort = r.record.since(), r.record.since(), testcases.CutReason(err.Error())
	return none
}

// connections is the number of connections that are opened before a schedule starts. In the open loop they are enough
// for two seconds of arrivals: a server within the specification's latency target has no more requests in flight.
func connections(c *testcases.Case, ph testcases.Phase) int {
	switch ph.Kind {
	case testcases.KindOpen:
		return min(int(2*c.Rate(ph))+1, c.Limits.MaxInFlight)
	case testcases.KindBatch:
		return ph.Requests
	case testcases.KindSweep:
		if ph.Sweep.Over == testcases.OverConcurrency {
			return int(ph.Sweep.To)
		}
		return min(int(2*ph.Sweep.To)+1, c.Limits.MaxInFlight)
	}
	return c.InFlight(ph)
}

// warmup runs rounds until the latencies have settled or the case's time is over.
func (p *phaseRun) warmup(ctx context.Context) evidence.Phase {
	limit := p.ph.MaxS
	if limit == 0 {
		limit = max(maxWarmS, p.ph.DurationS)
	}
	plan := p.r.requests.load(p.r.plan, p.index, p.ph, 0)
	plan.MaxDuration = seconds(limit)
	ctx, p.giveUp = context.WithCancelCause(ctx)
	defer p.giveUp(nil)
	rec := p.load(ctx, plan)
	at, steady := stats.SteadyFrom(p.latencies)
	for !steady && rec.CutShort == "" && ctx.Err() == nil && time.Since(p.begun) < seconds(limit) {
		p.from = rec.Issued
		plan = p.r.requests.load(p.r.plan, p.index, p.ph, p.from)
		plan.Requests, plan.MinDuration, plan.MaxDuration = warmRound, 0, seconds(limit)-time.Since(p.begun)
		more := p.load(ctx, plan)
		rec.Planned, rec.Issued = rec.Planned+more.Planned, rec.Issued+more.Issued
		rec.End, rec.SteadyTo, rec.CutShort = more.End, more.SteadyTo, more.CutShort
		rec.MaxInFlight = max(rec.MaxInFlight, more.MaxInFlight)
		at, steady = stats.SteadyFrom(p.latencies)
	}
	if rec.CutShort == testcases.CutMaxTime { // a warm-up that ends because its time is over was not cut short
		rec.CutShort = ""
	}
	if p.answered == 0 && p.failed > 0 && (ctx.Err() == nil || errors.Is(context.Cause(ctx), errUnanswered)) {
		rec.CutShort = testcases.CutUnanswered
		why := fmt.Errorf("%w: none of %s was answered; the last: %s", errUnanswered,
			noun.Of(p.failed, "request", "requests"), p.why)
		p.r.condition(context.WithoutCancel(ctx), evidence.ConditionBaseline, result{err: why})
		p.r.record.cancel(why)
		return rec
	}
	if ctx.Err() == nil {
		p.r.condition(ctx, evidence.ConditionBaseline, baseline(p.latencies, p.failed, at, steady))
	}
	return rec
}

// sink receives the record of a request that has ended. loadgen calls it for one request at a time.
func (p *phaseRun) sink(q evidence.Request) {
	q.Phase = p.ph.ID
	q.N += p.from
	p.take(q)
}

// take is sink for a record that already has its phase and number.
func (p *phaseRun) take(q evidence.Request) {
	r := p.r
	if outgrown(&q) {
		q.Fail = evidence.FailTooLong
	}
	r.record.add(evidence.Event{Request: &q})
	r.server.heardOf(q)
	p.hear(q)
	if p.keep {
		p.kept = append(p.kept, &q)
	}
	p.done++
	switch {
	case q.OK():
		p.answered++
		d := q.Latency(p.ph.Kind)
		p.latencies = append(p.latencies, float64(d)/float64(time.Millisecond))
		if p.ph.Kind != testcases.KindWarmup {
			r.progress.monitor.RecordLatency(p.ph.ID, d)
		}
		if p.ph.KeepText || p.ph.Task != nil {
			p.texts = append(p.texts, q)
		}
	case q.Fail == evidence.FailCanceled:
	default:
		p.failed++
		p.why = q.Detail
		if p.giveUp != nil && p.answered == 0 && p.failed >= hopelessWarm {
			p.giveUp(errUnanswered)
		}
	}
	p.tell()
}

// tell reports the progress of the phase, at most ten times per second.
func (p *phaseRun) tell() {
	now := time.Now()
	if p.r.progress.told == nil || now.Sub(p.told) < tellEvery {
		return
	}
	p.told = now
	p.r.progress.tell(Event{Kind: EventProgress, Phase: p.ph, Index: p.index + 1, Done: p.done, Planned: p.planned,
		Failed: p.failed, InFlight: int(p.r.progress.inFlight.Load()),
		Elapsed: now.Sub(p.begun), Expected: p.r.plan.expected(p.ph), Summary: p.r.progress.monitor.Summary()})
}

// idle waits, without load, for as long as the phase lasts.
func (p *phaseRun) idle(ctx context.Context) evidence.Phase {
	rec := evidence.Phase{ID: p.ph.ID, Kind: p.ph.Kind, Start: p.r.record.since()}
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for end := p.begun.Add(seconds(p.ph.DurationS)); time.Now().Before(end) && ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-tick.C:
			p.tell()
		}
	}
	rec.SteadyFrom, rec.End = rec.Start, p.r.record.since()
	rec.SteadyTo = rec.End
	return rec
}

// describe summarizes a phase in a line for the user; the report has the details.
func (p *phaseRun) describe(rec evidence.Phase) string {
	text := noun.Of(p.done, "request", "requests")
	switch {
	case p.ph.Kind == testcases.KindIdle:
		text = "idle"
	case p.ph.Kind == testcases.KindSweep:
		text = noun.Of(rec.Issued, "step", "steps") + ", " + text
		if p.found.Best > 0 {
			text += fmt.Sprintf(": the knee is near %s %s", short(p.found.Best), p.ph.LoadUnit())
		}
	case p.answered > 0:
		sum := 0.0
		for _, x := range p.latencies {
			sum += x
		}
		text += fmt.Sprintf(", %.0f ms on average", sum/float64(len(p.latencies)))
		if took := time.Duration(rec.End - rec.Start).Seconds(); took > 0 && p.ph.Kind != testcases.KindQuality &&
			p.ph.Kind != testcases.KindAudit {
			rate := float64(p.answered) / took
			text += fmt.Sprintf(", %.1f requests/s", rate)
			if p.ph.Kind == testcases.KindOpen || p.ph.Kind == testcases.KindBatch {
				p.r.progress.monitor.RecordThroughput(p.ph.ID, rate)
			}
		}
	}
	if p.failed > 0 {
		text += fmt.Sprintf(", %d failed", p.failed)
	}
	if rec.CutShort != "" {
		text += ", cut short: " + string(rec.CutShort)
	}
	return text
}
