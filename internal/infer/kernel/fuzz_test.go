package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// FuzzMul: blocks of any bits, broken scales included, give the same in every tier up to the rounding of float32
// sums, and nothing that is not finite is hidden in one of them.
func FuzzMul(f *testing.F) {
	for i, typ := range quant.Types() {
		f.Add(uint8(i), uint8(i), uint8(i), randomRows(rand.New(rand.NewPCG(1, uint64(i))), typ, 3, 256))
	}
	f.Add(uint8(7), uint8(3), uint8(9), []byte{0, 0x7c, 0, 0xfc, 1, 0, 0, 0x7e, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, kind, blocks, columns uint8, bits []byte) {
		typ := quant.Types()[int(kind)%len(quant.Types())]
		if typ.BlockLen() == 1 || len(bits) == 0 {
			return // floats have no bits to unpack
		}
		const rows = 33
		cols, n := typ.BlockLen()*(1+int(blocks)%3), 1+int(columns)%13
		src := make([]byte, len(randomRows(rand.New(rand.NewPCG(0, 0)), typ, rows, cols)))
		for i := range src {
			src[i] = bits[i%len(bits)]
		}
		m := packed(t, typ, rows, cols, src)
		r := rand.New(rand.NewPCG(uint64(kind), uint64(blocks)))
		batch := make([][]float32, n)
		var size float64 // Σ|x|, the most of any column
		for j := range batch {
			batch[j] = randomFloats(r, cols)
			var sum float64
			for _, v := range batch[j] {
				sum += math.Abs(float64(v))
			}
			size = max(size, sum)
		}
		var first []float32
		for _, name := range Tiers() {
			useTier(t, name)
			acts := NewActs(m) // in the tier's own form
			acts.Reserve(n)
			for j, x := range batch {
				acts.Set(j, 0, x)
			}
			y := make([]float32, n*64)
			m.Mul(NewScratch(), 0, rows, acts, allCols(n), y, 64)
			if first == nil {
				first = y
				continue
			}
			for i := range y {
				if i%64 >= rows {
					continue
				}
				// No weight's parts are larger than 4096 = 128 · 32 (Q6_K) times its row's largest scale.
				bound := 1e-6 * size * 4096 * largestScale(typ, src, i%64, rows)
				a, b := float64(y[i]), float64(first[i])
				if finite := first[i]-first[i] == 0; finite != (y[i]-y[i] == 0) || finite && math.Abs(a-b) > bound {
					t.Fatalf("%v on %s, row %d: %v, generic %v (± %v)", typ, name, i%64, a, b, bound)
				}
			}
		}
	})
}

// largestScale gives the largest finite binary16 scale of a row.
func largestScale(typ quant.Type, src []byte, row, rows int) float64 {
	var top float64
	n := len(src) / rows
	for at := row * n; at < (row+1)*n; at += typ.BlockBytes() {
		if typ == quant.IQ1_M {
			top = 65504 // its scale is in pieces: any finite one
		}
		for _, o := range halfScales[typ] {
			if v := math.Abs(float64(quant.F16to32(getHalf(src[at+o:], 0)))); v < math.Inf(1) {
				top = max(top, v)
			}
		}
	}
	return top
}

func TestMulAllocatesNothing(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, typ := range quant.Types() {
			p := newProduct(t, rand.New(rand.NewPCG(13, 13)), typ, 64, 256, 9, randomFloats)
			s, y, cols := NewScratch(), make([]float32, 9*64), allCols(9)
			if n := testing.AllocsPerRun(3, func() {
				p.acts.Set(0, 0, p.x[0])
				p.m.Mul(s, 0, 64, p.acts, cols, y, 64)
			}); n != 0 {
				t.Errorf("%v: a product allocates %v times", typ, n)
			}
		}
	})
}
