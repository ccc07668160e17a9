package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// The formats with minima in blocks of 32, with a curve or with a grid have no kernel of their own that multiplies
// them as they lie with many columns. A block of 32 rows is spread out to bytes and scales, in the L1 cache, and
// multiplied by one kernel for all of them. Spreading costs about as much as multiplying with one column; those with
// a curve or a grid have kernels that multiply with a single one as they look weights up. On the AVX-VNNI tier those
// with minima have such kernels, too.

// spreading is what a tier has for this path.
type spreading struct {
	multiply func(p *spreadProduct)                        // a block with columns, as addGeneric; p changes
	block    func(t quant.Type, s *Scratch, planes []byte) // spreads a block out

	// a panel of a format with a curve or a grid with a single column, which need not be spread
	curve, grid func(m *Matrix, s *Scratch, w []byte, x unsafe.Pointer, acc *[panelRows]float32)
	// the same of a format with minima; nil: it is spread
	minima func(m *Matrix, s *Scratch, w []byte, x unsafe.Pointer, acc *[panelRows]float32)
}

// spreadColumns is how many columns go through a block together. Their sums are 16 KiB, their activations in a
// super-block 48 KiB: in the L2 cache, beside a block that took longer to spread than they take to be read.
const spreadColumns = 128

// spreadSums is the private memory of this path.
type spreadSums struct {
	acc     [spreadColumns][panelRows]float32 // first: see Scratch
	codes   quant.Codes
	block   [superLen]byte // of a row
	product spreadProduct
	columns [spreadColumns]spreadColumn
}

// spreadColumn is a block's activations, and the sums of 32 rows.
type spreadColumn struct{ x, acc unsafe.Pointer }

// spreadProduct is the argument of the kernels that multiply a block with columns. spread_amd64.s has its layout.
type spreadProduct struct {
	q, scale, least unsafe.Pointer // of a spread; least is nil where there are no minima
	columns         unsafe.Pointer
	n               int64 // columns
	runs, length    int64
	start, starts   int64 // offset of what sums start from, and how many there are for a run
	factor          int64 // offset of the scale
	small           int64 // 1: no weight is larger than 64
	next            int64 // AVX-512: 1: the next columns' activations are fetched, which lie far apart
}

// mulSpread is mulGeneric for the formats of this path.
func (m *Matrix) mulSpread(f *spreading, s *Scratch, r0, r1 int, a *Acts, cols []int32, to target) {
	k := shapeOf(m.typ)
	for r := r0; r < r1; r += panelRows {
		w := m.panelAt(r)[:m.panel]
		for j := 0; j < len(cols); j += spreadColumns {
			group := cols[j:min(j+spreadColumns, len(cols))]
			m.panelSpread(f, s, w, a, group, &k)
			for i := range group {
				copy(to.y[to.offset(j+i)+r-r0:][:panelRows], s.sums.acc[i][:])
			}
		}
	}
}

// panelSpread multiplies a panel with a group of columns.
func (m *Matrix) panelSpread(f *spreading, s *Scratch, w []byte, a *Acts, group []int32, k *shape) {
	t := &s.sums
	clear(t.acc[:len(group)])
	if len(group) == 1 {
		x := unsafe.Pointer(unsafe.SliceData(a.row(m.layout.act, int(group[0]))))
		switch {
		case m.layout.grid:
			f.grid(m, s, w, x, &t.acc[0])
			return
		case m.typ == quant.IQ4_NL || m.typ == quant.IQ4_XS:
			f.curve(m, s, w, x, &t.acc[0])
			return
		case k.minima && f.minima != nil:
			f.minima(m, s, w, x, &t.acc[0])
			return
		}
	}
	for i, col := range group {
		t.columns[i] = spreadColumn{unsafe.Pointer(unsafe.SliceData(a.row(m.layout.act, int(col)))),
			unsafe.Pointer(&t.acc[i])}
	}
	t.product = spreadProduct{
		q: unsafe.Pointer(&s.spread.q), scale: unsafe.Pointer(&s.spread.scale),
		runs: int64(k.runs), length: int64(k.length),
		start: int64(k.start), starts: int64(k.starts), factor: int64(k.factor),
	}
	if k.minima {
		t.product.least = unsafe.Pointer(&s.spread.least)
	}
	if m.layout.grid {
		t.product.small = 1
	}
	for ; len(w) > 0; w = w[m.block:] {
		f.block(m.typ, s, w[:m.block])
		t.product.columns, t.product.n = unsafe.Pointer(&t.columns), int64(len(group))
		f.multiply(&t.product)
		for i := range group {
			t.columns[i].x = unsafe.Add(t.columns[i].x, k.x)
		}
	}
	clear(t.columns[:len(group)]) // they point behind the rows now
}

// spreadBlockGeneric spreads a block out.
func (m *Matrix) spreadBlockGeneric(s *Scratch, b []byte, k *shape) {
	if m.layout.grid {
		m.lookUpGeneric(s, b, k.runs)
		return
	}
	s.spread.scales(m.typ, b)
	f := fieldsOf[m.typ]
	s.spread.quadsGeneric(f.quads, b)
	if m.typ == quant.IQ4_NL || m.typ == quant.IQ4_XS {
		s.spread.curveGeneric(4 * len(f.quads))
	}
}

// lookUpGeneric spreads a block of a format with a grid out, row by row.
func (m *Matrix) lookUpGeneric(s *Scratch, b []byte, runs int) {
	codes, block, each := &s.sums.codes, s.sums.block[:m.typ.BlockBytes()], 16/runs
	for r := range panelRows {
		m.unpackBlock(block, b, r)
		codes.Decode(m.typ, block)
		for g := range runs {
			s.spread.scale[g][r] = codes.D * float32(codes.Step[g*each])
		}
		for j := range s.spread.q {
			s.spread.q[j][r] = [4]uint8(codes.Q[4*j:])
		}
	}
}
