package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// scalesAVX2 is quant.Portable in assembly.
type scalesAVX2 struct{}

func (scalesAVX2) Try(t *quant.Trial, x, w []float32) {
	if w == nil {
		tryScalesAVX2(t, &x[0], nil, int64(len(x)))
		return
	}
	w = w[:len(x)]
	tryScalesAVX2(t, &x[0], &w[0], int64(len(x)))
}

func (scalesAVX2) Best(t *quant.Trial) int { return int(bestScaleAVX2(t)) }

func (scalesAVX2) Extreme(x []float32) float32 { return extremeAVX2(&x[0], int64(len(x))) }

func (scalesAVX2) Scale(dst, src []float32, by float32) {
	dst = dst[:len(src)]
	scaleToAVX2(&dst[0], &src[0], int64(len(src)), by)
}

func (scalesAVX2) Code(codes []byte, x []float32, inv, off float32, most int32) {
	codes = codes[:len(x)]
	codeAVX2(&codes[0], &x[0], int64(len(x)), inv, off, most)
}

func fromF16Vector(dst []float32, src []byte) {
	n := len(dst) &^ 7
	if n > 0 {
		fromF16AVX2(&dst[0], (*uint16)(unsafe.Pointer(&src[0])), int64(n))
	}
	fromF16Generic(dst[n:], src[2*n:])
}

func differenceVector(a, b []float32) (squares, norm float64, most float32) {
	n := len(a) &^ 7
	if n > 0 {
		squares, norm, most = differenceAVX2(&a[0], &b[0], int64(n))
	}
	s, t, m := differenceGeneric(a[n:], b[n:])
	return squares + s, norm + t, max(most, m)
}

//go:noescape
func tryScalesAVX2(t *quant.Trial, x, w *float32, n int64)

//go:noescape
func bestScaleAVX2(t *quant.Trial) int64

// The functions below take whole vectors of eight.

//go:noescape
func extremeAVX2(x *float32, n int64) float32

//go:noescape
func scaleToAVX2(dst, src *float32, n int64, by float32)

//go:noescape
func codeAVX2(codes *byte, x *float32, n int64, inv, off float32, most int32)

//go:noescape
func differenceAVX2(a, b *float32, n int64) (squares, norm float64, most float32)
