package remote

import (
	"sync"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// mostRead bounds the evidence that was read and not taken in yet, in bytes: beyond it the connections wait.
const mostRead = 64 << 20

// item is something that came from a generator, for its fold, or something to do with the folds.
type item struct {
	from     int
	lines    []byte
	compared *evidence.Comparison
	do       func() // done when everything before it was taken in
}

// inbox is what was read from all generators and not taken in yet. Lines wait for room, so that memory is bounded;
// nothing else does.
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

// take gives what is there; ok is false once it is closed and empty.
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
