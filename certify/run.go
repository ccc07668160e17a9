package certify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
	"github.com/hxp-enterprise/mixtral/internal/certify/quality"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// slowStart is how long is waited for a server before a person is told.
const slowStart = 2 * time.Second

// errTargetLost ends a run whose server has gone.
var errTargetLost = errors.New("target lost")

// runner is one run.
type runner struct {
	o      Options
	loaded *testcases.Loaded
	c      *testcases.Case
	phases testcases.Phases

	server  *target.Server
	client  *target.Client
	version string // of the server, if it says one
	scraper *probe.Scraper
	source  probe.Source
	host    *probe.Host // nil: this system does not tell who uses it
	asker   *asker
	judges  *judgeClient      // nil: nobody is asked
	tracer  *telemetry.Tracer // nil: requests are not traced

	proven []proof // before the record began

	epoch  time.Time // all times of the record count from here, on the monotonic clock
	events *evidence.Writer
	failed atomic.Pointer[error] // the record could not be written
	cancel context.CancelCauseFunc

	inFlight atomic.Int64
	refused  atomic.Int64 // connections refused since the last answer
	current  atomic.Pointer[testcases.Phase]
	swept    int              // requests of a sweep's earlier steps
	before   float64          // requests that the server had counted before the current phase
	last     *evidence.Scrape // the latest good one around a phase
	lastAt   time.Time
	scraped  bool // the metrics could be read at least once
	telling  sync.Mutex
	scraping sync.Mutex
}

// open gets the server, proves that it answers at all, and begins the record with its header. A server that refuses
// the key, or has no working model, is no server that was measured: there is nothing to certify, and no record.
func (r *runner) open(ctx context.Context) error {
	if err := r.connect(ctx); err != nil {
		return err
	}
	err := r.prove(ctx)
	if err == nil {
		err = r.begin()
	}
	if err != nil {
		return errors.Join(err, r.release())
	}
	return nil
}

// connect starts or finds the server, and what is needed to watch it.
func (r *runner) connect(ctx context.Context) (err error) {
	waits := "the server starts"
	if r.o.Target != "" {
		waits = target.Redact(r.o.Target) + " has not answered yet"
	}
	slow := time.AfterFunc(slowStart, func() { r.tell(Event{Kind: EventNote, Text: waits}) })
	defer slow.Stop()
	if r.o.Target == "" {
		r.server, err = r.o.Launch(ctx, target.Need{Model: r.o.ModelRef})
	} else if r.server, err = target.Existing(ctx, r.o.Target, r.o.APIKey); r.unlisted(err) {
		r.server, err = target.At(r.o.Target)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(r.openTracer(), r.meet(ctx)); err != nil {
		return errors.Join(err, r.release())
	}
	return nil
}

// release lets go of the server and everything that was used to watch it.
func (r *runner) release() error {
	r.client.Close()
	if r.scraper != nil {
		r.scraper.Close()
	}
	r.judges.close()
	r.closeTracer()
	return r.server.Stop()
}

// meet finds out which model to ask for, and where resources and metrics come from.
func (r *runner) meet(ctx context.Context) error {
	r.client = target.NewClient(r.server.URL, r.o.APIKey)
	models, err := r.client.Models(ctx)
	model := r.o.TargetModel
	switch {
	case r.unlisted(err):
	case err != nil:
		return err
	case model == "":
		model = models[0].ID
	default:
		if err := serves(models, model); err != nil {
			return err
		}
	}
	r.version = r.client.Version(ctx)
	r.asker = &asker{c: r.c, prompts: r.loaded.Prompts, model: model, seed: uint64(r.o.Seed), usage: true}
	metrics := r.o.MetricsURL
	if metrics == "" && r.o.PrometheusURL == "" {
		metrics = r.server.URL + "/metrics"
	}
	r.scraper = probe.NewScraper(metrics, r.o.PrometheusURL, r.metricsKey(metrics), model)
	if r.source, err = target.Watch(r.server, r.o.PID, r.o.Cgroup, r.scraper); err != nil {
		return fmt.Errorf("%w: resources: %w", target.ErrSetup, err)
	}
	if r.host, err = probe.NewHost(ctx, r.source, r.server.URL); err != nil {
		r.host = nil
	}
	if r.judges, err = newJudge(ctx, r.o); err != nil {
		return fmt.Errorf("judge: %w", err)
	}
	return nil
}

// unlisted says that a server lists no models, and that it need not: the caller names one.
func (r *runner) unlisted(err error) bool {
	return r.o.TargetModel != "" && target.NotOffered(err)
}

// serves says whether a server lists a model. A name that it does not list is a mistake to be told at once, and not
// after a minute of refusals.
func serves(models []openai.Model, model string) error {
	var names []string
	for _, m := range models {
		if m.ID == model || strings.HasPrefix(m.ID, model+":") { // Ollama lists name:tag, and takes the name
			return nil
		}
		names = append(names, m.ID)
	}
	return fmt.Errorf("%w: the server lists no model %q; it lists %s", target.ErrSetup, model,
		strings.Join(names, ", "))
}

// metricsKey is the server's API key where the metrics are the server's own: no other host must see it.
func (r *runner) metricsKey(metrics string) string {
	a, errA := url.Parse(r.server.URL)
	b, errB := url.Parse(metrics)
	if errA != nil || errB != nil || a.Scheme != b.Scheme || a.Host != b.Host {
		return ""
	}
	return r.o.APIKey
}

// begin opens the record. Two runs that start within a second would have the same name: the later one waits.
func (r *runner) begin() (err error) {
	scale := calibration() // takes a second: not on the record's clock
	for range 5 {
		r.epoch = time.Now()
		r.events, err = evidence.Create(filepath.Join(r.o.ReportDir,
			report.BaseName(r.c.ID, r.epoch)+report.EventsExt))
		if !errors.Is(err, os.ErrExist) {
			break
		}
		time.Sleep(time.Until(r.epoch.Truncate(time.Second).Add(time.Second)))
	}
	if err != nil {
		return err
	}
	h := &evidence.Header{
		SchemaVersion: evidence.SchemaVersion, Start: r.epoch.UTC().Round(0), Case: r.c, Profile: r.o.Profile,
		Seed: r.o.Seed,
		Target: evidence.Target{Kind: "url", URL: target.Redact(r.server.URL), Model: r.asker.model,
			BuiltIn:   r.server.BuiltIn,
			Resources: r.source.Name(), Metrics: r.scraper.Name()},
		Environment: probe.Machine(), Fingerprints: r.fingerprints(), Calibration: scale,
	}
	if r.o.Target == "" {
		h.Target.Kind = "embedded"
	}
	return r.events.Add(evidence.Event{Header: h})
}

func (r *runner) fingerprints() map[string]string {
	f := map[string]string{"prompts_sha256": digest(r.loaded.PromptBytes)}
	if data, err := json.Marshal(r.c); err == nil { // with overrides applied
		f["case_sha256"] = digest(data)
	}
	if r.o.Version != "" {
		f["version"] = r.o.Version
	}
	if r.version != "" {
		f["server_version"] = r.version
	}
	for k, v := range r.server.Fingerprints {
		f[k] = v
	}
	return f
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// calibration is how well the scores tell good answers from bad ones, on the half that they were not tuned on.
func calibration() *evidence.Calibration {
	half := quality.Calibration().HeldOut
	c := &evidence.Calibration{AUC: half.AUC.Value, FalsePass: half.FalsePass.Value, FalseFail: half.FalseFail.Value,
		Threshold: quality.Threshold, Good: half.Good, Bad: half.Bad, PerFault: map[string]float64{}}
	for _, k := range half.Corruptions {
		c.PerFault[k.Kind] = k.AUC.Value
	}
	return c
}

// add records something that happened now. A record that cannot be written ends the run: a verdict without evidence is
// worth nothing.
func (r *runner) add(e evidence.Event) {
	e.At = r.since()
	if err := r.events.Add(e); err != nil && r.failed.CompareAndSwap(nil, &err) && r.cancel != nil {
		r.cancel(err)
	}
}

func (r *runner) since() int64 { return time.Since(r.epoch).Nanoseconds() }

// run does everything between the record's header and its end. It stops early when ctx ends or the server goes away;
// both are recorded and no error.
func (r *runner) run(ctx context.Context) error {
	ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.cancel(nil)
	r.tell(Event{Kind: EventPlan, Text: Arithmetic(r.c, r.o.Profile, len(r.loaded.Prompts.Prompts)),
		Expected: r.least()})
	watching, stop := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	for _, watch := range []func(context.Context){r.watchResources, r.watchMetrics, r.watchClock, r.watchHost,
		r.watchTarget} {
		watchers.Go(func() { watch(watching) })
	}
	r.conditions(ctx)
	for i, ph := range r.phases {
		if ctx.Err() != nil {
			break
		}
		r.phase(ctx, i, ph)
	}
	stop()
	watchers.Wait()
	r.add(evidence.Event{End: r.end(ctx)})
	if err := r.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// least is how long the profile takes at least.
func (r *runner) least() (d time.Duration) {
	for _, ph := range r.phases {
		d += r.expected(ph)
	}
	return d
}

func (r *runner) end(ctx context.Context) *evidence.End {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return &evidence.End{}
	case errors.Is(cause, errTargetLost):
		return &evidence.End{Reason: "the server went away" + r.during()}
	default:
		return &evidence.End{Interrupted: true, Reason: "stopped on request" + r.during()}
	}
}

func (r *runner) during() string {
	if ph := r.current.Load(); ph != nil {
		return " during phase " + ph.ID
	}
	return ""
}

// finish closes the record, lets go of the server, judges the record as it stands in the file and writes the report.
func (r *runner) finish(ctx context.Context) (*Report, error) {
	err := r.events.Close()
	stopErr := r.release()
	if err != nil {
		return nil, err
	}
	record, err := evidence.ReadFile(r.events.Path())
	if err != nil {
		return nil, err
	}
	rep, series, err := judge.Derive(record.Events)
	if err != nil {
		return nil, err
	}
	paths, err := report.Save(r.o.ReportDir, rep, series)
	if err != nil {
		return nil, err
	}
	if stopErr != nil && ctx.Err() == nil {
		r.tell(Event{Kind: EventNote, Text: stopErr.Error()})
	}
	r.tell(Event{Kind: EventReport, Text: strings.Join([]string{paths.JSON, paths.HTML}, " "), OK: rep.Status == Pass,
		Summary: r.o.Monitor.Summary()})
	return rep, nil
}
