package certify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
	"github.com/hxp-enterprise/mixtral/internal/certify/knee"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// errDrained ends a step whose last answers do not come in time.
var errDrained = errors.New("the step's time to answer is over")

// asSweep turns a case into one that only searches for the knee, and applies the assignments to the sweep's profile.
func (o *Options) asSweep(c *testcases.Case, set []string) error {
	profile := o.Profile
	if profile == "" {
		profile = DefaultProfile
	}
	if o.SweepStep < 0 || o.SweepStep > 0 && o.SweepStep < time.Second {
		return fmt.Errorf("%w: a step of a sweep must last 1 s at least, got %s", ErrOptions, o.SweepStep)
	}
	if err := c.OnlySweep(profile, o.Sweep, o.SweepStep.Seconds()); err != nil {
		return err
	}
	for _, s := range set {
		if err := c.Set(s); err != nil {
			return err
		}
	}
	return nil
}

// sweep tries loads until the search has found the knee. Each step is a phase of the record, so that its verdict can
// be derived again. The next load depends only on these verdicts.
func (p *phaseRun) sweep(ctx context.Context) evidence.Phase {
	rec := evidence.Phase{ID: p.ph.ID, Kind: p.ph.Kind, Start: p.r.record.since()}
	sweep, of := p.r.plan.c.SweepOf(p.ph)
	search, _ := judge.Search(p.r.plan.c, p.ph)
	var steps []knee.Step
	for ctx.Err() == nil {
		load, times, more := search.Next(steps)
		if !more {
			break
		}
		if len(steps) > 0 && !pause(ctx, seconds(sweep.RestS)) {
			break
		}
		rec.Planned++
		step := judge.StepPhase(of, evidence.StepID(p.ph.ID, len(steps)+1), load, times)
		o, ran := p.step(ctx, step, evidence.Step{Of: p.ph.ID, Load: load, Times: times}, sweep)
		if !ran {
			break
		}
		rec.Issued++
		steps = append(steps, knee.Step{Load: load, Times: times, Verdict: o.Verdict, Likely: o.Likely})
	}
	rec.SteadyFrom, rec.End = rec.Start, p.r.record.since()
	rec.SteadyTo = rec.End
	p.found = search.Knee(steps)
	p.r.progress.current.Store(&p.ph)
	return rec
}

// pause waits for d. It returns false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// step offers one load, records it, and judges it by the record. ran is false if the step was cut short for a reason
// other than its own limits.
func (p *phaseRun) step(ctx context.Context, ph testcases.Phase, as evidence.Step,
	sweep testcases.Sweep) (o knee.Outcome,
	ran bool) {
	r := p.r
	r.progress.current.Store(&ph)
	r.progress.tell(Event{Kind: EventStart, Phase: ph, Index: p.index + 1, Planned: ph.Requests,
		Expected: r.plan.expected(ph)})
	r.metrics.before(ctx, ph.ID)
	run := &phaseRun{r: r, ph: ph, index: p.index, begun: time.Now(), from: p.from, keep: true}
	plan := r.requests.load(r.plan, p.index, ph, p.from)
	within, stop := context.WithTimeoutCause(ctx, stepTime(ph, plan.Offsets)+seconds(sweep.DrainS), errDrained)
	rec := run.load(within, plan)
	if errors.Is(context.Cause(within), errDrained) && ctx.Err() == nil {
		rec.CutShort = testcases.CutDrain
	}
	stop()
	rec.Step = &as
	if ctx.Err() != nil {
		rec.CutShort = testcases.CutInterrupted
	}
	r.metrics.after(ctx, ph.ID, run.answered)
	r.record.add(evidence.Event{Phase: &rec})
	p.from += rec.Issued
	p.done, p.failed, p.answered = p.done+run.done, p.failed+run.failed, p.answered+run.answered
	o = judge.StepOutcome(r.plan.c, p.ph, rec, run.kept, r.record.hostsSince(rec.Start))
	end := Event{Kind: EventEnd, Phase: ph, Index: p.index + 1, Done: run.done, Failed: run.failed,
		OK: rec.CutShort == "" && run.failed == 0, Elapsed: time.Since(run.begun),
		Summary: r.progress.monitor.Summary(),
		Text: fmt.Sprintf("%s %s for %s s: %s, %s", short(as.Load), p.ph.LoadUnit(),
			short(time.Duration(rec.SteadyTo-rec.Start).Seconds()), o.Verdict, o.Why)}
	if o.Verdict == knee.Held || o.Verdict == knee.Unclear && o.Why == "" {
		end.Text = fmt.Sprintf("%s %s for %s s: %s", short(as.Load), p.ph.LoadUnit(),
			short(time.Duration(rec.SteadyTo-rec.Start).Seconds()), o.Verdict)
	}
	r.progress.tell(end)
	return o, ctx.Err() == nil && (rec.CutShort == "" || rec.CutShort == testcases.CutDrain ||
		rec.CutShort == testcases.CutMaxTime)
}

// stepTime is the longest time in which a step sends requests.
func stepTime(ph testcases.Phase, arrivals []time.Duration) time.Duration {
	d := max(seconds(ph.DurationS), seconds(ph.MaxS))
	if n := len(arrivals); n > 0 {
		d = max(d, arrivals[n-1])
	}
	return d
}

// sweepText explains a sweep before it runs: what is varied, and what ends a step and the search.
func sweepText(c *testcases.Case, ph testcases.Phase) string {
	s, of := c.SweepOf(ph)
	text := fmt.Sprintf("the highest load from %s to %s %s", short(s.From), short(s.To), ph.LoadUnit())
	if s.Objectives != "" {
		text += " that keeps " + s.Objectives
	}
	if s.Over == testcases.OverRate {
		text += ", without a growing backlog"
	}
	step := fmt.Sprintf("%s to %s s", short(of.DurationS), short(4*of.DurationS))
	if of.Requests > 0 {
		step += fmt.Sprintf(" and at least %d requests if they come within %s s", of.Requests, short(of.MaxS))
	}
	return text +
		fmt.Sprintf("; at most %d steps of %s, each waits at most %s s for its last answers; ends when the knee "+
			"is within %s %% at %s %% confidence", s.Steps, step, short(s.DrainS), short(100*s.Within),
			short(100*s.Confidence))
}
