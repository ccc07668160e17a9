// Package certify runs a performance test case against an OpenAI-compatible server and says, with evidence, whether
// the server keeps it: PASS, FAIL, or INVALID where the run cannot tell. It must not import anything of the serving
// half: it knows a server by its URL, and certifies our own as it certifies any other.
//
// A run is one line of work:
//
//	plan → load, probe, quality → events → verdict → report
//
// The case is data (see testcases); TC-L1-COMP-MIXTRAL-003 is compiled in. While load is made, every request,
// resource sample and metrics scrape is appended to an events file. The verdict is a pure function of that file:
// anyone can derive it again with `mixtral report verify`, and a run that was killed still has what it measured.
//
// Whose process? A started server runs as a process of its own where possible (target.Child): then the memory and CPU
// that are sampled are the server's alone, and a crash of the server is a finding and not the end of the certifier.
// Inside `go test` a server is an http.Handler in the same process (target.Handler), and the report says that its
// memory and CPU include the load generator's.
package certify

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// Report is a run's result.
type Report = report.Report

// Verdicts of a check and of a report's Status.
const (
	Pass    = report.Pass
	Fail    = report.Fail
	Invalid = report.Invalid
)

// What Run's errors match, beside testcases.ErrNotFound, testcases.ErrInvalid and target.ErrSetup.
var (
	ErrOptions     = errors.New("invalid options")
	ErrInterrupted = errors.New("interrupted") // the report of what was measured until then comes with it
)

// Defaults of Options.
const (
	DefaultProfile   = "quick"
	DefaultReportDir = "reports"
)

// Options say what to certify. Either Target or Launch is needed; everything else has a default.
type Options struct {
	Case    string // a compiled-in case's id or a case file's path; empty: TC-L1-COMP-MIXTRAL-003
	Profile string // of the case; empty: "quick"

	Target      string          // URL of a server that runs already
	Launch      target.Launcher // starts the server, where Target is empty
	ModelRef    string          // handed to Launch: which model to serve
	TargetModel string          // the model to ask for; empty: the first that the server lists
	APIKey      string          // sent as a bearer token

	MetricsURL    string // of the server's metrics; empty: /metrics below its root
	PrometheusURL string // of a Prometheus server that scrapes it; instead of MetricsURL
	PID           int    // the server's process, if it runs on this machine; or
	Cgroup        string // its control group; without both: the started process, or what the metrics say

	JudgeURL   string // an OpenAI-compatible server whose model gives a second opinion on answers; empty: none
	JudgeModel string // its model; empty: the first that it lists
	JudgeKey   string // its API key

	Set       []string // "targets.throughput_rps=80", applied to the case in turn
	Seed      int64    // of arrivals, salts and sampling; 0: drawn, and recorded
	ReportDir string   // empty: "reports"
	Version   string   // of the program, for the report

	TracingURL string // an OpenTelemetry collector for traces that begin with the load's requests; empty: none

	Progress func(Event) // told what happens, by one goroutine at a time; it must not block for long
	Monitor  *Monitor    // fed while the run goes on; nil: one of the run's own
}

// Run certifies a server and writes the report's files. The report comes with an error in one case: ErrInterrupted,
// when ctx ended and the verdict rests on what was measured until then. A FAIL is no error: see Report.Status.
func Run(ctx context.Context, o Options) (*Report, error) {
	r, err := prepare(o)
	if err != nil {
		return nil, err
	}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	runErr := r.run(ctx)
	rep, err := r.finish(ctx)
	if runErr != nil && !errors.Is(err, runErr) { // a record that cannot be written cannot be closed either
		err = errors.Join(runErr, err)
	}
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return rep, fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
	}
	return rep, nil
}

// prepare checks everything that can be checked without a server.
func prepare(o Options) (*runner, error) {
	switch {
	case o.Target == "" && o.Launch == nil:
		return nil, fmt.Errorf("%w: neither Target nor Launch says what to certify", ErrOptions)
	case o.MetricsURL != "" && o.PrometheusURL != "":
		return nil, fmt.Errorf("%w: a metrics URL and a Prometheus URL exclude each other", ErrOptions)
	case o.PID != 0 && o.Cgroup != "":
		return nil, fmt.Errorf("%w: a process and a control group exclude each other", ErrOptions)
	case o.PID < 0:
		return nil, fmt.Errorf("%w: %d is no process", ErrOptions, o.PID)
	}
	for name, address := range map[string]string{"metrics": o.MetricsURL, "Prometheus": o.PrometheusURL,
		"tracing": o.TracingURL} {
		if u, err := url.Parse(address); address != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" ||
			u.Host == "") {
			return nil, fmt.Errorf("%w: %s URL: want http://… or https://…, got %q", ErrOptions, name, address)
		}
	}
	loaded, err := Load(o.Case, o.Set)
	if err != nil {
		return nil, err
	}
	if o.Profile == "" {
		o.Profile = DefaultProfile
	}
	phases, ok := loaded.Case.Profiles[o.Profile]
	if !ok {
		var names []string
		for name := range loaded.Case.Profiles {
			names = append(names, name)
		}
		slices.Sort(names)
		return nil, fmt.Errorf("%w: profile: %s has no %q; it has %s", ErrOptions, loaded.Case.ID, o.Profile,
			strings.Join(names, ", "))
	}
	if o.ReportDir == "" {
		o.ReportDir = DefaultReportDir
	}
	if err := writable(o.ReportDir); err != nil {
		return nil, fmt.Errorf("%w: report folder: %w", ErrOptions, err)
	}
	if o.Seed == 0 {
		o.Seed = rand.Int64N(1<<31-1) + 1
	}
	if o.Monitor == nil {
		o.Monitor = NewMonitor()
	}
	return &runner{o: o, loaded: loaded, c: loaded.Case, phases: phases, epoch: time.Now()}, nil
}

// writable makes a folder if need be, and a file in it: that no report can be written must not come to light after a
// model was loaded.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Load reads a case as Run would, with overrides applied, and says everything that is wrong with it.
func Load(ref string, set []string) (*testcases.Loaded, error) {
	loaded, err := testcases.Load(ref)
	if err != nil {
		return nil, err
	}
	for _, s := range set {
		if err := loaded.Case.Set(s); err != nil {
			return nil, err
		}
	}
	if err := loaded.Case.Validate(); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(set, func(s string) bool { return strings.HasPrefix(strings.TrimSpace(s), "prompts") }) {
		return loaded, loaded.LoadPrompts("")
	}
	return loaded, nil
}
