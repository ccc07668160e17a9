package kernel

import (
	"math"
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// The assembly takes whole vectors of four, eight or sixteen; what is left of a slice goes through the generic
// functions.

// expTable has the constants of exp32, in the order of _asm/neon/exp.go.
var expTable = [...]float32{
	1.44269504088896341, 0.693359375, -2.12194440e-4,
	1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
	1, 88.72283, -87.33654, math.Float32frombits(0x7f800000), math.Float32frombits(127),
}

func dotVectors(a, b []float32) float32 {
	k := len(a) &^ 15
	if k == 0 {
		return dotGeneric(a, b)
	}
	return dotNEON(&a[0], &b[0], int64(k)) + dotGeneric(a[k:], b[k:])
}

func scaleByVectors(dst, x, weight []float32, factor float32) {
	k := len(x) &^ 3
	if k > 0 {
		scaleByNEON(&dst[0], &x[0], &weight[0], int64(k), factor)
	}
	scaleByGeneric(dst[k:], x[k:], weight[k:], factor)
}

func addScaledVectors(dst, x []float32, factor float32) {
	k := len(dst) &^ 3
	if k > 0 {
		addScaledNEON(&dst[0], &x[0], int64(k), factor)
	}
	addScaledGeneric(dst[k:], x[k:], factor)
}

func swigluVectors(dst, gate, up []float32) {
	k := len(dst) &^ 3
	if k > 0 {
		swigluNEON(&dst[0], &gate[0], &up[0], int64(k))
	}
	swigluGeneric(dst[k:], gate[k:], up[k:])
}

func expSumVectors(x []float32) (top, sum float32) {
	k := len(x) &^ 3
	if k == 0 {
		return expSumGeneric(x)
	}
	top = max(maxNEON(&x[0], int64(k)), largest(x[k:]))
	return top, float32(expSumNEON(&x[0], int64(k), top) + expSumFrom(x[k:], top))
}

func expScaledVectors(dst, x []float32, top, factor float32) {
	k := len(dst) &^ 3
	if k > 0 {
		expScaledNEON(&dst[0], &x[0], int64(k), top, factor)
	}
	expScaledGeneric(dst[k:], x[k:], top, factor)
}

func timesVectors(x []float32, factor float32) {
	k := len(x) &^ 3
	if k > 0 {
		timesNEON(&x[0], int64(k), factor)
	}
	timesGeneric(x[k:], factor)
}

func ropeVectors(x, cos, sin []float32) {
	k := len(cos) &^ 3
	if k > 0 {
		ropeNEON(&x[0], &cos[0], &sin[0], int64(k))
	}
	ropeGeneric(x[2*k:], cos[k:], sin[k:])
}

func highestVectors(x []float32) (index int, finite bool) {
	k := len(x) &^ 3
	if k == 0 {
		return highestGeneric(x)
	}
	top, largest := highestNEON(&x[0], int64(k))
	return highestFrom(x, k, int(indexNEON(&x[0], int64(k), top)), top, largest)
}

func quantise32Vectors(dst []byte, x []float32) {
	if n := len(x) / 32; n > 0 {
		quantise32NEON(&dst[0], &x[0], int64(n))
	}
}

func quantise256Vectors(dst []byte, x []float32) {
	if n := len(x) / superLen; n > 0 {
		quantise256NEON(&dst[0], &x[0], int64(n))
	}
}

func fromF16Vectors(dst []float32, src []byte) {
	k := len(dst) &^ 7
	if k > 0 {
		fromF16NEON(&dst[0], &src[0], int64(k))
	}
	fromF16Generic(dst[k:], src[2*k:])
}

// putVectors is quant.KVType.Put, bit for bit.
func putVectors(t quant.KVType, run []byte, slot int, x []float32) {
	elements, scales, stride := t.Split(run, slot, len(x))
	switch k := len(x) &^ 7; {
	case t == quant.KVF16 && k > 0:
		toF16NEON(&elements[0], &x[0], int64(k))
		t.Put(elements[2*k:], 0, x[k:])
	case t == quant.KVQ8 && len(x)%32 == 0 && k > 0:
		putQ8NEON(&elements[0], &scales[0], &x[0], int64(len(x)), int64(stride))
	default:
		t.Put(run, slot, x)
	}
}

// touchVectors reads b, whose length is a multiple of 256.
func touchVectors(b []byte) { touchNEON(unsafe.Pointer(unsafe.SliceData(b)), int64(len(b))) }

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

//go:noescape
func putQ8NEON(elements, scales *byte, x *float32, n, stride int64)

// The three below do rounds of twelve multiplications on registers alone, for measurement.

//go:noescape
func multiplyNEON(rounds int64)

//go:noescape
func multiplyDotProd(rounds int64)

//go:noescape
func multiplyI8MM(rounds int64)
