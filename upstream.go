package mixtral

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/serve/upstream"
)

// backendUpstream is the Backend that passes requests on.
const backendUpstream = "vllm"

// upstreams lists the URLs of Upstream.
func (c *Config) upstreams() []string {
	var urls []string
	for u := range strings.SplitSeq(c.Upstream, ",") {
		if u = strings.TrimSpace(u); u != "" {
			urls = append(urls, u)
		}
	}
	return urls
}

// upstreamModels reads UpstreamModels: names here to names there.
func (c *Config) upstreamModels() (map[string]string, error) {
	names := map[string]string{}
	for pair := range strings.SplitSeq(c.UpstreamModels, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		here, there, ok := strings.Cut(pair, "=")
		if !ok || here == "" || there == "" {
			return nil, fmt.Errorf("%q is not name=name", pair)
		}
		names[here] = there
	}
	return names, nil
}

func (c *Config) validateUpstream(v *validator) {
	if c.Backend != backendUpstream {
		if c.Upstream != "" {
			v.add("upstream", fmt.Sprintf("%q", c.Upstream), "needs backend: vllm")
		}
		return
	}
	if err := upstream.CheckURLs(c.upstreams()); err != nil {
		v.add("upstream", fmt.Sprintf("%q", c.Upstream),
			"must be http://host:port or https://host, several with commas between")
	}
	if _, err := c.upstreamModels(); err != nil {
		v.add("upstream_models", fmt.Sprintf("%q", c.UpstreamModels), "must be name=name, several with commas between")
	}
}

// connect makes the upstream servers the backend. They need not answer yet: readiness follows their health.
func (s *Service) connect() error {
	models, err := s.config.upstreamModels()
	if err != nil {
		return fmt.Errorf("%w: upstream_models: %w", ErrConfig, err)
	}
	key := ""
	if path := s.config.UpstreamKeyFile; path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%w: upstream_key_file: %w", ErrConfig, err)
		}
		key = strings.TrimSpace(string(data))
	}
	u, err := upstream.New(upstream.Config{URLs: s.config.upstreams(), APIKey: key, Models: models,
		Silence: time.Duration(s.config.UpstreamTimeoutS * float64(time.Second)), Logger: s.log})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		u.Close()
		return ErrClosed
	}
	s.backend = u
	s.metrics.SetReplicas(func() (list []telemetry.Replica) {
		for _, r := range u.Replicas() {
			list = append(list, telemetry.Replica{Name: r.Host, Up: r.Up, Failures: r.Failed})
		}
		return list
	})
	s.api.SetBackend(u)
	s.log.Info("passing requests on", "upstreams", len(s.config.upstreams()))
	return nil
}
