package kernel

import (
	"encoding/binary"
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/quant"
)

// Pack fills rows r0 … r1−1 from src, the format-t bytes of exactly these rows. r0 is a multiple of RowAlign and r1 too
// unless it is Rows; different ranges may be packed at the same time.
func (m *Matrix) Pack(t quant.Type, r0, r1 int, src []byte) error {
	if r0 < 0 || r1 > m.Rows || r0 > r1 || r0%RowAlign != 0 || (r1%RowAlign != 0 && r1 != m.Rows) {
		return fmt.Errorf("kernel: pack rows %d to %d of %d", r0, r1, m.Rows)
	}
	if t != m.typ {
		return fmt.Errorf("kernel: pack %v into a matrix of %v", t, m.typ)
	}
	row := m.RowBytes()
	if len(src) != (r1-r0)*row {
		return fmt.Errorf("kernel: %d bytes for %d rows of %d", len(src), r1-r0, row)
	}
	for r := r0; r < r1; r += panelRows {
		m.packPanel(m.panelAt(r)[:m.panel], src[(r-r0)*row:], min(panelRows, r1-r))
	}
	return nil
}

// packPanel interleaves rows rows; a panel that they do not fill has zeros for the others.
func (m *Matrix) packPanel(dst, src []byte, rows int) {
	if rows < panelRows {
		clear(dst)
	}
	l, row, size := &m.layout, m.RowBytes(), m.typ.BlockBytes()
	for at := 0; at < row; at += size {
		to := dst[at*panelRows:][:m.block]
		if l.half >= 0 {
			for r := range rows {
				copy(to[l.toHalf+2*r:][:2], src[r*row+at+l.half:])
			}
		}
		interleave(to[l.toWords:], src[at+l.words:], rows, row, l.n, l.xor)
		if m.typ == quant.Q5_0 {
			for r := range rows {
				b := to[l.toWords+4*r:]
				binary.LittleEndian.PutUint32(b, spreadBits(binary.LittleEndian.Uint32(b)))
			}
		}
	}
}

// interleave writes n planes of words: word i of row r, at src[r·stride+4i], becomes word r of plane i.
func interleave(dst, src []byte, rows, stride, n int, xor uint32) {
	for r := range rows {
		s := src[r*stride:]
		for i := range n {
			binary.LittleEndian.PutUint32(dst[plane*i+4*r:], binary.LittleEndian.Uint32(s[4*i:])^xor)
		}
	}
}

// spreadBits moves bit 4j+i to bit 8i+j: what the fifth bits of a quad are to its four bytes.
func spreadBits(h uint32) uint32 {
	var s uint32
	for b := range 32 {
		s |= h >> b & 1 << (b%4*8 + b/4)
	}
	return s
}
