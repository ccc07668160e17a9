package certify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/attest"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
)

// runner coordinates one run.
type runner struct {
	plan     *plan
	record   *record
	progress *progress
	server   *server
	requests *asker
	reviewer *reviewer // nil: there is no reviewer
	metrics  *metrics
	observer *observer
	proven   []proof // preconditions that were checked before the record began
	tokens   tokenizer

	generators *generators // nil: this process makes the load
}

// newRunner starts or finds the server, and makes what sends it requests and what observes it.
func newRunner(ctx context.Context, p *plan) (*runner, error) {
	r := &runner{plan: p, record: newRecord()}
	r.progress = newProgress(p, r.record)
	var err error
	if r.server, err = connect(ctx, p.o, p.c, r.progress); err != nil {
		return nil, err
	}
	r.requests = newAsker(p, r.server.model)
	r.metrics = newMetrics(p.o, p.c.Metrics, r.server, r.record)
	r.metrics.scraper.Notes(r.progress.note)
	if r.observer, err = newObserver(ctx, p.o, r.server, r.metrics, r.record, r.progress); err == nil {
		r.observer.gpus = gpusOf(p.c)
		if r.reviewer, err = newReviewer(ctx, p.o); err != nil {
			err = fmt.Errorf("reviewer: %w", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, r.release())
	}
	return r, nil
}

// release stops the server, if the run started it, and closes what observed it.
func (r *runner) release() error {
	r.metrics.scraper.Close()
	if r.observer != nil && r.observer.gpus != nil {
		r.observer.gpus.Close()
	}
	r.reviewer.close()
	r.generators.close()
	return r.server.release(r.progress)
}

// open starts or finds the server, proves that it answers, and begins the record with its header. If the server
// refuses the key or has no working model, nothing was measured: open returns an error, and there is no record.
func open(ctx context.Context, p *plan) (*runner, error) {
	r, err := newRunner(ctx, p)
	if err != nil {
		return nil, err
	}
	proven, err := r.prove(ctx)
	if err == nil {
		r.server.described = r.describe(ctx)
		r.countTokens(ctx)
		fit := r.fits(ctx)
		fit.detail += r.madeUp()
		proven, err = append(proven, proof{evidence.ConditionLengths, fit}), fit.err
	}
	if err == nil {
		r.generators, err = r.join(ctx)
	}
	if err == nil {
		scale := calibration() // takes a second, so it is done before the record's clock starts
		err = r.record.create(p.o.ReportDir, p.c.ID)
		if err == nil {
			err = r.record.events.Add(evidence.Event{Header: r.header(scale)}) // at time 0
		}
	}
	if err != nil {
		return nil, errors.Join(err, r.release())
	}
	r.proven = proven
	r.progress.tell(Event{Kind: EventRecord, Text: r.record.events.Path()})
	return r, nil
}

// run does everything between the record's header and its end. It stops early if ctx ends or the server is lost. Both
// are recorded, and neither is an error.
func (r *runner) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if longest := r.plan.longest(); longest > 0 {
		overdue := time.AfterFunc(longest, func() { cancel(errOverdue) })
		defer overdue.Stop()
	}
	r.record.cancel = cancel
	r.progress.tell(Event{Kind: EventPlan, Expected: r.plan.least(),
		Text: Arithmetic(r.plan.c, r.plan.o.Profile, len(r.plan.loaded.Prompts.Prompts))})
	if r.plan.against != nil {
		r.record.add(evidence.Event{Against: r.plan.against})
	}
	stop := r.observer.start(ctx, cancel)
	r.generators.begin()
	r.conditions(ctx)
	for i, ph := range r.plan.phases {
		if ctx.Err() != nil {
			break
		}
		r.phase(ctx, i, ph)
	}
	stop()
	r.generators.end()
	r.record.add(evidence.Event{End: r.end(ctx)})
	return r.record.err()
}

func (r *runner) end(ctx context.Context) *evidence.End {
	left := int(r.record.left.Load())
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return &evidence.End{}
	case errors.Is(cause, errRecordFull), errors.Is(cause, errOverdue):
		return &evidence.End{Interrupted: true, Reason: cause.Error() + r.progress.during(), LeftOut: left}
	case errors.Is(cause, errGeneratorLost):
		return &evidence.End{Interrupted: true, Reason: cause.Error() + r.progress.during()}
	case errors.Is(cause, errTargetLost):
		return &evidence.End{Reason: "the server went away" + r.progress.during()}
	case errors.Is(cause, errUnanswered):
		return &evidence.End{Unanswered: true, Reason: cause.Error()}
	default:
		return &evidence.End{Interrupted: true, Reason: "stopped on request" + r.progress.during()}
	}
}

// slowJudge is how long the judge may take before a note tells the user to wait. Judging a run of an hour takes
// seconds.
const slowJudge = 2 * time.Second

// finish closes the record, releases the server, judges the record in the file and writes the report.
func (r *runner) finish(ctx context.Context) (*Report, error) {
	err := r.record.events.Close()
	stopErr := r.release()
	if err != nil {
		return nil, err
	}
	judged := r.progress.noteSlow(slowJudge, "the record is judged")
	// there is a report on what was measured even if ctx has ended
	d, err := judge.DeriveFile(context.WithoutCancel(ctx), r.record.events.Path())
	judged()
	if err != nil {
		return nil, err
	}
	rep := d.Report
	signatures, unsigned := r.sign(ctx, rep)
	paths, err := report.Save(r.plan.o.ReportDir, rep, d.Series, signatures...)
	if err != nil {
		return nil, err
	}
	if stopErr != nil && ctx.Err() == nil {
		r.progress.note(stopErr.Error())
	}
	r.progress.tell(Event{Kind: EventReport, Text: strings.Join([]string{paths.JSON, paths.HTML}, " "),
		OK:      rep.Status == Pass,
		Summary: r.progress.monitor.Summary()})
	return rep, unsigned
}

// sign writes the attestation of a report that is about to be saved. Without a key it does nothing. The report of a
// stopped run is signed too, because it says that the run was stopped.
func (r *runner) sign(ctx context.Context, rep *Report) ([]report.Signature, error) {
	if r.plan.o.SignKey == nil {
		return nil, nil
	}
	paths := report.PathsFor(r.plan.o.ReportDir, rep)
	signed, err := attest.SignFile(context.WithoutCancel(ctx), rep, paths, r.plan.o.SignKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	return signed, nil
}
