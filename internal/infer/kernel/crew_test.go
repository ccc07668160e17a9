package kernel

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel/tiertest"
)

// TestMain runs all tests on each tier.
func TestMain(m *testing.M) { leak.Main(tiertest.Every(m, Tiers(), ForceTier)) }

func TestTier(t *testing.T) { tiertest.Ran(t, Tier()) }

// TestCrewDoesEachItemOnce, stage after stage, whoever is slow.
func TestCrewDoesEachItemOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 7} {
		c := NewCrew(workers)
		idle := make([]int, workers) // each its worker's own
		c.Idle = func(w int) bool {
			idle[w]++
			return idle[w]%5 > 0
		}
		rng := rand.New(rand.NewPCG(1, uint64(workers)))
		for run := range 60 {
			stages := rng.IntN(8)
			items := make([]int, stages)
			counts := make([][]atomic.Int32, stages)
			for p := range items {
				items[p] = []int{0, 1, 2, 5, 40}[rng.IntN(5)]
				counts[p] = make([]atomic.Int32, items[p])
			}
			var planned, left atomic.Int32
			plan := func(p int) int {
				if int(planned.Add(1)) != p+1 || left.Load() != 0 {
					t.Errorf("%d workers, run %d: stage %d is planned out of turn", workers, run, p)
				}
				left.Store(int32(items[p]))
				return items[p]
			}
			c.Run(stages, plan, each(func(w, p, i int) {
				if int(planned.Load()) != p+1 || w < 0 || w >= workers {
					t.Errorf("%d workers, run %d: worker %d does item %d of stage %d while %d are planned", workers,
						run, w, i, p, planned.Load())
				}
				switch (p + i + run) % 11 {
				case 0:
					runtime.Gosched()
				case 1:
					if run%20 == 0 {
						time.Sleep(50 * time.Microsecond) // long enough for the others to fall asleep
					}
				}
				counts[p][i].Add(1)
				left.Add(-1)
			}))
			if int(planned.Load()) != stages || left.Load() != 0 {
				t.Fatalf("%d workers, run %d: %d of %d stages, %d items left", workers, run, planned.Load(), stages,
					left.Load())
			}
			for p := range counts {
				for i := range counts[p] {
					if n := counts[p][i].Load(); n != 1 {
						t.Fatalf("%d workers, run %d: item %d of stage %d was done %d times", workers, run, i, p, n)
					}
				}
			}
		}
		c.Close()
		c.Close()
	}
}

// TestCrewNeedsNobodyWhoIsAway: while one worker is stuck in its first items of a stage, the others do all the rest.
func TestCrewNeedsNobodyWhoIsAway(t *testing.T) {
	c := NewCrew(3)
	defer c.Close()
	const items = 100
	var begun atomic.Int32
	all := make(chan struct{})
	c.Run(2, func(int) int { return items }, func(_, stage, from, to int) {
		if stage > 0 {
			return
		}
		if begun.Add(int32(to-from)) == items {
			close(all)
		}
		if from == 0 {
			<-all
		}
	})
	if begun.Load() != items {
		t.Errorf("%d items", begun.Load())
	}
}

// each calls do for one item after the other.
func each(do func(worker, stage, item int)) func(worker, stage, from, to int) {
	return func(worker, stage, from, to int) {
		for i := from; i < to; i++ {
			do(worker, stage, i)
		}
	}
}

func TestCrewAllocatesNothing(t *testing.T) {
	c := NewCrew(2)
	defer c.Close()
	var n atomic.Int64
	plan, do := func(int) int { return 5 }, func(_, _, _, _ int) { n.Add(1) }
	if allocs := testing.AllocsPerRun(100, func() { c.Run(20, plan, do) }); allocs > 0 {
		t.Errorf("%v allocations a run", allocs)
	}
}

// BenchmarkCrew is the cost of a stage of two small items, with all that a hand-over costs.
func BenchmarkCrewStage(b *testing.B) {
	c := NewCrew(2)
	defer c.Close()
	var sink [2 * 16]int
	plan := func(int) int { return 2 }
	do := func(_, _, i, _ int) { sink[16*i]++ }
	b.ResetTimer()
	for left := b.N; left > 0; left -= 1000 {
		c.Run(min(left, 1000), plan, do)
	}
}
