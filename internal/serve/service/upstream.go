package service

import (
	"fmt"
	"os"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/upstream"
)

// connect makes the upstream servers the backend. They need not answer yet: readiness follows their health.
func (s *Service) connect() error {
	key := ""
	if path := s.o.Upstream.KeyFile; path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%w: upstream_key_file: %w", ErrConfig, err)
		}
		key = strings.TrimSpace(string(data))
	}
	u, err := upstream.New(upstream.Config{URLs: s.o.Upstream.URLs, APIKey: key, Models: s.o.Upstream.Models,
		Directory: s.o.Upstream.Directory, Names: s.o.Upstream.Names,
		Silence: s.o.Upstream.Timeout, Logger: s.log})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		u.Close()
		return llm.ErrClosed
	}
	s.backend = u
	s.metrics.SetReplicas(func() (list []telemetry.Replica) {
		for _, r := range u.Replicas() {
			list = append(list, telemetry.Replica{Name: r.Host, Up: r.Up, Failures: r.Failed})
		}
		return list
	})
	s.api.SetBackend(u)
	s.log.Info("passing requests on", "upstreams", len(s.o.Upstream.URLs))
	return nil
}
