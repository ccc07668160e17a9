package main

import "fmt"

// The kernels of this file multiply formats of nibbles that are spread out for several columns (spread.go of the
// package) with a single one as they lie, on the AVX-VNNI tier. Their float operations are those of ymm_spread.go.
type nibbleSingle struct {
	*ymm
	name, format string
	doc          string
	size, planes int  // bytes of a block, or of a run of 32; where its nibbles are
	curve        bool // nibbles are numbers of points of a curve
	fifth        int  // where the plane of fifth bits is; 0: there is none
	run          bool // a run of a super-block, whose scales are in memory
}

// Offsets in type curveProduct.
const (
	singlePlanes = 0
	singleX      = 8
	singleAcc    = 16
	singleTables = 24
	singleCount  = 32
	singleScale  = 40
)

// singleAhead is how many bytes ahead lines are fetched. Where that is beyond the weights, nothing happens.
const singleAhead = 4608

// aboutSingle is what the heads of the files say, with a place for what Y14 has.
const aboutSingle = `
Weights of a format of nibbles, as they lie in a panel, times a single column. SI is the argument (type curveProduct),
DI walks the weights, BX the activations, R9 is their block, R10 are scales of runs, R11 sums of floats. Y0 … Y3 are
sums over the low nibbles, Y4 … Y7 over the high ones, Y8 and Y9 weights, Y10 and Y11 activations, Y12 is their scale,
Y13 the number from which sums start, %sY15 a mask.
Go's assembler does not know VPDPBUSD in its VEX form: BYTE has the encoding, the comment the instruction.`

var nibbleSingles = []*nibbleSingle{
	{name: "curve32", format: "IQ4_NL", size: 576, planes: 64, curve: true,
		doc: "blocks of 32 weights, nibbles that number the points of a curve."},
	{name: "curve256", format: "IQ4_XS", size: 512, curve: true, run: true,
		doc: "runs of a super-block, nibbles that number the points of a curve. Their scales are in memory."},
	{name: "least4", format: "Q4_1", size: 640, planes: 128,
		doc: "blocks of 32 weights: nibbles, times a scale, and a minimum."},
	{name: "least5", format: "Q5_1", size: 768, planes: 256, fifth: 128,
		doc: "blocks of 32 weights: nibbles with a fifth bit elsewhere, times a scale, and a minimum."},
}

func singleOutputs() (all []output) {
	for _, s := range nibbleSingles {
		y14 := ""
		switch {
		case s.curve:
			y14 = "Y14 the curve, "
		case s.fifth > 0:
			y14 = "Y14 fifth bits, "
		}
		all = append(all, output{"single", s.format, "avxvnni", fmt.Sprintf(aboutSingle, y14), func(f *file) {
			s.ymm = &ymm{file: f, vnni: true}
			s.emit()
		}})
	}
	return all
}

func (s *nibbleSingle) emit() {
	name := s.name + s.tier()
	fmt.Fprintf(s, "\n// func %s(p *curveProduct)\n//\n// %s: %s\nTEXT ·%s(SB), NOSPLIT, $0-8\n", name, s.format,
		s.doc, name)
	s.p("MOVQ p+0(FP), SI")
	s.p("MOVQ %d(SI), DI", singlePlanes)
	s.p("MOVQ %d(SI), R9", singleX)
	s.p("MOVQ %d(SI), R11", singleAcc)
	s.p("MOVQ %d(SI), CX", singleCount)
	s.p("VMOVDQU %s, Y13", s.constant(unitBits))
	s.p("VMOVDQU %s, Y15", s.constant(0x0f0f0f0f))
	if s.curve {
		s.p("MOVQ %d(SI), AX", singleTables)
		s.p("VBROADCASTI128 (AX), Y14")
	}
	start, factor := 36, 32
	if s.run {
		start, factor = gridInit, gridFactor
		s.p("MOVQ %d(SI), R10", singleScale)
		s.p("MOVQ R9, AX")
	}
	s.p("MOVQ R9, BX")
	block := s.label("block")
	s.l(block)
	s.c("Sums start from 0, as the last places of float32 3·2²².")
	s.p("VMOVDQA Y13, Y0")
	if s.curve {
		s.c("Points have 128 added: −128·Σx takes it off.")
		base := "R9"
		if s.run {
			base = "AX" // two sums of sixteen activations a run
		}
		for i := 0; i == 0 || s.run && i < 2; i++ {
			s.p("VPBROADCASTD %d(%s), Y10", start+4*i, base)
			s.p("VPADDD Y10, Y0, Y0")
		}
	}
	for h := range 4 {
		if h > 0 {
			s.p("VMOVDQA Y0, Y%d", h)
		}
		s.p("VPXOR Y%[1]d, Y%[1]d, Y%[1]d", 4+h)
	}
	lines := (s.size + 63) / 64
	for q := range 4 {
		s.c("Quads %d and %d of each row: low and high nibbles.", q, q+4)
		s.fetchLines("PREFETCHT0", "DI", singleAhead, lines*q/4, lines*(q+1)/4)
		s.p("VPBROADCASTD %d(BX), Y10", 4*q)
		s.p("VPBROADCASTD %d(BX), Y11", 4*q+16)
		for h := range 4 {
			s.quads(q, h)
		}
	}
	s.c("Times the scales of weights and activations.")
	s.p("VBROADCASTSS %d(R9), Y12", factor)
	if !s.curve {
		s.c("The sum of the activations is −1/128 of what other sums start from.")
		s.p("VPBROADCASTD %d(R9), Y10", start)
		s.p("VMOVDQU %s, Y11", s.constant(totalBits))
		s.p("VPADDD Y11, Y10, Y10")
		s.p("VSUBPS Y10, Y11, Y10")
		s.p("VMULPS Y12, Y10, Y10")
	}
	for h := range 4 {
		s.scaled(h)
	}
	s.p("ADDQ $%d, DI", s.size)
	if s.run {
		s.p("ADDQ $128, R10")
		s.p("ADDQ $8, AX")
		s.p("ADDQ $32, BX")
	} else {
		s.p("ADDQ $40, R9")
		s.p("ADDQ $40, BX")
	}
	s.p("DECQ CX")
	s.p("JNZ  %s", block)
	s.p("VZEROUPPER")
	s.p("RET")
}

// quads multiplies eight rows of plane q: its low nibbles are quad q, its high ones quad q+4.
func (s *nibbleSingle) quads(q, h int) {
	s.p("VMOVDQU %d(DI), Y8", s.planes+128*q+32*h)
	s.p("VPSRLW $4, Y8, Y9")
	for i := range 2 {
		w := fmt.Sprintf("Y%d", 8+i)
		s.p("VPAND Y15, %[1]s, %[1]s", w)
		switch {
		case s.curve:
			s.p("VPSHUFB %[1]s, Y14, %[1]s", w)
		case s.fifth > 0:
			s.p("VMOVDQU %d(DI), Y14", s.fifth+32*h)
			if j := q + 4*i; j < 4 {
				s.p("VPSLLD $%d, Y14, Y14", 4-j)
			} else if j > 4 {
				s.p("VPSRLD $%d, Y14, Y14", j-4)
			}
			s.p("VPAND %s, Y14, Y14", s.constant(0x10101010))
			s.p("VPOR Y14, %[1]s, %[1]s", w)
		}
	}
	s.dot("Y10", "Y8", fmt.Sprintf("Y%d", h))
	s.dot("Y11", "Y9", fmt.Sprintf("Y%d", 4+h))
}

// scaled adds the sums of eight rows, times scales, to their sums of floats.
func (s *nibbleSingle) scaled(h int) {
	s.p("VPADDD Y%d, Y%[2]d, Y%[2]d", 4+h, h)
	s.p("VSUBPS Y13, Y%[1]d, Y%[1]d", h)
	switch {
	case s.run:
		s.p("VMULPS %d(R10), Y12, Y8", 32*h)
	case s.curve:
		s.p("VCVTPH2PS %d(DI), Y8", 16*h)
		s.p("VMULPS Y8, Y12, Y8")
	default:
		s.c("Eight pairs of a scale and a minimum with its sign changed.")
		s.p("VMOVDQU %d(DI), Y8", 32*h)
		s.p("VPSHUFB %s, Y8, Y8", s.vector([8]uint32{0x05040100, 0x0d0c0908, 0x07060302, 0x0f0e0b0a,
			0x05040100, 0x0d0c0908, 0x07060302, 0x0f0e0b0a}))
		s.p("VPERMQ $0xd8, Y8, Y8")
		s.p("VEXTRACTI128 $1, Y8, X9")
		s.p("VCVTPH2PS X8, Y8")
		s.p("VCVTPH2PS X9, Y9")
		s.p("VMULPS Y8, Y12, Y8")
	}
	s.p("VFMADD213PS %d(R11), Y8, Y%d", 32*h, h)
	if !s.curve {
		s.p("VFMADD231PS Y9, Y10, Y%d", h)
	}
	s.p("VMOVUPS Y%d, %d(R11)", h, 32*h)
}
