// Package environment gives a certification the server that it needs: it starts one, or checks that one is there,
// proves the preconditions of the test case, and takes down what it started and nothing else. It must not import
// anything of the serving half: a server is a URL.
package target

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
)

// ErrSetup is matched by every error of a server that could not be started or reached.
var ErrSetup = errors.New("set-up failed")

// ErrUnauthorized is matched where the server refuses the key, or wants one.
var ErrUnauthorized = errors.New("the server refuses the API key")

// Need is what a launcher has to provide.
type Need struct {
	Model string // a model reference; empty: the built-in one
}

// Launcher starts a server and returns when it answers, or with an error when it never will.
type Launcher func(ctx context.Context, need Need) (*Server, error)

// Server is the server under test.
type Server struct {
	URL          string            // its root, without /v1
	PID          int               // of its process; 0: not known, or not on this machine
	InProcess    bool              // it runs inside the certifier
	BuiltIn      bool              // it serves the demonstration or a synthetic model
	Fingerprints map[string]string // what it says of itself, such as model_sha256
	Gone         <-chan struct{}   // closed when a started server has ended; nil: nobody knows
	stop         func() error
}

// Stop ends a server that a launcher started; for any other it does nothing.
func (s *Server) Stop() error {
	if s == nil || s.stop == nil {
		return nil
	}
	stop := s.stop
	s.stop = nil
	return stop()
}

// After adds something to be done once the server has stopped, and gives the server back.
func (s *Server) After(do func() error) *Server {
	stop := s.stop
	s.stop = func() error {
		var err error
		if stop != nil {
			err = stop()
		}
		return errors.Join(err, do())
	}
	return s
}

// Root gives the root of a server from what people write: with or without http://, with or without /v1.
func Root(target string) (string, error) {
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	u, err := url.Parse(target)
	if err != nil {
		return "", fmt.Errorf("%w: target: %w", ErrSetup, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return "", fmt.Errorf("%w: target: want http://host:port or https://host, got %q", ErrSetup, target)
	}
	u.RawQuery, u.Fragment = "", ""
	path := strings.TrimSuffix(u.Path, "/")
	for _, end := range []string{"/v1/chat/completions", "/chat/completions", "/v1"} {
		path = strings.TrimSuffix(path, end)
	}
	u.Path = path
	return u.String(), nil
}

// Redact hides the password of an address that is shown or recorded.
func Redact(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return address
}

// Existing checks that a server answers at target. It starts nothing and stops nothing.
func Existing(ctx context.Context, target, apiKey string) (*Server, error) {
	s, err := At(target)
	if err != nil {
		return nil, err
	}
	c := NewClient(s.URL, apiKey)
	defer c.Close()
	if _, err := c.Models(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// At is the server at target, which may answer or not.
func At(target string) (*Server, error) {
	root, err := Root(target)
	if err != nil {
		return nil, err
	}
	return &Server{URL: root}, nil
}

// Handler launches an http.Handler inside the certifier's process, on a free port of 127.0.0.1. Memory and CPU are
// then those of both; a report says so.
func Handler(h http.Handler) Launcher {
	return func(context.Context, Need) (*Server, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSetup, err)
		}
		srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_ = srv.Serve(l) // ends by Close
		}()
		return &Server{URL: "http://" + l.Addr().String(), InProcess: true, Gone: gone, stop: func() error {
			err := srv.Close()
			<-gone
			return err
		}}, nil
	}
}

// Watch chooses where a server's resources are read from: a process or cgroup that the caller names, the process that
// was started, this one, or the server's own metrics.
func Watch(s *Server, pid int, cgroup string, metrics *probe.Scraper) (probe.Source, error) {
	switch {
	case cgroup != "":
		return probe.Cgroup(cgroup)
	case pid != 0:
		return probe.PID(pid)
	case s.PID != 0:
		return probe.PID(s.PID)
	case s.InProcess:
		return probe.Self()
	}
	return probe.Remote(metrics), nil
}
