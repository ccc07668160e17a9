package api

import (
	"context"
	"fmt"
	"sync"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// phase is where in its life the service is.
type phase int

const (
	starting phase = iota // no backend yet
	ready
	draining // no new requests; those under way go on
)

func (p phase) String() string { return [...]string{"starting", "ready", "draining"}[p] }

// lifecycle decides who may come in. It is a state machine without locks or goroutines.
type lifecycle struct {
	phase    phase
	inFlight int
}

// enter lets a request in or says why not.
func (l *lifecycle) enter() error {
	if l.phase != ready {
		return fmt.Errorf("%w: %s", llm.ErrNotReady, l.phase)
	}
	l.inFlight++
	return nil
}

// leave says whether the last request of a draining service has gone.
func (l *lifecycle) leave() (drained bool) {
	l.inFlight--
	return l.phase == draining && l.inFlight == 0
}

// open makes a starting service ready; a draining one stays so.
func (l *lifecycle) open() {
	if l.phase == starting {
		l.phase = ready
	}
}

// drain says whether there is nothing to wait for.
func (l *lifecycle) drain() (drained bool) {
	l.phase = draining
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

func (g *gate) phase() phase {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state.phase
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

// drain refuses new requests and waits for those under way, or for ctx.
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
		return fmt.Errorf("%d requests are still under way: %w", g.state.inFlight, ctx.Err())
	}
}
