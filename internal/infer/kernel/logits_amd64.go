package kernel

import "unsafe"

// compressed has, for each byte, the places of its set bits, a byte each, the lowest first.
var compressed = func() (table [256]uint64) {
	for b := range table {
		n := 0
		for i := range 8 {
			if b>>i&1 == 1 {
				table[b] |= uint64(i) << (8 * n)
				n++
			}
		}
	}
	return table
}()

// Whole vectors are written where copies are fewer than the x looked at, so none goes beyond dst.

func gather512(dst, x []float32, set []uint64) int {
	words, n := min(len(set), len(x)/64), 0
	if words > 0 {
		n = int(gatherAVX512(unsafe.SliceData(dst), unsafe.SliceData(x), unsafe.SliceData(set), int64(words)))
	}
	return gatherFrom(dst, x, set, words, n)
}

func gather2(dst, x []float32, set []uint64) int {
	words, n := min(len(set), len(x)/64), 0
	if words > 0 {
		n = int(gatherAVX2(unsafe.SliceData(dst), unsafe.SliceData(x), unsafe.SliceData(set), int64(words),
			&compressed[0]))
	}
	return gatherFrom(dst, x, set, words, n)
}

func blockSums512(dst, x []float32) {
	n := len(x) / SumBlock
	if n > 0 {
		blockSumsAVX512(unsafe.SliceData(dst), unsafe.SliceData(x), int64(n))
	}
	blockSumsGeneric(dst[n:], x[SumBlock*n:])
}

func blockSums2(dst, x []float32) {
	n := len(x) / SumBlock
	if n > 0 {
		blockSumsAVX2(unsafe.SliceData(dst), unsafe.SliceData(x), int64(n))
	}
	blockSumsGeneric(dst[n:], x[SumBlock*n:])
}

//go:noescape
func gatherAVX512(dst, x *float32, set *uint64, words int64) int64

//go:noescape
func gatherAVX2(dst, x *float32, set *uint64, words int64, table *uint64) int64

//go:noescape
func blockSumsAVX512(dst, x *float32, n int64)

//go:noescape
func blockSumsAVX2(dst, x *float32, n int64)
