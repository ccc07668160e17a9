// Package mixtral is the AI Model Service: it serves a Mixtral model behind an OpenAI-compatible HTTP API and to Go
// programs, with an engine of its own that runs on CPUs. It must not import the certifying packages.
//
//	config := mixtral.DefaultConfig()
//	config.ModelPath = "/opt/models/mixtral-8x7b-instruct-v0.1.Q4_K_M.gguf"
//	service, err := mixtral.Open(ctx, config)
//	if err != nil { … }
//	defer service.Close()
//	answer, err := service.GenerateCompletion(ctx, mixtral.Request{Prompt: "What is 2 + 2?"})
//
// ListenAndServe serves the same model over HTTP. All methods of Service are safe for concurrent use.
package mixtral

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/infer/engine"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
	"github.com/hxp-enterprise/mixtral/internal/serve/api"
)

// What can go wrong with a request, for errors.Is.
var (
	ErrBadRequest    = llm.ErrBadRequest    // the message names the field
	ErrModelNotFound = llm.ErrModelNotFound // the request names a model that is not served
	ErrContextLength = llm.ErrContextLength // the prompt does not fit the context; also matches ErrBadRequest
	ErrQueueFull     = llm.ErrQueueFull     // max_concurrent_requests run and max_queued_requests wait
	ErrNotReady      = llm.ErrNotReady      // still loading, or draining
	ErrClosed        = llm.ErrClosed
)

// Service serves one model.
type Service struct {
	config      Config
	log         *slog.Logger
	metrics     *telemetry.Metrics
	api         *api.Server
	certificate *api.Certificate // nil: plain HTTP
	keyFile     *api.KeyFile     // nil: everybody may ask
	cores       int
	limits      host.Limits
	budget      *lockedBudget // nil: nothing to keep to

	meter    lockedMeter
	tracer   *telemetry.Tracer // nil: no traces
	requests *store.Log        // nil: no request log

	mu      sync.Mutex
	backend llm.Backend // nil until loaded
	model   *catalog.Opened
	plan    MemoryPlan
	closed  bool
}

// lockedMeter is a cpuMeter for many goroutines.
type lockedMeter struct {
	mu sync.Mutex
	m  cpuMeter
}

func (l *lockedMeter) add(at time.Time, used time.Duration) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m.next(at, used)
}

// Open checks the configuration, loads the model and gives a service that is ready. The caller must Close it.
func Open(ctx context.Context, c Config) (*Service, error) {
	s, err := New(c)
	if err != nil {
		return nil, err
	}
	if err := s.Load(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// New checks the configuration and gives a service that is still starting: Handler answers health checks and metrics,
// and everything else with 503, until Load has returned. Errors match ErrConfig.
func New(c Config) (*Service, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Service{config: c, log: c.Logger, metrics: telemetry.NewMetrics(Version()), limits: host.Read()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	usable, why := s.limits.Usable()
	s.cores = min(c.CPUCores, usable)
	if usable < c.CPUCores {
		s.log.Info("fewer cores than cpu_cores", "cpu_cores", c.CPUCores, "used", s.cores, "reason", why)
	}
	s.budget = s.newBudget()
	keys, err := s.openKeys()
	if err != nil {
		return nil, err
	}
	if err := s.openTracer(); err != nil {
		return nil, err
	}
	s.api = api.New(api.Config{
		Observe: s.observer(), KeepPrompts: c.LogPrompts,
		Version: Version(), Metrics: s.metrics, Logger: s.log, Keys: keys, KeyFile: s.keyFile, Tracer: s.tracer,
		MaxTokens: c.MaxTokens, Temperature: c.Temperature,
		Slots: c.slots(), Queue: c.MaxQueuedRequests, Hosts: c.hosts(), MetricsApart: c.MetricsListen != "",
		Hold: s.budget.hold,
	})
	if s.certificate, err = s.loadCertificate(); err != nil {
		s.closeTracer()
		return nil, err
	}
	if s.certificate != nil {
		s.metrics.SetExpiry(func() time.Time { return s.certificate.Leaf().NotAfter })
	}
	if u, err := host.Self(); err == nil {
		s.meter.add(time.Now(), u.CPU)
	}
	s.openLog()
	return s, nil
}

// Load loads the model; the service is ready when it returns. It is called once. If ctx ends first, it returns at
// once, and what was loaded is let go when the loading can be stopped.
func (s *Service) Load(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.load() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		go s.Close()
		return ctx.Err()
	}
}

func (s *Service) load() error {
	if s.config.Backend == backendUpstream {
		return s.connect()
	}
	start := time.Now()
	model, err := catalog.Open(s.config.ModelPath)
	if err != nil {
		return err
	}
	backend, plan, err := s.start(model)
	if err != nil {
		return errors.Join(err, model.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.Join(ErrClosed, backend.Close(), model.Close())
	}
	s.backend, s.model, s.plan = backend, model, plan
	s.metrics.SetLimits(telemetry.Limits{Running: s.config.MaxConcurrentRequests, Waiting: s.config.MaxQueuedRequests,
		Memory: plan.Limit})
	s.api.SetBackend(backend)
	s.log.Info("model ready", "model", backend.Models()[0].ID, "took", time.Since(start), "cores", s.cores,
		"memory_limit_bytes", plan.Limit, "bound_by", plan.Bound, "weights_bytes", plan.Weights, "kv_bytes", plan.KV)
	return nil
}

// start plans the memory and starts the engine.
func (s *Service) start(model *catalog.Opened) (llm.Backend, MemoryPlan, error) {
	info, err := moe.Describe(model.File)
	if err != nil {
		return nil, MemoryPlan{}, err
	}
	c := s.config
	length := c.ContextLength
	if length == 0 {
		length = info.Context
	}
	limit, bound := memoryLimit(c, s.limits)
	kv, err := quant.ParseKVType(c.KVType)
	if err != nil {
		return nil, MemoryPlan{}, fmt.Errorf("%w: kv_type: %w", ErrConfig, err)
	}
	plan, err := planMemory(limit, bound, info, kv, c.MaxConcurrentRequests, length)
	if err != nil {
		return nil, plan, err
	}
	id := c.ModelID
	if id == "" {
		id = model.ID
	}
	waiting := c.MaxQueuedRequests
	if waiting == 0 {
		waiting = -1 // the engine's word for none
	}
	e, err := engine.New(model.File, engine.Config{
		ModelID: id, Workers: s.cores, MaxRunning: c.MaxConcurrentRequests, MaxWaiting: waiting,
		ContextLength: length, KVBytes: plan.KV, KVType: kv, Logger: s.log, Throttle: s.budget.pause,
	})
	if err == nil {
		// A file that was rewritten meanwhile gave weights of two models. Whoever replaces one renames a new one over
		// it.
		if changed := model.File.CheckUnchanged(); changed != nil {
			err = errors.Join(changed, e.Close())
		}
	}
	if err != nil {
		return nil, plan, err
	}
	s.metrics.SetKVCache(plan.KVType, plan.KV, e.KVResident)
	return e, plan, nil
}

// slots is how many requests the engine computes together; of upstream servers nobody knows.
func (c *Config) slots() int {
	if c.Backend == backendUpstream {
		return 0
	}
	return c.MaxConcurrentRequests
}

// Config gives the configuration the service was made with.
func (s *Service) Config() Config { return s.config }

// Cores is the number of cores the service computes with: cpu_cores, or fewer where the machine has fewer.
func (s *Service) Cores() int { return s.cores }

// MemoryPlan says how the memory limit is spent. It is zero until the model is loaded.
func (s *Service) MemoryPlan() MemoryPlan {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plan
}

// ModelInfo describes the model that is served.
type ModelInfo struct {
	ID            string
	ContextLength int // tokens of a prompt and its answer
	Vocab         int // tokens
}

// Model describes the model. It is zero until the model is loaded.
func (s *Service) Model() ModelInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backend == nil {
		return ModelInfo{}
	}
	models := s.backend.Models()
	if len(models) == 0 { // no upstream has said yet what it serves
		return ModelInfo{}
	}
	m := models[0]
	return ModelInfo{ID: m.ID, ContextLength: m.ContextLength, Vocab: m.Vocab}
}

// ModelSHA256 gives the hash of the model's file in hexadecimal. The first call reads the whole file.
func (s *Service) ModelSHA256() (string, error) {
	s.mu.Lock()
	model := s.model
	s.mu.Unlock()
	if model == nil {
		return "", ErrNotReady
	}
	return model.SHA256()
}

// Handler serves the HTTP API: OpenAI's routes, /tokenize and /detokenize, /livez, /readyz, /metrics and /version.
func (s *Service) Handler() http.Handler { return s.api }

// Drain refuses new requests and waits until those under way have ended, or until ctx ends.
func (s *Service) Drain(ctx context.Context) error { return s.api.Drain(ctx) }

// Close stops everything and frees the model. Requests under way end with ErrClosed. A second Close is harmless.
func (s *Service) Close() error {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	s.api.Drain(over) // refuse what comes now; Close does not wait for requests
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	defer s.closeTracer()
	defer s.closeLog()
	if s.backend == nil {
		return nil
	}
	err := s.backend.Close()
	if s.model != nil {
		err = errors.Join(err, s.model.Close())
	}
	return err
}

// Version is the module's version as the build knows it, or "devel".
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	const path = "github.com/hxp-enterprise/mixtral"
	v := info.Main.Version
	if info.Main.Path != path {
		for _, dep := range info.Deps {
			if dep.Path == path {
				v = dep.Version
			}
		}
	}
	if v == "" || v == "(devel)" {
		return "devel"
	}
	return v
}
