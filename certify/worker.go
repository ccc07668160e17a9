package certify

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/client"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
	"github.com/hxp-enterprise/mixtral/internal/certify/remote"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// worker makes a generator's part of the load of one run. remote.Serve calls its exported methods.
type worker struct {
	o     GenerateOptions
	guest remote.Guest
	epoch time.Time

	index, of int
	plan      *plan
	requests  *asker
	server    *server
	host      *probe.Host
	watching  context.CancelFunc
	watch     sync.WaitGroup
	record    *evidence.Writer // this generator's own record; nil: none

	client   *loadgen.Client // of the prepared phase
	next     loadgen.Plan
	some     bool
	inFlight atomic.Int64
}

// Accept reads the plan of a run as the coordinator does, and returns its digest.
func (w *worker) Accept(ctx context.Context, p *remote.Plan) (string, error) {
	if own := release(w.o.Version); p.Protocol != remote.Protocol || p.Version != own {
		return "", fmt.Errorf("the coordinator is version %q, this generator is %q: run the same version of the "+
			"program "+
			"everywhere", p.Version, own)
	}
	if p.Index < 0 || p.Index >= p.Of || p.Of > evidence.MaxGenerators {
		return "", fmt.Errorf("generator %d of %d", p.Index+1, p.Of)
	}
	if err := checkTarget(w.o.AllowTargets, p.Target.URL); err != nil {
		return "", err
	}
	loaded, err := testcases.Read(p.Case, p.Prompts)
	if err != nil {
		return "", fmt.Errorf("the case: %w", err)
	}
	loaded.Files = p.Files
	w.index, w.of = p.Index, p.Of
	w.plan = &plan{o: Options{Profile: p.Profile, Seed: p.Seed, Version: p.Version}, loaded: loaded, c: loaded.Case,
		phases: loaded.Case.Profiles[p.Profile]}
	digest := planDigest(w.plan) // before the digest, readTraffic would change the phases
	recorded, err := loaded.Clone()
	if err != nil {
		return "", err
	}
	if err := w.plan.readTraffic(); err != nil {
		return "", err
	}
	if w.server, err = serverOf(p.Target, w.o.clock); err != nil {
		return "", err
	}
	if err := w.trace(p); err != nil {
		return "", err
	}
	w.requests = newAsker(w.plan, p.Target.Model)
	w.requests.form.leftOut = p.Target.LeftOut
	if x := p.Target.PerWord; x != 0 && !plausible(x) {
		return "", fmt.Errorf("per_word: %g tokens of a word are not plausible", x)
	}
	w.requests.measure(tokenizer{perWord: p.Target.PerWord})
	if err := w.open(p, recorded.Case); err != nil {
		return "", err
	}
	w.o.Note(fmt.Sprintf("generator %d of %d of a run of %s, profile %s, against %s", p.Index+1, p.Of, w.plan.c.ID,
		p.Profile, client.Redact(p.Target.URL)))
	w.observe(context.WithoutCancel(ctx))
	return digest, nil
}

// serverOf returns the server under test, reached as the coordinator reaches it.
func serverOf(t remote.Target, clock loadgen.Clock) (*server, error) {
	at, err := target.At(t.URL)
	if err != nil {
		return nil, err
	}
	s := &server{Server: at, key: t.Key, model: t.Model, route: t.Route, http2: t.HTTP2, clock: clock,
		extra: client.Extra{Header: t.Header, Query: t.Query}}
	return s, loadgen.CheckHeader(t.Header)
}

// trace begins a trace with each request, as the coordinator does. The coordinator names the collector, so the
// generator must be allowed to send to it too.
func (w *worker) trace(p *remote.Plan) (err error) {
	if p.Tracing == "" {
		return nil
	}
	if err := checkTarget(w.o.AllowTargets, p.Tracing); err != nil {
		return fmt.Errorf("traces: %w", err)
	}
	w.server.tracer, err = newTracer(Options{TracingURL: p.Tracing, Version: p.Version})
	return err
}

// open begins the generator's own record, if it keeps one.
func (w *worker) open(p *remote.Plan, c *testcases.Case) (err error) {
	if w.o.RecordDir == "" {
		return nil
	}
	now := time.Now()
	base := fmt.Sprintf("%s_generator%d", report.BaseName(w.plan.c.ID, now), p.Index+1)
	if w.record, err = evidence.Create(filepath.Join(w.o.RecordDir, base+report.EventsExt)); err != nil {
		return err
	}
	return w.record.Add(evidence.Event{Header: &evidence.Header{SchemaVersion: evidence.SchemaVersion,
		Start: now.UTC().Round(0), Case: withoutSecrets(c), Profile: p.Profile, Seed: p.Seed,
		Target: evidence.Target{Kind: evidence.TargetURL, URL: client.Redact(p.Target.URL),
			Model: p.Target.Model},
		Environment: probe.Machine(), Fingerprints: map[string]string{"version": p.Version}, Run: p.Run,
		Generator: p.Index + 1, Rules: evidence.Rules}})
}

// emit sends an event to the coordinator, and records it if there is a record.
func (w *worker) emit(e evidence.Event) {
	if w.record != nil {
		if err := w.record.Add(e); err != nil {
			w.o.Note("the record of this generator is not whole: " + err.Error())
		}
	}
	w.guest.Emit(e)
}

// observe watches the machine until the run is over.
func (w *worker) observe(ctx context.Context) {
	ctx, w.watching = context.WithCancel(ctx)
	if host, err := probe.NewHost(ctx, nil, w.server.URL); err == nil {
		w.host = host
	}
	begun, wall := w.since(), time.Now().Round(0)
	w.watch.Go(func() {
		tick := time.NewTicker(probe.HostInterval)
		defer tick.Stop()
		for {
			if w.host != nil {
				if h, err := w.host.Read(); err == nil {
					w.emit(evidence.Event{At: w.guest.Now(), Host: h})
				}
			}
			drift := time.Now().Round(0).Sub(wall) - (w.since() - begun)
			w.emit(evidence.Event{At: w.guest.Now(), Clock: &evidence.Clock{DriftNS: int64(drift)}})
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// Check checks that this machine reaches the server, may open enough files and ports, and sends in time. It emits the
// results.
func (w *worker) Check(ctx context.Context) {
	w.condition(evidence.ConditionModel, w.answered(ctx))
	w.condition(evidence.ConditionLimits, limits(w.plan, w.of, probe.OpenFiles, probe.Ports))
	rps := w.plan.highestRate() / float64(w.of)
	if rps == 0 {
		rps = quietRate
	}
	w.condition(evidence.ConditionClient, calibrated(ctx, w.plan, rps, func(e *evidence.Client) {
		w.emit(evidence.Event{At: w.guest.Now(), Client: e})
	}))
}

func (w *worker) condition(id evidence.ConditionID, res result) {
	c := &evidence.Condition{ID: id, OK: res.err == nil, Detail: res.detail}
	if res.err != nil {
		c.Detail = res.err.Error()
	}
	w.emit(evidence.Event{At: w.guest.Now(), Condition: c})
}

// answered checks that the server answers a request from this machine.
func (w *worker) answered(ctx context.Context) result {
	ph := (&runner{plan: w.plan}).firstLoad()
	c, err := w.server.loadClient(w.plan.c, ph)
	if err != nil {
		return result{err: err}
	}
	defer c.Close()
	const tries = 100 // above the tries of the coordinator's proof, so that the salts differ
	for try := range proofTries {
		q := c.Do(ctx, w.epoch, w.requests.proof(ph, tries+w.index*proofTries+try, w.plan.c.Request.Stream))
		if q.OK() || q.Fail == evidence.FailEmpty || q.Fail == evidence.FailThinking {
			return result{detail: "the server answers here too"}
		}
		err = fmt.Errorf("the server did not answer this machine (%s): %s", q.Fail, q.Detail)
	}
	return result{err: err}
}

// mostArrivals limits the schedule of a phase, because a record has no more requests.
const mostArrivals = evidence.MaxRequests

// Prepare makes this generator's part of a phase, opens its connections, and returns the part's digest.
func (w *worker) Prepare(ctx context.Context, x *remote.Prepare) (string, error) {
	w.done()
	if x.Index < 0 || x.Index >= len(w.plan.phases) {
		return "", fmt.Errorf("phase %d of %d", x.Index, len(w.plan.phases))
	}
	length := w.plan.expected(x.Phase).Seconds()
	if n := length*w.plan.c.Rate(x.Phase) + float64(x.Phase.Requests); !(n <= mostArrivals) || x.From < 0 {
		return "", fmt.Errorf("phase %s: it has %g requests, at most %g are allowed",
			x.Phase.ID, n, float64(mostArrivals))
	}
	full := w.requests.load(w.plan, x.Index, x.Phase, x.From)
	full.Requests, full.MinDuration, full.MaxDuration = x.Requests, x.MinDuration, x.MaxDuration
	full.InFlight = &w.inFlight
	full.Sink = func(q evidence.Request) {
		q.Phase = x.Phase.ID
		q.N += x.From
		w.emit(evidence.Event{At: w.guest.Now(), Request: &q})
	}
	digest, part, some, err := partDigest(full, w.index, w.of)
	if err != nil || !some {
		w.some = false
		return digest, err
	}
	if w.client, err = w.server.loadClient(w.plan.c, x.Phase); err != nil {
		return "", err
	}
	if err := w.client.Warm(ctx, connections(w.plan.c, x.Phase)/w.of+1); err != nil && ctx.Err() == nil {
		w.o.Note(err.Error())
	}
	w.next, w.some = part, true
	return digest, nil
}

// Run makes the prepared load from start, in nanoseconds of the session's clock. It returns nil if this generator has
// no part of it.
func (w *worker) Run(ctx context.Context, start int64) *evidence.Phase {
	if !w.some {
		return nil
	}
	plan := w.next
	plan.Start = time.Duration(start)
	rec, err := loadgen.Run(ctx, w.client, w.epoch, plan)
	if err != nil {
		now := w.guest.Now()
		rec = evidence.Phase{ID: plan.ID, Kind: plan.Kind, Start: start, SteadyFrom: start, SteadyTo: now, End: now,
			CutShort: testcases.CutReason(err.Error())}
	}
	if w.record != nil {
		_ = w.record.Add(evidence.Event{At: w.guest.Now(), Part: &evidence.Part{Phase: plan.ID, Generator: w.index + 1,
			Planned: rec.Planned, Issued: rec.Issued, MaxInFlight: rec.MaxInFlight, CapHit: rec.CapHit,
			CutShort: rec.CutShort}})
	}
	w.done()
	return &rec
}

// done closes the connections of the prepared phase.
func (w *worker) done() {
	if w.client != nil {
		w.client.Close()
		w.client, w.some = nil, false
	}
}

// InFlight is the number of requests in flight.
func (w *worker) InFlight() int { return int(w.inFlight.Load()) }

// Close ends the run and closes everything that it opened.
func (w *worker) Close() {
	w.done()
	if w.watching != nil {
		w.watching()
		w.watch.Wait()
	}
	if w.server != nil {
		if err := closeTracer(w.server.tracer); err != nil {
			w.o.Note("the last traces are lost: " + err.Error())
		}
	}
	if w.record != nil {
		err := errors.Join(w.record.Add(evidence.Event{At: w.guest.Now(), End: &evidence.End{}}), w.record.Close())
		if err != nil {
			w.o.Note("the record of this generator is not whole: " + err.Error())
			return
		}
		w.o.Note("record: " + w.record.Path())
	}
}

// since is the current time of the session's clock.
func (w *worker) since() time.Duration { return time.Duration(w.guest.Now()) }
