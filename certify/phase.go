package certify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/internal/certify/quality"
	"github.com/hxp-enterprise/mixtral/testcases"
)

const (
	// settle is how long a server may take to count what it has answered.
	settle      = 2 * time.Second
	settlePause = 100 * time.Millisecond

	// maxLag is how long is waited for a Prometheus server to scrape: four of its usual intervals.
	maxLag = time.Minute

	tellEvery = 100 * time.Millisecond // progress

	// warmRound is how many requests a warm-up adds when it has not settled, and maxWarmS its end where the case
	// gives none.
	warmRound = 25
	maxWarmS  = 120
)

// Reasons for which a phase ends before its plan, as evidence.Phase.CutShort says them.
const (
	cutInterrupted = "interrupted"
	cutLost        = "target lost"
)

// phase runs one phase between two scrapes, and scores the texts that it kept.
func (r *runner) phase(ctx context.Context, index int, ph testcases.Phase) {
	r.current.Store(&ph)
	r.tell(Event{Kind: EventStart, Phase: ph, Index: index + 1, Planned: ph.Requests, Expected: r.expected(ph)})
	r.scrape(ctx, "before "+ph.ID, nil)
	run := &phaseRun{r: r, ph: ph, index: index, begun: time.Now()}
	var rec evidence.Phase
	switch ph.Kind {
	case testcases.KindIdle:
		rec = run.idle(ctx)
	case testcases.KindAudit:
		rec = run.audits(ctx)
	case testcases.KindWarmup:
		rec = run.warmup(ctx)
	default:
		rec = run.load(ctx, r.load(index, ph, 0))
	}
	if rec.CutShort == "" && ctx.Err() != nil || rec.CutShort == cutInterrupted {
		rec.CutShort = cutInterrupted
		if errors.Is(context.Cause(ctx), errTargetLost) {
			rec.CutShort = cutLost
		}
	}
	r.scrape(ctx, "after "+ph.ID, run)
	r.add(evidence.Event{Phase: &rec})
	run.score(ctx)
	r.tell(Event{Kind: EventEnd, Phase: ph, Index: index + 1, Done: run.done, Failed: run.failed,
		OK:   rec.CutShort == "" && run.failed == 0,
		Text: run.describe(rec), Elapsed: time.Since(run.begun), Summary: r.o.Monitor.Summary()})
}

// scrape records the server's metrics. After a phase it waits until the server, or a Prometheus server between, has
// had time to count the last requests.
func (r *runner) scrape(ctx context.Context, label string, after *phaseRun) {
	r.scraping.Lock() // one at a time: counters must be recorded in the order in which they were read
	defer r.scraping.Unlock()
	// nothing was sent since: no need to wait for a fresh one
	if r.scraper.PrometheusURL != "" && after == nil && r.last != nil {
		s := *r.last
		s.Label, s.Age = label, s.Age+int64(time.Since(r.lastAt))
		r.before = s.Values[evidence.MetricRequests]
		r.add(evidence.Event{Scrape: &s})
		return
	}
	s := r.settled(ctx, label, after)
	if after == nil {
		r.before = s.Values[evidence.MetricRequests]
	}
	if s.Err == "" {
		r.last, r.lastAt, r.scraped = &s, time.Now(), true
	} else {
		r.last = nil // requests were counted since: it is not what comes before the next phase
	}
	if s.Err == "" || ctx.Err() == nil { // a question that was broken off says nothing of the server
		r.add(evidence.Event{Scrape: &s})
	}
}

// settled scrapes until one is good enough.
func (r *runner) settled(ctx context.Context, label string, after *phaseRun) evidence.Scrape {
	ended := time.Now()
	for {
		s := r.scraper.Scrape(ctx, label)
		wait, enough := r.enough(s, after, time.Since(ended)-time.Duration(s.Took))
		if enough {
			return s
		}
		select {
		case <-ctx.Done():
			return s
		case <-time.After(wait):
		}
	}
}

// enough says whether a scrape that began so long after a phase's end is the one to keep, or how long to wait for
// another.
func (r *runner) enough(s evidence.Scrape, after *phaseRun, since time.Duration) (wait time.Duration, ok bool) {
	remote := r.scraper.PrometheusURL != ""
	wait, limit := settlePause, settle
	if remote {
		wait, limit = time.Second, maxLag
	}
	switch {
	case since > limit:
		return 0, true
	case s.Err != "": // where it never worked nothing is offered; else it may work in a moment
		return wait, !r.scraped
	case remote:
		return wait, time.Duration(s.Age) < since
	}
	return wait, after == nil || after.counted(s)
}

// phaseRun is one phase while it runs.
type phaseRun struct {
	r     *runner
	ph    testcases.Phase
	index int
	begun time.Time
	told  time.Time

	done, failed, answered int
	planned                int
	from                   int       // number of the first request of this round
	latencies              []float64 // of answers, in milliseconds, in the order of their ends
	texts                  []evidence.Request
}

// counted says whether a scrape has all answers of the phase.
func (p *phaseRun) counted(s evidence.Scrape) bool {
	before, now := p.r.before, s.Values[evidence.MetricRequests]
	return now-before >= float64(p.answered) || s.Values == nil
}

// load runs a plan to its end.
func (p *phaseRun) load(ctx context.Context, plan loadgen.Plan) evidence.Phase {
	r := p.r
	begin := r.since()
	none := evidence.Phase{ID: p.ph.ID, Kind: p.ph.Kind, Start: begin, SteadyFrom: begin, Planned: plan.Requests}
	client, err := loadgen.NewClient(r.server.URL, loadgen.ClientOptions{APIKey: r.o.APIKey, Tracer: r.tracer,
		Timeout: seconds(r.c.Timeout(p.ph)), Conns: r.c.Limits.MaxInFlight})
	if err == nil {
		defer client.Close()
		if werr := client.Warm(ctx, p.connections()); werr != nil && ctx.Err() == nil {
			r.tell(Event{Kind: EventNote, Text: werr.Error()})
		}
		p.planned = max(plan.Requests, len(plan.Offsets))
		plan.Sink = p.sink
		var rec evidence.Phase
		if rec, err = loadgen.Run(ctx, client, r.epoch, plan); err == nil {
			return rec
		}
	}
	r.tell(Event{Kind: EventNote, Text: err.Error()})
	none.End, none.SteadyTo, none.CutShort = r.since(), r.since(), err.Error()
	return none
}

// connections are opened before a schedule starts: in the open loop as many as two seconds of arrivals need, since a
// server within the seed's latency target has no more in flight.
func (p *phaseRun) connections() int {
	switch p.ph.Kind {
	case testcases.KindOpen:
		return min(int(2*p.r.c.Rate(p.ph))+1, p.r.c.Limits.MaxInFlight)
	case testcases.KindBatch:
		return p.ph.Requests
	}
	return p.r.c.InFlight(p.ph)
}

// warmup runs rounds until the latencies have settled, or the case's time is over.
func (p *phaseRun) warmup(ctx context.Context) evidence.Phase {
	limit := p.ph.MaxS
	if limit == 0 {
		limit = max(maxWarmS, p.ph.DurationS)
	}
	plan := p.r.load(p.index, p.ph, 0)
	plan.MaxDuration = seconds(limit)
	rec := p.load(ctx, plan)
	at, steady := stats.SteadyFrom(p.latencies)
	for !steady && rec.CutShort == "" && ctx.Err() == nil && time.Since(p.begun) < seconds(limit) {
		p.from = rec.Issued
		plan = p.r.load(p.index, p.ph, p.from)
		plan.Requests, plan.MinDuration, plan.MaxDuration = warmRound, 0, seconds(limit)-time.Since(p.begun)
		more := p.load(ctx, plan)
		rec.Planned, rec.Issued = rec.Planned+more.Planned, rec.Issued+more.Issued
		rec.End, rec.SteadyTo, rec.CutShort = more.End, more.SteadyTo, more.CutShort
		rec.MaxInFlight = max(rec.MaxInFlight, more.MaxInFlight)
		at, steady = stats.SteadyFrom(p.latencies)
	}
	if rec.CutShort == "max_s" { // a warm-up ends when its time is over: that is its plan
		rec.CutShort = ""
	}
	if ctx.Err() == nil {
		p.r.condition(ctx, "baseline", p.r.baseline(p.latencies, p.failed, at, steady))
	}
	return rec
}

// sink takes the record of a request that has ended. loadgen calls it for one request at a time.
func (p *phaseRun) sink(q evidence.Request) {
	r := p.r
	q.Phase = p.ph.ID
	q.N += p.from
	r.add(evidence.Event{Request: &q})
	p.done++
	switch {
	case q.OK():
		p.answered++
		r.refused.Store(0)
		d := time.Duration(q.Done - p.start(q))
		p.latencies = append(p.latencies, float64(d)/float64(time.Millisecond))
		if p.ph.Kind != testcases.KindWarmup {
			r.o.Monitor.RecordLatency(p.ph.ID, d)
		}
		if p.ph.KeepText {
			p.texts = append(p.texts, q)
		}
	case q.Fail == evidence.FailCanceled:
	default:
		p.failed++
		if q.Fail == evidence.FailConnect {
			r.refused.Add(1)
		}
	}
	p.progress()
}

func (p *phaseRun) start(q evidence.Request) int64 {
	if p.ph.Kind == testcases.KindOpen {
		return q.Scheduled
	}
	return q.Issued
}

func (p *phaseRun) progress() {
	now := time.Now()
	if p.r.o.Progress == nil || now.Sub(p.told) < tellEvery {
		return
	}
	p.told = now
	p.r.tell(Event{Kind: EventProgress, Phase: p.ph, Index: p.index + 1, Done: p.done, Planned: p.planned,
		Failed: p.failed, InFlight: int(p.r.inFlight.Load()),
		Elapsed: now.Sub(p.begun), Expected: p.r.expected(p.ph), Summary: p.r.o.Monitor.Summary()})
}

// idle waits without load.
func (p *phaseRun) idle(ctx context.Context) evidence.Phase {
	rec := evidence.Phase{ID: p.ph.ID, Kind: p.ph.Kind, Start: p.r.since()}
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for end := p.begun.Add(seconds(p.ph.DurationS)); time.Now().Before(end) && ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-tick.C:
			p.progress()
		}
	}
	rec.SteadyFrom, rec.End = rec.Start, p.r.since()
	rec.SteadyTo = rec.End
	return rec
}

// score rates the texts that the phase kept, after it: scoring beside the load would take its processor.
func (p *phaseRun) score(ctx context.Context) {
	for _, q := range p.texts {
		prompt, _ := p.r.loaded.Prompts.ByKey(q.Prompt)
		res := quality.Score(quality.Input{Prompt: prompt.Text, Response: q.Text, Finish: q.Finish,
			Rubric: prompt.Rubric})
		s := &evidence.Score{Phase: q.Phase, N: q.N, Prompt: q.Prompt, Score: res.Score, Relevance: res.Relevance,
			Coherence: res.Coherence, Completeness: res.Completeness, Why: why(res)}
		p.r.judge(ctx, quality.Input{Prompt: prompt.Text, Response: q.Text, Finish: q.Finish, Rubric: prompt.Rubric},
			s)
		p.r.add(evidence.Event{Score: s})
		p.r.o.Monitor.RecordQuality(q.Prompt, s.Score)
	}
}

// why lists what cost an answer points, at most three things.
func why(res quality.Result) []string {
	var out []string
	for _, part := range res.Parts {
		if part.Value < quality.Threshold && len(out) < 3 {
			out = append(out, fmt.Sprintf("%s %.2f: %s", part.Name, part.Value, part.Why))
		}
	}
	return out
}

// describe says in a line how a phase went; the report says it properly.
func (p *phaseRun) describe(rec evidence.Phase) string {
	text := fmt.Sprintf("%d requests", p.done)
	switch {
	case p.ph.Kind == testcases.KindIdle:
		text = "idle"
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
				p.r.o.Monitor.RecordThroughput(p.ph.ID, rate)
			}
		}
	}
	if p.failed > 0 {
		text += fmt.Sprintf(", %d failed", p.failed)
	}
	if rec.CutShort != "" {
		text += ", cut short: " + rec.CutShort
	}
	return text
}

// drain reads a response to its end, so that its connection can be used again.
func drain(body io.ReadCloser) {
	_, _ = io.Copy(io.Discard, io.LimitReader(body, 1<<20)) // what it says is not of interest
	body.Close()
}
