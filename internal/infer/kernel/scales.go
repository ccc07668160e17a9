package kernel

import "github.com/hxp-enterprise/mixtral/internal/infer/quant"

// NewPacker gives a packer that searches for scales with this machine's instructions. It packs the same bits
// everywhere.
func NewPacker() *quant.Packer {
	return quant.NewPacker(active.search)
}

// Unpack is quant.Unpack, faster for F16.
func Unpack(t quant.Type, dst []float32, src []byte) error {
	if t == quant.F16 && len(src) == 2*len(dst) {
		active.fromF16(dst, src)
		return nil
	}
	return quant.Unpack(t, dst, src)
}

func fromF16Generic(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = quant.F16to32(getHalf(src, i))
	}
}

// Difference gives Σ (a − b)², Σ a² and the largest |a − b|.
func Difference(a, b []float32) (squares, norm float64, most float32) {
	return active.difference(a, b[:len(a)])
}

func differenceGeneric(a, b []float32) (squares, norm float64, most float32) {
	for i, v := range a {
		d := v - b[i]
		squares += float64(d) * float64(d)
		norm += float64(v) * float64(v)
		most = max(most, d, -d)
	}
	return squares, norm, most
}
