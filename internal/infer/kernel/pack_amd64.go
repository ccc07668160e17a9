package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// interleaving is the argument of the packing kernels: they take words of 32 rows of a panel, times times, moving on
// by from and to bytes each time. pack_amd64.s has its layout.
type interleaving struct {
	dst, src unsafe.Pointer
	row      int64 // bytes between rows of src
	times    int64
	from, to int64
	xor      uint32
}

// packBlocks is how many small blocks are packed by one call before the next part of them: 8 blocks of 32 rows of Q8_0
// are 8.5 KiB, which stay in the L1 cache for it. It also bounds a call to some microseconds.
const packBlocks = 8

// packing is a tier's packing kernels.
type packing struct{ eight, four, halves func(a *interleaving) }

var (
	packing512 = &packing{interleave8AVX512, interleave4AVX512, interleaveHalvesAVX512}
	packing2   = &packing{interleave8AVX2, interleave4AVX2, interleaveHalvesAVX2}
)

// panel interleaves a whole panel.
func (p *packing) panel(m *Matrix, dst, src []byte) {
	l, row, size := &m.layout, m.RowBytes(), m.typ.BlockBytes()
	_, _ = dst[m.panel-1], src[panelRows*row-1] // all reads and writes are below
	if m.layout.act == actF32 {
		p.floats(m, dst, src)
		return
	}
	blocks := packBlocks
	if size > 34 { // super-blocks have several runs of eight words each
		blocks = 1
	}
	count := row / size
	for b := 0; b < count; b += blocks {
		n := min(blocks, count-b)
		to, from := dst[b*m.block:], src[b*size:]
		if l.half >= 0 {
			interleaveHalf(interleave(to[l.toHalf:], from[l.half:], row, n, size, m.block))
		}
		to, from = to[l.toWords:], from[l.words:]
		if l.n < 8 { // n is 4 or 5: the second run of four may overlap the first
			for w := range l.n - 3 {
				p.four(interleave(to[plane*w:], from[4*w:], row, n, size, m.block))
			}
			continue
		}
		a := interleave(to, from, row, n, size, m.block)
		if blocks == 1 { // runs of one super-block
			a.times, a.from, a.to = int64(l.n/8), 32, 8*plane
		}
		a.xor = l.xor
		p.eight(a)
		if l.n%8 != 0 {
			w := l.n - 8
			p.eight(interleave(to[plane*w:], from[4*w:], row, n, size, m.block))
		}
	}
	if m.typ == quant.Q5_0 {
		m.spreadPanel(dst, panelRows)
	}
}

func interleave(dst, src []byte, row, times, from, to int) *interleaving {
	return &interleaving{
		dst: unsafe.Pointer(unsafe.SliceData(dst)), src: unsafe.Pointer(unsafe.SliceData(src)),
		row: int64(row), times: int64(times), from: int64(from), to: int64(to),
	}
}

// floats packs runs of 32 bytes of each row, and what is left word by word.
func (p *packing) floats(m *Matrix, dst, src []byte) {
	row := m.RowBytes()
	runs := row / 32
	const some = 64 // runs of a call: 64 KiB
	for r := 0; r < runs; r += some {
		a := interleave(dst[r*32*panelRows:], src[r*32:], row, min(some, runs-r), 32, 32*panelRows)
		if m.layout.n == 1 {
			p.eight(a)
		} else {
			p.halves(a)
		}
	}
	m.packBlocksGeneric(dst, src, panelRows, runs*32)
}

//go:noescape
func interleave8AVX512(a *interleaving)

//go:noescape
func interleave4AVX512(a *interleaving)

//go:noescape
func interleaveHalf(a *interleaving)

//go:noescape
func interleaveHalvesAVX512(a *interleaving)

//go:noescape
func interleave8AVX2(a *interleaving)

//go:noescape
func interleave4AVX2(a *interleaving)

//go:noescape
func interleaveHalvesAVX2(a *interleaving)
