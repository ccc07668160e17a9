package target

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/client"
)

// What errors match.
var (
	// ErrSetup is matched by every error of a server that could not be started or reached.
	ErrSetup = client.ErrSetup
	// ErrUnauthorized is matched where the server refuses the key, or wants one.
	ErrUnauthorized = client.ErrUnauthorized
)

// Hint says what a user can do about an error of this package or of a run; it is empty if there is no advice.
func Hint(err error) string { return client.Hint(err) }

// Need is what a launcher has to provide.
type Need struct {
	Model string // a model reference; empty: the built-in one
}

// Launcher starts a server and returns when the server answers, or with an error if it never will.
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

// After adds something to do once the server has stopped, and returns the server.
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

// Existing checks that a server answers at target. It starts nothing and stops nothing.
func Existing(ctx context.Context, target, apiKey string) (*Server, error) {
	s, err := At(target)
	if err != nil {
		return nil, err
	}
	c := client.New(s.URL, apiKey)
	defer c.Close()
	if _, err := c.Models(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// At is the server at target, whether it answers or not.
func At(target string) (*Server, error) {
	root, err := client.Root(target)
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
