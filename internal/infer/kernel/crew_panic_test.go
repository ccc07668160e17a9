package kernel

import (
	"sync/atomic"
	"testing"
)

// TestPanicInACrew: Run panics with what an item panicked with, whichever worker did it, when all others are done; the
// crew works as before afterwards.
func TestPanicInACrew(t *testing.T) {
	c := NewCrew(3)
	defer c.Close()
	for round := range 50 {
		var done atomic.Int64
		func() {
			defer func() {
				if r := recover(); r != "item" {
					t.Errorf("round %d: %v", round, r)
				}
			}()
			c.Run(2, func(int) int { return 100 }, func(_, stage, from, to int) {
				done.Add(int64(to - from))
				if stage == 0 && from <= 2*round && 2*round < to {
					panic("item")
				}
			})
		}()
		if n := done.Load(); n != 200 {
			t.Fatalf("round %d: %d items", round, n)
		}
	}
	sum := atomic.Int64{}
	c.Run(1, func(int) int { return 100 }, func(_, _, from, to int) { sum.Add(int64(to - from)) })
	if sum.Load() != 100 {
		t.Errorf("%d items afterwards", sum.Load())
	}
}
