package kernel

import (
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPoolItems: in every phase each item is taken exactly once, and no worker enters a phase before all have left the
// one before.
func TestPoolItems(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 8} {
		p := NewPool(workers)
		const items, phases = 50, 40
		var taken [phases][items]atomic.Int32
		var ran atomic.Int32
		for run := range 5 {
			p.Run(func(int) {
				ran.Add(1)
				for phase := range phases {
					for i := p.Next(); i < items; i = p.Next() {
						taken[phase][i].Add(1)
					}
					p.Sync()
					for i := range items {
						if n := taken[phase][i].Load(); n != int32(run+1) {
							t.Errorf("%d workers, phase %d: item %d taken %d times in %d runs", workers, phase, i, n, run+1)
							break
						}
					}
					p.Sync()
				}
			})
		}
		if n := ran.Load(); n != int32(5*workers) {
			t.Errorf("%d workers ran %d times in 5 runs", workers, n)
		}
		p.Close()
		p.Close()
	}
}

// TestPoolParks: workers that have gone to sleep, at the start of a run or at a barrier inside it, wake up again.
func TestPoolParks(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	var n atomic.Int32
	for range 3 {
		time.Sleep(5 * time.Millisecond) // far beyond the spin
		p.Run(func(w int) {
			if w == 1 {
				time.Sleep(5 * time.Millisecond)
			}
			p.Sync()
			n.Add(1)
		})
	}
	if n.Load() != 9 {
		t.Errorf("%d of 9 workers came through", n.Load())
	}
}

func TestPoolAllocatesNothing(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	var sum atomic.Int64
	fn := func(w int) {
		for i := p.Next(); i < 10; i = p.Next() {
			sum.Add(int64(i))
		}
		p.Sync()
	}
	if n := testing.AllocsPerRun(100, func() { p.Run(fn) }); n != 0 {
		t.Errorf("a run allocates %v times", n)
	}
}
