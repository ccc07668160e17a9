package api

import (
	"context"
	"fmt"
	"sync"

	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// readiness is the state of the service.
type readiness int

const (
	starting readiness = iota // no backend yet
	ready
	draining // no new requests; those under way continue
)

func (p readiness) String() string { return [...]string{"starting", "ready", "draining"}[p] }

// lifecycle decides which requests are admitted. It is a state machine without locks or goroutines.
type lifecycle struct {
	readiness readiness
	inFlight  int
}

// enter admits a request or says why not.
func (l *lifecycle) enter() error {
	if l.readiness != ready {
		return fmt.Errorf("%w: %s", llm.ErrNotReady, l.readiness)
	}
	l.inFlight++
	return nil
}

// leave says whether the last request of a draining service has ended.
func (l *lifecycle) leave() (drained bool) {
	l.inFlight--
	return l.readiness == draining && l.inFlight == 0
}

// open makes a starting service ready; a draining one keeps draining.
func (l *lifecycle) open() {
	if l.readiness == starting {
		l.readiness = ready
	}
}

// drain starts draining, and says whether there is nothing to wait for.
func (l *lifecycle) drain() (drained bool) {
	l.readiness = draining
	return l.inFlight == 0
}

// gate is a lifecycle for many goroutines.
type gate struct {
	mu      sync.Mutex
	state   lifecycle
	drained chan struct{}
	closed  bool
}

func newGate() *gate { return &gate{drained: make(chan struct{})} }

func (g *gate) readiness() readiness {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state.readiness
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state.open()
}

func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state.enter()
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.signal(g.state.leave())
}

func (g *gate) signal(drained bool) {
	if drained && !g.closed {
		g.closed = true
		close(g.drained)
	}
}

// drain refuses new requests and waits until those under way have ended, or ctx ends.
func (g *gate) drain(ctx context.Context) error {
	g.mu.Lock()
	g.signal(g.state.drain())
	g.mu.Unlock()
	select {
	case <-g.drained:
		return nil
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		return fmt.Errorf("%s still under way: %w",
			noun.Of(g.state.inFlight, "request is", "requests are"), ctx.Err())
	}
}
