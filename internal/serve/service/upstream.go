package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/base/wait"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
	"github.com/hxp-enterprise/mixtral/internal/serve/upstream"
)

// openServers reads the file of upstream servers, if one is configured.
func (s *Service) openServers() (err error) {
	if s.o.Upstream == nil || s.o.Upstream.File == "" {
		return nil
	}
	if s.servers, err = upstream.ReadFile(s.o.Upstream.File); err != nil {
		return fmt.Errorf("%w: upstream_file: %w", ErrConfig, err)
	}
	return nil
}

// connect makes the upstream servers the backend. They need not be available yet: the service is ready when they are.
func (s *Service) connect() error {
	o := s.o.Upstream
	key := ""
	if path := o.KeyFile; path != "" {
		access.WarnReadable(s.log, "upstream_key_file", path)
		data, err := bounded.File(path, 64<<10)
		if err != nil {
			return fmt.Errorf("%w: upstream_key_file: %w", ErrConfig, err)
		}
		key = strings.TrimSpace(string(data))
	}
	c := upstream.Config{URLs: o.URLs, APIKey: key, Models: o.Models, Silence: o.Timeout, Policy: o.Policy,
		Slack: o.Slack, SlowStart: o.SlowStart, Retries: o.Retries, CanaryBy: o.CanaryBy, AnyModel: o.AnyModel,
		HealthEvery: o.HealthEvery, HealthPath: o.HealthPath, Directory: o.Directory, Names: o.Names,
		Logger: s.log}
	if c.Retries == 0 {
		c.Retries = -1 // the package's value for none
	}
	if c.HealthEvery == 0 {
		c.HealthEvery = -1
	}
	c.Servers = s.servers
	u, err := upstream.New(c)
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
	s.metrics.SetFleet(func() telemetry.Fleet { return fleetOf(u) })
	s.api.SetBackend(u)
	s.log.Info("passing requests on", "upstreams", len(u.Replicas()))
	if o.File != "" {
		s.follow(u)
	}
	return nil
}

// fleetOf returns the upstream servers as the metrics show them.
func fleetOf(u *upstream.Upstream) telemetry.Fleet {
	all := u.Fleet()
	f := telemetry.Fleet{Retries: all.Retries, Denied: all.Denied, Missing: all.Missing}
	for _, r := range u.Replicas() {
		f.Replicas = append(f.Replicas, telemetry.Replica{Name: r.Name, Up: r.Up, State: string(r.State),
			Outstanding: r.Outstanding, Weight: r.Weight, Requests: r.Sent, Failures: r.Failed,
			First: r.First})
	}
	return f
}

// fileEvery is the time between two checks of the file of upstream servers.
const fileEvery = time.Second

// follow reads the file of upstream servers again whenever it, or a key file that it names, has changed, until the
// service is closed. The caller holds the lock.
func (s *Service) follow(u *upstream.Upstream) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.unfollow = func() { stop(); <-done }
	go func() {
		defer close(done)
		var last []byte
		said := ""
		for wait.For(ctx, fileEvery) == nil {
			data, err := os.ReadFile(s.o.Upstream.File)
			if err == nil && last != nil && bytes.Equal(data, last) && !bytes.Contains(data, []byte("key_file")) {
				continue
			}
			last = data
			if err == nil {
				err = s.reloadUpstreams(u)
			}
			if err == nil {
				said = ""
			} else if said != err.Error() {
				said = err.Error()
				s.log.Warn("the file of upstream servers was not taken", "err", err)
			}
		}
	}()
}

// reloadUpstreams reads the file of upstream servers.
func (s *Service) reloadUpstreams(u *upstream.Upstream) error {
	list, err := upstream.ReadFile(s.o.Upstream.File)
	if err != nil {
		return err
	}
	return u.Set(list)
}

// ReloadUpstreams reads upstream_file again. If it is not valid, the servers stay as they are.
func (s *Service) ReloadUpstreams() error {
	if s.o.Upstream == nil || s.o.Upstream.File == "" {
		return fmt.Errorf("%w: upstream_file: none was given when the service started", ErrConfig)
	}
	s.mu.Lock()
	u, ok := s.backend.(*upstream.Upstream)
	s.mu.Unlock()
	if !ok {
		return llm.ErrNotReady
	}
	if err := s.reloadUpstreams(u); err != nil && !errors.Is(err, llm.ErrClosed) {
		return fmt.Errorf("%w: upstream_file: %w", ErrConfig, err)
	}
	return nil
}
