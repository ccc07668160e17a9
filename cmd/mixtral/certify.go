package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/prompts"
	certreport "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/base/store/open"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/certify/client"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// certifyCmd runs a test case; its verdict sets the exit code.
type certifyCmd struct {
	Case string `arg:"" optional:"" default:"TC-L1-COMP-MIXTRAL-003" help:"Id of a built-in test case, or path of a case file; default: ${default}."`

	Profile string `default:"quick" placeholder:"NAME" help:"How thorough: quick (about a minute), full, or another profile of the case; default: ${default}."`

	Target      string   `placeholder:"URL" help:"Certify the server at URL. Without it, a service is started for the run."`
	TargetModel string   `placeholder:"NAME" help:"Model to ask the server for; default: the first that it lists."`
	APIKeyFile  string   `name:"api-key-file" type:"existingfile" placeholder:"FILE" help:"File that holds the server's API key."`
	APIKeyEnv   string   `name:"api-key-env" placeholder:"NAME" help:"Environment variable that holds the server's API key."`
	Header      []string `sep:"none" placeholder:"NAME: VALUE" help:"Header to send with every request to the server; repeatable. 'api-key: @FILE' reads the value from FILE."`
	Query       []string `sep:"none" placeholder:"NAME=VALUE" help:"Parameter to add to the address of every request, such as api-version=2024-10-21; repeatable."`
	Body        []string `sep:"none" placeholder:"KEY=VALUE" help:"Field to add to the body of every request, or a JSON object of several fields; repeatable."`
	Model       string   `placeholder:"REF" help:"Model to serve when there is no --target: a GGUF file, the directory of a model, a name that model list shows, synth:tiny, or demo (default)."`
	InProcess   bool     `help:"Start the service in this process, not in a process of its own."`

	Metrics    string `placeholder:"URL" help:"Address of the server's metrics; default: /metrics of the server. For replicas behind one URL: the addresses of all, separated by commas; dns+URL for every address of the host; or, in a cluster, pods+http://NAMESPACE:PORT/metrics?selector=LABEL=VALUE for every pod that the selector finds."`
	Prometheus string `placeholder:"URL" help:"Prometheus server to read the metrics from, instead of the server itself; default: with --target, MIXTRAL_MONITORING_URL."`
	PID        int    `range:"0..4194304" name:"pid" placeholder:"N" help:"Sample the memory and CPU of process N and its children."`
	Cgroup     string `placeholder:"PATH" help:"Sample the memory and CPU of a control group."`

	GPUMetrics string   `name:"gpu-metrics" placeholder:"URL" help:"Metrics of the server's accelerators: the URL of DCGM's exporter or another, or of a Prometheus server that scrapes one; default: gpu_metrics of the case."`
	GPUMatch   []string `name:"gpu-match" sep:"none" placeholder:"LABEL=VALUE" help:"Use only the series of --gpu-metrics that have this label, such as Hostname=node1; repeatable."`

	TracingURL string `name:"tracing-url" placeholder:"URL" help:"OpenTelemetry collector for traces, such as http://localhost:4318; default: OTEL_EXPORTER_OTLP_ENDPOINT."`

	Reviewer        string `placeholder:"URL" help:"OpenAI-compatible server whose model gives a second opinion on answers. The verdict does not depend on it."`
	ReviewerModel   string `placeholder:"NAME" help:"Model of the reviewer; default: the first that it lists."`
	ReviewerKeyFile string `name:"reviewer-key-file" type:"existingfile" placeholder:"FILE" help:"File that holds the reviewer's API key."`

	Set       []string `sep:"none" placeholder:"KEY=VALUE" help:"Override a value of the case, such as targets.throughput_rps=80; repeatable."`
	SLO       []string `name:"slo" sep:"none" placeholder:"LIST" help:"Objectives to add to those of the case, such as ttft:p99<2s,tpot:p99<200ms,goodput>=95%; PHASE=LIST for one phase; default: the open phases. Repeatable."`
	Against   string   `placeholder:"RUN" help:"Compare with an earlier run: a run's id or the beginning of it, or a report's file. The comparison goes into the report and does not change the verdict."`
	ReportDir string   `default:"reports" placeholder:"DIR" help:"Directory for the report's files; default: ${default}."`
	databaseFlag
	generatorFlags
	kubernetesFlags
	SignKey            string `name:"sign-key" type:"existingfile" placeholder:"FILE" help:"Private key to sign the report with: PEM (PKCS #8) or OpenSSH. With a public SSH key, the SSH agent signs."`
	SignPassphraseFile string `name:"sign-passphrase-file" type:"existingfile" placeholder:"FILE" help:"File that holds the passphrase of the key; default: MIXTRAL_SIGN_PASSPHRASE, the SSH agent, or a question on the terminal."`

	Seed int64 `placeholder:"N" help:"Seed of arrival times, salts and sampling; default: random. The report has it."`
	JSON bool  `name:"json" help:"Print a summary as JSON instead of the table."`

	Console consoleFlag `placeholder:"ADDRESS:PORT" help:"Show the run in a browser while it goes on. --console ADDRESS:PORT sets an address that only this machine can reach; without a value: any free port of 127.0.0.1. The address is printed."`

	Check bool `help:"Validate the case and print what it asks for; run nothing."`

	Sweep     sweepFlag     `placeholder:"LOAD=FROM..TO" help:"Only search for the knee, the highest load that keeps the objectives. --sweep rate=FROM..TO sets the range in requests/s, --sweep concurrency=FROM..TO in requests in flight; without a value: rates around the case's target."`
	SweepStep time.Duration `range:"1s..1h" default:"10s" placeholder:"TIME" help:"Minimum time for which a sweep offers each load; default: ${default}. Near the knee a step takes up to four times as long."`
}

// Help returns the text below the flags.
func (certifyCmd) Help() string {
	return "Exit codes: 0 PASS, 1 FAIL, 2 bad input or usage, 3 the server could not be started or reached, 4 " +
		"INVALID (the run could not be judged), 130 interrupted."
}

func (c certifyCmd) Run(a *app) error {
	if c.Check {
		return c.check(a)
	}
	if ok, err := c.rendered(a.stdout); ok || err != nil {
		return err
	}
	o := certify.Options{
		Case: c.Case, Profile: c.Profile, Target: c.Target, TargetModel: c.TargetModel, ModelRef: c.Model,
		MetricsURL: c.Metrics, PrometheusURL: c.Prometheus, PID: c.PID, Cgroup: c.Cgroup,
		ReviewerURL: c.Reviewer, ReviewerModel: c.ReviewerModel, Set: c.Set, SLO: c.SLO, Seed: c.Seed,
		ReportDir: c.ReportDir, Version: versionString(), Query: c.Query, Body: c.Body,
		Sweep: string(c.Sweep), SweepStep: c.SweepStep, GPUMetricsURL: c.GPUMetrics, GPUMatch: c.GPUMatch,
	}
	if err := c.valid(); err != nil {
		return err
	}
	if o.TracingURL = c.TracingURL; o.TracingURL == "" {
		o.TracingURL, _ = telemetry.TracingURL(a.getenv)
	}
	if err := c.source(a, &o); err != nil {
		return err
	}
	if err := c.generatorFlags.options(a.ctx, &o); err != nil {
		return err
	}
	var err error
	if o.Against, err = c.against(a); err != nil {
		return err
	}
	if c.SignKey != "" {
		key, err := openSigner(a, c.SignKey, c.SignPassphraseFile) // before the run, since the key may be wrong
		if err != nil {
			return err
		}
		o.SignKey = key
	}
	if !signal.Ignored(syscall.SIGHUP) { // with nohup, closing the terminal ends nothing
		ctx, stop := signal.NotifyContext(a.ctx, syscall.SIGHUP)
		defer stop()
		with := *a
		with.ctx, a = ctx, &with
	}
	defer endAtSecondSignal(a.stderr)()
	show := newCertifyProgress(a.stderr)
	o.Progress = show.event
	watched, err := c.watch(a, &o)
	if err != nil {
		return err
	}
	rep, err := certify.Run(a.ctx, o)
	show.stop()
	watched()
	if rep == nil {
		return certifyError(a, err)
	}
	if err := keepSweep(c.ReportDir, rep); err != nil {
		return err
	}
	signed := o.SignKey != nil && !errors.Is(err, certify.ErrUnsigned)
	if err := c.print(a, rep, c.keep(a, rep, certreport.PathsFor(c.ReportDir, rep).JSON), signed); err != nil {
		return err
	}
	switch {
	case errors.Is(err, certify.ErrInterrupted):
		return exitWith(exitInterrupted)
	case errors.Is(err, certify.ErrUnsigned):
		return setupError(withHint(err, "mixtral report sign signs it later"))
	case rep.Status == certify.Pass:
		return nil
	case rep.Status == certify.Fail:
		return exitWith(exitFail)
	}
	return exitWith(exitInvalid)
}

// endAtSecondSignal ends the process at a second signal. The first signal ends the load and leaves a report, which may
// take seconds: traces are sent, and a large record is judged. The record is complete in its file by then, and mixtral
// report show can judge it later.
func endAtSecondSignal(stderr io.Writer) (stop func()) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	came, done := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(came, signals...)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-came:
			}
			if n > 0 {
				fmt.Fprintln(stderr, "mixtral: ended at once by a second signal; mixtral report show judges the "+
					"record as far as it goes")
				os.Exit(exitInterrupted)
			}
		}
	}()
	return func() {
		signal.Stop(came)
		close(done)
	}
}

// against finds the earlier run: its report, and its record if that is beside the report's file or in the report
// directory.
func (c certifyCmd) against(a *app) (*certify.Earlier, error) {
	if c.Against == "" {
		return nil, nil
	}
	r, data, err := c.openRef(a, c.Against)
	if err != nil {
		return nil, err
	}
	name := filepath.Base(c.Against)
	return &certify.Earlier{Name: name, Report: data, Events: recordIn(c.Against, c.ReportDir, r)}, nil
}

// source sets what is certified: a running server, or one that is started.
func (c certifyCmd) source(a *app, o *certify.Options) error {
	if c.Target != "" && c.Model != "" {
		return usageError(withHint(errors.New("give either --target or --model, not both"),
			"--target-model names the model to ask a server for"))
	}
	if c.Target != "" {
		if _, err := client.Root(c.Target); err != nil {
			given := strconv.Quote(c.Target)
			if strings.Contains(c.Target, "@") { // a password may be before it
				given = "a value with a user's name"
			}
			return usageError(fmt.Errorf("--target: must be http://host:port or https://host, got %s", given))
		}
	}
	for _, h := range c.Header {
		header, err := headerFromFile(h)
		if err != nil {
			return usageError(err)
		}
		o.Headers = append(o.Headers, header)
	}
	if c.APIKeyEnv != "" {
		if c.APIKeyFile != "" {
			return usageError(errors.New("give either --api-key-file or --api-key-env, not both"))
		}
		if o.APIKey = a.getenv(c.APIKeyEnv); o.APIKey == "" {
			return usageError(fmt.Errorf("--api-key-env: the environment has no variable %s", c.APIKeyEnv))
		}
	}
	for _, key := range []struct { // both may be in one file
		file string
		to   *string
	}{{c.APIKeyFile, &o.APIKey}, {c.ReviewerKeyFile, &o.ReviewerKey}} {
		if key.file == "" {
			continue
		}
		data, err := bounded.File(key.file, 64<<10)
		if err != nil {
			return usageError(err)
		}
		*key.to = strings.TrimSpace(string(data))
	}
	if c.Target == "" {
		o.Launch = c.launch(a)
	} else if c.Metrics == "" && c.Prometheus == "" { // no configuration knows a server that is started here
		o.PrometheusURL = a.getenv("MIXTRAL_MONITORING_URL")
	}
	return nil
}

// headerFromFile reads the value of "NAME: @FILE" from the file, so that a key need not be on the command line.
func headerFromFile(h string) (string, error) {
	name, value, _ := strings.Cut(h, ":")
	file, ok := strings.CutPrefix(strings.TrimSpace(value), "@")
	if !ok {
		return h, nil
	}
	data, err := bounded.File(file, 64<<10)
	if err != nil {
		return "", fmt.Errorf("--header %s: %w", name, err)
	}
	return name + ": " + strings.TrimSpace(string(data)), nil
}

// launch starts the service as a process of this same program, so that its memory and CPU can be measured alone. With
// `go run` the program exists as long as it runs. If it cannot be started again, the service runs in this process.
func (c certifyCmd) launch(a *app) target.Launcher {
	return func(ctx context.Context, need target.Need) (*target.Server, error) {
		marks, builtIn, err := modelMarks(a, need.Model)
		if err != nil {
			return nil, err
		}
		program, err := os.Executable()
		start := target.Child(program, func(port int, need target.Need) []string {
			// The database of the environment is for the run, not for the service's requests. No packed copy is made:
			// writing it would disturb the measurement.
			args := []string{"serve", "--host", "127.0.0.1", "--port", strconv.Itoa(port), "--log-level", "warn",
				"--database-url", open.None, "--set", "packed_copy=false"}
			if need.Model != "" {
				args = append(args, "--model", need.Model)
			}
			if c.TracingURL != "" {
				args = append(args, "--tracing-url", c.TracingURL)
			}
			return args
		})
		if err != nil || c.InProcess {
			start = inProcess
		}
		s, err := start(ctx, need)
		if err != nil {
			return nil, err
		}
		s.BuiltIn, s.Fingerprints = builtIn, marks
		return s, nil
	}
}

// modelMarks finds a model and hashes its file, so that a report says exactly what was certified.
func modelMarks(a *app, ref string) (marks map[string]string, builtIn bool, err error) {
	m, err := openModel(a, ref)
	if err != nil {
		return nil, false, err
	}
	defer m.Close()
	sum, err := m.SHA256()
	if err != nil {
		return nil, false, err
	}
	marks = map[string]string{"model_sha256": sum, "model_id": m.ID}
	if m.Sources != nil {
		marks["model_sources_sha256"] = catalog.DigestOf(m.Sources)
	}
	return marks, m.Path == "" || strings.HasPrefix(ref, "synth:"), nil
}

// inProcess runs the service inside this process.
func inProcess(ctx context.Context, need target.Need) (*target.Server, error) {
	config, err := mixtral.LoadConfig("")
	if err != nil {
		return nil, usageError(err)
	}
	config.ModelPath, config.DatabaseURL, config.PackedCopy = need.Model, open.None, false
	unreachable(&config)
	service, err := mixtral.Open(ctx, config)
	if err != nil {
		return nil, loadError(err)
	}
	s, err := target.Handler(service.Handler())(ctx, need)
	if err != nil {
		return nil, errors.Join(err, service.Close())
	}
	return s.After(service.Close), nil
}

// certifyError gives an error of a run its exit code and hint.
func certifyError(a *app, err error) error {
	var exit *exitError
	switch {
	case errors.As(err, &exit):
		return err
	case a.ctx.Err() != nil:
		return exitWith(exitInterrupted)
	case errors.Is(err, testcases.ErrNotFound), errors.Is(err, testcases.ErrInvalid),
		errors.Is(err, prompts.ErrInvalid), errors.Is(err, certify.ErrOptions):
		return usageError(err)
	}
	switch hint := target.Hint(err); {
	case hint != "":
		err = withHint(err, hint)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EFBIG):
		err = withHint(err, "free some space and run it again; mixtral report show FILE derives a report from the "+
			".events.jsonl.gz, or its .part, of what was measured")
	}
	return setupError(err)
}

// checkedCase is what certify --check --json prints.
type checkedCase struct {
	ID      string   `json:"test_case"`
	Name    string   `json:"name"`
	Profile string   `json:"profile"`
	Checks  int      `json:"checks"`
	Prompts int      `json:"prompts"`
	Plan    []string `json:"plan"` // the arithmetic and the phases, as in the text
}

// check validates a case and prints what it asks for.
func (c certifyCmd) check(a *app) error {
	loaded, err := certify.LoadFor(certify.Options{Case: c.Case, Set: c.Set, SLO: c.SLO, Profile: c.Profile,
		Sweep: string(c.Sweep), SweepStep: c.SweepStep})
	if err != nil {
		return certifyError(a, err)
	}
	tc := loaded.Case
	if c.Sweep != "" {
		c.Profile = testcases.SweepProfile
	}
	if _, ok := tc.Profiles[c.Profile]; !ok {
		return usageError(fmt.Errorf("--profile: unknown profile %q of %s; known profiles: %s", c.Profile, tc.ID,
			strings.Join(slices.Sorted(maps.Keys(tc.Profiles)), ", ")))
	}
	if err := certify.CheckTraffic(loaded, c.Profile); err != nil {
		return certifyError(a, err)
	}
	if c.JSON {
		return printJSON(a.stdout, checkedCase{tc.ID, tc.Name, c.Profile, len(tc.Checks), len(loaded.Prompts.Prompts),
			strings.Split(certify.Arithmetic(tc, c.Profile, len(loaded.Prompts.Prompts)), "\n")})
	}
	fmt.Fprintf(a.stdout, "%s %s: %s, %s\nprofile %s\n%s\n", tc.ID, tc.Name,
		noun.Of(len(tc.Checks), "check", "checks"), noun.Of(len(loaded.Prompts.Prompts), "prompt", "prompts"),
		c.Profile,
		certify.Arithmetic(tc, c.Profile, len(loaded.Prompts.Prompts)))
	return nil
}

// print prints the verdict. run is the run's id in the database, or empty.
func (c certifyCmd) print(a *app, rep *certify.Report, run string, signed bool) error {
	paths := certreport.PathsFor(c.ReportDir, rep)
	if !signed {
		paths.Attestation = ""
	}
	if c.JSON {
		return printCertifyJSON(a.stdout, rep, paths, run)
	}
	if err := printReport(a, rep); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "report: %s\n        %s\nevents: %s (mixtral report verify %s)\n", paths.JSON,
		paths.HTML, paths.Events, paths.JSON)
	if err == nil && signed {
		_, err = fmt.Fprintf(a.stdout, "signed: %s\n", paths.Attestation)
	}
	if err == nil && run != "" {
		_, err = fmt.Fprintf(a.stdout, "run:    %s in %s (mixtral report show %s)\n", run, open.Name(c.Database), run)
	}
	return err
}

// certifySummary is what certify --json prints: the report without its series and tables.
type certifySummary struct {
	TestCase string              `json:"test_case"`
	Profile  string              `json:"profile"`
	Status   string              `json:"status"`
	Notices  []string            `json:"notices,omitempty"`
	Summary  certreport.Summary  `json:"summary"`
	Targets  certreport.Targets  `json:"targets"`
	Checks   []certreport.Check  `json:"checks"`
	Report   string              `json:"report"`
	HTML     string              `json:"html"`
	Events   string              `json:"events"`
	Signed   string              `json:"attestation,omitempty"`
	Run      string              `json:"run,omitempty"` // in the database
	Sweeps   []certreport.Sweep  `json:"sweeps,omitempty"`
	Against  *certreport.Against `json:"against,omitempty"`
	*sweepSummary
}

func printCertifyJSON(w io.Writer, rep *certify.Report, paths certreport.Paths, run string) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(certifySummary{TestCase: rep.TestCase, Profile: rep.Profile, Status: string(rep.Status),
		Notices: rep.Notices, Summary: rep.Summary, Targets: rep.Targets,
		Checks: rep.Checks, Report: paths.JSON, HTML: paths.HTML, Events: paths.Events,
		Signed: paths.Attestation, Run: run,
		Sweeps: rep.Sweeps, Against: rep.Against, sweepSummary: summarise(rep)})
}
