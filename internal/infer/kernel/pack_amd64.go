package kernel

import (
	"unsafe"
)

// interleaving is the argument of the packing kernels: they take words of 32 rows of a panel, times times, moving on
// by from and to bytes each time. pack_amd64.s has its layout.
type interleaving struct {
	dst, src unsafe.Pointer
	row      int64 // bytes between rows of src
	times    int64
	from, to int64
	xor      uint32
	step     int64 // bytes from plane to plane, where eight words are taken
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
	var work *partsWork
	if l.parts != nil {
		work = new(partsWork)
	}
	count := row / size
	for b := 0; b < count; b += blocks {
		n := min(blocks, count-b)
		to, from := dst[b*m.block:], src[b*size:]
		if l.half >= 0 {
			interleaveHalf(interleave(to[l.toHalf:], from[l.half:], row, n, size, m.block))
		}
		to, from = to[l.toWords:], from[l.words:]
		if l.parts != nil {
			if b+1 < count { // the parts' lines are written out of order, which processors do not fetch ahead well
				fetch(dst[(b+1)*m.block:][:m.block])
			}
			p.parts(l, to, from, row, work)
			continue
		}
		if l.n < 8 { // n is 4 to 6: further runs of four overlap the first
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
	if m.layout.fifth > 0 {
		m.spreadPanel(dst, panelRows)
	}
}

// parts packs a super-block whose planes are in another order than its words. Parts of eight words that follow one
// another at equal distances go together.
func (p *packing) parts(l *layout, to, from []byte, row int, work *partsWork) {
	a := &work.a
	for i := 0; i < len(l.parts); {
		t, n := l.parts[i], 1
		*a = interleaving{dst: unsafe.Pointer(&to[plane*t.to]), src: unsafe.Pointer(&from[4*t.from]), row: int64(row),
			times: 1, from: 32, step: int64(plane * t.step)}
		switch t.n {
		case 8:
			var move int
			for ; i+n < len(l.parts); n++ {
				next := l.parts[i+n]
				if n == 1 {
					move = next.to - t.to
				}
				if next != (part{t.from + 8*n, 8, t.to + move*n, t.step}) {
					break
				}
			}
			a.times, a.to = int64(n), int64(move*plane)
			p.eight(a)
		case 4:
			p.four(a)
		default: // few words behind others: the last of eight
			a.dst, a.src, a.step = unsafe.Pointer(&work.some), unsafe.Pointer(&from[4*(t.from+t.n-8)]), plane
			p.eight(a)
			copy(to[plane*t.to:], work.some[(8-t.n)*plane:])
		}
		i += n
	}
}

// partsWork is memory for packing parts.
type partsWork struct {
	a    interleaving
	some [8 * plane]byte
}

func interleave(dst, src []byte, row, times, from, to int) *interleaving {
	return &interleaving{
		dst: unsafe.Pointer(unsafe.SliceData(dst)), src: unsafe.Pointer(unsafe.SliceData(src)),
		row: int64(row), times: int64(times), from: int64(from), to: int64(to), step: plane,
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
