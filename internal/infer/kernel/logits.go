package kernel

import "math"

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
// place of the result and 2⁻²³ of the exponent. It is 0 below e^−104 at the latest.
func ExpScaled(dst, x []float32, top, factor float32) {
	active.expScaled(dst, x[:len(dst)], top, factor)
}

func expScaledGeneric(dst, x []float32, top, factor float32) {
	for i, v := range x {
		dst[i] = exp32((v - top) * factor)
	}
}
