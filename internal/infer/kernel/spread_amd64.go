package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

func hasSpreadKernels() bool { return active >= tierAVX2 }

// multiplySpread multiplies a spread block with columns.
func multiplySpread(p *spreadProduct) {
	if active == tierAVX512 {
		multiplySpreadAVX512(p)
		return
	}
	multiplySpreadAVX2(p)
}

// nibbles is the argument of nibblesAVX2: runs of four planes of nibbles, each a number of an entry of table.
type nibbles struct {
	to, from, table unsafe.Pointer
	runs            int64
}

// plainNibbles stand for themselves, curveNibbles for points of the curve, 128 added.
var plainNibbles, curveNibbles = func() (plain, curve [16]uint8) {
	for i, v := range quant.Curve {
		plain[i], curve[i] = uint8(i), uint8(v)^0x80
	}
	return plain, curve
}()

// spreadBlockFast spreads a block of nibbles.
func spreadBlockFast(typ quant.Type, s *spread, b []byte) bool {
	if !hasSpreadKernels() {
		return false
	}
	n := nibbles{to: unsafe.Pointer(&s.q), table: unsafe.Pointer(&plainNibbles), runs: 1}
	at := plane
	switch typ {
	case quant.Q4_1:
		splitScalesAVX2(&s.scale[0][0], &s.least[0][0], &b[0])
	case quant.Q5_1:
		splitScalesAVX2(&s.scale[0][0], &s.least[0][0], &b[0])
		at = 2 * plane
	case quant.IQ4_NL:
		fromF16AVX2(&s.scale[0][0], (*uint16)(unsafe.Pointer(&b[0])), panelRows)
		n.table, at = unsafe.Pointer(&curveNibbles), halfPlane
	case quant.IQ4_XS:
		scalesIQ4AVX2(&s.scale[0][0], &b[0])
		n.table, n.runs, at = unsafe.Pointer(&curveNibbles), 8, 2*plane
	default:
		return false
	}
	n.from = unsafe.Pointer(&b[at])
	nibblesAVX2(&n)
	if typ == quant.Q5_1 {
		fifthBitsAVX2(&s.q, &b[plane])
	}
	return true
}

// quadsOfRows is quadsOfRowsGeneric.
func quadsOfRows(s *spread, codes *[panelRows]quant.Codes) {
	if !hasSpreadKernels() {
		quadsOfRowsGeneric(s, codes)
		return
	}
	transposeAVX2(unsafe.Pointer(&s.q), unsafe.Pointer(&codes[0].Q), int64(unsafe.Sizeof(codes[0])))
}

// multiplySpreadAVX2 and multiplySpreadAVX512 are spread.addGeneric for several columns.
//
//go:noescape
func multiplySpreadAVX2(p *spreadProduct)

//go:noescape
func multiplySpreadAVX512(p *spreadProduct)

//go:noescape
func nibblesAVX2(n *nibbles)

// fifthBitsAVX2 adds a plane of fifth bits to eight quads.
//
//go:noescape
func fifthBitsAVX2(q *[64][panelRows][4]uint8, bits *byte)

// splitScalesAVX2 widens a plane of (d, m) to d and −m.
//
//go:noescape
func splitScalesAVX2(scale, least *float32, dm *byte)

// scalesIQ4AVX2 gives the eight scales of IQ4_XS from its first two planes.
//
//go:noescape
func scalesIQ4AVX2(scale *float32, planes *byte)

// transposeAVX2 makes 64 planes of 32 words of 32 rows of 64 words, which are step bytes apart.
//
//go:noescape
func transposeAVX2(to, from unsafe.Pointer, step int64)
