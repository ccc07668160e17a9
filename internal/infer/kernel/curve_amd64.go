package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// curveProduct is the argument of the kernels that multiply a format with a curve with a single column;
// curve_amd64.s has its layout.
type curveProduct struct {
	planes, x, acc, tables unsafe.Pointer
	n                      int64          // blocks, or runs of one
	scale                  unsafe.Pointer // of runs
	ahead                  int64          // bytes to fetch ahead
}

// curveTables are the curve's points with 128 added, as they are, and their magnitudes.
var curveTables = func() (all [48]uint8) {
	for i, v := range quant.Curve {
		all[i], all[16+i], all[32+i] = uint8(v)^0x80, uint8(v), uint8(max(v, -v))
	}
	return all
}()

// curve2, curve512 and curveVBMI multiply a panel of IQ4_NL or IQ4_XS with one column, adding to acc.
func curve2(m *Matrix, s *Scratch, w []byte, x unsafe.Pointer, acc *[panelRows]float32) {
	if m.typ == quant.IQ4_NL {
		s.curve.all(m, w, x, acc, curve32AVX2)
		return
	}
	s.curve.blocks(m, s, w, x, acc, curve256AVX2)
}

// curveVNNI and minimaVNNI are those of the AVX-VNNI tier, the second one for Q4_1 and Q5_1.
func curveVNNI(m *Matrix, s *Scratch, w []byte, x unsafe.Pointer, acc *[panelRows]float32) {
	if m.typ == quant.IQ4_NL {
		s.curve.all(m, w, x, acc, curve32AVXVNNI)
		return
	}
	s.curve.blocks(m, s, w, x, acc, curve256AVXVNNI)
}

func minimaVNNI(m *Matrix, s *Scratch, w []byte, x unsafe.Pointer, acc *[panelRows]float32) {
	if m.typ == quant.Q4_1 {
		s.curve.all(m, w, x, acc, least4AVXVNNI)
		return
	}
	s.curve.all(m, w, x, acc, least5AVXVNNI)
}

// blocks multiplies a panel of IQ4_XS block by block, whose scales are expanded before.
func (p *curveProduct) blocks(m *Matrix, s *Scratch, w []byte, x unsafe.Pointer, acc *[panelRows]float32,
	multiply func(*curveProduct)) {
	*p = curveProduct{acc: unsafe.Pointer(acc), tables: unsafe.Pointer(&curveTables), n: 8,
		scale: unsafe.Pointer(&s.spread.scale), x: x, ahead: fetchAhead}
	for ; len(w) > 0; w = w[m.block:] {
		scalesIQ4AVX2(&s.spread.scale[0][0], &w[0])
		p.planes = unsafe.Pointer(&w[2*plane])
		multiply(p)
		p.x = unsafe.Add(p.x, act256Block)
	}
	*p = curveProduct{} // it points behind the rows now
}

func curve512(m *Matrix, s *Scratch, w []byte, x unsafe.Pointer, acc *[panelRows]float32) {
	if m.typ == quant.IQ4_NL {
		s.curve.all(m, w, x, acc, curve32AVX512)
		return
	}
	s.curve.all(m, w, x, acc, curve256AVX512)
}

func curveVBMI(m *Matrix, s *Scratch, w []byte, x unsafe.Pointer, acc *[panelRows]float32) {
	if m.typ == quant.IQ4_NL {
		s.curve.all(m, w, x, acc, curve32VBMI)
		return
	}
	s.curve.all(m, w, x, acc, curve256VBMI)
}

// all multiplies all blocks of a panel by one call, which takes 10 µs for 14,336 columns.
func (p *curveProduct) all(m *Matrix, w []byte, x unsafe.Pointer, acc *[panelRows]float32,
	multiply func(*curveProduct)) {
	*p = curveProduct{planes: unsafe.Pointer(unsafe.SliceData(w)), x: x, acc: unsafe.Pointer(acc),
		tables: unsafe.Pointer(&curveTables), n: int64(len(w) / m.block), ahead: fetchAhead}
	multiply(p)
	*p = curveProduct{}
}

//go:noescape
func curve32AVX512(p *curveProduct)

//go:noescape
func curve256AVX512(p *curveProduct)

// curve32VBMI and curve256VBMI are those of processors with VBMI.
//
//go:noescape
func curve32VBMI(p *curveProduct)

//go:noescape
func curve256VBMI(p *curveProduct)

//go:noescape
func curve32AVX2(p *curveProduct)

//go:noescape
func curve256AVX2(p *curveProduct)

//go:noescape
func curve32AVXVNNI(p *curveProduct)

//go:noescape
func curve256AVXVNNI(p *curveProduct)

// least4AVXVNNI and least5AVXVNNI multiply Q4_1 and Q5_1.
//
//go:noescape
func least4AVXVNNI(p *curveProduct)

//go:noescape
func least5AVXVNNI(p *curveProduct)
