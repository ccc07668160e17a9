package moe

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
)

// An ordinary file is packed while the model is in use: Load only maps it. Most of what a copy takes is obtaining its
// memory, whose price depends on the machine: 0.1 s for 1.2 GB, or two seconds where a hypervisor has taken free
// memory back. The first pass packs what it multiplies into its workers' own memory and keeps nothing, so that the
// first token does not wait for memory; the passes after it keep what they pack, or some of it where memory is dear;
// and while there is nothing to compute, the rest is packed, and the file let go.
type later struct {
	m      *Model
	jobs   []*job
	hold   *gguf.Hold
	shared kernel.Later

	// of the work between passes
	todo     []piece
	next     int       // of todo
	lastPass time.Time // when the last pass ended; under Model.run
	failed   error     // packing failed: nothing can be computed any more; under Model.run

	started         bool
	leave           time.Duration // before work begins
	now, stop, done chan struct{} // now: work begins at once
	hurry, once     sync.Once     // close now, stop
}

const (
	// laterBatch is packed at a time between passes: a request that comes just then waits for it, a few milliseconds.
	laterBatch = 4 << 20
	// laterDear is what a pass keeps where memory is slow to get: each of about five passes then takes some 0.2 s
	// longer.
	laterDear = 256 << 20
	// laterIdle is how long no pass must have ended for a batch: between the passes of a request is less.
	laterIdle = 20 * time.Millisecond
	// laterPatience is how long the work waits for such a moment. After that it packs a batch every laterTurn, even
	// between the passes of a request.
	laterPatience = 2 * time.Second
	laterTurn     = 50 * time.Millisecond
)

// laterStart leaves the first request alone. Tests change it.
var laterStart = 200 * time.Millisecond

// laterFrom is the size from which a file is packed later: smaller ones are packed in some 20 ms. Tests change it.
var laterFrom int64 = 64 << 20

// packLater has the matrices be packed when they are used.
func (l *loader) packLater(m *Model) error {
	m.arena.Patient()
	t := &later{m: m, jobs: l.todo, hold: l.file.Hold(), leave: laterStart,
		now: make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{})}
	t.shared.Arena = m.arena
	// At once, so that memory never holds much more than the weights once: passes may pack far more than work does.
	t.shared.Whole = t.hold.Release
	m.later = t
	for _, j := range l.todo {
		if err := l.place(j, m.arena); err != nil {
			return err
		}
		rows := laterRows(len(j.data) / j.rows)
		for r := 0; r < j.rows; r += rows {
			t.todo = append(t.todo, piece{j, r, min(r+rows, j.rows)})
		}
		if j.to == nil {
			l.embed = j.data
			continue
		}
		if err := j.mat.PackLater(j.data, &t.shared); err != nil {
			return fmt.Errorf("%w: tensor %s: %w", ErrModel, j.name, err)
		}
	}
	return l.populate(m.crew)
}

// laterRows is how many rows of some bytes are packed together, by one worker: few enough that a batch has a piece for
// each of a dozen workers, and at least two panels, of which the second one is fetched while the first one is packed.
func laterRows(bytes int) int {
	const piece = laterBatch / 16
	return min(packRows, max(2, piece/(bytes*kernel.RowAlign))*kernel.RowAlign)
}

// start begins to pack.
func (t *later) start() {
	if t != nil {
		t.started = true
		go t.work()
	}
}

// begin says whether a pass may begin; Model.run is held.
func (t *later) begin() error {
	if t == nil {
		return nil
	}
	switch {
	case t.lastPass.IsZero():
		t.shared.Keep.Store(0)
	case t.m.arena.Dear():
		t.shared.Keep.Store(laterDear)
	default:
		t.shared.Keep.Store(math.MaxInt64)
	}
	return t.failed
}

// end notes that a pass has ended; Model.run is held.
func (t *later) end() {
	if t != nil {
		t.lastPass = time.Now()
	}
}

// work packs between passes until all is packed, the file fails or close is called.
func (t *later) work() {
	defer close(t.done)
	timer := time.NewTimer(t.leave)
	defer timer.Stop()
	waited := time.Now()
	for now := t.now; ; {
		select {
		case <-t.stop:
			return
		case <-now:
			now = nil // once
		case <-timer.C:
		}
		idle, over := t.turn(time.Since(waited) > laterPatience)
		switch {
		case over:
			return
		case idle:
			waited = time.Now()
			timer.Reset(0)
		case time.Since(waited) > laterPatience:
			timer.Reset(laterTurn)
		default:
			timer.Reset(laterIdle)
		}
	}
}

// turn packs a batch if no pass has ended just now, or if must is set.
func (t *later) turn(must bool) (idle, over bool) {
	t.m.run.Lock()
	defer t.m.run.Unlock()
	if t.failed != nil {
		return false, true
	}
	if idle = time.Since(t.lastPass) >= laterIdle; !idle && !must {
		return false, false
	}
	from := t.next
	for bytes := 0; t.next < len(t.todo) && bytes < laterBatch; t.next++ {
		bytes += len(t.todo[t.next].target())
	}
	if t.failed = t.pack(t.todo[from:t.next]); t.failed == nil && t.next == len(t.todo) {
		t.failed = t.finish()
		over = true
	}
	return idle, over || t.failed != nil
}

// pack packs pieces with all workers, and lets go of the file's pages behind tensors that are only copied.
func (t *later) pack(todo []piece) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if err = gguf.Fault(r); err == nil {
				err = fmt.Errorf("packing the weights failed: %v", r)
			}
		}
	}()
	t.m.crew.Run(1, func(int) int { return len(todo) }, func(_, _, from, to int) {
		for _, p := range todo[from:to] {
			if p.copy != nil {
				t.m.arena.Back(p.target())
				_ = p.pack() // it is only copied
			} else {
				p.mat.PackNow(p.from, p.to)
			}
		}
	})
	for _, p := range todo {
		if p.copy != nil && p.to == p.rows {
			t.hold.Release(p.data)
		}
	}
	return nil
}

// finish has everything be read from the copy, and lets the file go. It fails if the file was changed meanwhile: the
// weights may then be those of two models.
func (t *later) finish() error {
	if err := t.hold.CheckUnchanged(); err != nil {
		return err
	}
	for _, j := range t.jobs {
		if j.to == nil {
			t.m.embed = j.copy
		} else {
			j.mat.PackedAll()
		}
	}
	return t.hold.Close()
}

// PackedLater gives a channel that is closed when the work between passes has ended: see Failed. It is nil if there is
// no such work.
func (m *Model) PackedLater() <-chan struct{} {
	if m.later == nil {
		return nil
	}
	return m.later.done
}

// Failed says why the model can compute nothing any more. It is nil if the model can.
func (m *Model) Failed() error {
	m.run.Lock()
	defer m.run.Unlock()
	if m.later == nil {
		return nil
	}
	return m.later.failed
}

// settle waits until all is packed, or never will be. A caller that waits has no first request to protect.
func (t *later) settle() {
	if t != nil && t.started {
		t.hurry.Do(func() { close(t.now) })
		<-t.done
	}
}

// close ends work.
func (t *later) close() error {
	if t == nil {
		return nil
	}
	t.once.Do(func() { close(t.stop) })
	if t.started {
		<-t.done
	}
	return t.hold.Close()
}
