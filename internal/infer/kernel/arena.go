package kernel

import (
	"fmt"
	"math"
	"sync"
	"time"
	"unsafe"
)

// arenaAlign is two cache lines: the unit of the adjacent-line prefetcher, and more than any vector load needs.
const arenaAlign = 128

// Arena holds a model's packed weights in one mapping, handed out front to back and freed together.
type Arena struct {
	mem  []byte
	used int

	mu      sync.Mutex
	backing backing
	backed  []bool // by huge page: there is memory, or somebody is getting it
	patient bool   // huge pages are not given up
	small   bool   // huge pages were given up

	stop    chan struct{} // of the goroutine of Join or SmallFirst
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
	return &Arena{mem: mem, backed: make([]bool, len(mem)/hugePage+2)}, nil
}

// Patient makes Back wait for huge pages, however long they take. It is for an arena that is filled while it is in
// use.
func (a *Arena) Patient() { a.patient = true }

// SmallFirst makes what is written within the next second be in small pages, for memory that is first written in
// many places, a little in each. What is written later is in huge pages, and what was written is moved there.
func (a *Arena) SmallFirst() {
	smallPages(a.mem)
	a.stop = make(chan struct{})
	a.stopped.Go(func() { a.join(hugePagesIn(a.mem), hugePage) })
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

// Back gets memory for b, a part of the arena that is about to be written, a huge page at a time, until these turn out
// to be dear. It may be called at the same time for different parts, and need not be.
func (a *Arena) Back(b []byte) {
	if len(b) == 0 {
		return
	}
	first := uintptr(unsafe.Pointer(unsafe.SliceData(a.mem)))
	before := int(first % hugePage) // of the first huge page, what is not in the arena
	at := int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))-first) + before
	for page := at / hugePage; page <= (at+len(b)-1)/hugePage; page++ {
		from, to := max(page*hugePage-before, 0), min((page+1)*hugePage-before, len(a.mem))
		if a.claim(page) {
			a.populate(a.mem[from:to])
		}
	}
}

// Dear tells whether huge pages have turned out to be.
func (a *Arena) Dear() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.backing.dear()
}

// claim tells whether a page needs memory that nobody is getting yet.
func (a *Arena) claim(page int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.small || a.backed[page] {
		return false // writing gets small ones
	}
	a.backed[page] = true
	return true
}

// populate gets memory for a page, and sees what that takes.
func (a *Arena) populate(page []byte) {
	start := time.Now()
	if !populate(page) {
		return
	}
	took := time.Since(start)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.backing.note(len(page), took) && !a.small && !a.patient {
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
	a.stop = make(chan struct{})
	a.stopped.Go(func() { a.join(whole, joinPiece) })
}

// join makes huge pages of what is in small ones, a piece at a time. It begins after a while, and leaves alone what
// was never written.
func (a *Arena) join(whole []byte, piece int) {
	timer := time.NewTimer(joinDelay)
	defer timer.Stop()
	j := joining{left: len(whole), piece: piece}
	for first := true; ; first = false {
		select {
		case <-a.stop:
			return
		case <-timer.C:
		}
		if first {
			hugePages(a.mem)
		}
		n := j.next()
		if n == 0 {
			return
		}
		start, ok := time.Now(), true
		if Resident(whole[:n]) > 0 {
			ok = collapse(whole[:n])
		}
		whole = whole[n:]
		timer.Reset(j.done(time.Since(start), ok))
	}
}

// Settle waits until the work of Join or SmallFirst is done, or is given up because the arena closes.
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
