package kvcache

import (
	"fmt"
	"math"
)

// Layout is the shape of a paged KV cache.
type Layout struct {
	Layers      int
	KVHeads     int
	HeadDim     int // elements of one key or value
	BlockTokens int // positions in a block
	Blocks      int
}

// An element is binary16: half the bytes of float32, and 11 bits of precision are far above the noise of 8-bit weights.
const elementBytes = 2

// BytesPerBlock is what one block takes: keys and values of BlockTokens positions in every layer.
func (l Layout) BytesPerBlock() int64 {
	return 2 * elementBytes * int64(l.Layers) * int64(l.perBlock())
}

// perBlock is the number of key elements of one block in one layer.
func (l Layout) perBlock() int { return l.KVHeads * l.HeadDim * l.BlockTokens }

// Storage holds the keys and values of every block. For each layer there is one slice of keys and one of values; in it
// block b is at b·Stride(), and in the block each KV head has BlockTokens × HeadDim elements in a row, so that attention
// reads one linear stream for each head and block. Writers of different blocks, heads or layers do not conflict.
type Storage struct {
	layout       Layout
	keys, values [][]uint16 // binary16
}

// NewStorage makes the cache from 2·Layers zeroed pieces of memory that alloc gives. nil takes them from Go's heap, whose
// collector then lets garbage grow to the same size; a large cache is better off outside. It panics if a number is below 1
// or the product overflows: the caller has checked the model's shape and its memory.
func NewStorage(l Layout, alloc func(elements int) []uint16) *Storage {
	n := int64(l.perBlock()) * int64(l.Blocks)
	if l.Layers < 1 || l.KVHeads < 1 || l.HeadDim < 1 || l.BlockTokens < 1 || l.Blocks < 1 || n > math.MaxInt/(2*elementBytes*int64(l.Layers)) {
		panic(fmt.Sprintf("kvcache: impossible layout %+v", l))
	}
	if alloc == nil {
		alloc = func(n int) []uint16 { return make([]uint16, n) }
	}
	s := &Storage{layout: l, keys: make([][]uint16, l.Layers), values: make([][]uint16, l.Layers)}
	for i := range l.Layers {
		s.keys[i], s.values[i] = alloc(int(n)), alloc(int(n))
	}
	return s
}

// Layout gives the shape the storage was made with.
func (s *Storage) Layout() Layout { return s.layout }

// Keys gives a layer's keys, all blocks.
func (s *Storage) Keys(layer int) []uint16 { return s.keys[layer] }

// Values gives a layer's values, all blocks.
func (s *Storage) Values(layer int) []uint16 { return s.values[layer] }

// Stride is the distance between blocks in Keys and Values, in elements.
func (s *Storage) Stride() int { return s.layout.perBlock() }

// Offset is where a position's element 0 lies within a block, for one KV head.
func (s *Storage) Offset(head, slot int) int {
	return (head*s.layout.BlockTokens + slot) * s.layout.HeadDim
}
