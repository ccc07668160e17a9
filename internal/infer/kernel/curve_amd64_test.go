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
	for _, typ := range quant.Types() {
		for _, columns := range []int{1, 4, 12} {
			p := newProduct(t, rand.New(rand.NewPCG(19, 19)), typ, 64, 1024, columns, randomFloats)
			fetchAhead = 0
			without, _ := p.mul(0, 64, allCols(columns))
			for _, fetchAhead = range []int64{9 << 10, 9<<10 | 1} {
				with, _ := p.mul(0, 64, allCols(columns))
				if i, ok := sameBits(without, with); !ok {
					t.Errorf("%v, %d columns, row %d: %v without fetching, %v with %d", typ, columns, i, without[i],
						with[i], fetchAhead)
				}
			}
		}
	}
}

// TestUnpackOnce: products are the same whether each group of columns unpacks weights or the first one does.
func TestUnpackOnce(t *testing.T) {
	defer func(once bool) { unpackOnce = once }(unpackOnce)
	for _, typ := range []quant.Type{quant.Q2_K, quant.Q3_K, quant.Q4_K, quant.Q5_K, quant.Q6_K} {
		for _, columns := range []int{8, 10, 12, 23, 96} { // groups of 4, 5 and 6
			p := newProduct(t, rand.New(rand.NewPCG(23, 23)), typ, 64, 1024, columns, randomFloats)
			unpackOnce = false
			each, _ := p.mul(0, 64, allCols(columns))
			unpackOnce = true
			once, _ := p.mul(0, 64, allCols(columns))
			if i, ok := sameBits(each, once); !ok {
				t.Errorf("%v, %d columns, row %d: %v unpacked for each group, %v once", typ, columns, i, each[i],
					once[i])
			}
		}
	}
}
