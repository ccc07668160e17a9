package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
)

// serviceFlags are the flags of every command that runs a model as the service does. A flag takes precedence over
// --set, --set over the environment, and the environment over the file.
type serviceFlags struct {
	Config        string   `placeholder:"FILE" help:"YAML file with the service's configuration."`
	Set           []string `placeholder:"KEY=VALUE" sep:"none" help:"Set a key of the configuration, such as max_tokens=512; repeatable."`
	Model         *string  `aliases:"model-path" placeholder:"REF" help:"GGUF file, directory of a model, a name that model list shows, synth:tiny or another synthetic model, or demo for the built-in one."`
	QuantizeTo    *string  `name:"quantize-to" placeholder:"TYPE" help:"Format that a model in safetensors is converted to, such as q4_k_m; default: the widest that fits into memory."`
	CacheDir      *string  `name:"cache-dir" placeholder:"DIR" help:"Directory for converted models and packed copies; default: mixtral in the user's cache directory."`
	ContextLength *int     `placeholder:"N" help:"Maximum number of tokens in a prompt and its answer; default: the model's context."`
	KVType        *string  `name:"kv-type" placeholder:"TYPE" help:"Format of the KV cache: f16 (default), or q8_0, which takes little more than half the memory."`
	ChatTemplate  *string  `placeholder:"FILE|NAME" help:"Chat template to use instead of the model's own: a file with a Jinja template, or chatml, llama-2, mistral, zephyr or none."`
	MemoryLimitGB *float64 `name:"memory-limit-gb" placeholder:"N" help:"Maximum memory in GiB, including weights and KV cache; default: 90."`
	CPUCores      *int     `name:"cpu-cores" placeholder:"N" help:"Maximum number of cores to compute with; default: 8."`
	LogLevel      *string  `placeholder:"LEVEL" help:"Minimum level of messages to log: debug, info (default), warn, error or off."`
}

// config reads the file and the environment, and then applies the flags.
func (f *serviceFlags) config() (mixtral.Config, error) {
	c, err := mixtral.LoadConfig(f.Config, f.Set...)
	if err != nil {
		return c, usageError(err)
	}
	override(&c.ModelPath, f.Model)
	override(&c.QuantizeTo, f.QuantizeTo)
	override(&c.CacheDir, f.CacheDir)
	override(&c.ContextLength, f.ContextLength)
	override(&c.KVType, f.KVType)
	override(&c.ChatTemplate, f.ChatTemplate)
	override(&c.MemoryLimitGB, f.MemoryLimitGB)
	override(&c.CPUCores, f.CPUCores)
	override(&c.LogLevel, f.LogLevel)
	return c, nil
}

func override[T any](to *T, flag *T) {
	if flag != nil {
		*to = *flag
	}
}

// serveCmd serves until a signal ends it.
type serveCmd struct {
	serviceFlags
	Host         *string          `placeholder:"ADDRESS" help:"Address to listen on; default: 127.0.0.1."`
	Port         *int             `placeholder:"N" help:"Port to listen on, 0 for any free one; default: 11400."`
	Backend      *mixtral.Backend `placeholder:"NAME" help:"What answers: embedded (default), the engine of this program, or vllm, the servers of --upstream."`
	Upstream     []string         `placeholder:"URL" help:"OpenAI-compatible server that answers the requests; repeatable, for replicas. Implies --backend vllm."`
	UpstreamFile *string          `placeholder:"FILE" help:"YAML file of OpenAI-compatible servers with their models, weights and shares of requests. It is reloaded when it changes. Implies --backend vllm."`
	APIKeyFile   *string          `name:"api-key-file" placeholder:"FILE" help:"File with a name, an API key and its limits on each line. It is reloaded when it changes. Default: none, every request is allowed."`
	TracingURL   *string          `name:"tracing-url" placeholder:"URL" help:"OpenTelemetry collector for traces, such as http://localhost:4318; default: OTEL_EXPORTER_OTLP_ENDPOINT."`
	InsecureBind bool             `help:"Allow an address that other machines can reach, without API keys."`
	TLSCert      *string          `name:"tls-cert-file" placeholder:"FILE" help:"PEM certificate: serve over TLS. The files are reloaded when they change."`
	TLSKey       *string          `name:"tls-key-file" placeholder:"FILE" help:"PEM key of the certificate."`
	AllowedHosts *string          `placeholder:"NAMES" help:"Host names that requests may name, separated by commas, besides localhost and IP addresses."`
	Origins      *string          `name:"allowed-origins" placeholder:"ORIGINS" help:"Origins whose web pages may use the service, such as https://host, separated by commas, or * for all; default: none."`
	Aliases      *string          `name:"model-aliases" placeholder:"NAMES" help:"Other names of the model, separated by commas; default: none."`
	Unknown      *string          `name:"unknown-fields" placeholder:"error|ignore" help:"What to do with a request that has an unknown field: error (default) refuses the request, ignore ignores the field."`
	Responses    *string          `name:"response-store" placeholder:"memory|database|none" help:"Where to keep answers of /v1/responses, so that later requests can continue them: memory (default), database or none."`
	Database     *string          `name:"database-url" placeholder:"URL" help:"Database for the log of requests: postgres://user@host/database, sqlite:PATH, or none (default)."`
	Metrics      *string          `name:"metrics-listen" placeholder:"ADDRESS:PORT" help:"Separate address for /metrics and the health checks; default: the address of the API."`
}

func (s serveCmd) Run(a *app) error {
	c, err := s.serviceConfig(a)
	if err != nil {
		return err
	}
	if c.Logger, err = telemetry.NewLogger(a.stderr, c.LogLevel, c.LogFormat); err != nil {
		return usageError(err)
	}
	c.OwnProcess = true
	service, err := mixtral.New(c)
	if err != nil {
		return usageError(err)
	}
	a.warnings = nil // New has logged those of c
	listeners, err := service.Listen(a.ctx)
	if err != nil {
		return errors.Join(listenError(err), service.Close())
	}
	if listeners.Metrics != nil {
		fmt.Fprintf(a.stderr, "mixtral: metrics on http://%s/metrics\n", listeners.Metrics.Addr())
	}
	return errors.Join(serve(a, service, listeners), service.Close())
}

func (s serveCmd) serviceConfig(a *app) (mixtral.Config, error) {
	c, err := s.config()
	if err != nil {
		return c, err
	}
	override(&c.Host, s.Host)
	override(&c.Port, s.Port)
	if len(s.Upstream) > 0 {
		c.Backend, c.Upstream, c.UpstreamFile = mixtral.BackendVLLM, strings.Join(s.Upstream, ","), ""
	}
	if s.UpstreamFile != nil {
		if len(s.Upstream) > 0 {
			return c, usageError(errors.New("--upstream and --upstream-file: must not be given together"))
		}
		c.Backend, c.Upstream, c.UpstreamFile = mixtral.BackendVLLM, "", *s.UpstreamFile
	}
	override(&c.Backend, s.Backend)
	override(&c.APIKeyFile, s.APIKeyFile)
	override(&c.DatabaseURL, s.Database)
	override(&c.TracingURL, s.TracingURL)
	override(&c.TLSCertFile, s.TLSCert)
	override(&c.TLSKeyFile, s.TLSKey)
	override(&c.AllowedHosts, s.AllowedHosts)
	override(&c.AllowedOrigins, s.Origins)
	override(&c.ModelAliases, s.Aliases)
	override(&c.UnknownFields, s.Unknown)
	override(&c.ResponseStore, s.Responses)
	override(&c.MetricsListen, s.Metrics)
	c.InsecureBind = c.InsecureBind || s.InsecureBind
	if err := c.Validate(); err != nil {
		return c, usageError(a.placed(err))
	}
	return c, nil
}

// placed names the flags whose values a configuration's error is about.
func (a *app) placed(err error) error {
	var e *mixtral.ConfigError
	if !errors.As(err, &e) {
		return err
	}
	for i, p := range e.Problems {
		flag := strings.ReplaceAll(p.Key, "_", "-")
		if p.Key == "model_path" {
			flag = "model"
		}
		if p.Place == "" && a.flags[flag] {
			e.Problems[i].Place = "--" + flag
		}
	}
	return err
}

// serve first listens and then loads the model, so that health checks are answered meanwhile. The first signal to stop
// drains, the second one stops at once; SIGHUP reloads the keys, the certificate and the upstream servers.
func serve(a *app, service *mixtral.Service, l mixtral.Listeners) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	terminal := isTerminal(os.Stdin) || isTerminal(a.stdout) || isTerminal(a.stderr)
	if c := service.Config(); c.APIKeyFile != "" || c.TLSCertFile != "" || c.UpstreamFile != "" || !terminal {
		signal.Notify(signals, syscall.SIGHUP) // otherwise closing the terminal ends the program as usual
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(a.ctx)) // ends when draining has been announced
	defer stop()
	served := make(chan error, 1)
	go func() { served <- service.ServeAll(ctx, l) }()
	defer useCores(service.Cores())()
	if err := service.Load(a.ctx); err != nil {
		stop()
		return errors.Join(loadError(err), ignoreClosed(<-served))
	}
	announce(a, service, l.API.Addr())
	drain := func() {
		if ctx.Err() == nil {
			fmt.Fprintln(a.stderr, "mixtral: draining: finishing the requests in progress; a second signal "+
				"stops at once")
			stop()
		}
	}
	told := a.ctx.Done()
	for n := 0; ; {
		select {
		case err := <-served:
			if errors.Is(err, gguf.ErrChanged) {
				return setupError(withHint(err, "replace a model's file by renaming a new one over it"))
			}
			return err
		case <-told: // the same signal, or a caller within this program
			told = nil
			drain()
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				reload(a, service)
				continue
			}
			if n++; n == 1 {
				drain()
				continue
			}
			service.Close() // requests under way end with an error, so there is nothing to wait for
			<-served
			return exitWith(exitInterrupted)
		}
	}
}

// reload reads the API keys, the certificate and the upstream servers again. If there is an error, the service
// continues with the old ones.
func reload(a *app, service *mixtral.Service) {
	c := service.Config()
	if c.APIKeyFile == "" && c.TLSCertFile == "" && c.UpstreamFile == "" {
		fmt.Fprintln(a.stderr,
			"mixtral: nothing to reload: none of api_key_file, tls_cert_file and upstream_file is set")
	}
	for _, part := range []struct {
		name, file string
		reload     func() error
	}{{"keys", c.APIKeyFile, service.ReloadKeys}, {"certificate", c.TLSCertFile, service.ReloadCertificate},
		{"upstream servers", c.UpstreamFile, service.ReloadUpstreams}} {
		if part.file == "" {
			continue
		}
		if err := part.reload(); err != nil {
			fmt.Fprintf(a.stderr, "mixtral: %s not reloaded: %v\n", part.name, err)
			continue
		}
		fmt.Fprintf(a.stderr, "mixtral: %s reloaded\n", part.name)
	}
}

// loadError gives a failed load its exit code and hint.
func loadError(err error) error {
	if errors.Is(err, context.Canceled) {
		return exitWith(exitInterrupted)
	}
	var model *catalog.Error
	switch {
	case errors.As(err, &model) && model.Hint != "":
		err = withHint(err, model.Hint)
	case errors.Is(err, mixtral.ErrMemory):
		err = withHint(err, "use a smaller model or context_length, kv_type q8_0, or raise the limit that is named")
	}
	return setupError(err)
}

// ignoreClosed ignores the error of a listener that was closed because loading failed.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// useCores gives Go code one thread more than the model computes with: the model's threads spin between layers, and
// answers would wait for them. The service itself makes sure that all threads together use no more cores; see
// mixtral.Config.OwnProcess.
func useCores(n int) (restore func()) {
	old := runtime.GOMAXPROCS(n + 1)
	return func() { runtime.GOMAXPROCS(old) }
}

// announce prints what is served, and where.
func announce(a *app, service *mixtral.Service, address net.Addr) {
	c := service.Config()
	scheme := "http"
	if c.TLSCertFile != "" {
		scheme = "https"
	}
	if c.Backend == mixtral.BackendVLLM {
		to := c.Upstream
		if c.UpstreamFile != "" {
			to = "the servers in " + c.UpstreamFile
		}
		fmt.Fprintf(a.stdout, "passing requests to %s://%s on to %s\n", scheme, address, to)
		return
	}
	limitHeap(a, service.MemoryPlan())
	m := service.Model()
	fmt.Fprintf(a.stdout, "serving %s on %s://%s (context of %d tokens, %d cores, %s)\n", m.ID, scheme, address,
		m.ContextLength, service.Cores(), planText(service.MemoryPlan()))
}

// limitHeap makes the garbage collector keep the heap within what the plan leaves for it, unless GOMEMLIMIT is set.
func limitHeap(a *app, p mixtral.MemoryPlan) {
	if a.getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(p.GoLimit())
	}
}

func planText(p mixtral.MemoryPlan) string {
	return fmt.Sprintf("%s weights + %s KV cache of %s allowed by %s", binarySize(p.Weights), binarySize(p.KV),
		binarySize(p.Limit), p.Bound)
}

// binarySize writes bytes in binary units.
func binarySize(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
