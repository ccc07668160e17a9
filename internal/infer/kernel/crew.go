package kernel

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Crew is a fixed set of workers that go through stages of work together. A stage is a number of items, each done by
// one worker; the next stage begins when all items are done, whoever did them. So a worker that the operating system
// has taken off its core holds up the others only if it was in the middle of an item: on a machine that does other
// work too, which every server is, that is what keeps a forward pass of a hundred stages from waiting a hundred
// times. (With barriers, every worker must arrive at each.)
//
// Each worker begins with a run of neighbouring items of its own. It takes half of what is left of them at a time, so
// that its reads of memory are long streams and few steps are shared with others; who has none left takes single
// items from the back of another's, so that all end at about the same time.
//
// A worker that waits for the others may do something of use meanwhile: Idle.
//
// Nothing is allocated and no goroutine started in Run. The caller of Run is worker 0. One Run at a time.
type Crew struct {
	// Idle, which may be set while no Run is under way, is called by a worker that has done items of the open stage
	// and finds no more, again and again until the next stage begins or it says that it has no more to do. Stages are
	// planned meanwhile, so it may read only what belongs to its worker, and each call should take no more than 100
	// ns.
	Idle func(worker int) (more bool)

	n      int
	plan   func(stage int) int
	do     func(worker, stage, from, to int)
	stages int
	stage  int // that is open; written only while nothing can be taken
	queues []queue

	// what all workers write stays off each other's cache lines, and those of the adjacent-line prefetcher
	_    [128]byte
	left atomic.Int64 // items of the stage that are not finished, or whose worker has not said so yet

	panicked atomic.Pointer[any] // what do panicked with first in this Run
	_        [128]byte
	over     atomic.Bool // the Run is

	sleepers atomic.Int32
	closing  atomic.Bool
	mu       sync.Mutex
	cond     sync.Cond
	exited   sync.WaitGroup
}

// queue is one worker's items.
type queue struct {
	// items is the next one and the end, 32 bits each. Who compares and swaps it has an item of the stage that is
	// open at that moment, whatever he slept through since he looked, and the stage stays open until the item is
	// done.
	items atomic.Uint64
	opens atomic.Uint64 // counts stages: what its worker watches while there is nothing to do
	_     [112]byte
}

const (
	oneItem = 1 << 32 // in queue.items
	itemEnd = oneItem - 1

	// mostTaken bounds what a worker takes at once, and so what all wait for if it is taken off its core just then.
	mostTaken = 16
)

// A worker that finds nothing to do looks again after a few PAUSE instructions, and parks after spinRounds ×
// spinPauses of them. A PAUSE takes 22 ns on Zen 5 and 140 cycles on Skylake: that is 70 µs, or about 150. Others'
// last items take less, and so does what an engine does between two passes, while waking a parked thread takes 50 µs,
// or milliseconds where other processes want the core.
const (
	spinRounds = 768
	spinPauses = 4
)

// NewCrew starts n−1 goroutines; n < 1 means one worker per CPU the process may use. Close stops them.
//
// Workers spin for some microseconds between stages. Where GOMAXPROCS leaves nothing beside them, a third goroutine
// (an HTTP handler, say) would wait for the runtime's 10 ms time slice, so NewCrew raises GOMAXPROCS to n+1 if it is
// lower.
func NewCrew(n int) *Crew {
	if n < 1 {
		n = runtime.NumCPU()
	}
	if n > 1 && runtime.GOMAXPROCS(0) < n+1 {
		runtime.GOMAXPROCS(n + 1)
	}
	c := &Crew{n: n, queues: make([]queue, n)}
	c.cond.L = &c.mu
	c.exited.Add(n - 1)
	for w := 1; w < n; w++ {
		go func() {
			defer c.exited.Done()
			debug.SetPanicOnFault(true) // a model's file may be cut while its weights are read
			c.work(w, &c.closing)
		}()
	}
	return c
}

// Workers is the number of workers, the caller of Run included.
func (c *Crew) Workers() int { return c.n }

// Run goes through stages 0 … stages−1 and returns when all is done. plan(p) gives the number of items of stage p,
// less than 2³¹; one worker calls it when stage p−1 is done, and nothing else runs meanwhile, so it may prepare what
// the items need. do does items from … to−1 of a stage. plan must not panic. If do does, the rest is done all the
// same, and then Run panics with the first reason. A fault in mapped memory is a panic in do, whoever calls Run.
func (c *Crew) Run(stages int, plan func(stage int) int, do func(worker, stage, from, to int)) {
	c.plan, c.do, c.stages = plan, do, stages
	c.over.Store(false)
	c.panicked.Store(nil)
	before := debug.SetPanicOnFault(true)
	c.open(0, 0)
	c.work(0, &c.over)
	debug.SetPanicOnFault(before)
	c.plan, c.do = nil, nil
	if p := c.panicked.Load(); p != nil {
		panic(*p)
	}
}

// items does items and keeps the reason of a panic.
func (c *Crew) items(w, from, to int) {
	defer func() {
		if r := recover(); r != nil {
			c.keep(r)
		}
	}()
	c.do(w, c.stage, from, to)
}

// keep is a function of its own so that items without a panic allocate nothing.
//
//go:noinline
func (c *Crew) keep(reason any) { c.panicked.CompareAndSwap(nil, &reason) }

// work does items until end is set.
func (c *Crew) work(w int, end *atomic.Bool) {
	own := &c.queues[w]
	done := 0 // items, not yet told
	var idle func(worker int) bool
	for !end.Load() {
		seen := own.opens.Load()
		if from, to := c.take(w); from < to {
			c.items(w, from, to)
			done += to - from
			idle = c.Idle
			continue
		}
		if done > 0 && c.left.Add(int64(-done)) == 0 {
			c.open(w, c.stage+1)
		}
		done = 0
		c.await(w, seen, end, idle)
		idle = nil
	}
}

// take gives items, if any queue has one.
func (c *Crew) take(w int) (from, to int) {
	for i := range c.n {
		q := &c.queues[(w+i)%c.n]
		for {
			v := q.items.Load()
			next, end := v/oneItem, v&itemEnd
			if next >= end {
				break
			}
			if i == 0 {
				n := min((end-next+1)/2, mostTaken)
				if q.items.CompareAndSwap(v, v+n*oneItem) {
					return int(next), int(next + n)
				}
			} else if q.items.CompareAndSwap(v, v-1) {
				return int(end - 1), int(end)
			}
		}
	}
	return 0, 0
}

// open begins a stage, or the next one that has items, or ends the Run. Worker w does so.
func (c *Crew) open(w, stage int) {
	n := 0
	for ; n == 0 && stage < c.stages; stage++ {
		c.stage = stage
		n = c.plan(stage)
	}
	if n == 0 {
		c.over.Store(true) // the next Run may begin: from here on this one must leave alone what belongs to a stage
	} else {
		c.left.Store(int64(n))
	}
	for i := range c.n { // himself last
		j := (w + 1 + i) % c.n
		q := &c.queues[j]
		if from, to := c.Share(n, j), c.Share(n, j+1); from < to {
			q.items.Store(uint64(from)*oneItem + uint64(to))
		}
		q.opens.Add(1)
	}
	if n != 1 { // who opened can do a single item himself
		c.wake()
	}
}

// Share gives the first item of a worker's own, of n. It is the same in all stages of so many items.
func (c *Crew) Share(n, worker int) int { return (n*worker + c.n - 1) / c.n }

func (c *Crew) wake() {
	if c.sleepers.Load() > 0 { // a sleeper counts itself before it looks at its queue under the lock: none is missed
		c.mu.Lock()
		c.cond.Broadcast()
		c.mu.Unlock()
	}
}

// await spins until a stage opens that worker w did not see, then sleeps.
func (c *Crew) await(w int, seen uint64, end *atomic.Bool, idle func(worker int) bool) {
	own := &c.queues[w]
	for range spinRounds {
		if own.opens.Load() != seen {
			return
		}
		if idle == nil {
			pause(spinPauses)
		} else if !idle(w) {
			idle = nil
		}
	}
	c.sleepers.Add(1)
	c.mu.Lock()
	for own.opens.Load() == seen && !end.Load() {
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
