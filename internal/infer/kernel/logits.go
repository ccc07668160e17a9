package kernel

import (
	"math"
	"unsafe"
)

// Highest gives the index of the largest of x, the lowest among equals, and whether all are finite: without that, or
// without any x, the index means nothing.
func Highest(x []float32) (index int, finite bool) {
	const nonFinite = 0x7f800000 // the exponent of NaN and ±Inf
	top, largest, k := float32(math.Inf(-1)), uint32(0), 0
	if active == tierAVX512 && len(x) >= 16 {
		k = len(x) &^ 15
		top, largest = highestAVX512(unsafe.SliceData(x), int64(k))
		index = int(indexAVX512(unsafe.SliceData(x), int64(k), top))
	}
	if isNEON(active) && len(x) >= 4 {
		index, top, largest, k = highestOnNEON(x)
	}
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
	x = x[:len(dst)]
	if active == tierAVX512 {
		expScaledAVX512(unsafe.SliceData(dst), unsafe.SliceData(x), int64(len(dst)), top, factor)
		return
	}
	if isNEON(active) {
		done := expScaledOnNEON(dst, x, top, factor)
		dst, x = dst[done:], x[done:]
	}
	for i, v := range x {
		dst[i] = exp32((v - top) * factor)
	}
}
