package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// NewPacker gives a packer that searches for scales with this machine's instructions. It packs the same bits
// everywhere.
func NewPacker() *quant.Packer {
	if active >= tierAVX2 {
		return quant.NewPacker(scalesAVX2{})
	}
	return quant.NewPacker(nil)
}

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

// Unpack is quant.Unpack, faster for F16.
func Unpack(t quant.Type, dst []float32, src []byte) error {
	if n := len(dst) &^ 7; t == quant.F16 && active >= tierAVX2 && n > 0 && len(src) == 2*len(dst) {
		fromF16AVX2(&dst[0], (*uint16)(unsafe.Pointer(&src[0])), int64(n))
		dst, src = dst[n:], src[2*n:]
	}
	if n := len(dst) &^ 7; t == quant.F16 && isNEON(active) && n > 0 && len(src) == 2*len(dst) {
		fromF16NEON(&dst[0], &src[0], int64(n))
		dst, src = dst[n:], src[2*n:]
	}
	return quant.Unpack(t, dst, src)
}

// Difference gives Σ (a − b)², Σ a² and the largest |a − b|.
func Difference(a, b []float32) (squares, norm float64, most float32) {
	b = b[:len(a)]
	n := 0
	if active >= tierAVX2 {
		if n = len(a) &^ 7; n > 0 {
			squares, norm, most = differenceAVX2(&a[0], &b[0], int64(n))
		}
	}
	for i, v := range a[n:] {
		d := v - b[n+i]
		squares += float64(d) * float64(d)
		norm += float64(v) * float64(v)
		most = max(most, d, -d)
	}
	return squares, norm, most
}
