package loadgen

import (
	"slices"
	"sync/atomic"
)

// stack is a last-in-first-out list without a lock. With a lock, the real-time thread of a schedule could wait for a
// goroutine that holds it and has lost its processor.
type stack[T any] struct {
	top atomic.Pointer[node[T]]
}

// A node is never reused, so that pop cannot mistake a new one for an old one at the same address.
type node[T any] struct {
	value T
	below *node[T]
}

func (s *stack[T]) push(v T) {
	n := &node[T]{value: v}
	for {
		n.below = s.top.Load()
		if s.top.CompareAndSwap(n.below, n) {
			return
		}
	}
}

func (s *stack[T]) pop() (v T, ok bool) {
	for {
		n := s.top.Load()
		if n == nil {
			return v, false
		}
		if s.top.CompareAndSwap(n, n.below) {
			return n.value, true
		}
	}
}

// takeAll empties the stack, and returns its values in the order in which they were pushed.
func (s *stack[T]) takeAll() []T {
	var all []T
	for n := s.top.Swap(nil); n != nil; n = n.below {
		all = append(all, n.value)
	}
	slices.Reverse(all)
	return all
}
