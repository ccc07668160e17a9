package mixtral

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/service"
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

// ErrMemory is matched when a model cannot be served within the memory limit; the message shows the arithmetic.
var ErrMemory = service.ErrMemory

// Service serves one model.
type Service struct {
	config Config
	inner  *service.Service
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
	options, err := c.options()
	if err != nil {
		return nil, err
	}
	inner, err := service.New(options)
	if err != nil {
		return nil, err
	}
	if c.Logger != nil {
		for _, w := range c.Warnings {
			c.Logger.Warn(w)
		}
	}
	return &Service{config: c, inner: inner}, nil
}

// Load loads the model; the service is ready when it returns. It is called once. If ctx ends first, it returns at
// once, and what was loaded is released when the loading can be stopped.
func (s *Service) Load(ctx context.Context) error { return s.inner.Load(ctx) }

// Drain refuses new requests and waits until those under way have ended, or until ctx ends.
func (s *Service) Drain(ctx context.Context) error { return s.inner.Drain(ctx) }

// Close stops everything and frees the model. Requests under way end with ErrClosed. A second Close is harmless.
func (s *Service) Close() error { return s.inner.Close() }

// Config gives the configuration that the service was made with.
func (s *Service) Config() Config { return s.config }

// ModelInfo describes the model that is served.
type ModelInfo struct {
	ID            string
	ContextLength int // tokens of a prompt and its answer
	Vocab         int // tokens
}

// Model describes the model. It is zero until the model is loaded.
func (s *Service) Model() ModelInfo {
	m := s.inner.Model()
	return ModelInfo{ID: m.ID, ContextLength: m.ContextLength, Vocab: m.Vocab}
}

// ModelSHA256 gives the hash of the model's file in hexadecimal. The first call reads the whole file.
func (s *Service) ModelSHA256() (string, error) { return s.inner.ModelSHA256() }

// Cores is the number of cores that the service computes with: cpu_cores, or fewer where the machine has fewer.
func (s *Service) Cores() int { return s.inner.Cores() }

// MemoryPlan is how the memory limit is spent, in bytes.
type MemoryPlan struct {
	Limit   int64  // what may be used
	Bound   string // what sets the limit: "memory_limit_gb", "the machine", "cgroup v2"
	Weights int64  // the model, packed
	KV      int64  // keys and values of running requests, and of prompts that may come again
	KVType  string // how they are kept: "f16" or "q8_0"; empty until the model is loaded
	Reserve int64  // everything else: buffers of the computation, requests, the Go runtime
}

// GoLimit is what the Go runtime may use of it, for debug.SetMemoryLimit: the weights are outside its heap.
func (p MemoryPlan) GoLimit() int64 { return p.Limit - p.Weights }

// MemoryPlan says how the memory limit is spent. It is zero until the model is loaded.
func (s *Service) MemoryPlan() MemoryPlan {
	p := s.inner.MemoryPlan()
	if p.Limit == 0 {
		return MemoryPlan{}
	}
	return MemoryPlan{Limit: p.Limit, Bound: p.Bound, Weights: p.Weights, KV: p.KV, KVType: p.KVType.String(),
		Reserve: p.Reserve}
}

// Memory is what the process holds, in bytes.
type Memory struct {
	RSS  int64 // resident: Anon + File + shared; this is what a memory limit is about
	Anon int64 // of these, the process's own: weights, KV cache, heap; 0 if the system does not say
	File int64 // of these, pages of mapped files, which the system can take back; 0 if the system does not say
	Peak int64 // the highest RSS so far; 0 if the system does not say
}

// MemoryUsage measures the process, from /proc/self/status on Linux. Elsewhere it gives what the Go runtime holds.
func (s *Service) MemoryUsage() (Memory, error) {
	u, err := host.Self()
	return Memory{RSS: u.RSS, Anon: u.Anon, File: u.File, Peak: u.Peak}, err
}

// CPU is the processor time of the process.
type CPU struct {
	Cores float64       // mean number of cores in use since the last call, or since Open; 0 if no time has passed
	Total time.Duration // user and system time since the process started
}

// CPUUsage measures the process, by getrusage(2) on Linux. Its resolution there is about a microsecond, so even short
// intervals between calls give a useful mean.
func (s *Service) CPUUsage() (CPU, error) {
	cores, total, err := s.inner.CPUUsage()
	return CPU{Cores: cores, Total: total}, err
}

// Handler serves the HTTP API: OpenAI's routes, /tokenize and /detokenize, /livez, /readyz, /metrics and /version.
func (s *Service) Handler() http.Handler { return s.inner.Handler() }

// ReloadKeys reads the configuration's api_key_file again. That happens by itself within a second of the file's
// change, when a request comes. The new keys and limits count from the next request on, and what a key has used stays
// with its name. If the file is not valid, the old keys stay.
func (s *Service) ReloadKeys() error { return s.inner.ReloadKeys() }

// ReloadCertificate reads tls_cert_file and tls_key_file again. That happens by itself within a second of their
// change, when a client connects. Connections that are open stay. If the files are not valid, the old certificate
// stays.
func (s *Service) ReloadCertificate() error { return s.inner.ReloadCertificate() }

// ReloadUpstreams reads the configuration's upstream_file again. That happens by itself within about a second of the
// file's change. Servers that are new begin slowly, those that are missing finish the requests that they have. If the
// file is not valid, the servers stay as they are.
func (s *Service) ReloadUpstreams() error { return s.inner.ReloadUpstreams() }

// Addr is where Listen and ListenAndServe listen.
func (s *Service) Addr() string { return net.JoinHostPort(s.config.Host, strconv.Itoa(s.config.Port)) }

// Listeners are the service's open addresses.
type Listeners struct {
	API     net.Listener
	Metrics net.Listener // nil without metrics_listen
}

// ListenError says which address of the configuration the service cannot listen at.
type ListenError struct {
	Key string // "port" or "metrics_listen"
	Err error
}

func (e *ListenError) Error() string { return e.Err.Error() }

// Unwrap gives the system's error.
func (e *ListenError) Unwrap() error { return e.Err }

// Listen opens the configured addresses, for ServeAll. Errors are a *ListenError.
func (s *Service) Listen(ctx context.Context) (Listeners, error) {
	l, err := s.inner.Listen(ctx)
	var failed *service.ListenError
	if errors.As(err, &failed) {
		err = &ListenError{failed.Key, failed.Err}
	}
	return Listeners(l), err
}

// ListenAndServe listens at the configured addresses and serves until ctx ends; see Serve and ServeMetrics.
func (s *Service) ListenAndServe(ctx context.Context) error {
	l, err := s.Listen(ctx)
	if err != nil {
		return err
	}
	return s.ServeAll(ctx, l)
}

// ServeAll serves at what Listen has opened until ctx ends, the metrics until the last request has ended. It closes
// the listeners.
func (s *Service) ServeAll(ctx context.Context, l Listeners) error {
	return s.inner.ServeAll(ctx, service.Listeners(l))
}

// Serve serves the API on l, over TLS where there is a certificate, until ctx ends. Then it drains: new requests get
// a 503 while those under way have drain_timeout_s to end; what is left is cut off. It returns nil if all had ended.
// It closes l.
func (s *Service) Serve(ctx context.Context, l net.Listener) error { return s.inner.Serve(ctx, l) }

// ServeMetrics serves /metrics, /livez, /readyz and /version on l, in plain HTTP and without keys, until ctx ends;
// where only this machine reaches metrics_listen, also Go's profiles at /debug/pprof/. It closes l.
func (s *Service) ServeMetrics(ctx context.Context, l net.Listener) error {
	return s.inner.ServeMetrics(ctx, l)
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
