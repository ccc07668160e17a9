package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// The AVX2 tier spreads each block out as the generic one does, with vectors, and multiplies it with all columns, so
// that the more columns there are, the less spreading costs.

// block2 is the argument of blockAVX2, whose file has its layout.
type block2 struct {
	q            unsafe.Pointer
	length, runs int64
	n            int64 // columns
	scale, least unsafe.Pointer
	columns      unsafe.Pointer
	start        int64 // negative: sums start from zero
	shift        int64
	factor, sums int64
	signed       int64
}

// column2 is a column of block2: the block's activations, and the sums of 32 rows.
type column2 struct{ x, acc unsafe.Pointer }

// spread2 is the argument of spreadAVX2: a field, see there.
type spread2 struct {
	to, low, high       unsafe.Pointer
	lowShift, highShift int64
	up                  int64
	highStep, shiftStep int64
	lowMask, highMask   uint32
	xor                 uint32
}

// columns2 is how many columns are multiplied with a block before the next: their activations and sums in a
// super-block are 8 KiB, and stay in the L1 cache with its 8 KiB of weights.
const columns2 = 16

// scratch2 is the tier's private memory.
type scratch2 struct {
	block   block2
	field   spread2
	columns [columns2]column2
	acc     [columns2][panelRows]float32
}

func (m *Matrix) mulAVX2(s *Scratch, r0, r1 int, a *Acts, cols []int32, to target) {
	for r := r0; r < r1; r += panelRows {
		w := m.panelAt(r)[:m.panel]
		if m.layout.act == actF32 {
			for j, col := range cols {
				m.floatsAVX2(&to.y[to.offset(j)+r-r0], w, a.floats(int(col)))
			}
			continue
		}
		for j := 0; j < len(cols); j += columns2 {
			group := cols[j:min(j+columns2, len(cols))]
			m.panelAVX2(s, w, a, group)
			for i := range group {
				copy(to.y[to.offset(j+i)+r-r0:][:panelRows], s.avx2.acc[i][:])
			}
		}
	}
}

// panelAVX2 multiplies a panel of an integer format with a group of columns.
func (m *Matrix) panelAVX2(s *Scratch, w []byte, a *Acts, group []int32) {
	k, f, t := shapeOf(m.typ), fieldsOf[m.typ], &s.avx2
	clear(t.acc[:])
	for i, col := range group {
		t.columns[i] = column2{unsafe.Pointer(unsafe.SliceData(a.row(m.layout.act, int(col)))),
			unsafe.Pointer(&t.acc[i])}
	}
	t.block = block2{
		q: unsafe.Pointer(&s.spread.q), length: int64(k.length), runs: int64(k.runs), n: int64(len(group)),
		scale: unsafe.Pointer(&s.spread.scale), columns: unsafe.Pointer(&t.columns),
		start: int64(k.start), shift: int64(f.shift), factor: int64(k.factor), sums: int64(k.sums),
	}
	if k.minima {
		t.block.start, t.block.least = -1, unsafe.Pointer(&s.spread.least)
	}
	if m.typ == quant.Q8_0 {
		t.block.start, t.block.signed = -1, 1
	}
	for ; len(w) > 0; w = w[m.block:] {
		if m.layout.act == act32 {
			fromF16AVX2(&s.spread.scale[0][0], (*uint16)(unsafe.Pointer(unsafe.SliceData(w))), panelRows)
		} else {
			s.spread.scales(m.typ, w[:m.block])
		}
		s.quadsAVX2(f.quads, w[:m.block], m.layout.xor)
		blockAVX2(&t.block)
		for i := range group {
			t.columns[i].x = unsafe.Add(t.columns[i].x, k.x)
		}
	}
	clear(t.columns[:]) // they point behind the rows now
}

// quadsAVX2 is quadsGeneric; the bits of xor are flipped (back, to signed weights).
func (s *Scratch) quadsAVX2(fields []field, b []byte, xor uint32) {
	t := &s.avx2.field
	for i := range fields {
		f := &fields[i]
		*t = spread2{
			to: unsafe.Pointer(&s.spread.q[4*i]), low: unsafe.Pointer(&b[f.low]), high: unsafe.Pointer(&b[f.high]),
			lowShift: int64(f.lowShift), highShift: int64(f.highShift), up: int64(f.up),
			highStep: int64(f.highStep), shiftStep: int64(f.shiftStep), lowMask: f.lowMask, highMask: f.highMask,
			xor: xor,
		}
		spreadAVX2(t)
	}
}

func (m *Matrix) floatsAVX2(y *float32, w []byte, x []float32) {
	p, n := unsafe.Pointer(unsafe.SliceData(w)), int64(m.Cols)
	switch m.typ {
	case quant.F32:
		floatAVX2(y, (*float32)(p), unsafe.SliceData(x), n)
	case quant.F16:
		halfAVX2(y, (*uint16)(p), unsafe.SliceData(x), n)
	case quant.BF16:
		brainAVX2(y, (*uint16)(p), unsafe.SliceData(x), n)
	}
}

//go:noescape
func blockAVX2(b *block2)

//go:noescape
func spreadAVX2(s *spread2)

//go:noescape
func floatAVX2(y, w, x *float32, n int64)

//go:noescape
func halfAVX2(y *float32, w *uint16, x *float32, n int64)

//go:noescape
func brainAVX2(y *float32, w *uint16, x *float32, n int64)
