package mixtral

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/serve/api"
)

// validateAccess checks who may reach the service, and how.
func (c *Config) validateAccess(v *validator) {
	switch {
	case c.Host == "" || strings.ContainsAny(c.Host, " /"):
		v.add("host", strconv.Quote(c.Host), "must be an IP address or a name")
	case !loopback(c.Host) && c.APIKeyFile == "" && !c.InsecureBind:
		v.add("host", strconv.Quote(c.Host),
			"others can reach this address: set api_key_file, or insecure_bind if that is meant")
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		key, value := "tls_key_file", c.TLSKeyFile
		if c.TLSCertFile == "" {
			key, value = "tls_cert_file", c.TLSCertFile
		}
		v.add(key, strconv.Quote(value), "must be given: a certificate and its key go together")
	}
	for _, name := range c.allowedHosts() {
		if strings.ContainsAny(name, ":/ *") {
			v.add("allowed_hosts", strconv.Quote(c.AllowedHosts),
				"must be host names without ports, several with commas between")
			break
		}
	}
	if c.MetricsListen != "" {
		host, port, err := net.SplitHostPort(c.MetricsListen)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" || n != 0 &&
			int(n) == c.Port && host == c.Host {
			v.add("metrics_listen", strconv.Quote(c.MetricsListen), "must be address:port, another than the API's")
		}
	}
	v.number("max_connections", float64(c.MaxConnections), 1, 1<<20)
}

// loopback tells whether only this machine can reach a host.
func loopback(host string) bool {
	if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}

// allowedHosts lists the names of AllowedHosts.
func (c *Config) allowedHosts() []string { return splitList(c.AllowedHosts) }

// splitList gives what stands between commas.
func splitList(s string) []string {
	var list []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// hosts gives the names that requests may use: what is said, and on an address that only this machine reaches no
// others but its own. Elsewhere, nil: the service cannot know its names.
func (c *Config) hosts() []string {
	allowed := c.allowedHosts()
	if len(allowed) == 0 && !loopback(c.Host) {
		return nil
	}
	return append(allowed, c.Host)
}

// openKeys gives nil where there are none.
func (s *Service) openKeys() (keys *api.Keys, err error) {
	if s.config.APIKeyFile == "" {
		return nil, nil
	}
	if s.keyFile, keys, err = api.OpenKeys(s.config.APIKeyFile, s.log); err != nil {
		return nil, fmt.Errorf("%w: api_key_file: %w", ErrConfig, err)
	}
	return keys, nil
}

// ReloadKeys reads the configuration's api_key_file again, which otherwise happens within a second of its change,
// when a request comes. The new keys and limits count from the next request on, and what a key has used stays with
// its name. If the file is not good, the old keys stay.
func (s *Service) ReloadKeys() error {
	if s.keyFile == nil {
		return fmt.Errorf("%w: api_key_file: none was given when the service started", ErrConfig)
	}
	keys, err := s.keyFile.Read()
	if err != nil {
		return fmt.Errorf("%w: api_key_file: %w", ErrConfig, err)
	}
	s.api.SetKeys(keys)
	return nil
}

// loadCertificate gives nil where there is none.
func (s *Service) loadCertificate() (*api.Certificate, error) {
	if s.config.TLSCertFile == "" {
		return nil, nil
	}
	certificate, err := api.LoadCertificate(s.config.TLSCertFile, s.config.TLSKeyFile, s.log)
	if err != nil {
		return nil, fmt.Errorf("%w: tls_cert_file, tls_key_file: %w", ErrConfig, err)
	}
	if left := time.Until(certificate.Leaf().NotAfter); left <= 0 {
		s.log.Warn("the certificate has expired", "file", s.config.TLSCertFile, "expired", certificate.Leaf().NotAfter)
	}
	return certificate, nil
}

// ReloadCertificate reads tls_cert_file and tls_key_file again, which otherwise happens within a second of their
// change. Connections that are open stay. If the files are not good, the old certificate stays.
func (s *Service) ReloadCertificate() error {
	if s.certificate == nil {
		return fmt.Errorf("%w: tls_cert_file: none was given when the service started", ErrConfig)
	}
	if err := s.certificate.Reload(); err != nil {
		return fmt.Errorf("%w: tls_cert_file, tls_key_file: %w", ErrConfig, err)
	}
	return nil
}

// Addr is where ListenAndServe listens.
func (s *Service) Addr() string {
	return net.JoinHostPort(s.config.Host, strconv.Itoa(s.config.Port))
}

// ListenAndServe listens on the configured addresses and serves until ctx ends; see Serve and ServeMetrics.
func (s *Service) ListenAndServe(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.Addr())
	if err != nil {
		return err
	}
	if s.config.MetricsListen == "" {
		return s.Serve(ctx, l)
	}
	m, err := lc.Listen(ctx, "tcp", s.config.MetricsListen)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	apart, stop := context.WithCancel(context.WithoutCancel(ctx)) // the last requests can be watched
	done := make(chan error, 1)
	go func() { done <- s.ServeMetrics(apart, m) }()
	err = s.Serve(ctx, l)
	stop()
	return errors.Join(err, <-done)
}

// Serve serves the API on l, over TLS where there is a certificate, until ctx ends. Then it drains: new requests get
// a 503 while those under way have drain_timeout_s to end; what is left is cut off. It returns nil if all had ended.
// It closes l.
func (s *Service) Serve(ctx context.Context, l net.Listener) error {
	if s.config.APIKeyFile != "" && s.certificate == nil && !loopback(s.config.Host) {
		s.log.Warn("API keys and prompts travel in the clear, unless something in front speaks TLS", "host",
			s.config.Host)
	}
	server := s.api.HTTPServer()
	most := s.maxConnections()
	limited := api.LimitListener(l, most)
	s.metrics.SetConnections(limited.Open, most)
	failed := make(chan error, 1)
	if s.certificate != nil {
		server.TLSConfig = s.certificate.TLSConfig()
		go func() { failed <- server.ServeTLS(limited, "", "") }()
	} else {
		go func() { failed <- server.Serve(limited) }()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// whoever asks again comes on a new connection, which a load balancer sends elsewhere
	server.SetKeepAlivesEnabled(false)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx),
		time.Duration(s.config.DrainTimeoutS*float64(time.Second)))
	defer cancel()
	err := s.Drain(bounded)
	if err == nil {
		// The last answers may still be on their way out.
		flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(flush) == nil {
			<-failed
			return nil
		}
	}
	err = errors.Join(err, server.Close())
	<-failed
	return err
}

// maxConnections leaves half of the files that the process may open to everything else.
func (s *Service) maxConnections() int {
	if files, err := host.OpenFiles(); err == nil && files/2 < uint64(s.config.MaxConnections) {
		n := max(int(files/2), 1)
		s.log.Info("fewer connections than max_connections", "max_connections", s.config.MaxConnections, "used", n,
			"open_files", files)
		return n
	}
	return s.config.MaxConnections
}

// ServeMetrics serves /metrics, /livez, /readyz and /version on l, in plain HTTP and without keys, until ctx ends;
// where only this machine reaches metrics_listen, also Go's profiles at /debug/pprof/. It closes l.
func (s *Service) ServeMetrics(ctx context.Context, l net.Listener) error {
	name, _, _ := net.SplitHostPort(s.config.MetricsListen)
	server := s.api.MetricsServer(loopback(name))
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(api.LimitListener(l, metricsConnections)) }()
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

// metricsConnections are more than any number of Prometheus servers and health checks keep open.
const metricsConnections = 64
