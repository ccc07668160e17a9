package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// The functions of the AVX-512 tier take any length; those of the AVX2 tier whole vectors of eight, and portable Go
// does what is left over.

func dot512(a, b []float32) float32 {
	return dotAVX512(unsafe.SliceData(a), unsafe.SliceData(b), int64(len(a)))
}

func dot2(a, b []float32) float32 {
	k := len(a) &^ 7
	if k == 0 {
		return dotGeneric(a, b)
	}
	return dotAVX2(unsafe.SliceData(a), unsafe.SliceData(b), int64(k)) + dotGeneric(a[k:], b[k:])
}

func scaleBy512(dst, x, weight []float32, factor float32) {
	scaleByAVX512(unsafe.SliceData(dst), unsafe.SliceData(x), unsafe.SliceData(weight), int64(len(x)), factor)
}

func addScaled512(dst, x []float32, factor float32) {
	addScaledAVX512(unsafe.SliceData(dst), unsafe.SliceData(x), int64(len(dst)), factor)
}

func addScaled2(dst, x []float32, factor float32) {
	k := len(dst) &^ 7
	if k > 0 {
		addScaledAVX2(unsafe.SliceData(dst), unsafe.SliceData(x), int64(k), factor)
	}
	addScaledGeneric(dst[k:], x[k:], factor)
}

func times512(x []float32, factor float32) { timesAVX512(unsafe.SliceData(x), int64(len(x)), factor) }

func rope512(x, cos, sin []float32) {
	n := len(cos) &^ 7
	if n > 0 {
		ropeAVX512(unsafe.SliceData(x), unsafe.SliceData(cos), unsafe.SliceData(sin), int64(n))
	}
	ropeGeneric(x[2*n:], cos[n:], sin[n:])
}

func swiglu512(dst, gate, up []float32) {
	swigluAVX512(unsafe.SliceData(dst), unsafe.SliceData(gate), unsafe.SliceData(up), int64(len(dst)))
}

func swiglu2(dst, gate, up []float32) {
	k := len(dst) &^ 7
	if k > 0 {
		swigluAVX2(unsafe.SliceData(dst), unsafe.SliceData(gate), unsafe.SliceData(up), int64(k))
	}
	swigluGeneric(dst[k:], gate[k:], up[k:])
}

func expSum512(x []float32) (top, sum float32) {
	return expSumAVX512(unsafe.SliceData(x), int64(len(x)))
}

func expSum2(x []float32) (top, sum float32) {
	k := len(x) &^ 7
	top = largest(x[k:])
	if k == 0 {
		return top, float32(expSumFrom(x, top))
	}
	first, _ := highestAVX2(unsafe.SliceData(x), int64(k))
	top = max(top, first)
	wide := float64(expSumAVX2(unsafe.SliceData(x), int64(k), top))
	return top, float32(wide + expSumFrom(x[k:], top))
}

func expScaled2(dst, x []float32, top, factor float32) {
	k := len(dst) &^ 7
	if k > 0 {
		expScaledAVX2(unsafe.SliceData(dst), unsafe.SliceData(x), int64(k), top, factor)
	}
	expScaledGeneric(dst[k:], x[k:], top, factor)
}

func scaleBy2(dst, x, weight []float32, factor float32) {
	k := len(x) &^ 7
	if k > 0 {
		scaleByAVX2(unsafe.SliceData(dst), unsafe.SliceData(x), unsafe.SliceData(weight), int64(k), factor)
	}
	scaleByGeneric(dst[k:], x[k:], weight[k:], factor)
}

func times2(x []float32, factor float32) {
	k := len(x) &^ 7
	if k > 0 {
		timesAVX2(unsafe.SliceData(x), int64(k), factor)
	}
	timesGeneric(x[k:], factor)
}

func rope2(x, cos, sin []float32) {
	n := len(cos) &^ 3
	if n > 0 {
		ropeAVX2(unsafe.SliceData(x), unsafe.SliceData(cos), unsafe.SliceData(sin), int64(n))
	}
	ropeGeneric(x[2*n:], cos[n:], sin[n:])
}

func highest2(x []float32) (index int, finite bool) {
	k := len(x) &^ 7
	if k == 0 {
		return highestGeneric(x)
	}
	top, largest := highestAVX2(unsafe.SliceData(x), int64(k))
	index = int(indexAVX2(unsafe.SliceData(x), int64(k), top))
	return highestFrom(x, k, index, top, largest)
}

func quantise32Vector2(dst []byte, x []float32) {
	if n := len(x) / 32; n > 0 {
		quantise32AVX2(unsafe.SliceData(dst), unsafe.SliceData(x), int64(n))
	}
}

func quantise16Vector2(dst []byte, x []float32) {
	if n := len(x) / 32; n > 0 {
		quantise16AVX2(unsafe.SliceData(dst), unsafe.SliceData(x), int64(n))
	}
}

func quantise256Vector2(dst []byte, x []float32) {
	if n := len(x) / superLen; n > 0 {
		quantise256AVX2(unsafe.SliceData(dst), unsafe.SliceData(x), int64(n))
	}
}

func expScaled512(dst, x []float32, top, factor float32) {
	expScaledAVX512(unsafe.SliceData(dst), unsafe.SliceData(x), int64(len(dst)), top, factor)
}

func highest512(x []float32) (index int, finite bool) {
	k := len(x) &^ 15
	if k == 0 {
		return highestGeneric(x)
	}
	top, largest := highestAVX512(unsafe.SliceData(x), int64(k))
	index = int(indexAVX512(unsafe.SliceData(x), int64(k), top))
	return highestFrom(x, k, index, top, largest)
}

func quantise32Vector512(dst []byte, x []float32) {
	if n := len(x) / 32; n > 0 {
		quantise32AVX512(unsafe.SliceData(dst), unsafe.SliceData(x), int64(n))
	}
}

func quantise256Vector512(dst []byte, x []float32) {
	if n := len(x) / superLen; n > 0 {
		quantise256AVX512(unsafe.SliceData(dst), unsafe.SliceData(x), int64(n))
	}
}

// put512 and put2 are quant.KVType.Put, bit for bit.
func put512(t quant.KVType, run []byte, slot int, x []float32) {
	elements, scales, stride := t.Split(run, slot, len(x))
	switch {
	case t == quant.KVF16:
		toF16AVX512(unsafe.SliceData(elements), unsafe.SliceData(x), int64(len(x)))
	case len(x)%32 == 0:
		putQ8AVX512(unsafe.SliceData(elements), unsafe.SliceData(scales), unsafe.SliceData(x), int64(len(x)),
			int64(stride))
	default:
		t.Put(run, slot, x)
	}
}

func put2(t quant.KVType, run []byte, slot int, x []float32) {
	k := len(x) &^ 7
	if t != quant.KVF16 || k == 0 {
		t.Put(run, slot, x)
		return
	}
	elements, _, _ := t.Split(run, slot, len(x))
	toF16AVX2(unsafe.SliceData(elements), unsafe.SliceData(x), int64(k))
	t.Put(elements[2*k:], 0, x[k:])
}

//go:noescape
func quantise32AVX512(dst *byte, x *float32, blocks int64)

//go:noescape
func quantise256AVX512(dst *byte, x *float32, blocks int64)

//go:noescape
func dotAVX512(a, b *float32, n int64) float32

//go:noescape
func scaleByAVX512(dst, x, w *float32, n int64, factor float32)

//go:noescape
func addScaledAVX512(dst, x *float32, n int64, factor float32)

//go:noescape
func timesAVX512(x *float32, n int64, factor float32)

//go:noescape
func expSumAVX512(x *float32, n int64) (top, sum float32)

//go:noescape
func expScaledAVX512(dst, x *float32, n int64, top, factor float32)

//go:noescape
func highestAVX512(x *float32, n int64) (top float32, largest uint32)

//go:noescape
func indexAVX512(x *float32, n int64, v float32) int64

//go:noescape
func swigluAVX512(dst, gate, up *float32, n int64)

//go:noescape
func toF16AVX512(dst *byte, x *float32, n int64)

//go:noescape
func ropeAVX512(x, cos, sin *float32, n int64)

//go:noescape
func dotAVX2(a, b *float32, n int64) float32

//go:noescape
func addScaledAVX2(dst, x *float32, n int64, factor float32)

//go:noescape
func fromF16AVX2(dst *float32, x *uint16, n int64)

//go:noescape
func toF16AVX2(dst *byte, x *float32, n int64)

//go:noescape
func expSumAVX2(x *float32, n int64, top float32) (sum float32)

//go:noescape
func swigluAVX2(dst, gate, up *float32, n int64)

//go:noescape
func quantise32AVX2(dst *byte, x *float32, blocks int64)

//go:noescape
func quantise16AVX2(dst *byte, x *float32, blocks int64)

//go:noescape
func quantise256AVX2(dst *byte, x *float32, blocks int64)

//go:noescape
func scaleByAVX2(dst, x, w *float32, n int64, factor float32)

//go:noescape
func timesAVX2(x *float32, n int64, factor float32)

//go:noescape
func ropeAVX2(x, cos, sin *float32, n int64)

//go:noescape
func highestAVX2(x *float32, n int64) (top float32, largest uint32)

//go:noescape
func indexAVX2(x *float32, n int64, v float32) int64

//go:noescape
func expScaledAVX2(dst, x *float32, n int64, top, factor float32)
