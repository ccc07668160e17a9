package kernel

import (
	"math"
	"math/bits"
)

// Highest gives the index of the largest of x, the lowest among equals, and whether all are finite: without that, or
// without any x, the index means nothing.
func Highest(x []float32) (index int, finite bool) { return active.highest(x) }

func highestGeneric(x []float32) (index int, finite bool) {
	return highestFrom(x, 0, 0, float32(math.Inf(-1)), 0)
}

// highestFrom is Highest where the first k of x have been looked at: top is the largest of them, at index, and largest
// the largest of their bits without the signs.
func highestFrom(x []float32, k, index int, top float32, largest uint32) (int, bool) {
	const nonFinite = 0x7f800000 // the exponent of NaN and ±Inf
	for i, v := range x[k:] {
		largest = max(largest, math.Float32bits(v)&^(1<<31))
		if v > top {
			index, top = k+i, v
		}
	}
	return index, largest < nonFinite
}

// ExpScaled writes dst = exp((x − top) · factor) for finite x ≤ top and factor ≥ 0, to within 2 units in the last
// place of the result and 2⁻²³ of the exponent. It is 0 below e^−104 at the latest. dst may be x.
func ExpScaled(dst, x []float32, top, factor float32) {
	active.expScaled(dst, x[:len(dst)], top, factor)
}

func expScaledGeneric(dst, x []float32, top, factor float32) {
	for i, v := range x {
		dst[i] = exp32((v - top) * factor)
	}
}

// Gather copies the x whose bits are set to the front of dst, in order, and says how many there are. Bit i%64 of word
// i/64 stands for x[i]; bits beyond x count for nothing. dst must be as long as x, and may change behind the copies.
func Gather(dst, x []float32, set []uint64) int {
	set = set[:min(len(set), (len(x)+63)/64)]
	return active.gather(dst[:len(x)], x, set)
}

func gatherGeneric(dst, x []float32, set []uint64) int { return gatherFrom(dst, x, set, 0, 0) }

// gatherFrom is Gather from a word on, where n were copied before.
func gatherFrom(dst, x []float32, set []uint64, word, n int) int {
	for i := word; i < len(set); i++ {
		w := set[i]
		if w == math.MaxUint64 && 64*i+64 <= len(x) {
			n += copy(dst[n:], x[64*i:64*i+64])
			continue
		}
		for ; w != 0; w &= w - 1 {
			at := 64*i + bits.TrailingZeros64(w)
			if at >= len(x) {
				break
			}
			dst[n] = x[at]
			n++
		}
	}
	return n
}

// SumBlock is how many numbers a sum of BlockSums has. Added as float32, so few have an error of some 10⁻⁷.
const SumBlock = 64

// BlockSums writes the sums of blocks of x, the last of which may be shorter. Numbers that are 16 places apart are
// added first, then halves of the 16 sums. dst has a place for each block.
func BlockSums(dst, x []float32) { active.blockSums(dst[:(len(x)+SumBlock-1)/SumBlock], x) }

func blockSumsGeneric(dst, x []float32) {
	for i := range dst {
		dst[i] = blockSum(x[SumBlock*i : min(SumBlock*i+SumBlock, len(x))])
	}
}

func blockSum(x []float32) float32 {
	var lanes [16]float32
	for i, v := range x {
		lanes[i%16] += v
	}
	for half := 8; half > 0; half /= 2 {
		for i := range half {
			lanes[i] += lanes[half+i]
		}
	}
	return lanes[0]
}
