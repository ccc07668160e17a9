package remote

import (
	"sync"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// mostRead bounds the evidence that was read and not handled yet, in bytes. Beyond it the connections wait.
const mostRead = 64 << 20

// item is evidence or a comparison from a generator, for its fold, or a function that uses the folds.
type item struct {
	from     int
	lines    []byte
	compared *evidence.Comparison
	do       func() // called when everything before it was handled
}

// inbox has what was read from all generators and not handled yet. Lines of evidence wait for room, so that memory is
// bounded; other items do not wait.
type inbox struct {
	mu     sync.Mutex
	change sync.Cond
	items  []item
	bytes  int
	closed bool
}

func newInbox() *inbox {
	b := &inbox{}
	b.change.L = &b.mu
	return b
}

func (b *inbox) put(x item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(x.lines) > 0 && b.bytes+len(x.lines) > mostRead && !b.closed {
		b.change.Wait()
	}
	b.items, b.bytes = append(b.items, x), b.bytes+len(x.lines)
	b.change.Broadcast()
}

// take returns the next item, and waits for one if there is none. ok is false when the inbox is closed and empty.
func (b *inbox) take() (x item, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.items) == 0 {
		if b.closed {
			return item{}, false
		}
		b.change.Wait()
	}
	x, b.items = b.items[0], b.items[1:]
	b.bytes -= len(x.lines)
	b.change.Broadcast()
	return x, true
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.change.Broadcast()
}
