package certify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// Limits of the client's calibration: long enough for a p99 at the seed's rate, short beside the shortest profile.
const (
	calibrateFor    = 2 * time.Second
	calibrateTokens = 8
	calibrateGap    = 10 * time.Millisecond

	// calibrations is how often it is tried: other work on the machine may pass. The last one counts.
	calibrations = 3
)

// proof is a precondition that was looked at before there was a record.
type proof struct {
	id  string
	res result
}

// prove looks whether the server answers at all. Without it nothing can be measured, and to blame a server for a wrong
// key would be wrong.
func (r *runner) prove(ctx context.Context) error {
	for _, p := range []struct {
		id   string
		look func(context.Context) result
	}{{"ready", r.ready}, {"model", r.model}} {
		res := p.look(ctx)
		if res.err != nil {
			return res.err
		}
		r.proven = append(r.proven, proof{p.id, res})
	}
	return r.monitored(ctx)
}

// monitored looks whether there are metrics where the caller says that they are. That nothing answers there is the
// caller's mistake, or the monitoring's; a server is to blame where its own address offers none, or where a Prometheus
// server that works knows none of it.
func (r *runner) monitored(ctx context.Context) error {
	if r.o.MetricsURL == "" && r.o.PrometheusURL == "" {
		return nil
	}
	s := r.scraper.Scrape(ctx, "")
	if s.Err == "" || r.o.PrometheusURL != "" && strings.HasPrefix(s.Err, probe.ErrUnavailable.Error()) {
		return nil
	}
	return fmt.Errorf("%w: metrics of %s: %s", target.ErrSetup, r.scraper.Name(), s.Err)
}

// conditions proves what the case asks for before load means anything, and measures the client's own error.
func (r *runner) conditions(ctx context.Context) {
	for _, p := range r.proven {
		r.condition(ctx, p.id, p.res)
	}
	r.condition(ctx, "prompts", result{detail: fmt.Sprintf("%d prompts, SHA-256 %.12s", len(r.loaded.Prompts.Prompts),
		digest(r.loaded.PromptBytes))})
	r.condition(ctx, "metrics", r.metrics(ctx))
	r.condition(ctx, "resources", r.resources(ctx))
	r.condition(ctx, "environment", result{detail: r.machine()})
	r.condition(ctx, "client", r.calibrate(ctx))
}

// result is how a precondition turned out.
type result struct {
	detail string
	err    error
}

// condition records how one turned out. What a run that was stopped could not look at is not lost: nobody looked.
func (r *runner) condition(ctx context.Context, id string, res result) {
	if ctx.Err() != nil {
		return
	}
	c := &evidence.Condition{ID: id, OK: res.err == nil, Detail: res.detail}
	if res.err != nil {
		c.Detail = res.err.Error()
	}
	r.add(evidence.Event{Condition: c})
	r.tell(Event{Kind: EventCondition, OK: c.OK, Text: id + ": " + c.Detail})
}

func (r *runner) ready(ctx context.Context) result {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return result{target.Redact(r.server.URL) + " is ready", r.client.Ready(ctx, r.server.Gone)}
}

// model asks for a token, so that the first request of the load does not find a model that is not loaded, and finds
// out whether the server takes stream_options.
func (r *runner) model(ctx context.Context) result {
	zero := 0.0
	ask := openai.ChatRequest{Messages: []openai.Message{{Role: "user", Content: "Hello"}}}
	ask.Model, ask.MaxTokens, ask.Temperature = r.asker.model, 1, &zero
	ctx, cancel := context.WithTimeout(ctx, seconds(r.c.Limits.RequestTimeoutS))
	defer cancel()
	answer, err := r.client.Chat(ctx, ask)
	switch {
	case err != nil:
		return result{err: fmt.Errorf("model %s: %w", r.asker.model, err)}
	case len(answer.Choices) == 0:
		return result{err: fmt.Errorf("%w: model %s answers without choices", target.ErrSetup, r.asker.model)}
	}
	if r.c.Request.Stream {
		ask.Stream, ask.StreamOptions = true, &openai.StreamOptions{IncludeUsage: true}
		resp, err := r.client.Send(ctx, http.MethodPost, "/v1/chat/completions", ask)
		var status *target.StatusError
		if errors.As(err, &status) && status.Status == http.StatusBadRequest {
			r.asker.usage = false
			r.tell(Event{Kind: EventNote,
				Text: "the server refuses stream_options: token counts of streams are not known"})
		} else if err == nil {
			drain(resp.Body)
		}
	}
	return result{detail: fmt.Sprintf("%s answers", r.asker.model)}
}

func (r *runner) metrics(ctx context.Context) result {
	s := r.scraper.Scrape(ctx, "start")
	if ctx.Err() == nil {
		r.add(evidence.Event{Scrape: &s})
	}
	switch {
	case s.Err != "":
		return result{err: errors.New(s.Err)}
	case s.Dialect == probe.Unknown:
		return result{err: fmt.Errorf("%w: %s speaks no known dialect", probe.ErrUnavailable, s.Source)}
	}
	return result{detail: s.Source + " in the dialect of " + s.Dialect}
}

func (r *runner) resources(ctx context.Context) result {
	s, err := r.source.Sample(ctx)
	if err != nil && r.o.PID == 0 && r.o.Cgroup == "" {
		if pid, name, ok := probe.ListensAt(ctx, r.server.URL); ok {
			err = fmt.Errorf("%w; process %d (%s) listens there: it can be named with --pid %d", err, pid, name, pid)
		}
	}
	return result{fmt.Sprintf("%s: %.2f GB at rest", r.source.Name(), float64(s.RSS)/(1<<30)), err}
}

// machine compares this machine with what the case asks for. It gates nothing: the server may be elsewhere, and a
// small machine shows in the figures that are gated.
func (r *runner) machine() string {
	e := r.c.Environment
	have := fmt.Sprintf("%d cores", runtime.NumCPU())
	small := runtime.NumCPU() < e.CPUCores
	if gb, ok := probe.Memory(); ok {
		have += fmt.Sprintf(" and %.0f GB here", gb)
		small = small || gb < e.MemoryGB
	}
	if !small {
		return have
	}
	return fmt.Sprintf("%s, less than the %d cores and %g GB that the case asks for (reported, not gated)", have,
		e.CPUCores, e.MemoryGB)
}

// calibrate measures the client against a server that answers at known times, at the highest rate of the profile.
func (r *runner) calibrate(ctx context.Context) result {
	rps := 0.0
	for _, ph := range r.phases {
		if ph.Kind == testcases.KindOpen {
			rps = max(rps, r.c.Rate(ph))
		}
	}
	if rps == 0 {
		rps = 50
	}
	var res result
	for try := range calibrations {
		if res = r.measureClient(ctx, rps, uint64(try)); res.err == nil || ctx.Err() != nil {
			break
		}
	}
	return res
}

func (r *runner) measureClient(ctx context.Context, rps float64, try uint64) result {
	e, err := loadgen.MeasureClient(ctx, loadgen.MeasureOptions{RPS: rps, Tokens: calibrateTokens,
		TokenInterval: calibrateGap, Duration: calibrateFor, Seed: uint64(r.o.Seed) + try})
	if err != nil {
		return result{err: err}
	}
	r.add(evidence.Event{Client: &e})
	worst := float64(max(e.IssueP99, e.TTFTErrorP99, e.GapErrorP99)) / 1e6
	said := fmt.Sprintf("at %s requests/s at p99: issues %.2f ms late; error of the first token %.2f ms, of a gap "+
		"%.2f ms", short(rps), float64(e.IssueP99)/1e6,
		float64(e.TTFTErrorP99)/1e6, float64(e.GapErrorP99)/1e6)
	if limit := r.c.Limits.IssueDelayMS; worst > limit {
		return result{err: fmt.Errorf("%s; the limit is %g ms: is other work on this machine?", said, limit)}
	}
	return result{detail: said}
}

// baseline says how the server does once it is warm; the phases that follow are held against it.
func (r *runner) baseline(latencies []float64, failed int, steadyAt int, steady bool) result {
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
