package kernel

import (
	"encoding/binary"
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// FileLayout is what a model file calls itself whose matrices are in the order of panels that this package computes
// with, and LayoutVersion says which order: it goes up whenever one byte of what Pack writes changes, and files of
// another one are refused.
const (
	FileLayout    = "mixtral-panels"
	LayoutVersion = 3
)

// ReadsLayout tells whether matrices of format t are as this package wants them in a file of that layout. Layout 2 had
// other panels of the K formats whose planes are in another order than the file's words (Q2_K, Q3_K, Q5_K, Q6_K), and
// layout 1 also of the formats with grids (IQ3, IQ2, IQ1).
func ReadsLayout(version uint32, t quant.Type) bool {
	l := layouts[t]
	return version == LayoutVersion || version == 2 && l.parts == nil || version == 1 && l.parts == nil && !l.grid
}

// Unpack is Pack's inverse: it fills dst with rows r0 … r1−1 as the matrix's format has them. The limits are those of
// Pack. It is for reading weights, not for speed.
func (m *Matrix) Unpack(r0, r1 int, dst []byte) error {
	row := m.RowBytes()
	if err := m.rowsIn(r0, r1, dst); err != nil {
		return fmt.Errorf("kernel: unpack: %w", err)
	}
	for r := r0; r < r1; r += panelRows {
		m.unpackPanel(dst[(r-r0)*row:], m.panelAt(r)[:m.panel], min(panelRows, r1-r))
	}
	return nil
}

// rowsIn checks that b has room for rows r0 … r1−1, and that these can be packed apart from others.
func (m *Matrix) rowsIn(r0, r1 int, b []byte) error {
	if r0 < 0 || r1 > m.Rows || r0 > r1 || r0%RowAlign != 0 || (r1%RowAlign != 0 && r1 != m.Rows) {
		return fmt.Errorf("rows %d to %d of %d", r0, r1, m.Rows)
	}
	if row := m.RowBytes(); len(b) != (r1-r0)*row {
		return fmt.Errorf("%d bytes for %d rows of %d", len(b), r1-r0, row)
	}
	return nil
}

// unpackPanel gives rows rows of a panel.
func (m *Matrix) unpackPanel(dst, src []byte, rows int) {
	row, size := m.RowBytes(), m.typ.BlockBytes()
	for at := 0; at < row; at, src = at+size, src[m.block:] {
		for r := range rows {
			m.unpackBlock(dst[r*row+at:], src, r)
		}
	}
}

// unpackBlock gives row r of a block of 32.
func (m *Matrix) unpackBlock(to, src []byte, r int) {
	l := &m.layout
	if l.half >= 0 {
		copy(to[l.half:][:2], src[l.toHalf+2*r:])
	}
	to = to[l.words:]
	for _, p := range l.order() {
		for i := range p.n {
			at := l.toWords + plane*(p.to+i*p.step)
			v := binary.LittleEndian.Uint32(src[at+4*r:])
			if at == l.fifth && l.fifth > 0 {
				v = gatherBits(v)
			}
			binary.LittleEndian.PutUint32(to[4*(p.from+i):], v^l.xor)
		}
	}
}

// gatherBits undoes spreadBits: with its two rotations of five digits, three more are a whole turn.
func gatherBits(h uint32) uint32 { return unshuffle(unshuffle(unshuffle(h))) }
