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

// The errors of this package match one of these.
var (
	// ErrSetup matches every error about a server that could not be started or reached.
	ErrSetup = client.ErrSetup
	// ErrUnauthorized matches the error about a server that refuses the key, or demands one.
	ErrUnauthorized = client.ErrUnauthorized
)

// Hint says what a user can do about an error of this package or of a run; it is empty if there is no advice.
func Hint(err error) string { return client.Hint(err) }

// Need is what the run needs from a launcher.
type Need struct {
	Model string // a model reference; empty: the built-in one
}

// Launcher starts a server and returns when the server answers, or with an error if it never will.
type Launcher func(ctx context.Context, need Need) (*Server, error)

// Server is the server under test.
type Server struct {
	URL          string            // the server's root, without /v1
	PID          int               // the process ID; 0: not known, or not on this machine
	InProcess    bool              // it runs inside the certifier
	BuiltIn      bool              // it serves the demonstration or a synthetic model
	Fingerprints map[string]string // facts that the launcher knows, such as model_sha256
	Gone         <-chan struct{}   // closed when a started server has ended; nil: not known
	stop         func() error
}

// Stop ends a server that a launcher started. It does nothing for any other server.
func (s *Server) Stop() error {
	if s == nil || s.stop == nil {
		return nil
	}
	stop := s.stop
	s.stop = nil
	return stop()
}

// After makes Stop call do after the server has ended. It returns the server.
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

// Existing returns the running server at a URL after it has listed its models. Errors match ErrSetup or
// ErrUnauthorized.
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

// At returns the server at a URL without asking it anything. An error says that the URL is invalid.
func At(target string) (*Server, error) {
	root, err := client.Root(target)
	if err != nil {
		return nil, err
	}
	return &Server{URL: root}, nil
}

// Handler launches an http.Handler inside the certifier's process, on a free port of 127.0.0.1. Its memory and CPU
// then include the certifier's, and the report says so.
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
			_ = srv.Serve(l) // returns after Close
		}()
		return &Server{URL: "http://" + l.Addr().String(), InProcess: true, Gone: gone, stop: func() error {
			err := srv.Close()
			<-gone
			return err
		}}, nil
	}
}
