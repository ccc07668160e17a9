package certify

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// SweepStep is one rate that was tried.
type SweepStep struct {
	RPS          float64 `json:"rps"`           // offered
	CompletedRPS float64 `json:"completed_rps"` // over the step, its last answers included
	Requests     int     `json:"requests"`
	Failed       int     `json:"failed"`
	MeanMS       float64 `json:"mean_ms"` // from the schedule; failures count as the target at least
	HighMS       float64 `json:"high_ms"` // upper bound of the mean at the case's confidence
	MaxInFlight  int     `json:"max_in_flight"`
	Held         bool    `json:"held"` // every target of load was met
	Why          string  `json:"why"`
}

// SweepResult is where a server saturates.
type SweepResult struct {
	TestCase string      `json:"test_case"`
	Target   string      `json:"target"`
	Model    string      `json:"model"`
	Seed     int64       `json:"seed"`
	Highest  float64     `json:"highest_rps"` // the highest rate that held; 0: none did
	Lowest   float64     `json:"lowest_rps"`  // the lowest rate that did not; 0: all did
	Steps    []SweepStep `json:"steps"`
}

const (
	sweepSteps  = 20   // at most
	sweepWithin = 1.05 // the search ends when the lowest rate that fails is this near to the highest that holds
	sweepRest   = time.Second
	sweepLeast  = 20 // requests of a step: fewer have no interval worth the name

	// drainShare is how much longer than its schedule a step may take to end: beyond it, a queue was left over.
	drainShare = 0.1
)

// Sweep searches for the highest rate of the case's open phase at which the server still meets the targets of load:
// mean latency, errors, and no queue left over. Each step offers one rate for the given time. It is a search and no
// certificate: no verdict comes of it.
func Sweep(ctx context.Context, o Options, step time.Duration, told func(SweepStep)) (*SweepResult, error) {
	p, err := newPlan(o)
	if err != nil {
		return nil, err
	}
	index, ph, ok := p.openPhase()
	if !ok {
		return nil, fmt.Errorf("%w: profile %s of %s has no open phase to sweep", ErrOptions, p.o.Profile, p.c.ID)
	}
	if step < time.Second {
		return nil, fmt.Errorf("%w: a step of %s is too short to tell anything", ErrOptions, step)
	}
	r, err := newRunner(ctx, p)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.release() }() // the result stands whatever the server does now
	if res := r.answers(ctx); res.err != nil {
		return nil, res.err
	}
	out := &SweepResult{TestCase: p.c.ID, Target: r.server.URL, Model: r.server.model, Seed: p.o.Seed}
	s := newSearch(p.c.Rate(testcases.Phase{}) / 2)
	sent := 0
	for range sweepSteps {
		rate, ok := s.next()
		if !ok {
			break
		}
		ph.RPS, ph.DurationS, ph.Requests = rate, step.Seconds(), sweepLeast
		tried, err := r.sweepStep(ctx, index, sent, ph)
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return out, fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
		}
		sent += tried.Requests
		s.tried(rate, tried.Held)
		out.Steps = append(out.Steps, tried)
		out.Highest, out.Lowest = s.held, s.failed
		if told != nil {
			told(tried)
		}
		select {
		case <-ctx.Done():
		case <-time.After(sweepRest):
		}
	}
	return out, nil
}

// sweepStep offers one rate. from is the number of its first request: the earlier steps had those below it.
func (r *runner) sweepStep(ctx context.Context, index, from int, ph testcases.Phase) (SweepStep, error) {
	client, err := r.server.loadClient(r.plan.c, ph)
	if err != nil {
		return SweepStep{}, err
	}
	defer client.Close()
	if err := client.Warm(ctx, connections(r.plan.c, ph)); err != nil && ctx.Err() == nil {
		r.progress.note(err.Error())
	}
	var records []evidence.Request
	plan := r.requests.load(r.plan, index, ph, from)
	plan.Sink = func(q evidence.Request) { records = append(records, q) }
	rec, err := loadgen.Run(ctx, client, r.record.epoch, plan)
	if err != nil {
		return SweepStep{}, err
	}
	return holds(r.plan.c, ph, rec, records), nil
}

// holds judges one step.
func holds(c *testcases.Case, ph testcases.Phase, rec evidence.Phase, records []evidence.Request) SweepStep {
	s := SweepStep{RPS: ph.RPS, Requests: len(records), MaxInFlight: rec.MaxInFlight}
	var latencies []float64
	for _, q := range records {
		d := float64(q.Latency(ph.Kind)) / float64(time.Millisecond)
		if !q.OK() {
			s.Failed++
			d = max(d, c.Targets.LatencyMS)
		}
		latencies = append(latencies, d)
	}
	if len(latencies) == 0 {
		s.Why = "no request ended"
		return s
	}
	const seed = 1 // of the bootstrap: the same records give the same bound
	s.MeanMS, _, s.HighMS = stats.MeanInterval(latencies, c.Limits.Confidence, seed)
	took := time.Duration(rec.End - rec.Start).Seconds()
	s.CompletedRPS = float64(len(records)-s.Failed) / took
	late := took - float64(rec.Planned)/ph.RPS
	switch {
	case float64(s.Failed) > c.Limits.ErrorBudget*float64(len(records)):
		s.Why = fmt.Sprintf("%d of %d requests failed", s.Failed, len(records))
	case math.IsInf(s.HighMS, 0):
		s.HighMS, s.Why = s.MeanMS, "too few requests"
	case rec.CapHit:
		s.Why = fmt.Sprintf("%d requests in flight", rec.MaxInFlight)
	case c.Targets.LatencyMS > 0 && s.HighMS >= c.Targets.LatencyMS:
		s.Why = fmt.Sprintf("mean latency up to %.0f ms", s.HighMS)
	case late > drainShare*took+s.MeanMS/1000:
		s.Why = fmt.Sprintf("a queue of %.1f s was left over", late)
	default:
		s.Held, s.Why = true, "every target met"
	}
	return s
}

// search finds the border between rates that hold and rates that do not: doubling until one fails, halving if the
// first does, then bisecting. A rate that fails is tried once more before it bounds the search: a step is short, and
// one moment in which the machine was busy with other things would hide all that lies above. It is a state machine
// without a clock.
type search struct {
	rate         float64 // to try next
	doubted      bool    // it failed once
	held, failed float64 // the border so far; 0: not met yet
}

func newSearch(start float64) *search { return &search{rate: max(start, 1)} }

// leastRate ends the search downwards: one request in ten seconds.
const leastRate = 0.1

func (s *search) next() (float64, bool) {
	done := s.held > 0 && s.failed > 0 && s.failed <= s.held*sweepWithin
	return s.rate, !done && s.rate >= leastRate
}

func (s *search) tried(rate float64, held bool) {
	if !held && !s.doubted {
		s.doubted = true
		return
	}
	s.doubted = false
	if held {
		s.held = max(s.held, rate)
	} else if s.failed == 0 || rate < s.failed {
		s.failed = rate
	}
	switch {
	case s.failed == 0:
		s.rate = 2 * rate
	case s.held == 0:
		s.rate = rate / 2
	default:
		s.rate = (s.held + s.failed) / 2
	}
}
