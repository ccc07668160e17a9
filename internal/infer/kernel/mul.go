package kernel

import (
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// tileCols is how many columns a tile computes at once.
const tileCols = 6

// Scratch is one worker's private memory for kernels.
type Scratch struct {
	// first, so that vectors of both are at multiples of 64 bytes, as an object of this size is
	spread spread
	sums   spreadSums

	machineScratch
	acc       [tileCols][panelRows]float32
	wide      []float32 // keys or values
	turned    []float32 // keys, see attention.turned
	scores    []float32 // of a part of attention: queries × heads × SplitTokens
	attention attention
	one       Matrix // a panel of a matrix that is not packed yet, see Scratch.panelOf
	panel     []byte // its memory
}

// NewScratch allocates a worker's memory.
func NewScratch() *Scratch { return &Scratch{machineScratch: newMachineScratch()} }

// Mul computes y[j·stride + r − r0] = Σ_k m[r][k] · x_cols[j][k] for the rows r0 ≤ r < r1 and every j, where x_i is
// row i of a. r0 is a multiple of RowAlign, and so is r1 unless it is m.Rows; then values up to row m.PaddedRows()
// are written (those beyond m.Rows are zero).
//
// A value does not depend on the other columns, nor on how rows are cut.
func (m *Matrix) Mul(s *Scratch, r0, r1 int, a *Acts, cols []int32, y []float32, stride int) {
	m.mul(s, r0, r1, a, cols, target{y: y, stride: stride})
}

// MulAt is Mul with the result of column j at y[cols[j]·stride + r]: rows of y belong to rows of a.
func (m *Matrix) MulAt(s *Scratch, r0, r1 int, a *Acts, cols []int32, y []float32, stride int) {
	m.mul(s, r0, r1, a, cols, target{y: y[r0:], stride: stride, rows: cols})
}

// target is where results go: those of column j from offset(j) of y on.
type target struct {
	y      []float32
	stride int
	rows   []int32 // nil: 0, 1, 2 …
}

func (t *target) offset(j int) int {
	if t.rows != nil {
		j = int(t.rows[j])
	}
	return j * t.stride
}

func (m *Matrix) mul(s *Scratch, r0, r1 int, a *Acts, cols []int32, to target) {
	if r1 == m.Rows {
		r1 = m.PaddedRows()
	}
	if r0 >= r1 {
		return
	}
	for j := range cols {
		_ = to.y[to.offset(j):][:r1-r0] // all writes are in there
	}
	if a.data[m.act()] == nil {
		panic("kernel: activations that were made for another tier, or not for this matrix")
	}
	if m.from != nil {
		m.mulPending(s, r0, r1, a, cols, to)
		return
	}
	m.product(s, r0, r1, a, cols, to)
}

// product is mul of packed panels; r1 is a multiple of panelRows.
func (m *Matrix) product(s *Scratch, r0, r1 int, a *Acts, cols []int32, to target) {
	if m.layout.spread && active.spreading != nil {
		m.mulSpread(active.spreading, s, r0, r1, a, cols, to)
		return
	}
	active.mul(m, s, r0, r1, a, cols, to)
}

// mulGeneric computes panel by panel, a few columns at a time.
func (m *Matrix) mulGeneric(s *Scratch, r0, r1 int, a *Acts, cols []int32, to target) {
	for r := r0; r < r1; r += panelRows {
		w := m.panelAt(r)[:m.panel]
		for j := 0; j < len(cols); j += tileCols {
			group := cols[j:min(j+tileCols, len(cols))]
			clear(s.acc[:])
			if m.layout.act == actF32 {
				m.addFloats(s, w, a, group)
			} else {
				m.addInts(s, w, a, group)
			}
			for i := range group {
				copy(to.y[to.offset(j+i)+r-r0:][:panelRows], s.acc[i][:])
			}
		}
	}
}

// addInts adds a panel of an integer format to s.acc.
func (m *Matrix) addInts(s *Scratch, w []byte, a *Acts, group []int32) {
	k, f := shapeOf(m.typ), fieldsOf[m.typ]
	for b := range len(w) / m.block {
		block := w[b*m.block:][:m.block]
		if m.layout.spread {
			m.spreadBlockGeneric(s, block, &k)
		} else {
			s.spread.scales(m.typ, block)
			s.spread.quadsGeneric(f.quads, block)
		}
		for i, col := range group {
			s.spread.addGeneric(&s.acc[i], a.row(m.layout.act, int(col))[b*k.x:], &k, f.shift)
		}
	}
}

// addFloats adds a panel of a float format to s.acc, element by element.
func (m *Matrix) addFloats(s *Scratch, w []byte, a *Acts, group []int32) {
	for k := range m.Cols {
		block := w[k*m.block:][:m.block]
		var v [panelRows]float32
		for r := range v {
			switch m.typ {
			case quant.F32:
				v[r] = getFloat(block[4*r:])
			case quant.F16:
				v[r] = quant.F16to32(getHalf(block, r))
			case quant.BF16:
				v[r] = quant.BF16to32(getHalf(block, r))
			}
		}
		for i, col := range group {
			x := a.floats(int(col))[k]
			for r := range v {
				s.acc[i][r] += v[r] * x
			}
		}
	}
}
