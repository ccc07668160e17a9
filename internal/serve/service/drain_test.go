package service

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// TestDrainHasABound: a request that does not end is cut off.
func TestDrainHasABound(t *testing.T) {
	s := openTiny(t, func(c *Options) { c.DrainTimeout = 0 })
	_, cancel, served := serving(t, s.Serve)
	hold, ended := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	began := make(chan struct{})
	go func() {
		err := s.Generate(context.Background(), ask("a", 64), func(llm.Event) error {
			once.Do(func() { close(began) })
			<-hold
			return nil
		})
		ended <- err
	}()
	llmtest.Await(t, "the first piece of text", began)
	cancel()
	if err := llmtest.Await(t, "Serve to return", served); !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "1 request is") {
		t.Errorf("served: %v", err)
	}
	close(hold)
	llmtest.Await(t, "the request that was held", ended)
}

// TestDrainLetsConnectionsGo: while a service drains, no client keeps a connection to it, so that its next request
// reaches another service.
func TestDrainLetsConnectionsGo(t *testing.T) {
	s := openTiny(t)
	address, cancel, served := serving(t, s.Serve)
	began, hold, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var once sync.Once
	go func() {
		err := s.Generate(context.Background(), ask("a", 64), func(llm.Event) error {
			once.Do(func() { close(began); <-hold })
			return nil
		})
		ended <- err
	}()
	llmtest.Await(t, "the first piece of text", began)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	closes := func() (int, bool) {
		t.Helper()
		resp, err := client.Get("http://" + address + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, resp.Close
	}
	if status, gone := closes(); status != 200 || gone {
		t.Errorf("before: %d, closed %v", status, gone)
	}
	cancel()
	llmtest.Until(t, "the drain to be seen, by a connection that is closed", func() bool {
		status, gone := closes()
		return status == 503 && gone
	})
	close(hold)
	if err := llmtest.Await(t, "the request under way", ended); err != nil {
		t.Error(err)
	}
	if err := llmtest.Await(t, "Serve to return", served); err != nil {
		t.Error(err)
	}
}
