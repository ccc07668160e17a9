package certify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// Limits of the client's calibration. It is long enough for a p99 at the specification's rate, and short compared with
// the shortest profile.
const (
	calibrateFor    = 2 * time.Second
	calibrateTokens = 8
	calibrateGap    = 10 * time.Millisecond

	// calibrations is how often the calibration is tried, because other work on the machine may end. The last one
	// counts.
	calibrations = 3
)

// proof is a precondition that was checked before the record began.
type proof struct {
	id  evidence.ConditionID
	res result
}

// prove checks that the server answers. If it does not, nothing can be measured; that is an error and no verdict,
// because the reason may be a wrong key.
func (r *runner) prove(ctx context.Context) ([]proof, error) {
	var proven []proof
	for _, p := range []struct {
		id   evidence.ConditionID
		look func(context.Context) result
	}{{evidence.ConditionReady, r.server.ready}, {evidence.ConditionModel, r.answers}} {
		res := p.look(ctx)
		if res.err != nil {
			return nil, res.err
		}
		proven = append(proven, proof{p.id, res})
	}
	r.metrics.find(ctx)
	return proven, r.monitored(ctx)
}

// monitored checks that the address that the caller names has metrics. If nothing answers there, the mistake is the
// caller's or the monitoring's. It is the server's if its own address has no metrics, or if a working Prometheus
// server has none of it.
func (r *runner) monitored(ctx context.Context) error {
	if r.plan.o.MetricsURL == "" && r.plan.o.PrometheusURL == "" {
		return nil
	}
	s := r.metrics.scraper.Scrape(ctx, "")
	if s.Err == "" || r.plan.o.PrometheusURL != "" && strings.HasPrefix(s.Err, probe.ErrUnavailable.Error()) {
		return nil
	}
	return fmt.Errorf("%w: metrics of %s: %s", target.ErrSetup, r.metrics.scraper.Name(), s.Err)
}

// conditions checks the preconditions of a valid load, and measures the client's own error.
func (r *runner) conditions(ctx context.Context) {
	for _, p := range r.proven {
		r.condition(ctx, p.id, p.res)
	}
	r.condition(ctx, evidence.ConditionPrompts, result{detail: fmt.Sprintf("%s, SHA-256 %.12s",
		noun.Of(len(r.plan.loaded.Prompts.Prompts), "prompt", "prompts"),
		digest(r.plan.loaded.PromptBytes))})
	r.condition(ctx, evidence.ConditionMetrics, r.metricsOffered(ctx))
	r.condition(ctx, evidence.ConditionResources, r.resourcesRead(ctx))
	r.condition(ctx, evidence.ConditionEnvironment, result{detail: machine(r.plan.c.Environment)})
	if r.generators == nil { // otherwise each generator checks its own machine
		r.condition(ctx, evidence.ConditionLimits, limits(r.plan, 1, probe.OpenFiles, probe.Ports))
	}
	r.condition(ctx, evidence.ConditionClient, r.calibrate(ctx))
	r.generators.check(ctx)
}

// result is the outcome of a precondition.
type result struct {
	detail string
	err    error
}

// condition records the outcome of a precondition. One that was not checked because the run was stopped does not count
// as broken.
func (r *runner) condition(ctx context.Context, id evidence.ConditionID, res result) {
	if ctx.Err() != nil {
		return
	}
	c := &evidence.Condition{ID: id, OK: res.err == nil, Detail: res.detail}
	if res.err != nil {
		c.Detail = res.err.Error()
	}
	r.record.add(evidence.Event{Condition: c})
	r.progress.tell(Event{Kind: EventCondition, OK: c.OK, Text: string(id) + ": " + c.Detail})
}

func (r *runner) metricsOffered(ctx context.Context) result {
	s := r.metrics.offered(ctx)
	if ctx.Err() == nil {
		r.record.add(evidence.Event{Scrape: &s})
	}
	switch {
	case s.Err != "":
		return result{err: errors.New(s.Err)}
	case s.Dialect == probe.Unknown:
		return result{err: fmt.Errorf("%w: %s speaks no known dialect", probe.ErrUnavailable, s.Source)}
	}
	return result{detail: s.Source + " in the dialect of " + s.Dialect}
}

func (r *runner) resourcesRead(ctx context.Context) result {
	s, err := r.observer.source.Sample(ctx)
	if err != nil && r.plan.o.PID == 0 && r.plan.o.Cgroup == "" {
		if pid, name, ok := probe.ListensAt(ctx, r.server.URL); ok {
			err = fmt.Errorf("%w; process %d (%s) listens there: it can be named with --pid %d", err, pid, name, pid)
		}
	}
	return result{fmt.Sprintf("%s: %.2f GB at rest", r.observer.source.Name(), float64(s.RSS)/(1<<30)), err}
}

// machine compares this machine with the one that the case asks for. It decides nothing: the server may run elsewhere,
// and the effect of a small machine shows in the figures that are judged.
func machine(e testcases.Environment) string {
	have := noun.Of(runtime.NumCPU(), "core", "cores")
	small := runtime.NumCPU() < e.CPUCores
	if gb, ok := probe.Memory(); ok {
		have += fmt.Sprintf(" and %.0f GB here", gb)
		small = small || gb < e.MemoryGB
	}
	if !small {
		return have
	}
	return fmt.Sprintf("%s, less than the %s and %g GB that the case asks for (reported, not gated)", have,
		noun.Of(e.CPUCores, "core", "cores"), e.MemoryGB)
}

// calibrate measures the client's error with a server that answers at known times, at the highest rate of the profile.
func (r *runner) calibrate(ctx context.Context) result {
	rps := r.plan.highestRate()
	if rps == 0 || r.generators != nil { // a coordinator of generators makes no load itself
		rps = quietRate
	}
	return calibrated(ctx, r.plan, rps, func(e *evidence.Client) { r.record.add(evidence.Event{Client: e}) })
}

// quietRate is the rate, in requests/s, at which the client is calibrated if no phase has a rate.
const quietRate = 50

// calibrated measures the client's error at a rate, again if it is too large, and passes each measurement to add.
func calibrated(ctx context.Context, p *plan, rps float64, add func(*evidence.Client)) result {
	var res result
	for try := range calibrations {
		if res = measureClient(ctx, p, rps, uint64(try), add); res.err == nil || ctx.Err() != nil {
			break
		}
	}
	return res
}

func measureClient(ctx context.Context, p *plan, rps float64, try uint64, add func(*evidence.Client)) result {
	e, err := loadgen.MeasureClient(ctx, loadgen.MeasureOptions{RPS: rps, Tokens: calibrateTokens,
		TokenInterval: calibrateGap, Duration: calibrateFor, Seed: uint64(p.o.Seed) + try})
	if err != nil {
		return result{err: err}
	}
	add(&e)
	worst := float64(max(e.IssueP99, e.TTFTErrorP99, e.GapErrorP99)) / 1e6
	said := fmt.Sprintf("at %s requests/s at p99: issues %.2f ms late; error of the first token %.2f ms, of a gap "+
		"%.2f ms", short(rps), float64(e.IssueP99)/1e6,
		float64(e.TTFTErrorP99)/1e6, float64(e.GapErrorP99)/1e6)
	if limit := p.c.Limits.IssueDelayMS; worst > limit {
		return result{err: fmt.Errorf("%s; the limit is %g ms: is other work on this machine?", said, limit)}
	}
	return result{detail: said}
}

// baseline summarizes the latencies, in milliseconds, of the warm server. Later phases are compared with it.
func baseline(latencies []float64, failed int, steadyAt int, steady bool) result {
	if len(latencies) == 0 {
		return result{err: fmt.Errorf("none of %d warm-up requests was answered", failed)}
	}
	sum := 0.0
	for _, x := range latencies[min(steadyAt, len(latencies)-1):] {
		sum += x
	}
	detail := fmt.Sprintf("%.1f ms on average", sum/math.Max(1, float64(len(latencies)-steadyAt)))
	if steady {
		return result{detail: fmt.Sprintf("%s, steady after %d of %d warm-up requests", detail, steadyAt,
			len(latencies))}
	}
	why := "they are too few to tell whether it is steady"
	if len(latencies) >= stats.FewestSteady {
		why = "it has not settled yet"
	}
	return result{detail: fmt.Sprintf("%s over %d warm-up requests; %s", detail, len(latencies), why)}
}
