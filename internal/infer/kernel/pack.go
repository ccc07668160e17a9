package kernel

import (
	"encoding/binary"
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// Pack fills rows r0 … r1−1 from src, the format-t bytes of exactly these rows. r0 is a multiple of RowAlign and r1
// too unless it is Rows; different ranges may be packed at the same time.
func (m *Matrix) Pack(t quant.Type, r0, r1 int, src []byte) error {
	if t != m.typ {
		return fmt.Errorf("kernel: pack %v into a matrix of %v", t, m.typ)
	}
	if err := m.rowsIn(r0, r1, src); err != nil {
		return fmt.Errorf("kernel: pack: %w", err)
	}
	row := m.RowBytes()
	for r := r0; r < r1; r += panelRows {
		m.packPanel(m.panelAt(r)[:m.panel], src[(r-r0)*row:], min(panelRows, r1-r))
	}
	return nil
}

// packPanel interleaves rows rows; a panel that they do not fill has zeros for the others.
func (m *Matrix) packPanel(dst, src []byte, rows int) {
	if rows == panelRows {
		active.pack(m, dst, src)
		return
	}
	clear(dst)
	m.packRows(dst, src, rows)
}

func (m *Matrix) packPanelGeneric(dst, src []byte) { m.packRows(dst, src, panelRows) }

func (m *Matrix) packRows(dst, src []byte, rows int) {
	m.packBlocksGeneric(dst, src, rows, 0)
	if m.layout.fifth > 0 {
		m.spreadPanel(dst, rows)
	}
}

// packBlocksGeneric packs the blocks from byte at of the rows on.
func (m *Matrix) packBlocksGeneric(dst, src []byte, rows, at int) {
	l, row, size := &m.layout, m.RowBytes(), m.typ.BlockBytes()
	for ; at < row; at += size {
		to := dst[at*panelRows:][:m.block]
		for r := range rows {
			from := src[r*row+at:]
			if l.half >= 0 {
				copy(to[l.toHalf+2*r:][:2], from[l.half:])
			}
			from = from[l.words:]
			for _, p := range l.order() {
				for i := range p.n {
					v := binary.LittleEndian.Uint32(from[4*(p.from+i):]) ^ l.xor
					binary.LittleEndian.PutUint32(to[l.toWords+plane*(p.to+i*p.step)+4*r:], v)
				}
			}
		}
	}
}

// spreadPanel brings the fifth bits of Q5_0 and Q5_1 into the order of the nibbles.
func (m *Matrix) spreadPanel(dst []byte, rows int) {
	for ; len(dst) > 0; dst = dst[m.block:] {
		for r := range rows {
			b := dst[m.layout.fifth+4*r:]
			binary.LittleEndian.PutUint32(b, spreadBits(binary.LittleEndian.Uint32(b)))
		}
	}
}

// spreadBits moves bit 4j+i to bit 8i+j: what the fifth bits of a quad are to its four bytes. Bringing the even bits
// of a word into its lower half rotates the positions' binary digits by one place; here they rotate by two.
func spreadBits(h uint32) uint32 { return unshuffle(unshuffle(h)) }

// unshuffle moves even bits to the lower and odd bits to the upper half, by exchanges of ever larger blocks of bits.
func unshuffle(x uint32) uint32 {
	for i, mask := range [...]uint32{0x22222222, 0x0c0c0c0c, 0x00f000f0, 0x0000ff00} {
		shift := 1 << i
		t := (x ^ x>>shift) & mask
		x ^= t ^ t<<shift
	}
	return x
}
