package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// curveProduct is the argument of the kernels that multiply a format with a curve with a single column;
// curve_amd64.s has its layout.
type curveProduct struct {
	planes, scale, x, acc, tables unsafe.Pointer
	n                             int64 // blocks of 32, or runs
}

// curveTables are the curve's points with 128 added, as they are, and their magnitudes.
var curveTables = func() (all [48]uint8) {
	for i, v := range quant.Curve {
		all[i], all[16+i], all[32+i] = uint8(v)^0x80, uint8(v), uint8(max(v, -v))
	}
	return all
}()

// curve512 and curve2 multiply a panel of IQ4_NL or IQ4_XS with one column, adding to acc.
func curve512(m *Matrix, s *Scratch, w []byte, x unsafe.Pointer, acc *[panelRows]float32) {
	m.curve(s, w, x, acc, curve32AVX512, curve256AVX512)
}

func curve2(m *Matrix, s *Scratch, w []byte, x unsafe.Pointer, acc *[panelRows]float32) {
	m.curve(s, w, x, acc, curve32AVX2, curve256AVX2)
}

func (m *Matrix) curve(s *Scratch, w []byte, x unsafe.Pointer, acc *[panelRows]float32,
	blocks, runs func(*curveProduct)) {
	p := &s.curve
	*p = curveProduct{planes: unsafe.Pointer(&w[0]), x: x, acc: unsafe.Pointer(acc),
		tables: unsafe.Pointer(&curveTables), n: int64(len(w) / m.block)}
	defer func() { *p = curveProduct{} }() // it points behind the rows then
	if m.typ == quant.IQ4_NL {
		blocks(p)
		return
	}
	p.scale, p.n = unsafe.Pointer(&s.spread.scale), 8
	for ; len(w) > 0; w = w[m.block:] {
		scalesIQ4AVX2(&s.spread.scale[0][0], &w[0])
		p.planes = unsafe.Pointer(&w[2*plane])
		runs(p)
		p.x = unsafe.Add(p.x, act256Block)
	}
}

//go:noescape
func curve32AVX512(p *curveProduct)

//go:noescape
func curve256AVX512(p *curveProduct)

//go:noescape
func curve32AVX2(p *curveProduct)

//go:noescape
func curve256AVX2(p *curveProduct)
