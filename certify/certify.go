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

// Report is a run's result.
type Report = report.Report

// Verdict is the result of a check or of a whole run (a report's Status).
type Verdict = report.Verdict

// Verdicts.
const (
	Pass    = report.Pass
	Fail    = report.Fail
	Invalid = report.Invalid
)

// What Run's errors match, beside testcases.ErrNotFound, testcases.ErrInvalid and target.ErrSetup.
var (
	ErrOptions     = errors.New("invalid options")
	ErrInterrupted = errors.New("interrupted")               // the report of what was measured comes with it
	ErrUnsigned    = errors.New("the report was not signed") // as Options.SignKey wants it; the report comes with it
)

// Defaults of Options.
const (
	DefaultProfile   = "quick"
	DefaultReportDir = "reports"
)

// Options say what to certify. Either Target or Launch must be set; everything else has a default.
type Options struct {
	Case    string            // a built-in case's id or a case file's path; empty: TC-L1-COMP-MIXTRAL-003
	Loaded  *testcases.Loaded // a case in memory, instead of Case; it is not changed
	Profile string            // of the case; empty: "quick"

	Target      string          // URL of a server that runs already
	Launch      target.Launcher // starts the server, where Target is empty
	ModelRef    string          // handed to Launch: which model to serve
	TargetModel string          // the model to ask for; empty: the first that the server lists
	Headers     []string        // "NAME: VALUE", sent with every request to the server
	Query       []string        // "NAME=VALUE", added to the address of every request
	Body        []string        // "KEY=VALUE" or a JSON object: fields added to the body of every request
	APIKey      string          // sent as a bearer token

	// MetricsURL is the URL of the server's metrics; empty: /metrics at the server's root. If Target is the address of
	// several replicas, it is the URLs of all of them, separated by commas. pods+ before a URL stands for every pod
	// that a selector finds, as in pods+http://NAMESPACE:PORT/metrics?selector=LABEL=VALUE; dns+ stands for every
	// address of the URL's host. The metrics of the replicas are then added up, and the report names a replica that
	// was lost or restarted.
	MetricsURL    string
	PrometheusURL string // of a Prometheus server that scrapes it; instead of MetricsURL
	PID           int    // the server's process, if it runs on this machine; or
	Cgroup        string // its control group; without both: the started process, or what the metrics say

	// where the server's accelerators are measured: an exporter such as DCGM's, or a Prometheus server; empty: as the
	// case says
	GPUMetricsURL string
	GPUMatch      []string // "LABEL=VALUE": labels that a series of it must have

	ReviewerURL   string // an OpenAI-compatible server whose model gives a second opinion on answers; empty: none
	ReviewerModel string // its model; empty: the first that it lists
	ReviewerKey   string // its API key

	// Sweep searches for the knee and certifies nothing else: "rate=1..64", "concurrency=1..128", or "rate" or
	// "concurrency" alone for a range around the case's target. The run has the profile "sweep".
	Sweep     string
	SweepStep time.Duration // length of a step of Sweep; 0: 10 s

	// a run to compare this one with; nil: none. The comparison is in the report and does not change the verdict
	Against *Earlier

	SLO  []string // objectives, as testcases.Case.AddSLO reads them; added after Set
	Set  []string // "targets.throughput_rps=80", applied to the case in turn
	Seed int64    // of arrivals, salts and sampling; 0: drawn, and recorded

	// Generators are the addresses, HOST:PORT, of generators on other machines (see Generate), which then make the
	// load together, by one plan; empty: this process makes it. They need Target.
	Generators      []string
	GeneratorsKey   []byte         // that the generators hold too
	GeneratorsRoots *x509.CertPool // that sign their certificates; nil: the key alone decides
	GeneratorsWait  time.Duration  // for generators that do not listen yet

	ReportDir string // empty: "reports"
	Version   string // of the program, for the report

	SignKey *attest.Signer // signs the report and its record at the end; nil: they are not signed

	TracingURL string // an OpenTelemetry collector for traces that begin with the load's requests; empty: none

	Progress func(Event) // is told of events, by one goroutine at a time; it must return quickly
	Monitor  *Monitor    // fed while the run goes on; nil: one of the run's own

	dial dialer // of the load, in tests; nil: the usual one
}

// Earlier is a run to compare another one with.
type Earlier struct {
	Name   string // its id, or its report's file, as the later report shows it
	Report []byte // its JSON report
	Events string // the file of its record; empty or not there: distributions cannot be compared
}

// Run certifies a server and writes the report's files. It returns a report together with an error in two cases:
// ErrInterrupted if ctx ended, when the verdict rests on what was measured until then, and ErrUnsigned if
// Options.SignKey did not sign. A FAIL is not an error: see Report.Status.
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
	if runErr != nil && !errors.Is(err, runErr) { // a record that cannot be written cannot be closed either
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

// Load reads a case as Run does, applies the overrides, and returns an error that lists everything that is wrong with
// it.
func Load(ref string, set []string) (*testcases.Loaded, error) {
	return LoadSLO(ref, set, nil)
}

// LoadSLO is Load with objectives added, as Options.SLO has them.
func LoadSLO(ref string, set, slo []string) (*testcases.Loaded, error) {
	loaded, err := testcases.Load(ref)
	if err != nil {
		return nil, err
	}
	return (&Options{Set: set, SLO: slo}).override(loaded)
}

// LoadFor reads the case as Run does with these options: with overrides and objectives, and as a sweep if they ask for
// one.
func LoadFor(o Options) (*testcases.Loaded, error) { return o.load() }

// override applies assignments such as "targets.throughput_rps=80", and makes the case a sweep if asked to.
func (o *Options) override(loaded *testcases.Loaded) (*testcases.Loaded, error) {
	set := o.Set
	var later []string // about the sweep that is made of the case
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
