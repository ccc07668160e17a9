package kernel

import (
	"math"
	"unsafe"
)

// The assembly takes whole vectors of four, eight or sixteen; what is left of a slice goes through the generic
// functions.

// expTable has the constants of exp32, in the order of _asm/neon/exp.go.
var expTable = [...]float32{
	1.44269504088896341, 0.693359375, -2.12194440e-4,
	1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
	1, 88.72283, -87.33654, math.Float32frombits(0x7f800000), math.Float32frombits(127),
}

func dotOnNEON(a, b []float32) float32 {
	k := len(a) &^ 15
	if k == 0 {
		return dotGeneric(a, b)
	}
	return dotNEON(&a[0], &b[0], int64(k)) + dotGeneric(a[k:], b[k:])
}

func scaleByOnNEON(dst, x, weight []float32, factor float32) {
	k := len(x) &^ 3
	if k > 0 {
		scaleByNEON(&dst[0], &x[0], &weight[0], int64(k), factor)
	}
	scaleByGeneric(dst[k:], x[k:], weight[k:], factor)
}

func addScaledOnNEON(dst, x []float32, factor float32) {
	k := len(dst) &^ 3
	if k > 0 {
		addScaledNEON(&dst[0], &x[0], int64(k), factor)
	}
	addScaledGeneric(dst[k:], x[k:], factor)
}

func swigluOnNEON(dst, gate, up []float32) {
	k := len(dst) &^ 3
	if k > 0 {
		swigluNEON(&dst[0], &gate[0], &up[0], int64(k))
	}
	swigluGeneric(dst[k:], gate[k:], up[k:])
}

// expSumOnNEON is expSumGeneric.
func expSumOnNEON(x []float32) (top, sum float32) {
	k := len(x) &^ 3
	if k == 0 {
		return expSumGeneric(x)
	}
	top = maxNEON(&x[0], int64(k))
	for _, v := range x[k:] {
		if v > top || top != top {
			top = v
		}
	}
	wide := expSumNEON(&x[0], int64(k), top)
	for i, v := range x[k:] {
		e := exp32(v - top)
		x[k+i] = e
		wide += float64(e)
	}
	return top, float32(wide)
}

func expScaledOnNEON(dst, x []float32, top, factor float32) (done int) {
	k := len(dst) &^ 3
	if k > 0 {
		expScaledNEON(&dst[0], &x[0], int64(k), top, factor)
	}
	return k
}

func timesOnNEON(x []float32, factor float32) (done int) {
	k := len(x) &^ 3
	if k > 0 {
		timesNEON(&x[0], int64(k), factor)
	}
	return k
}

func ropeOnNEON(x, cos, sin []float32) (pairs int) {
	k := len(cos) &^ 3
	if k > 0 {
		ropeNEON(&x[0], &cos[0], &sin[0], int64(k))
	}
	return k
}

// highestOnNEON looks through whole vectors of x, which has at least one.
func highestOnNEON(x []float32) (index int, top float32, largest uint32, done int) {
	k := len(x) &^ 3
	top, largest = highestNEON(&x[0], int64(k))
	return int(indexNEON(&x[0], int64(k), top)), top, largest, k
}

// touch reads b, whose length is a multiple of 256.
func touch(b []byte) {
	if isNEON(active) {
		touchNEON(unsafe.Pointer(unsafe.SliceData(b)), int64(len(b)))
		return
	}
	touchGeneric(b)
}

//go:noescape
func dotNEON(a, b *float32, n int64) float32

//go:noescape
func scaleByNEON(dst, x, w *float32, n int64, factor float32)

//go:noescape
func addScaledNEON(dst, x *float32, n int64, factor float32)

//go:noescape
func timesNEON(x *float32, n int64, factor float32)

//go:noescape
func ropeNEON(x, cos, sin *float32, n int64)

//go:noescape
func toF16NEON(dst *byte, x *float32, n int64)

//go:noescape
func fromF16NEON(dst *float32, x *byte, n int64)

//go:noescape
func widenQ8NEON(dst *float32, elements, scales *byte, dim, vectors int64)

//go:noescape
func highestNEON(x *float32, n int64) (top float32, largest uint32)

//go:noescape
func indexNEON(x *float32, n int64, v float32) int64

//go:noescape
func quantise32NEON(dst *byte, x *float32, blocks int64)

//go:noescape
func quantise256NEON(dst *byte, x *float32, blocks int64)

//go:noescape
func expScaledNEON(dst, x *float32, n int64, top, factor float32)

//go:noescape
func maxNEON(x *float32, n int64) float32

//go:noescape
func expSumNEON(x *float32, n int64, top float32) float64

//go:noescape
func swigluNEON(dst, gate, up *float32, n int64)

//go:noescape
func touchNEON(p unsafe.Pointer, n int64)
