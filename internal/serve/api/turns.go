package api

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/wait"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// turns coordinates the choices of one request: the first of them to get a place starts the request, and the others
// wait until places are free.
type turns struct {
	mu    sync.Mutex
	asked int  // choices that were sent to the backend and not refused
	taken bool // one has been answered: the request has started
}

// placeWait is how long a choice waits before it checks for a place again. A token takes longer than that.
const placeWait = 20 * time.Millisecond

func (t *turns) ask() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked++
}

// done records the result of a choice, and says whether the choice has to wait for a place.
func (t *turns) done(err error) (again bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !errors.Is(err, llm.ErrQueueFull) {
		t.taken = true
		return false
	}
	t.asked--
	return t.taken || t.asked > 0
}

// inTurn runs a choice when there is a place for it. If there is no place for any choice of its request, the request
// is refused.
func (s *Server) inTurn(ctx context.Context, t *turns, run func() error) error {
	for {
		t.ask()
		err := run()
		if !t.done(err) {
			return err
		}
		for again := true; again; again = s.room(route{work: true}) != nil {
			if err := wait.For(ctx, placeWait); err != nil {
				return err
			}
		}
	}
}
