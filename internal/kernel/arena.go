package kernel

import (
	"fmt"
	"math"
)

// arenaAlign is two cache lines: the unit of the adjacent-line prefetcher, and more than any vector load needs.
const arenaAlign = 128

// Arena holds a model's packed weights in one mapping, handed out front to back and freed together.
type Arena struct {
	mem  []byte
	used int
}

// NewArena reserves size bytes; pages are touched only when written.
func NewArena(size int64) (*Arena, error) {
	if size < 0 || size > math.MaxInt-arenaAlign {
		return nil, fmt.Errorf("kernel: arena of %d bytes", size)
	}
	mem, err := mapBytes(int(size) + arenaAlign)
	if err != nil {
		return nil, err
	}
	return &Arena{mem: mem}, nil
}

// ArenaSize is what n bytes take in an arena.
func ArenaSize(n int64) int64 { return (n + arenaAlign - 1) &^ (arenaAlign - 1) }

// Alloc gives n zeroed bytes at an aligned address. It panics if the arena is too small: its owner sized it.
func (a *Arena) Alloc(n int) []byte {
	size := int(ArenaSize(int64(n)))
	b := a.mem[a.used : a.used+n : a.used+size]
	a.used += size
	return b
}

// Used is the number of bytes handed out.
func (a *Arena) Used() int64 { return int64(a.used) }

// Close frees everything handed out; the slices must not be touched afterwards. A second Close is harmless.
func (a *Arena) Close() error {
	if a.mem == nil {
		return nil
	}
	mem := a.mem
	a.mem = nil
	return unmapBytes(mem)
}
