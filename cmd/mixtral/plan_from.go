package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	reports "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/base/slo"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/plan"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// observedRun is a certified run as the source of a plan: what its clients observed of the server, and the traffic of
// its open phase.
type observedRun struct {
	path     string
	header   *evidence.Header
	profile  plan.Profile
	replicas int

	phase            evidence.Phase // of the traffic; it has no id if no phase was open
	prompts, outputs []int
	shared           float64
	burstiness       float64
	latency          []float64 // of the phase, in seconds
}

// planFrom describes the run in the output of plan --json, and how well the fitted costs predict its own latencies.
type planFrom struct {
	Record   string       `json:"record"`
	Phase    string       `json:"phase"`
	RPS      float64      `json:"rps"`
	Replicas int          `json:"replicas"`
	Most     int          `json:"most_sequences"` // per replica at once; the costs of more are extrapolated
	Latency  []planFigure `json:"latency"`        // of the phase
}

// planFigure is a measured figure with its prediction.
type planFigure struct {
	Statistic string  `json:"statistic"` // "mean", "p50" or "p99"
	Measured  float64 `json:"measured_ms"`
	Predicted float64 `json:"predicted_ms"`
	Error     float64 `json:"error"` // of the prediction, as a share
}

// Values for settings of a scheduler that a record does not contain: those of present servers, or no bound.
const (
	observedRunning = 256
	observedChunk   = 512
	observedContext = 32768
	observedBlocks  = 1 << 20
)

// readFrom reads the run of --from; nil without one.
func (c *planCmd) readFrom(a *app) (*observedRun, error) {
	if c.From == "" {
		return nil, nil
	}
	path, digest := c.From, ""
	if !strings.HasSuffix(path, reports.EventsExt) && !strings.HasSuffix(path, ".part") {
		r, _, err := c.openRef(a, path)
		if err != nil {
			return nil, err
		}
		path, digest = recordIn(path, c.ReportDir, r), r.Evidence.SHA256
	}
	from := &observedRun{path: path, replicas: 1}
	requests, running, queued := []*evidence.Request{}, 0.0, false
	info, err := evidence.ScanFile(path, func(e *evidence.Event) error {
		switch {
		case e.Header != nil:
			from.header = e.Header
		case e.Request != nil:
			e.Request.Gaps = nil // most of its memory
			requests = append(requests, e.Request)
		case e.Phase != nil && e.Phase.Kind == testcases.KindOpen && e.Phase.Issued > from.phase.Issued:
			from.phase = *e.Phase
		case e.Scrape != nil:
			from.replicas = max(from.replicas, len(e.Scrape.Replicas))
			running = max(running, e.Scrape.Values[evidence.MetricRunning])
			queued = queued || e.Scrape.Values[evidence.MetricWaiting] > 0
		}
		return a.ctx.Err()
	})
	switch {
	case a.ctx.Err() != nil:
		return nil, exitWith(exitInterrupted)
	case err != nil:
		return nil, usageError(withHint(fmt.Errorf("--from: %w", err), noEventsHint+
			"; --report-dir names the directory of those of a run from the database"))
	case digest != "" && info.SHA256 != digest:
		return nil, usageError(fmt.Errorf("--from %s: %s is not the record of its report: the SHA-256 of its lines "+
			"is %s, the report says %s", c.From, path, info.SHA256, digest))
	case info.Count == 0 || from.header.Case == nil:
		return nil, usageError(fmt.Errorf("--from %s: its header has no case", path))
	}
	if err := from.fit(requests, running, queued); err != nil {
		return nil, usageError(fmt.Errorf("--from %s: %w", path, err))
	}
	return from, nil
}

// fit computes the costs and the traffic. If the metrics say that requests waited, the highest number that ran is
// taken as the maximum.
func (r *observedRun) fit(requests []*evidence.Request, running float64, queued bool) error {
	var observed []plan.Observed
	var prompt, cached, last float64
	var gaps []float64
	slices.SortStableFunc(requests, func(a, b *evidence.Request) int { return int(a.Scheduled - b.Scheduled) })
	for _, q := range requests {
		if q.Phase == r.phase.ID && r.phase.ID != "" {
			if at := float64(q.Scheduled) / 1e9; last > 0 {
				gaps = append(gaps, at-last)
			}
			last = float64(q.Scheduled) / 1e9
		}
		if !q.OK() || !q.HasUsage || q.Begins() == 0 {
			continue
		}
		observed = append(observed, plan.Observed{Begin: float64(q.Issued) / 1e9, First: float64(q.Begins()) / 1e9,
			Last: float64(q.Last) / 1e9, Prompt: max(q.PromptTokens-q.CachedTokens, 1), Output: q.OutputTokens})
		if q.Phase == r.phase.ID {
			r.prompts, r.outputs = append(r.prompts, max(q.PromptTokens, 1)), append(r.outputs, max(q.OutputTokens, 1))
			prompt, cached = prompt+float64(q.PromptTokens), cached+float64(q.CachedTokens)
			r.latency = append(r.latency, q.Latency(testcases.KindOpen).Seconds())
		}
	}
	if len(r.prompts) == 0 {
		for _, s := range observed {
			r.prompts, r.outputs = append(r.prompts, s.Prompt), append(r.outputs, s.Output)
		}
	}
	if prompt > 0 {
		r.shared = cached / prompt
	}
	r.burstiness = r.arrivals(gaps)
	p := &r.profile
	p.SchemaVersion, p.Model, p.Machine = 1, r.header.Target.Model, r.header.Target.URL
	p.MaxRunning, p.PrefillChunk, p.ContextLength = observedRunning, observedChunk, observedContext
	p.BlockTokens, p.KVBlocks = plan.ServerBlockTokens, observedBlocks
	if most := int(running) / r.replicas; queued && most > 0 {
		p.MaxRunning = most
	}
	return p.FitObserved(observed, r.replicas)
}

// arrivals returns the shape of the arrivals' gaps: that of the case, or for a trace that of the gamma distribution
// with the same variance.
func (r *observedRun) arrivals(gaps []float64) float64 {
	ph, ok := r.header.Case.Profiles[r.header.Profile].ByID(r.phase.ID)
	switch {
	case !ok:
		return 1
	case ph.Arrivals == testcases.ArrivalsConstant:
		return math.Inf(1)
	case ph.Arrivals == testcases.ArrivalsGamma && ph.Burstiness > 0:
		return ph.Burstiness
	case ph.Arrivals != testcases.ArrivalsTrace || len(gaps) < 2:
		return 1
	}
	var sum, squares float64
	for _, g := range gaps {
		sum, squares = sum+g, squares+g*g
	}
	n := float64(len(gaps))
	mean := sum / n
	if variance := squares/n - mean*mean; variance > 0 {
		return mean * mean / variance
	}
	return math.Inf(1)
}

// loaded returns the case of the plan: the named one, or that of the run.
func (c *planCmd) loaded(from *observedRun) (*testcases.Loaded, error) {
	if from == nil || c.Case != "" {
		return testcases.Load(c.Case)
	}
	return &testcases.Loaded{Case: from.header.Case}, nil
}

// fill sets the traffic that no flag sets.
func (r *observedRun) fill(t *plan.Traffic) {
	if t.RPS == 0 {
		t.RPS = r.phase.OfferedRPS
	}
	if t.Burstiness == 1 {
		t.Burstiness = r.burstiness
	}
	if t.Shared == 0 && r.shared >= 0.01 { // less comes from chance repetitions
		t.Shared = r.shared
	}
}

func (r *observedRun) describe() string {
	return fmt.Sprintf("observed: %s at %s, %s, in the run of %s", r.profile.Model, r.profile.Machine,
		noun.Of(r.replicas, "replica", "replicas"), r.header.Start.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// check predicts the run itself with the costs that were fitted to it.
func (r *observedRun) check(a *app, s plan.Setup) (*planFrom, error) {
	if r == nil || len(r.latency) == 0 || r.phase.OfferedRPS <= 0 {
		return nil, nil
	}
	s.Replicas, s.Traffic.RPS = r.replicas, r.phase.OfferedRPS
	s.Traffic.Prompt, s.Traffic.Output, s.Traffic.Burstiness = r.prompts, r.outputs, r.burstiness
	s.Traffic.Requests = max(len(r.latency), 3000)
	got, err := plan.Simulate(a.ctx, s)
	if err != nil {
		return nil, err
	}
	sum := 0.0
	for _, x := range r.latency {
		sum += x
	}
	sorted := slices.Sorted(slices.Values(r.latency))
	points := r.profile.Points
	out := &planFrom{Record: r.path, Phase: r.phase.ID, RPS: r.phase.OfferedRPS, Replicas: r.replicas,
		Most: points[len(points)-2].Tokens} // the last point is above the maximum
	add := func(name string, measured, predicted float64) {
		out.Latency = append(out.Latency, planFigure{name, 1e3 * measured, 1e3 * predicted, predicted/measured - 1})
	}
	add("mean", sum/float64(len(sorted)), slo.Objective{}.Of(got.Latency))
	for name, p := range map[string]float64{"p50": 0.5, "p99": 0.99} {
		if len(sorted) >= stats.MinSamples(p, 0.99, 0) {
			add(name, stats.Percentile(sorted, p), got.Percentile(slo.Latency, p))
		}
	}
	slices.SortFunc(out.Latency, func(a, b planFigure) int { return strings.Compare(a.Statistic, b.Statistic) })
	return out, nil
}

// print prints how well the run itself is predicted.
func (f *planFrom) print(w io.Writer) {
	fmt.Fprintf(w, "the run itself, phase %s at %.4g requests/s:", f.Phase, f.RPS)
	for i, x := range f.Latency {
		fmt.Fprintf(w, "%s %s %.1f ms, predicted %.1f (%+.0f %%)", map[bool]string{true: ";"}[i > 0], x.Statistic,
			x.Measured, x.Predicted, 100*x.Error)
	}
	fmt.Fprintf(w, "\nin it, a replica had about %s at once; the costs of more are extrapolated\n",
		noun.Of(f.Most, "sequence", "sequences"))
}
