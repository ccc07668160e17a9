package service

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
	"github.com/hxp-enterprise/mixtral/internal/serve/api"
)

// Listeners are the service's open listeners.
type Listeners struct {
	API     net.Listener
	Metrics net.Listener // nil: /metrics is at the address of the API
}

// ListenError says which configured address cannot be listened on.
type ListenError struct {
	Key string // "port" or "metrics_listen", or what sets the address of another listener
	Err error
}

func (e *ListenError) Error() string { return e.Err.Error() }

// Unwrap returns the system's error.
func (e *ListenError) Unwrap() error { return e.Err }

// Listen opens the configured addresses. Errors are a *ListenError.
func (s *Service) Listen(ctx context.Context) (Listeners, error) {
	var l Listeners
	var err error
	if l.API, err = Listen(ctx, "port", net.JoinHostPort(s.o.Host, strconv.Itoa(s.o.Port))); err != nil {
		return Listeners{}, err
	}
	if s.o.MetricsListen != "" {
		if l.Metrics, err = Listen(ctx, "metrics_listen", s.o.MetricsListen); err != nil {
			return Listeners{}, errors.Join(err, l.API.Close())
		}
	}
	return l, nil
}

// Listen opens an address that the key, or a flag of that name, has set. Errors are a *ListenError.
func Listen(ctx context.Context, key, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &ListenError{key, err}
	}
	return l, nil
}

// ServeAll serves on both listeners until ctx ends; see Serve and ServeMetrics. It closes them.
func (s *Service) ServeAll(ctx context.Context, l Listeners) error {
	if l.Metrics == nil {
		return s.Serve(ctx, l.API)
	}
	apart, stop := context.WithCancel(context.WithoutCancel(ctx)) // metrics stay until the last request ends
	done := make(chan error, 1)
	go func() { done <- s.ServeMetrics(apart, l.Metrics) }()
	err := s.Serve(ctx, l.API)
	stop()
	return errors.Join(err, <-done)
}

// Serve serves the API on l until ctx ends, over TLS if there is a certificate. Then it drains: new requests get a
// 503, and those under way have drain_timeout_s to end before they are cut off. It returns nil if all of them ended.
// If the model's file can no longer be read, it ends at once with an error that matches gguf.ErrChanged. It closes l.
func (s *Service) Serve(ctx context.Context, l net.Listener) error {
	if s.o.APIKeyFile != "" && s.certificate == nil && !Loopback(s.o.Host) {
		s.log.Warn("API keys and prompts travel in the clear, unless something in front speaks TLS", "host",
			s.o.Host)
	}
	server := s.api.HTTPServer()
	limited := access.LimitListener(l, s.maxConnections(), s.log, s.metrics.ConnectionEvicted)
	limited.Hold = s.budget.hold
	server.ConnContext = limited.ConnContext
	s.metrics.SetConnections(limited.Open, limited.Most())
	failed := make(chan error, 1)
	shaped := api.Shaped(limited)
	if s.certificate != nil {
		server.TLSConfig = s.certificate.TLSConfig()
		shaped = api.ShapedTLS(limited, server.TLSConfig, server.ReadHeaderTimeout, server.ErrorLog)
	}
	go func() { failed <- server.Serve(shaped) }()
	select {
	case err := <-failed:
		return err
	case err := <-s.lost:
		s.flush(server) // send the answers that say so
		<-failed
		return err
	case <-ctx.Done():
	}
	// A client that asks again opens a new connection, which a load balancer sends elsewhere.
	server.SetKeepAlivesEnabled(false)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx),
		s.o.DrainTimeout)
	defer cancel()
	err := s.Drain(bounded)
	if err == nil && s.flush(server) {
		<-failed
		return nil
	}
	err = errors.Join(err, server.Close())
	<-failed
	return err
}

// lastAnswersTime is how long the last answers may take. Tests raise it.
var lastAnswersTime = time.Second

// flush closes a server whose last answers may still be on their way, and says whether they were.
func (s *Service) flush(server *http.Server) bool {
	ctx, cancel := context.WithTimeout(context.Background(), lastAnswersTime)
	defer cancel()
	if server.Shutdown(ctx) == nil {
		return true
	}
	server.Close()
	return false
}

// maxConnections leaves half of the files that the process may open for everything else.
func (s *Service) maxConnections() int {
	if files, err := host.OpenFiles(); err == nil && files/2 < uint64(s.o.MaxConnections) {
		n := max(int(files/2), 1)
		s.log.Info("fewer connections than max_connections", "max_connections", s.o.MaxConnections, "used", n,
			"open_files", files)
		return n
	}
	return s.o.MaxConnections
}

// ServeMetrics serves /metrics, /livez, /readyz and /version on l until ctx ends, in plain HTTP and without keys. If
// only this machine can reach metrics_listen, it also serves Go's profiles at /debug/pprof/. It closes l.
func (s *Service) ServeMetrics(ctx context.Context, l net.Listener) error {
	name, _, _ := net.SplitHostPort(s.o.MetricsListen)
	server := s.api.MetricsServer(Loopback(name))
	failed := make(chan error, 1)
	limited := access.LimitListener(l, metricsConnections, s.log, s.metrics.ConnectionEvicted)
	server.ConnContext = limited.ConnContext
	go func() { failed <- server.Serve(api.Shaped(limited)) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	err := server.Close()
	if e := <-failed; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// metricsConnections is more than any number of Prometheus servers and health checks keep open.
const metricsConnections = 64
