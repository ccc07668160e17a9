package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Crew is a fixed set of workers that go through phases of work together. A phase is a number of items, each done by one
// worker; the next phase begins when all items are done, whoever did them. So a worker that the operating system has
// taken off its core holds up the others only if it was in the middle of an item: on a machine that does other work
// too, which every server is, that is what keeps a forward pass of a hundred phases from waiting a hundred times. (With
// barriers, every worker must arrive at each.)
//
// Nothing is allocated and no goroutine started in Run. The caller of Run is worker 0. One Run at a time.
type Crew struct {
	n      int
	plan   func(phase int) int
	do     func(worker, phase, item int)
	phases int
	first  uint64 // number of phase 0 of this Run

	_ [128]byte // what all workers write stays off each other's cache lines, and those of the adjacent-line prefetcher
	// state is the number of the phase since the start, and its next item. It changes by comparing and swapping only
	// while a phase is open: a worker that slept since it looked can take nothing.
	state atomic.Uint64
	total atomic.Uint64 // items of the phase; written only while nothing can be taken
	_     [128]byte
	done  atomic.Uint64 // items of the phase that are finished
	_     [128]byte

	sleepers atomic.Int32
	closing  atomic.Bool
	mu       sync.Mutex
	cond     sync.Cond
	exited   sync.WaitGroup
}

const (
	itemBits = 24 // of state: 16 million items a phase; and 2⁴⁰ phases, after which their numbers begin again
	noItem   = 1<<itemBits - 1
)

// spinRounds × spinPauses PAUSE instructions are what a worker waits before it parks. A PAUSE is about 40 cycles on
// Zen 3 (140 on Skylake): 24 × 16 of them are 5 µs (15 µs). The phases of a small model are shorter than that, so its
// workers never park within a forward pass; and on a machine that does other work too a longer spin would steal it.
const (
	spinRounds = 24
	spinPauses = 16
)

// after gives the number that comes n after a phase's number.
func after(number, n uint64) uint64 { return (number + n) << itemBits >> itemBits }

// NewCrew starts n−1 goroutines; n < 1 means one worker per CPU the process may use. Close stops them.
//
// Workers spin for some microseconds between phases. Where GOMAXPROCS leaves nothing beside them, a third goroutine (an
// HTTP handler, say) would wait for the runtime's 10 ms time slice, so NewCrew raises GOMAXPROCS to n+1 if it is lower.
func NewCrew(n int) *Crew {
	if n < 1 {
		n = runtime.NumCPU()
	}
	if n > 1 && runtime.GOMAXPROCS(0) < n+1 {
		runtime.GOMAXPROCS(n + 1)
	}
	c := &Crew{n: n}
	c.cond.L = &c.mu
	c.state.Store(noItem)
	c.exited.Add(n - 1)
	for w := 1; w < n; w++ {
		go func() {
			defer c.exited.Done()
			for !c.closing.Load() {
				if v := c.state.Load(); !c.take(w, v) {
					c.await(v)
				}
			}
		}()
	}
	return c
}

// Workers is the number of workers, the caller of Run included.
func (c *Crew) Workers() int { return c.n }

// Run goes through phases 0 … phases−1 and returns when all is done. plan(p) gives the number of items of phase p, less than
// 2²⁴; one worker calls it when phase p−1 is done, and nothing else runs meanwhile, so it may prepare what the items need.
// do does an item. Neither may panic.
func (c *Crew) Run(phases int, plan func(phase int) int, do func(worker, phase, item int)) {
	c.plan, c.do, c.phases = plan, do, phases
	c.first = after(c.state.Load()>>itemBits, 1)
	c.open(0)
	for end := after(c.first, uint64(phases)); ; {
		v := c.state.Load()
		if v>>itemBits == end {
			break
		}
		if !c.take(0, v) {
			c.await(v)
		}
	}
	c.plan, c.do = nil, nil
}

// take does an item if the phase seen in v has one left. It is false if there is nothing to do until state changes.
func (c *Crew) take(w int, v uint64) bool {
	item := v & noItem
	total := c.total.Load()
	if item >= total {
		return false
	}
	if !c.state.CompareAndSwap(v, v+1) {
		return true // somebody else was faster, or the phase is over: look again
	}
	// The phase cannot end before this item is done, so all that belongs to it stays.
	phase := int(after(v>>itemBits, -c.first))
	c.do(w, phase, int(item))
	if c.done.Add(1) == total {
		c.open(phase + 1)
	}
	return true
}

// open begins a phase, or the next one that has items, or ends the Run.
func (c *Crew) open(phase int) {
	for ; ; phase++ {
		number := after(c.first, uint64(phase)) << itemBits
		if phase == c.phases {
			c.state.Store(number | noItem)
			break
		}
		c.state.Store(number | noItem) // before total changes: who saw the last phase must not take this one's item by it
		if n := c.plan(phase); n > 0 {
			c.done.Store(0)
			c.total.Store(uint64(n))
			c.state.Store(number)
			break
		}
	}
	c.wake()
}

func (c *Crew) wake() {
	if c.sleepers.Load() > 0 { // a sleeper counts itself before it looks at state under the lock: none is missed
		c.mu.Lock()
		c.cond.Broadcast()
		c.mu.Unlock()
	}
}

// await spins until state is no longer v, then sleeps.
func (c *Crew) await(v uint64) {
	for range spinRounds {
		pause(spinPauses)
		if c.state.Load() != v {
			return
		}
	}
	c.sleepers.Add(1)
	c.mu.Lock()
	for c.state.Load() == v && !c.closing.Load() {
		c.cond.Wait()
	}
	c.mu.Unlock()
	c.sleepers.Add(-1)
}

// Close stops the workers. No Run may be under way; a second Close is harmless.
func (c *Crew) Close() {
	c.closing.Store(true)
	c.wake()
	c.exited.Wait()
}
