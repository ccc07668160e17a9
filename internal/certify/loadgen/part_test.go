package loadgen

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// TestThePartsAreThePlan: for any kind of plan and any number of generators, each request belongs to exactly one
// generator, and keeps its number and its time.
func TestThePartsAreThePlan(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]testcases.Kind{testcases.KindOpen, testcases.KindClosed, testcases.KindBatch,
			testcases.KindWarmup, testcases.KindQuality}).Draw(t, "kind")
		n := rapid.IntRange(1, 9).Draw(t, "generators")
		plan := Plan{ID: "p", Kind: kind, Requests: rapid.IntRange(1, 200).Draw(t, "requests"),
			Concurrency: rapid.IntRange(1, 40).Draw(t, "concurrency"), Cap: rapid.IntRange(0, 100).Draw(t, "cap"),
			Make: func(k int) Job { return Job{Prompt: fmt.Sprint(k)} }}
		if kind == testcases.KindOpen {
			plan.Offsets = Poisson(rapid.Uint64().Draw(t, "seed"), 100, time.Second, 1)
			plan.Requests = len(plan.Offsets)
		}
		offsets, slots, caps := map[int]time.Duration{}, 0, 0
		seen := make([]int, plan.Requests)
		for i := range n {
			var sunk []int
			plan.Sink = func(q evidence.Request) { sunk = append(sunk, q.N) }
			part, some, err := plan.Part(i, n)
			if err != nil {
				t.Fatal(err)
			}
			caps += part.Cap
			if !some {
				continue
			}
			if err := part.validate(); err != nil {
				t.Fatal(err)
			}
			count := part.Requests
			if kind == testcases.KindOpen {
				count = len(part.Offsets)
			} else if kind != testcases.KindBatch {
				slots += part.Concurrency
			}
			for k := range count {
				var number int
				_, _ = fmt.Sscan(part.Make(k).Prompt, &number)
				seen[number]++
				part.Sink(evidence.Request{N: k})
				if sunk[k] != number {
					t.Fatalf("request %d is recorded as %d", number, sunk[k])
				}
				if kind == testcases.KindOpen {
					offsets[number] = part.Offsets[k]
				}
			}
		}
		for number, times := range seen {
			if times != 1 {
				t.Fatalf("%s: request %d is made by %d of %d generators", kind, number, times, n)
			}
			if kind == testcases.KindOpen && offsets[number] != plan.Offsets[number] {
				t.Fatalf("arrival %d at %v, not at %v", number, offsets[number], plan.Offsets[number])
			}
		}
		if plan.Cap > 0 && caps != max(plan.Cap, n) || plan.Cap == 0 && caps != 0 {
			t.Fatalf("the caps add up to %d of %d", caps, plan.Cap)
		}
		if kind == testcases.KindClosed && plan.Requests >= plan.Concurrency && slots != plan.Concurrency {
			t.Fatalf("%d slots of %d", slots, plan.Concurrency)
		}
	})
}

// TestSlotsOfALoopThatLasts: in a loop that is only bounded by time, no two parts make the same request.
func TestSlotsOfALoopThatLasts(t *testing.T) {
	plan := Plan{ID: "p", Kind: testcases.KindClosed, Concurrency: 5, MinDuration: time.Second,
		Make: func(k int) Job { return Job{Prompt: fmt.Sprint(k)} }}
	seen := map[string]int{}
	slots := 0
	for i := range 3 {
		part, some, err := plan.Part(i, 3)
		if err != nil || !some {
			t.Fatal(some, err)
		}
		slots += part.Concurrency
		for k := range part.Concurrency * 20 {
			seen[part.Make(k).Prompt]++
		}
	}
	if slots != 5 || len(seen) != 100 {
		t.Errorf("%d slots of 5 make %d different requests of 100", slots, len(seen))
	}
	if _, some, err := plan.Part(6, 7); some || err != nil {
		t.Errorf("the seventh generator has a slot of five: %v, %v", some, err)
	}
}

// TestTurnsHaveNumbersOfTheirOwn: the turns of conversations have numbers too, which are unique over all generators.
func TestTurnsHaveNumbersOfTheirOwn(t *testing.T) {
	seen := map[int]bool{}
	for i := range 3 {
		plan := Plan{ID: "p", Kind: testcases.KindOpen, Offsets: Constant(10, time.Second, 10),
			Make: func(int) Job { return Job{} },
			Then: func(*evidence.Request) (Job, time.Duration, bool) { return Job{}, 0, false },
			Sink: func(q evidence.Request) {
				if seen[q.N] {
					t.Errorf("request %d comes twice", q.N)
				}
				seen[q.N] = true
			}}
		part, _, err := plan.Part(i, 3)
		if err != nil {
			t.Fatal(err)
		}
		for k := range 20 {
			part.Sink(evidence.Request{N: k})
		}
	}
}

// TestWhatCannotBeDivided: the error names a kind that cannot be divided.
func TestWhatCannotBeDivided(t *testing.T) {
	for _, kind := range []testcases.Kind{testcases.KindAudit, testcases.KindIdle, testcases.KindSweep} {
		_, _, err := Plan{ID: "x", Kind: kind}.Part(0, 2)
		if !errors.Is(err, ErrPlan) || !slices.Contains([]testcases.Kind{"audit", "idle", "sweep"}, kind) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, _, err := (Plan{ID: "x", Kind: testcases.KindOpen}).Part(2, 2); !errors.Is(err, ErrPlan) {
		t.Error("generator 2 of 0 to 1")
	}
}

// TestAPlanBeginsWhenItSays: nothing is sent before Start, for any kind of plan.
func TestAPlanBeginsWhenItSays(t *testing.T) {
	for _, kind := range []testcases.Kind{testcases.KindOpen, testcases.KindClosed, testcases.KindBatch} {
		m := newPacer(&Plan{Kind: kind, Offsets: []time.Duration{0}, Concurrency: 1, Requests: 1}, 100)
		if d := m.next(99); d.do != wait || d.due != 100 {
			t.Errorf("%s: before its start %+v", kind, d)
		}
		if d := m.next(100); d.do != issue || d.due != 100 {
			t.Errorf("%s: at its start %+v", kind, d)
		}
	}
}
