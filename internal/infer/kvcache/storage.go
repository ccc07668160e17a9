package kvcache

import (
	"fmt"
	"math"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// Layout is the shape of a paged KV cache.
type Layout struct {
	Layers      int
	KVHeads     int
	HeadDim     int // elements of one key or value
	BlockTokens int // positions in a block
	Blocks      int
	Type        quant.KVType
}

// BytesPerBlock is what one block takes: keys and values of BlockTokens positions in every layer.
func (l Layout) BytesPerBlock() int64 { return 2 * int64(l.Layers) * int64(l.stride()) }

// run is the bytes of one KV head's keys, or values, in one block.
func (l Layout) run() int { return l.BlockTokens * l.Type.VectorBytes(l.HeadDim) }

// stride is the bytes of the keys of one block in one layer.
func (l Layout) stride() int { return l.KVHeads * l.run() }

// Storage holds the keys and values of every block. For each layer there is one piece of memory for keys and one for
// values; in it block b is at b·Stride(), and in the block each KV head has a run of BlockTokens vectors, so that
// attention reads one linear stream for each head and block. Writers of different blocks, heads or layers do not
// conflict.
type Storage struct {
	layout       Layout
	keys, values [][]byte
}

// NewStorage makes the cache from 2·Layers zeroed pieces of memory that alloc gives. nil takes them from Go's heap,
// whose collector then lets garbage grow to the same size; a large cache is better off outside. It panics if a number
// is below 1 or the product overflows: the caller has checked the model's shape and its memory.
func NewStorage(l Layout, alloc func(bytes int) []byte) *Storage {
	n := int64(l.stride()) * int64(l.Blocks)
	if l.Layers < 1 || l.KVHeads < 1 || l.HeadDim < 1 || l.BlockTokens < 1 || l.Blocks < 1 ||
		n > math.MaxInt/(2*int64(l.Layers)) {
		panic(fmt.Sprintf("kvcache: impossible layout %+v", l))
	}
	if alloc == nil {
		alloc = func(n int) []byte { return make([]byte, n) }
	}
	s := &Storage{layout: l, keys: make([][]byte, l.Layers), values: make([][]byte, l.Layers)}
	for i := range l.Layers {
		s.keys[i], s.values[i] = alloc(int(n)), alloc(int(n))
	}
	return s
}

// pageReach is how far beyond the last byte written memory may be taken: the kernel gives pages of up to 2 MiB.
const pageReach = 2 << 20

// Resident is the memory that the first blocks take, all of them having been written, with what the kernel gave beyond
// them because its pages are larger; resident tells how much of a stretch that is. The rest is address space.
func (s *Storage) Resident(blocks int, resident func([]byte) int64) int64 {
	var sum int64
	for _, pieces := range [][][]byte{s.keys, s.values} {
		for _, p := range pieces {
			end := blocks * s.Stride()
			sum += int64(end) + resident(p[end:min(end+pageReach, len(p))])
		}
	}
	return sum
}

// Layout gives the shape the storage was made with.
func (s *Storage) Layout() Layout { return s.layout }

// Keys gives a layer's keys, all blocks.
func (s *Storage) Keys(layer int) []byte { return s.keys[layer] }

// Values gives a layer's values, all blocks.
func (s *Storage) Values(layer int) []byte { return s.values[layer] }

// Stride is the distance between blocks in Keys and Values, in bytes.
func (s *Storage) Stride() int { return s.layout.stride() }

// Offset is where a KV head's run begins within a block, in bytes.
func (s *Storage) Offset(head int) int { return head * s.layout.run() }
