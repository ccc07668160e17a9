package kernel

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"pgregory.net/rapid"
)

// product is one matrix, its exact values and a batch of activations.
type product struct {
	typ        quant.Type
	rows, cols int
	weights    []float32 // dequantised
	m          *Matrix
	x          [][]float32
	acts       *Acts
}

func newProduct(t testing.TB, r *rand.Rand, typ quant.Type, rows, cols, columns int,
	column func(*rand.Rand, int) []float32) *product {
	t.Helper()
	src := randomRows(r, typ, rows, cols)
	p := &product{typ: typ, rows: rows, cols: cols, weights: make([]float32, rows*cols)}
	if err := quant.Unpack(typ, p.weights, src); err != nil {
		t.Fatal(err)
	}
	p.m = packed(t, typ, rows, cols, src)
	p.acts = NewActs(p.m)
	p.acts.Reserve(columns)
	for j := range columns {
		p.x = append(p.x, column(r, cols))
		p.acts.Set(j, 0, p.x[j])
	}
	return p
}

// mul computes rows r0 … r1−1 for the given columns; the result has the padded rows.
func (p *product) mul(r0, r1 int, cols []int32) (y []float32, stride int) {
	stride = p.m.PaddedRows() + 16
	y = make([]float32, len(cols)*stride)
	p.m.Mul(NewScratch(), r0, r1, p.acts, cols, y, stride)
	return y, stride
}

// shapes are odd on purpose: rows around multiples of the panel, one to twenty columns and many, short and long sums.
func shapes(typ quant.Type) [][3]int { // rows, cols, columns
	unit := max(typ.BlockLen(), 32)
	s := [][3]int{{1, unit, 1}, {69, 2 * unit, 1}, {7, 3 * unit, 2}, {16, 2 * unit, 3},
		{31, unit, 4}, {33, 5 * unit, 5},
		{64, 2 * unit, 6},
		{65, unit, 7}, {40, 2 * unit, 13}, {96, 3 * unit, 20}, {5, 4096, 1}, {35, 4096, 9},
		{34, 6 * unit, 51}}
	if unit == 32 {
		s = append(s, [3]int{32, 96, 8}, [3]int{17, 1024 + 32, 12})
	}
	return s
}

// TestMulExact: with activations that quantise without error only the rounding of float32 sums remains. 2e-6 of Σ|w·x|
// is 17 units in the last place; the longest chain here is 128 blocks, errors of which mostly cancel.
func TestMulExact(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, typ := range quant.Types() {
			t.Run(typ.String(), func(t *testing.T) {
				for _, s := range shapes(typ) {
					p := newProduct(t, rand.New(rand.NewPCG(1, uint64(s[0]))), typ, s[0], s[1], s[2], exactColumn)
					y, stride := p.mul(0, p.rows, allCols(s[2]))
					for j, x := range p.x {
						for row := range p.rows {
							want, size := dot64(p.weights[row*p.cols:][:p.cols], x)
							if got := float64(y[j*stride+row]); !(math.Abs(got-want) <= 2e-6*size+1e-9) {
								t.Fatalf("shape %v, column %d, row %d: %v, want %v ± %v", s, j, row, got, want,
									2e-6*size)
							}
						}
						for row := p.rows; row < p.m.PaddedRows(); row++ {
							if v := y[j*stride+row]; v != 0 {
								t.Fatalf("shape %v: padding row %d is %v", s, row, v)
							}
						}
					}
				}
			})
		}
	})
}

// TestMulExtremes: no sum of integers overflows on its way, however it is gathered: all bits of the weights are alike,
// and all activations as large as they can be.
func TestMulExtremes(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, typ := range quant.Types() {
			if typ.BlockLen() == 1 {
				continue
			}
			const rows, cols, columns = 32, 512, 20
			n, err := typ.RowBytes(cols)
			if err != nil {
				t.Fatal(err)
			}
			for _, bits := range []byte{0, 0xff} {
				src := slices.Repeat([]byte{bits}, rows*n)
				for at := 0; at < len(src); at += typ.BlockBytes() {
					for _, o := range halfScales[typ] {
						binary.LittleEndian.PutUint16(src[at+o:], quant.F32to16(1./256))
					}
					if typ == quant.IQ1_M {
						setScale(typ, src[at:], quant.F32to16(1./256))
					}
				}
				m, w := packed(t, typ, rows, cols, src), make([]float32, rows*cols)
				if err := quant.Unpack(typ, w, src); err != nil {
					t.Fatal(err)
				}
				for _, sign := range []float32{1, -1} {
					acts := NewActs(m)
					acts.Reserve(columns)
					x := slices.Repeat([]float32{sign * actMax / 64}, cols)
					for j := range columns {
						acts.Set(j, 0, x)
					}
					for _, count := range []int{1, 2, columns} {
						y := make([]float32, count*rows)
						m.Mul(NewScratch(), 0, rows, acts, allCols(count), y, rows)
						for i, v := range y {
							want, size := dot64(w[i%rows*cols:][:cols], x)
							if !(math.Abs(float64(v)-want) <= 2e-6*size) {
								t.Fatalf("%v, bits %#x, %d columns, row %d: %v, want %v", typ, bits, count, i%rows, v,
									want)
							}
						}
					}
				}
			}
		}
	})
}

// TestMulRounded: real activations are off by at most half a step of 1/127 of their block's largest magnitude; blocks
// are 32 long, or 256 where the format has super-blocks.
func TestMulRounded(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, typ := range quant.Types() {
			p := newProduct(t, rand.New(rand.NewPCG(2, 2)), typ, 45, 512, 3, randomFloats)
			y, stride := p.mul(0, p.rows, allCols(3))
			for j, x := range p.x {
				for row := range p.rows {
					w := p.weights[row*p.cols:][:p.cols]
					want, size := dot64(w, x)
					bound := 2e-6*size + roundingBound(typ, w, x)
					if got := float64(y[j*stride+row]); !(math.Abs(got-want) <= bound) {
						t.Fatalf("%v, column %d, row %d: %v, want %v ± %v", typ, j, row, got, want, bound)
					}
				}
			}
		}
	})
}

func roundingBound(typ quant.Type, w, x []float32) float64 {
	n := typ.BlockLen()
	if n < 32 {
		return 0 // float weights: activations are not rounded
	}
	var sum float64
	for at := 0; at < len(x); at += n {
		var top, weight float64
		for i, v := range x[at : at+n] {
			top = max(top, math.Abs(float64(v)))
			weight += math.Abs(float64(w[at+i]))
		}
		sum += top / 254 * 1.001 * weight // 1.001: the step itself is rounded
	}
	return sum
}

// TestMulIndependent: a value depends neither on the columns beside it nor on how the rows are cut, nor on where it
// goes.
func TestMulIndependent(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, typ := range quant.Types() {
			t.Run(typ.String(), func(t *testing.T) {
				property.Check(t, func(rt *rapid.T) {
					rows := rapid.IntRange(1, 100).Draw(rt, "rows")
					cols := max(typ.BlockLen(), 32) * rapid.IntRange(1, 3).Draw(rt, "blocks")
					n := rapid.IntRange(1, 20).Draw(rt, "columns")
					r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 3))
					p := newProduct(t, r, typ, rows, cols, n, randomFloats)
					picked := rapid.SliceOfN(rapid.Int32Range(0, int32(n-1)), 1, 50).Draw(rt, "picked")
					whole, stride := p.mul(0, rows, picked)
					for j, col := range picked {
						alone, _ := p.mul(0, rows, []int32{col})
						if i, ok := sameBits(alone[:rows], whole[j*stride:][:rows]); !ok {
							rt.Fatalf("column %d (%d of %d), row %d: %v beside others, %v alone", col, j, len(picked),
								i, whole[j*stride+i], alone[i])
						}
					}
					at := make([]float32, n*stride)
					for r0 := 0; r0 < rows; r0 += RowAlign {
						p.m.MulAt(NewScratch(), r0, min(r0+RowAlign, rows), p.acts, picked, at, stride)
					}
					for j, col := range picked {
						if i, ok := sameBits(at[int(col)*stride:][:rows], whole[j*stride:][:rows]); !ok {
							rt.Fatalf("column %d, row %d: %v in its place, %v otherwise", col, i,
								at[int(col)*stride+i], whole[j*stride+i])
						}
					}
					for r0 := 0; r0 < rows; r0 += RowAlign {
						part, stride2 := p.mul(r0, min(r0+RowAlign, rows), picked)
						k := min(RowAlign, rows-r0)
						for j := range picked {
							if i, ok := sameBits(part[j*stride2:][:k], whole[j*stride+r0:][:k]); !ok {
								rt.Fatalf("row %d cut at %d differs", r0+i, r0)
							}
						}
					}
				})
			})
		}
	})
}

// TestMulTiersAgree: the tiers differ in the rounding of float32 sums only.
func TestMulTiersAgree(t *testing.T) {
	if !onBest() {
		return
	}
	for _, typ := range quant.Types() {
		r := rand.New(rand.NewPCG(4, 4))
		p := newProduct(t, r, typ, 70, 1024, 7, randomFloats)
		var first []float32
		for _, name := range Tiers() {
			useTier(t, name)
			p.acts = NewActs(p.m) // the tier's own form and quantiser
			p.acts.Reserve(len(p.x))
			for j, x := range p.x {
				p.acts.Set(j, 0, x)
			}
			y, stride := p.mul(0, p.rows, allCols(7))
			if first == nil {
				first = y
				continue
			}
			for j, x := range p.x {
				for row := range p.rows {
					_, size := dot64(p.weights[row*p.cols:][:p.cols], x)
					a, b := float64(y[j*stride+row]), float64(first[j*stride+row])
					if !(math.Abs(a-b) <= 2e-6*size) {
						t.Fatalf("%v on %s, column %d, row %d: %v, generic %v", typ, name, j, row, a, b)
					}
				}
			}
		}
	}
}

// TestMulNotFinite: a NaN or an infinity among the activations, or as a scale of the weights, is seen in the result.
func TestMulNotFinite(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, typ := range quant.Types() {
			for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
				r := rand.New(rand.NewPCG(5, 5))
				p := newProduct(t, r, typ, 33, 512, 7, randomFloats)
				x := append([]float32(nil), p.x[4]...)
				x[300] = bad
				p.acts.Set(4, 0, x)
				y, stride := p.mul(0, p.rows, allCols(7))
				for j := range 7 {
					for row := range p.rows {
						v := y[j*stride+row]
						if finite := v-v == 0; finite != (j != 4) {
							t.Fatalf("%v with %v in column 4: column %d, row %d is %v", typ, bad, j, row, v)
						}
					}
				}
			}
		}
	})
}

// TestMulNotFiniteWeights: a broken scale spoils its row and no other.
func TestMulNotFiniteWeights(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, typ := range quant.Types() {
			for _, bad := range []uint16{0x7e00, 0x7c00, 0xfc00} { // NaN, Inf, −Inf
				r := rand.New(rand.NewPCG(6, 6))
				const rows, cols, broken = 40, 512, 34
				src := randomRows(r, typ, rows, cols)
				row := len(src) / rows
				at := broken*row + row/2/max(typ.BlockBytes(), 4)*max(typ.BlockBytes(), 4)
				switch scales := halfScales[typ]; {
				case typ == quant.F32:
					src[at+2], src[at+3] = 0xc0, 0x7f
				case typ == quant.BF16:
					src[at], src[at+1] = 0xc0, 0x7f
				case typ == quant.IQ1_M:
					setScale(typ, src[at:], bad)
				case scales == nil:
					src[at], src[at+1] = byte(bad), byte(bad>>8)
				default:
					src[at+scales[0]], src[at+scales[0]+1] = byte(bad), byte(bad>>8)
				}
				m := packed(t, typ, rows, cols, src)
				acts := NewActs(m)
				acts.Reserve(2)
				for j := range 2 {
					acts.Set(j, 0, randomFloats(r, cols))
				}
				y := make([]float32, 2*64)
				m.Mul(NewScratch(), 0, rows, acts, allCols(2), y, 64)
				for i, v := range y {
					if i%64 < rows && (v-v == 0) == (i%64 == broken) {
						t.Fatalf("%v with scale %#x in row %d: row %d is %v", typ, bad, broken, i%64, v)
					}
				}
			}
		}
	})
}

// TestMulZero: all-zero weights or activations give zero, never NaN.
func TestMulZero(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, typ := range quant.Types() {
			r := rand.New(rand.NewPCG(7, 7))
			p := newProduct(t, r, typ, 33, 512, 2, randomFloats)
			p.acts.Set(1, 0, make([]float32, p.cols))
			y, stride := p.mul(0, p.rows, []int32{1})
			for row := range p.rows {
				if y[row] != 0 {
					t.Fatalf("%v: zero activations give %v", typ, y[row])
				}
			}
			zero := packed(t, typ, 33, 512, make([]byte, len(randomRows(r, typ, 33, 512))))
			zero.Mul(NewScratch(), 0, 33, p.acts, []int32{0}, y, stride)
			for row := range p.rows {
				if y[row] != 0 {
					t.Fatalf("%v: zero weights give %v", typ, y[row])
				}
			}
		}
	})
}

func TestPackBadArguments(t *testing.T) {
	if _, err := PackedSize(quant.Q4_K, 4, 128); err == nil {
		t.Error("PackedSize took half a super-block")
	}
	if _, err := PackedSize(quant.Type(99), 4, 256); err == nil {
		t.Error("PackedSize took type 99")
	}
	if _, err := PackedSize(quant.Q8_0, 0, 32); err == nil {
		t.Error("PackedSize took no rows")
	}
	if _, err := NewMatrix(quant.Q8_0, 32, 32, make([]byte, 7)); err == nil {
		t.Error("NewMatrix took 7 bytes")
	}
	src := randomRows(rand.New(rand.NewPCG(8, 8)), quant.Q8_0, 70, 32)
	m := packed(t, quant.Q8_0, 70, 32, src)
	for _, c := range []struct {
		typ    quant.Type
		r0, r1 int
		n      int
	}{{quant.Q8_0, 0, 70, 69 * 34}, {quant.Q8_0, 1, 32, 31 * 34}, {quant.Q8_0, 0, 33, 33 * 34},
		{quant.Q8_0, 0, 71, 71 * 34},
		{quant.Q8_0, -32, 32, 64 * 34}, {quant.Q8_0, 32, 0, 0}, {quant.Q4_0, 0, 70, 70 * 18}} {
		if err := m.Pack(c.typ, c.r0, c.r1, make([]byte, c.n)); err == nil {
			t.Errorf("Pack took %+v", c)
		}
	}
}

// TestPackInPieces: rows packed range by range are the same as packed at once.
func TestPackInPieces(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, typ := range quant.Types() {
			const rows, cols = 135, 512
			src := randomRows(rand.New(rand.NewPCG(9, 9)), typ, rows, cols)
			whole := packed(t, typ, rows, cols, src)
			parts, err := NewMatrix(typ, rows, cols, alignedBytes(len(whole.data)))
			if err != nil {
				t.Fatal(err)
			}
			for r0 := 0; r0 < rows; r0 += 2 * RowAlign {
				r1 := min(r0+2*RowAlign, rows)
				if err := parts.Pack(typ, r0, r1, src[r0*len(src)/rows:r1*len(src)/rows]); err != nil {
					t.Fatal(err)
				}
			}
			if string(parts.data) != string(whole.data) {
				t.Errorf("%v: packed in pieces differs", typ)
			}
		}
	})
}

// TestPackTiersAgree: packed bytes do not depend on the tier, for any number of columns.
func TestPackTiersAgree(t *testing.T) {
	if !onBest() {
		return
	}
	for _, typ := range quant.Types() {
		for _, blocks := range []int{1, 2, 3, 8, 15, 17, 33, 70} {
			rows, cols := 96, blocks*typ.BlockLen()
			src := randomRows(rand.New(rand.NewPCG(11, uint64(blocks))), typ, rows, cols)
			useTier(t, "generic")
			want := packed(t, typ, rows, cols, src)
			for _, name := range Tiers()[1:] {
				useTier(t, name)
				if got := packed(t, typ, rows, cols, src); string(got.data) != string(want.data) {
					t.Errorf("%v, %d blocks: %s packs other bytes than generic", typ, blocks, name)
				}
			}
		}
	}
}

func TestSpreadBits(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 12))
	for range 1000 {
		h := r.Uint32()
		var want uint32
		for b := range 32 {
			want |= h >> b & 1 << (b%4*8 + b/4)
		}
		if got := spreadBits(h); got != want {
			t.Fatalf("%#x: %#x, want %#x", h, got, want)
		}
	}
}

// TestSetInPieces: a row of activations may be stored piece by piece.
func TestSetInPieces(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, typ := range quant.Types() {
			r := rand.New(rand.NewPCG(10, 10))
			p := newProduct(t, r, typ, 40, 1024, 2, randomFloats)
			const piece = 256
			for at := 0; at < p.cols; at += piece {
				p.acts.Set(1, at, p.x[0][at:at+piece])
			}
			y, stride := p.mul(0, p.rows, allCols(2))
			if i, ok := sameBits(y[:p.rows], y[stride:][:p.rows]); !ok {
				t.Errorf("%v: row %d differs", typ, i)
			}
		}
	})
}
