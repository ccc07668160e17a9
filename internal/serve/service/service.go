package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/infer/engine"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
	"github.com/hxp-enterprise/mixtral/internal/serve/api"
	"github.com/hxp-enterprise/mixtral/internal/serve/upstream"
)

// Service serves one model. All methods are safe for concurrent use.
type Service struct {
	o           Options
	log         *slog.Logger
	metrics     *telemetry.Metrics
	api         *api.Server
	callers     *access.Callers     // nil: requests need no key
	certificate *access.Certificate // nil: plain HTTP
	cores       int
	limits      host.Limits
	budget      *lockedBudget // nil: no limit

	meter    lockedMeter
	tracer   *telemetry.Tracer // nil: no traces
	requests *store.Log        // nil: no request log

	responses *databaseResponses // nil: not in the database
	lost      chan error         // receives the reason why the model can no longer be used

	mu      sync.Mutex
	backend llm.Backend // nil until loaded
	model   *catalog.Opened
	plan    MemoryPlan
	closed  bool

	packing     sync.WaitGroup
	stopPacking context.CancelFunc // nil: no copy is being made

	servers  []upstream.Server // the servers in the file of upstream servers at the start
	unfollow func()            // ends the checks of the file of upstream servers; nil: there are none
}

// readTimeout is api.Config.ReadTimeout, for tests; 0 is the default.
var readTimeout time.Duration

// New returns a service that is still starting: until Load has returned, Handler answers health checks and metrics,
// and everything else with 503. Errors match ErrConfig.
func New(o Options) (*Service, error) {
	s := &Service{o: o, log: o.Logger, metrics: telemetry.NewMetrics(o.Version), limits: host.Read(),
		lost: make(chan error, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	usable, why := s.limits.Usable()
	s.cores = min(o.CPUCores, usable)
	if usable < o.CPUCores {
		s.log.Info("fewer cores than cpu_cores", "cpu_cores", o.CPUCores, "used", s.cores, "reason", why)
	}
	s.budget = s.newBudget()
	if err := s.openAccess(); err != nil {
		return nil, err
	}
	if err := s.openServers(); err != nil {
		return nil, err
	}
	if err := s.openTracer(); err != nil {
		return nil, err
	}
	s.api = api.New(api.Config{
		Observe: s.observer(), KeepPrompts: o.LogPrompts,
		Version: o.Version, Metrics: s.metrics, Logger: s.log, Callers: s.callers, Tracer: s.tracer,
		MaxTokens: o.MaxTokens, Temperature: o.Temperature,
		Aliases: o.ModelAliases, IgnoreUnknown: o.IgnoreUnknown, ScopePerKey: o.ScopePerKey, Origins: o.AllowedOrigins,
		Responses: s.openResponses(),
		Slots:     o.slots(), Queue: o.MaxQueuedRequests, Hosts: o.hosts(), MetricsApart: o.MetricsListen != "",
		Hold: s.budget.hold, Pages: o.Pages, ReadTimeout: readTimeout,
	})
	if s.certificate != nil {
		s.metrics.SetExpiry(func() time.Time { return s.certificate.Leaf().NotAfter })
	}
	if u, err := host.Self(); err == nil {
		s.meter.add(time.Now(), u.CPU)
	}
	s.openLog()
	return s, nil
}

// openAccess reads the API keys and the certificate, if they are configured.
func (s *Service) openAccess() (err error) {
	if s.o.APIKeyFile != "" {
		if s.callers, err = access.OpenCallers(s.o.APIKeyFile, s.log); err != nil {
			return fmt.Errorf("%w: api_key_file: %w", ErrConfig, err)
		}
	}
	if s.o.TLSCertFile == "" {
		return nil
	}
	if s.certificate, err = access.LoadCertificate(s.o.TLSCertFile, s.o.TLSKeyFile, s.log); err != nil {
		return fmt.Errorf("%w: tls_cert_file, tls_key_file: %w", ErrConfig, err)
	}
	if end := s.certificate.Leaf().NotAfter; time.Until(end) <= 0 {
		s.log.Warn("the certificate has expired", "file", s.o.TLSCertFile, "expired", end)
	}
	return nil
}

// ReloadKeys reads the key file again. If it is not valid, the old keys stay.
func (s *Service) ReloadKeys() error {
	if s.callers == nil {
		return fmt.Errorf("%w: api_key_file: none was given when the service started", ErrConfig)
	}
	if err := s.callers.Reload(); err != nil {
		return fmt.Errorf("%w: api_key_file: %w", ErrConfig, err)
	}
	return nil
}

// ReloadCertificate reads the certificate and its key again. If they are not valid, the old ones stay.
func (s *Service) ReloadCertificate() error {
	if s.certificate == nil {
		return fmt.Errorf("%w: tls_cert_file: none was given when the service started", ErrConfig)
	}
	if err := s.certificate.Reload(); err != nil {
		return fmt.Errorf("%w: tls_cert_file, tls_key_file: %w", ErrConfig, err)
	}
	return nil
}

// Load loads the model, or connects to the upstream servers; the service is ready when it returns. It is called once.
// If ctx ends first, it returns at once, and what was loaded is released as soon as the loading can be stopped.
func (s *Service) Load(ctx context.Context) error {
	if err := ctx.Err(); err != nil { // a small model could be loaded before its end is seen below
		return err
	}
	done := make(chan error, 1)
	go func() { done <- s.load(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		go s.Close()
		return ctx.Err()
	}
}

func (s *Service) load(ctx context.Context) (err error) {
	defer gguf.Catch(&err)() // the model's file may be truncated while it is read
	if s.o.Upstream != nil {
		return s.connect()
	}
	start := time.Now()
	model, err := catalog.OpenWith(ctx, s.o.ModelPath, s.opening())
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
		return errors.Join(llm.ErrClosed, backend.Close(), model.Close())
	}
	s.backend, s.model, s.plan = backend, model, plan
	s.metrics.SetLimits(telemetry.Limits{Running: s.o.MaxConcurrentRequests, Waiting: s.o.MaxQueuedRequests,
		Memory: plan.Limit})
	s.api.SetBackend(backend)
	s.log.Info("model ready", "model", backend.Models()[0].ID, "took", time.Since(start), "cores", s.cores,
		"memory_limit_bytes", plan.Limit, "bound_by", plan.Bound, "weights_bytes", plan.Weights, "kv_bytes", plan.KV)
	if s.o.PackedCopy {
		s.keepPacked(model)
	}
	return nil
}

// opening returns the options for opening the model. A conversion takes minutes, and the log shows its progress.
func (s *Service) opening() catalog.Options {
	said := time.Now()
	return catalog.Options{
		QuantizeTo: s.o.QuantizeTo, Memory: s.o.MemoryLimit, Context: s.o.ContextLength, KVType: s.o.KVType,
		CacheDir: s.o.CacheDir, Workers: s.cores, Packed: s.o.PackedCopy,
		PackFrom: packFrom,
		Say:      func(text string) { s.log.Info(text) },
		Progress: func(p catalog.Progress) {
			if now := time.Now(); now.Sub(said) >= 5*time.Second {
				said = now
				s.log.Info("preparing the model", "stage", p.Stage, "percent", 100*p.Done/max(p.Total, 1),
					"bytes", p.Total)
			}
		},
	}
}

// start starts the engine with a model that has not changed since it was opened.
func (s *Service) start(model *catalog.Opened) (llm.Backend, MemoryPlan, error) {
	e, plan, err := s.startEngine(model)
	if err != nil {
		return nil, plan, err
	}
	// If the file was rewritten meanwhile, the weights are a mixture of two models. A file must be replaced by
	// renaming a new one over it.
	if changed := model.File.CheckUnchanged(); changed != nil {
		return nil, plan, errors.Join(changed, e.Close())
	}
	s.metrics.SetKVCache(plan.KVType.String(), plan.KV, e.KVResident)
	return e, plan, nil
}

// startEngine plans the memory and starts the engine.
func (s *Service) startEngine(model *catalog.Opened) (*engine.Engine, MemoryPlan, error) {
	info, err := moe.Describe(model.File)
	if err != nil {
		return nil, MemoryPlan{}, err
	}
	length := s.o.ContextLength
	if length == 0 {
		length = info.Context
	}
	limit, bound := memoryLimit(s.o.MemoryLimit, s.limits)
	plan, err := planMemory(limit, bound, info, s.o.KVType, s.o.MaxConcurrentRequests, length)
	if err != nil {
		return nil, plan, err
	}
	id := s.o.ModelID
	if id == "" {
		id = model.ID
	}
	waiting := s.o.MaxQueuedRequests
	if waiting == 0 {
		waiting = -1 // the engine's value for none
	}
	e, err := engine.New(model.File, engine.Config{
		ModelID: id, Workers: s.cores, MaxRunning: s.o.MaxConcurrentRequests, MaxWaiting: waiting,
		ContextLength: length, KVBytes: plan.KV, KVType: s.o.KVType, Logger: s.log, Throttle: s.budget.pause,
		ChatTemplate: s.o.ChatTemplate, Lost: func(err error) { s.lost <- err },
	})
	return e, plan, err
}

// Cores is the number of cores that the service computes with: CPUCores, or fewer if the machine has fewer.
func (s *Service) Cores() int { return s.cores }

// MemoryPlan says how the memory limit is divided. It is zero until the model is loaded.
func (s *Service) MemoryPlan() MemoryPlan {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plan
}

// Model describes the model. It is zero until the model is loaded, and until an upstream has listed its models.
func (s *Service) Model() llm.Model {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backend == nil {
		return llm.Model{}
	}
	models := s.backend.Models()
	if len(models) == 0 {
		return llm.Model{}
	}
	return models[0]
}

// ModelSHA256 returns the hash of the model's file in hexadecimal. The first call reads the whole file.
func (s *Service) ModelSHA256() (string, error) {
	s.mu.Lock()
	model := s.model
	s.mu.Unlock()
	if model == nil {
		return "", llm.ErrNotReady
	}
	return model.SHA256()
}

// Handler serves the HTTP API.
func (s *Service) Handler() http.Handler { return s.api }

// Generate answers a request of the program itself; it is counted and logged like a request over HTTP.
func (s *Service) Generate(ctx context.Context, r *llm.Request, sink func(llm.Event) error) error {
	return s.api.Generate(ctx, r, sink)
}

// Drain refuses new requests and waits until those under way have ended, or until ctx ends.
func (s *Service) Drain(ctx context.Context) error { return s.api.Drain(ctx) }

// Close stops everything and frees the model. Requests under way end with llm.ErrClosed. A second Close is harmless.
func (s *Service) Close() error {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	s.api.Drain(over) // refuse new requests; Close does not wait for those under way
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	defer s.closeTracer()
	defer s.closeLog()
	defer s.responses.close()
	if s.backend == nil {
		return nil
	}
	if s.unfollow != nil {
		s.unfollow()
	}
	s.endPacking()
	err := s.backend.Close()
	if s.model != nil {
		err = errors.Join(err, s.model.Close())
	}
	return err
}
