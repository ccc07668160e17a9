package certify

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/attest"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// Report is the result of a run.
type Report = report.Report

// Verdict is the result of a check or of a whole run (a report's Status).
type Verdict = report.Verdict

// Verdicts.
const (
	Pass    = report.Pass
	Fail    = report.Fail
	Invalid = report.Invalid
)

// Run's errors match one of these, or testcases.ErrNotFound, testcases.ErrInvalid or target.ErrSetup.
var (
	ErrOptions     = errors.New("invalid options")
	ErrInterrupted = errors.New("interrupted") // Run also returns a report on what was measured
	// although Options.SignKey is set; Run also returns the report
	ErrUnsigned = errors.New("the report was not signed")
)

// Defaults of Options.
const (
	DefaultProfile   = "quick"
	DefaultReportDir = "reports"
)

// Options say what to certify, and how. Either Target or Launch must be set; everything else has a default.
type Options struct {
	Case    string            // a built-in case's id or a case file's path; empty: TC-L1-COMP-MIXTRAL-003
	Loaded  *testcases.Loaded // a case in memory, instead of Case; it is not changed
	Profile string            // the name of a profile of the case; empty: "quick"

	Target      string          // URL of a server that is already running
	Launch      target.Launcher // starts the server if Target is empty
	ModelRef    string          // the model that Launch should serve
	TargetModel string          // the model in requests; empty: the first that the server lists
	Headers     []string        // "NAME: VALUE", sent with every request to the server
	Query       []string        // "NAME=VALUE", added to the URL of every request
	Body        []string        // "KEY=VALUE" or a JSON object: fields added to the body of every request
	APIKey      string          // sent as a bearer token

	// MetricsURL is the URL of the server's metrics; empty: /metrics at the server's root. If several replicas stand
	// behind Target, list the URLs of all of them, separated by commas. A URL with pods+ in front stands for every pod
	// that a selector finds, as in pods+http://NAMESPACE:PORT/metrics?selector=LABEL=VALUE; dns+ stands for every
	// address of the URL's host. The metrics of the replicas are added up, and the report names a replica that was
	// lost or restarted.
	MetricsURL    string
	PrometheusURL string // of a Prometheus server that scrapes the server under test; instead of MetricsURL
	PID           int    // the server's process ID, if it runs on this machine
	// the server's control group, instead of PID; without both, the started process or the metrics are read
	Cgroup string

	// GPUMetricsURL measures the server's accelerators: an exporter such as DCGM's, or a Prometheus server; empty: the
	// case's.
	GPUMetricsURL string
	GPUMatch      []string // "LABEL=VALUE": labels that a series of GPUMetricsURL must have

	ReviewerURL   string // an OpenAI-compatible server whose model gives a second opinion on answers; empty: none
	ReviewerModel string // the reviewer's model; empty: the first that it lists
	ReviewerKey   string // the reviewer's API key

	// Sweep only searches for the knee, the highest load that the server sustains: "rate=1..64", "concurrency=1..128",
	// or "rate" or "concurrency" alone for a range around the case's target. The run has the profile "sweep".
	Sweep     string
	SweepStep time.Duration // the length of a step of Sweep; 0: 10 s

	// Against is an earlier run to compare this one with; nil: none. The comparison does not change the verdict.
	Against *Earlier

	SLO  []string // objectives such as "ttft:p99<2s" (see testcases.Case.AddSLO), added after Set
	Set  []string // assignments such as "targets.throughput_rps=80", applied to the case in this order
	Seed int64    // of arrivals, salts and sampling; 0: drawn at random. The report has it

	// Generators are the addresses, HOST:PORT, of generators on other machines (see Generate), which make the load
	// together; empty: this process makes the load. They need Target.
	Generators      []string
	GeneratorsKey   []byte         // the key that the generators have too
	GeneratorsRoots *x509.CertPool // the roots of the generators' certificates; nil: only the key is checked
	GeneratorsWait  time.Duration  // how long to wait for generators that do not listen yet

	ReportDir string // empty: "reports"
	Version   string // the program's version, for the report

	SignKey *attest.Signer // signs the report and the record; nil: they are not signed

	TracingURL string // an OpenTelemetry collector for traces of the load's requests; empty: none

	Progress func(Event) // is called with each event, by one goroutine at a time; it must return quickly
	Monitor  *Monitor    // receives the measurements during the run; nil: the run makes one

	dial       dialer        // opens the load's connections, for tests; nil: the usual dialer
	scrapeTime time.Duration // time limit of a scrape, for tests; 0: probe.Patience
}

// Earlier is an earlier run, to compare a later one with.
type Earlier struct {
	Name   string // the run's ID or its report's file name, as the later report shows it
	Report []byte // the JSON report
	Events string // the path of its events file; if it is empty or the file is missing, distributions are not compared
}

// Run certifies a server and writes the report's files. It returns a report together with an error in two cases:
// ErrInterrupted if ctx ended, with a verdict on what was measured until then, and ErrUnsigned if Options.SignKey
// could not sign. A FAIL is not an error: see Report.Status.
func Run(ctx context.Context, o Options) (*Report, error) {
	p, err := newPlan(o)
	if err != nil {
		return nil, err
	}
	r, err := open(ctx, p)
	if err != nil {
		return nil, err
	}
	runErr := r.run(ctx)
	rep, err := r.finish(ctx)
	if runErr != nil && !errors.Is(err, runErr) { // the record's error would otherwise be reported twice
		err = errors.Join(runErr, err)
	}
	if err != nil && !errors.Is(err, ErrUnsigned) {
		return nil, err
	}
	if ctx.Err() != nil {
		err = errors.Join(fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx)), err)
	}
	return rep, err
}

// Load reads a case as Run does and applies the overrides, which have the form of Options.Set. Its error lists
// everything that is wrong with the case.
func Load(ref string, set []string) (*testcases.Loaded, error) {
	return LoadSLO(ref, set, nil)
}

// LoadSLO is Load with additional objectives, which have the form of Options.SLO.
func LoadSLO(ref string, set, slo []string) (*testcases.Loaded, error) {
	loaded, err := testcases.Load(ref)
	if err != nil {
		return nil, err
	}
	return (&Options{Set: set, SLO: slo}).override(loaded)
}

// LoadFor reads the case as Run does with these options: with overrides and objectives, and as a sweep if
// Options.Sweep is set.
func LoadFor(o Options) (*testcases.Loaded, error) { return o.load() }

// override applies Options.Set and Options.SLO to the case, and turns it into a sweep if Options.Sweep is
// set.
func (o *Options) override(loaded *testcases.Loaded) (*testcases.Loaded, error) {
	set := o.Set
	var later []string // assignments to the sweep profile, which does not exist yet
	if o.Sweep != "" {
		set = nil
		for _, s := range o.Set {
			if strings.HasPrefix(strings.TrimSpace(s), "profiles."+testcases.SweepProfile+".") {
				later = append(later, s)
			} else {
				set = append(set, s)
			}
		}
	}
	for _, s := range set {
		if err := loaded.Case.Set(s); err != nil {
			return nil, err
		}
	}
	if err := loaded.Case.ExpandSLO(); err != nil {
		return nil, err
	}
	if o.Sweep != "" {
		if err := o.asSweep(loaded.Case, later); err != nil {
			return nil, err
		}
	}
	for _, s := range o.SLO {
		if err := loaded.Case.AddSLO(s); err != nil {
			return nil, err
		}
	}
	if err := loaded.Case.Validate(); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(set, func(s string) bool {
		key, _, _ := strings.Cut(s, "=")
		return strings.Contains(key, ".traffic") || strings.Contains(key, ".task")
	}) {
		if err := loaded.LoadTraffic(""); err != nil {
			return nil, err
		}
	}
	if slices.ContainsFunc(set, func(s string) bool { return strings.HasPrefix(strings.TrimSpace(s), "prompts") }) {
		return loaded, loaded.LoadPrompts("")
	}
	return loaded, nil
}
