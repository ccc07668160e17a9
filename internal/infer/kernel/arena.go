package kernel

import (
	"fmt"
	"math"
	"sync"
	"time"
)

// arenaAlign is two cache lines: the unit of the adjacent-line prefetcher, and more than any vector load needs.
const arenaAlign = 128

// Arena holds a model's packed weights in one mapping, handed out front to back and freed together.
type Arena struct {
	mem  []byte
	used int

	mu      sync.Mutex
	backing backing
	small   bool // huge pages were given up

	stop    chan struct{} // of Join's goroutine
	stopped sync.WaitGroup
}

// NewArena reserves size bytes; pages are touched only when written.
func NewArena(size int64) (*Arena, error) {
	if size < 0 || size > math.MaxInt-arenaAlign {
		return nil, fmt.Errorf("kernel: arena of %d bytes", size)
	}
	mem, err := mapBytes(int(size) + arenaAlign)
	if err != nil {
		return nil, err
	}
	return &Arena{mem: mem}, nil
}

// ArenaSize is what n bytes take in an arena.
func ArenaSize(n int64) int64 { return (n + arenaAlign - 1) &^ (arenaAlign - 1) }

// Alloc gives n zeroed bytes at an aligned address. It panics if the arena is too small: its owner sized it.
func (a *Arena) Alloc(n int) []byte {
	size := int(ArenaSize(int64(n)))
	b := a.mem[a.used : a.used+n : a.used+size]
	a.used += size
	return b
}

// Used is the number of bytes handed out.
func (a *Arena) Used() int64 { return int64(a.used) }

// Back gets memory for b, a part of the arena that is about to be written: in huge pages, until these turn out to be
// dear. It may be called at the same time for different parts, and need not be.
func (a *Arena) Back(b []byte) {
	a.mu.Lock()
	small := a.small
	a.mu.Unlock()
	if small || len(b) == 0 {
		return // writing gets small ones
	}
	start := time.Now()
	if !populate(b) {
		return
	}
	took := time.Since(start)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.backing.note(len(b), took) && !a.small {
		a.small = true
		smallPages(a.mem)
	}
}

// Join makes huge pages of the small ones that Back settled for, in the background, until Close. It does nothing if
// there are none. Everything in the arena can be used meanwhile.
func (a *Arena) Join() {
	if !a.small || a.stop != nil {
		return
	}
	whole := hugePagesIn(a.mem[:a.used])
	hugePages(a.mem)
	a.stop = make(chan struct{})
	a.stopped.Go(func() { a.join(whole) })
}

func (a *Arena) join(whole []byte) {
	timer := time.NewTimer(joinDelay)
	defer timer.Stop()
	j := joining{left: len(whole)}
	for n := j.next(); n > 0; n = j.next() {
		select {
		case <-a.stop:
			return
		case <-timer.C:
		}
		start := time.Now()
		ok := collapse(whole[:n])
		whole = whole[n:]
		timer.Reset(j.done(time.Since(start), ok))
	}
}

// Settle waits until Join's work is done, or is given up because the arena closes.
func (a *Arena) Settle() { a.stopped.Wait() }

// Close frees everything handed out; the slices must not be touched afterwards. A second Close is harmless.
func (a *Arena) Close() error {
	if a.mem == nil {
		return nil
	}
	if a.stop != nil {
		close(a.stop)
		a.stopped.Wait()
	}
	mem := a.mem
	a.mem = nil
	return unmapBytes(mem)
}
