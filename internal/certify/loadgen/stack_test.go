package loadgen

import (
	"slices"
	"sync"
	"testing"
)

func TestStackOrder(t *testing.T) {
	var s stack[int]
	if _, ok := s.pop(); ok || s.takeAll() != nil {
		t.Error("something comes out of an empty stack")
	}
	for i := range 4 {
		s.push(i)
	}
	if v, ok := s.pop(); !ok || v != 3 {
		t.Errorf("popped %d", v)
	}
	if got := s.takeAll(); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("took %v", got)
	}
	if _, ok := s.pop(); ok {
		t.Error("takeAll leaves something")
	}
}

// TestStackLosesNothing: everything that many goroutines push is returned exactly once, by pop or takeAll.
func TestStackLosesNothing(t *testing.T) {
	const workers, each = 8, 2000
	var s stack[int]
	var wg sync.WaitGroup
	got := make([][]int, workers)
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				s.push(w*each + i)
				if i%3 == 0 {
					got[w] = append(got[w], s.takeAll()...)
				} else if v, ok := s.pop(); ok {
					got[w] = append(got[w], v)
				}
			}
		})
	}
	wg.Wait()
	all := append(slices.Concat(got...), s.takeAll()...)
	slices.Sort(all)
	if len(all) != workers*each || len(slices.Compact(all)) != workers*each {
		t.Errorf("%d values came out of %d, %d of them different", len(all), workers*each, len(slices.Compact(all)))
	}
}
