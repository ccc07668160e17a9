package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// spinRounds × spinPauses PAUSE instructions are what a worker waits before it parks. A PAUSE is about 40 cycles on
// Zen 3 (140 on Skylake): 24 × 16 of them are 5 µs (15 µs). The phases of a small model are shorter than that, so its
// workers never park within a forward pass; and on a machine that does other work too a longer spin would steal it.
const (
	spinRounds = 24
	spinPauses = 16
)

// Pool is a fixed set of workers that run one function together and meet at barriers inside it. A forward pass is one
// Run: no goroutine is started, nothing is allocated and no lock is taken per matrix product.
//
// The caller of Run is worker 0. One Run at a time.
type Pool struct {
	n       int
	fn      func(worker int)
	start   barrier // opens a Run, and the workers' exit
	done    barrier // closes it
	inner   barrier // Sync
	closing bool
	exited  sync.WaitGroup

	_    [128]byte // the counter is written by all workers: keep it off the barriers' cache lines
	next atomic.Int64
	_    [128]byte
}

// NewPool starts n−1 goroutines; n < 1 means one worker per CPU the process may use. Close stops them.
//
// Workers spin for some microseconds at barriers. Where GOMAXPROCS leaves nothing beside them, a third goroutine (an
// HTTP handler, say) would wait for the runtime's 10 ms time slice, so NewPool raises GOMAXPROCS to n+1 if it is lower.
func NewPool(n int) *Pool {
	if n < 1 {
		n = runtime.NumCPU()
	}
	if n > 1 && runtime.GOMAXPROCS(0) < n+1 {
		runtime.GOMAXPROCS(n + 1)
	}
	p := &Pool{n: n}
	p.start.init(n)
	p.done.init(n)
	p.inner.init(n)
	p.exited.Add(n - 1)
	for w := 1; w < n; w++ {
		go func() {
			defer p.exited.Done()
			for {
				p.start.wait()
				if p.closing {
					return
				}
				p.fn(w)
				p.done.wait()
			}
		}()
	}
	return p
}

// Workers is the number of workers, the caller of Run included.
func (p *Pool) Workers() int { return p.n }

// Run calls fn(0) … fn(n−1) at the same time and returns when all have returned. fn must not panic.
func (p *Pool) Run(fn func(worker int)) {
	if p.n == 1 {
		p.next.Store(0)
		fn(0)
		return
	}
	p.fn = fn
	p.next.Store(0)
	p.start.wait()
	fn(0)
	p.done.wait()
	p.fn = nil
}

// Sync is a barrier among all workers inside a Run. After it the item counter of Next is at zero again. Every worker
// must call it the same number of times.
func (p *Pool) Sync() {
	if p.n == 1 {
		p.next.Store(0)
		return
	}
	p.inner.waitThen(&p.next)
}

// Next hands out items 0, 1, 2 … of the phase between two Syncs, each to one worker; a worker that the operating
// system holds up takes fewer.
func (p *Pool) Next() int { return int(p.next.Add(1) - 1) }

// Close stops the workers. No Run may be under way; a second Close is harmless.
func (p *Pool) Close() {
	if p.closing {
		return
	}
	p.closing = true
	if p.n > 1 {
		p.start.wait()
	}
	p.exited.Wait()
}

// barrier lets n workers meet. The last to arrive opens it; the others spin, then sleep.
type barrier struct {
	n        int32
	_        [128]byte
	arrived  atomic.Int32
	_        [128]byte
	phase    atomic.Uint32
	_        [128]byte
	sleepers atomic.Int32
	mu       sync.Mutex
	cond     sync.Cond
}

func (b *barrier) init(n int) {
	b.n = int32(n)
	b.cond.L = &b.mu
}

func (b *barrier) wait() { b.waitThen(nil) }

// waitThen is wait; the last to arrive resets counter (if any) before anyone leaves.
func (b *barrier) waitThen(counter *atomic.Int64) {
	phase := b.phase.Load() // cannot change before this worker has arrived
	if b.arrived.Add(1) == b.n {
		b.arrived.Store(0)
		if counter != nil {
			counter.Store(0)
		}
		b.phase.Add(1)
		if b.sleepers.Load() > 0 { // a sleeper counts itself before it looks at phase under the lock: none is missed
			b.mu.Lock()
			b.cond.Broadcast()
			b.mu.Unlock()
		}
		return
	}
	for range spinRounds {
		pause(spinPauses)
		if b.phase.Load() != phase {
			return
		}
	}
	b.sleepers.Add(1)
	b.mu.Lock()
	for b.phase.Load() == phase {
		b.cond.Wait()
	}
	b.mu.Unlock()
	b.sleepers.Add(-1)
}
