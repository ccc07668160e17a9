package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// signedColumns is from how many columns on it is worth while to take a block's signs off its weights beforehand.
const signedColumns = 16

// multiplySpread2 multiplies a spread block with columns, by fours and one by one. With minima four at a time are
// slower: at the end of each short block more is added in memory.
func multiplySpread2(p *spreadProduct) {
	n := p.n &^ 3
	switch {
	case p.least != nil || n == 0:
	case n < signedColumns:
		p.part(n, multiplySpread4AVX2)
	default:
		signsAVX2(p.q, p.runs*p.length)
		p.part(n, multiplySigned4AVX2)
	}
	if p.n > 0 {
		multiplySpreadAVX2(p)
	}
}

func multiplySpread512(p *spreadProduct) {
	if p.runs > 1 { // short blocks of a column lie side by side
		p.next = fetchAhead & 1
	}
	p.byFours(multiplySpread4AVX512, multiplySpreadAVX512)
}

func multiplySpreadVNNI(p *spreadProduct) { p.byFours(multiplySpread4AVXVNNI, multiplySpreadAVXVNNI) }

// byFours multiplies columns by fours, and the rest one by one.
func (p *spreadProduct) byFours(four, one func(*spreadProduct)) {
	if n := p.n &^ 3; n > 0 {
		p.part(n, four)
	}
	if p.n > 0 {
		one(p)
	}
}

// part multiplies the first n columns, and leaves the others.
func (p *spreadProduct) part(n int64, multiply func(*spreadProduct)) {
	rest := p.n - n
	p.n = n
	multiply(p)
	p.columns, p.n = unsafe.Add(p.columns, n*int64(unsafe.Sizeof(spreadColumn{}))), rest
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

// spreadBlock2 spreads a block out.
func spreadBlock2(typ quant.Type, s *Scratch, b []byte) {
	if f := gridFormats[typ]; f != nil {
		gridBlock2(f, s, b)
		return
	}
	spreadNibbles(typ, &s.spread, b)
}

// spreadBlock512 is the same for processors with VBMI.
func spreadBlock512(typ quant.Type, s *Scratch, b []byte) {
	if f := gridFormats[typ]; f != nil {
		gridBlock512(f, s, b)
		return
	}
	spreadNibbles(typ, &s.spread, b)
}

// spreadNibbles spreads a block of nibbles.
func spreadNibbles(typ quant.Type, s *spread, b []byte) {
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
	}
	n.from = unsafe.Pointer(&b[at])
	nibblesAVX2(&n)
	if typ == quant.Q5_1 {
		fifthBitsAVX2(&s.q, &b[plane])
	}
}

// multiplySpreadAVX2, multiplySpreadAVXVNNI and multiplySpreadAVX512 are spread.addGeneric for several columns.
//
//go:noescape
func multiplySpreadAVX2(p *spreadProduct)

//go:noescape
func multiplySpreadAVXVNNI(p *spreadProduct)

//go:noescape
func multiplySpreadAVX512(p *spreadProduct)

// multiplySpread4AVX2, multiplySpread4AVXVNNI and multiplySpread4AVX512 are the same for a multiple of four. The first
// knows no minima.
//
//go:noescape
func multiplySpread4AVX2(p *spreadProduct)

//go:noescape
func multiplySpread4AVXVNNI(p *spreadProduct)

//go:noescape
func multiplySpread4AVX512(p *spreadProduct)

// signsAVX2 fills a spread's signed weights and magnitudes from its quads, behind which they are.
//
//go:noescape
func signsAVX2(q unsafe.Pointer, quads int64)

// multiplySigned4AVX2 is multiplySpread4AVX2 after signsAVX2.
//
//go:noescape
func multiplySigned4AVX2(p *spreadProduct)

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
