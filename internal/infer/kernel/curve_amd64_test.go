package kernel

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// TestCurveWithoutVBMI: an AVX-512 processor without VBMI has kernels of its own for IQ4, whose sums are the bits that
// those with it give.
func TestCurveWithoutVBMI(t *testing.T) {
	wide := tierNamed("avx512")
	if Tier() != "avx512" || wide == nil || !hasVBMI {
		return // there is nothing to compare
	}
	for _, typ := range []quant.Type{quant.IQ4_NL, quant.IQ4_XS} {
		r := rand.New(rand.NewPCG(18, 18))
		m := packed(t, typ, panelRows, 1024, randomRows(r, typ, panelRows, 1024))
		acts := NewActs(m)
		acts.Reserve(1)
		acts.Set(0, 0, randomFloats(r, 1024))
		x := unsafe.Pointer(unsafe.SliceData(acts.row(m.layout.act, 0)))
		var with, without [panelRows]float32
		curveVBMI(m, NewScratch(), m.data, x, &with)
		curve512(m, NewScratch(), m.data, x, &without)
		if with != without || with == [panelRows]float32{} {
			t.Errorf("%v: %v with VBMI, %v without", typ, with, without)
		}
	}
}

// TestFetchAhead: how far ahead memory is fetched changes no sum, also where that is beyond the weights.
func TestFetchAhead(t *testing.T) {
	defer func(ahead int64) { fetchAhead = ahead }(fetchAhead)
	for _, typ := range []quant.Type{quant.Q4_0, quant.Q5_0, quant.Q4_K, quant.IQ4_NL, quant.IQ4_XS} {
		p := newProduct(t, rand.New(rand.NewPCG(19, 19)), typ, 64, 1024, 1, randomFloats)
		var sums [2][]float32
		for i := range sums {
			fetchAhead = int64(i) * 9 << 10
			sums[i], _ = p.mul(0, 64, allCols(1))
		}
		if i, ok := sameBits(sums[0], sums[1]); !ok {
			t.Errorf("%v, row %d: %v without fetching, %v with it", typ, i, sums[0][i], sums[1][i])
		}
	}
}
