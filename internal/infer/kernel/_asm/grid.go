package main

import (
	"fmt"
	"math"
	"strings"
)

// The kernels of the formats with grids (IQ3, IQ2, IQ1) work in steps, each over a block of 32 rows × 256 weights. The
// argument of all is type gridBlock.
//
// A step of each format's own, in this file, takes the planes of a block apart: into the indices' high bits (a byte
// for each index), signs (a bit for each weight) and scales (float32). What follows is common to formats of the same
// kind: looking up and multiplying, or looking up and storing weights for several columns (grid_ymm.go, grid_zmm.go).
// On AVX-512 a single column has a kernel for each format, which takes a whole panel in one step (grid_dot.go). So
// there is a file of assembly for each format, and others for what is common.
//
// The steps of formats' own are written with the names of AVX2; for AVX-512 those are translated, see p.
type grid struct {
	*file
	zmm bool
}

// zmmNames are the names in AVX-512 of what has another one there. Constants in memory are words, broadcast.
var zmmNames = strings.NewReplacer("VPAND ·", "VPANDD.BCST ·", "VPADDD ·", "VPADDD.BCST ·",
	"VMULPS ·", "VMULPS.BCST ·", "VPAND ", "VPANDD ", "VPOR ", "VPORD ", "VPXOR ", "VPXORD ", "VMOVDQU ", "VMOVDQU64 ")

// p writes an instruction.
func (k *grid) p(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if k.zmm {
		text = strings.ReplaceAll(zmmNames.Replace(text), " Y", " Z")
	}
	k.file.p("%s", text)
}

// Offsets in type gridBlock.
const (
	gridPlanes  = 0
	gridLow     = 8
	gridLowStep = 16
	gridHigh    = 24
	gridSigns   = 32
	gridScale   = 40
	gridTable   = 48
	gridIndex   = 56
	gridQ       = 64
	gridX       = 72
	gridAcc     = 80
	gridChunks  = 88
	gridValues  = 96
	gridFields  = 104
	gridPairs   = 112
	gridFetch   = 120
	gridBlocks  = 128
	gridHelp    = 136
)

// Offsets in a block of activations (act256 in acts.go).
const (
	gridInit   = 256
	gridFactor = 368
)

// parting is a format's own step. half tells whether a block begins with binary16 scales. A scale is the
// super-scale times factor times (s+½), as all formats can be put.
type parting struct {
	format, doc string
	half        bool
	factor      float32
	run         func(k *grid, g int)
	before      func(k *grid)
}

var partings = []parting{
	{"IQ3_XXS",
		"A word for each run of 32 weights has four times seven signs, and a scale in its top bits.",
		true, 0.5, func(k *grid, g int) {
			k.scale(g, 16+g, 28, 4)
			k.load(16+g, "Y0")
			k.sevens("Y0")
			k.store("Y0", "R8", g)
		}, nil},
	{"IQ2_XXS",
		"Of two words for a run of 32 weights the second has four times seven signs, and a scale in its top bits.",
		true, 0.25, func(k *grid, g int) {
			k.scale(g, 2*g+1, 28, 4)
			k.load(2*g+1, "Y0")
			k.sevens("Y0")
			k.store("Y0", "R8", g)
		}, nil},
	{"IQ2_XS",
		"Words of 16 bits have an index of nine bits, and seven signs above it. Scales are nibbles.",
		true, 0.25, func(k *grid, g int) {
			k.splitBytes(2 * g)
			k.store("Y0", "R11", g)
			k.p("VPAND %s, Y3, Y0", k.constant(0x01010101))
			k.store("Y0", "DI", g)
			k.p("VPSRLW $1, Y3, Y0")
			k.even("Y0")
			k.store("Y0", "R8", g)
			k.nibbleScales(g, 16)
		}, nil},
	{"IQ3_S",
		"The ninth bits of indices, signs, and scales of four bits each have their own planes.",
		true, 2, func(k *grid, g int) {
			for h := range 2 {
				k.bits(16+g/4, g%4*8+4*h, 1, "Y0")
				k.store("Y0", "DI", 2*g+h)
			}
			k.load(18+g, "Y0")
			k.store("Y0", "R8", g)
			k.scale(g, 26, 4*g, 4)
		}, nil},
	{"IQ2_S",
		"Two high bits of each index, signs, and scales of four bits each have their own planes.",
		true, 0.25, func(k *grid, g int) {
			k.bits(16+g/4, g%4*8, 2, "Y0")
			k.store("Y0", "DI", g)
			k.load(8+g, "Y0")
			k.store("Y0", "R8", g)
			k.nibbleScales(g, 18)
		}, nil},
	{"IQ1_S",
		"16 bits for a run of 32 weights have three high bits of each of four indices, a scale, and a sign.",
		true, 0.25, func(k *grid, g int) {
			k.bits(8+g/2, g%2*16, 3, "Y0")
			k.store("Y0", "DI", g)
			k.load(8+g/2, "Y0")
			if g%2 == 0 {
				k.p("VPSLLD $16, Y0, Y0")
			}
			k.p("VPSRAD $31, Y0, Y0")
			k.store("Y0", "R8", g)
			k.scale(g, 8+g/2, g%2*16+12, 3)
		}, nil},
	{"IQ1_M",
		"16 bits for a run of 32 weights have three high bits and a sign of each of four indices.",
		false, 0.25, func(k *grid, g int) {
			k.bits(8+g/2, g%2*16, 4, "Y1")
			k.p("VPAND %s, Y1, Y0", k.constant(0x07070707))
			k.store("Y0", "DI", g)
			k.p("VPAND %s, Y1, Y1", k.constant(0x08080808))
			k.equal(0x08080808, "Y1")
			k.store("Y1", "R8", g)
			for h := range 2 {
				k.scale(2*g+h, 12+g/4, g/2%2*16+g%2*6+3*h, 3)
			}
		}, func(k *grid) {
			k.c("The super-scale, from the top nibbles of four words of 16 bits.")
			for i, step := range []struct{ right, left int }{{12, 0}, {28, 4}, {12, 8}, {28, 12}} {
				k.load(12+i/2, "Y1")
				k.p("VPSRLD $%d, Y1, Y1", step.right)
				k.p("VPAND %s, Y1, Y1", k.constant(15))
				if i == 0 {
					k.p("VPOR Y1, Y1, Y0")
					continue
				}
				k.p("VPSLLD $%d, Y1, Y1", step.left)
				k.p("VPOR Y1, Y0, Y0")
			}
			if k.zmm {
				k.file.p("VPMOVDW Z0, Y0")
				k.file.p("VCVTPH2PS Y0, Z15")
				return
			}
			k.p("VEXTRACTI128 $1, Y0, X1")
			k.p("VPACKUSDW X1, X0, X0")
			k.p("VCVTPH2PS X0, Y15")
		}},
}

// plainName is a format's name without underscores.
func plainName(format string) string { return strings.ReplaceAll(format, "_", "") }

// part emits the step that takes blocks apart, a vector of rows at a time.
func (k *grid) part(t parting) {
	tier, width := "AVX2", 32
	if k.zmm {
		tier, width = "AVX512", 64
	}
	k.text("part"+plainName(t.format)+tier, t.doc)
	k.p("MOVQ b+0(FP), DX")
	for _, r := range []struct {
		at  int
		reg string
	}{{gridPlanes, "SI"}, {gridHigh, "DI"}, {gridSigns, "R8"}, {gridScale, "R9"}, {gridLow, "R11"}} {
		k.p("MOVQ %d(DX), %s", r.at, r.reg)
	}
	if t.half {
		k.p("MOVQ SI, R10")
		k.p("ADDQ $64, SI")
	}
	if k.zmm {
		k.tables(scaleBits(t.format))
	}
	k.p("MOVQ $%d, CX", 128/width)
	rows := k.label("rows")
	k.l(rows)
	if t.half {
		k.p("VCVTPH2PS (R10), Y15")
		k.p("ADDQ $%d, R10", width/2)
	}
	if t.before != nil {
		t.before(k)
	}
	k.p("VMULPS %s, Y15, Y15", k.float(t.factor))
	if !k.zmm {
		k.p("VMULPS %s, Y15, Y14", k.float(0.5))
	}
	for g := range 8 {
		k.c("Run %d.", g)
		t.run(k, g)
	}
	for _, reg := range []string{"SI", "DI", "R8", "R9", "R11"} {
		k.p("ADDQ $%d, %s", width, reg)
	}
	k.p("DECQ CX")
	k.p("JNZ  %s", rows)
	k.p("VZEROUPPER")
	k.p("RET")
}

// text begins a function.
func (k *grid) text(name, doc string) {
	fmt.Fprintf(k, "\n// func %s(b *gridBlock)\n//\n", name)
	k.comment(doc)
	fmt.Fprintf(k, "TEXT ·%s(SB), NOSPLIT, $0-8\n", name)
}

// scaleBits is how many bits a scale has.
func scaleBits(format string) int {
	if strings.HasPrefix(format, "IQ1") {
		return 3
	}
	return 4
}

// tables loads what the steps look up on AVX-512, for scales of n bits.
func (k *grid) tables(n int) {
	k.p("VMOVDQU ·halves%d<>(SB), Y10", n)
	k.p("VMOVDQU ·evenBytes<>+0(SB), Y11")
	k.p("VMOVDQU ·evenBytes<>+64(SB), Y12")
	k.p("VBROADCASTI64X4 %s, Y13", k.multishift(0, 7))
	k.p("VMOVDQU ·lowBytes<>(SB), Y5")
	k.p("VMOVDQU ·highBytes<>(SB), Y6")
}

// fetch asks for some lines of the block behind the next one, as many each time as must come meanwhile: where all are
// asked for at once, loads wait for them.
func (k *grid) fetch(lines int) {
	for i := range lines {
		k.p("PREFETCHT0 %d(DX)", 64*i)
	}
	k.p("ADDQ $%d, DX", 64*lines)
}

func (k *grid) load(plane int, reg string)      { k.p("VMOVDQU %d(SI), %s", 128*plane, reg) }
func (k *grid) store(reg, to string, plane int) { k.p("VMOVDQU %s, %d(%s)", reg, 128*plane, to) }

func (k *grid) shiftRight(n int, reg string) {
	if n > 0 {
		k.p("VPSRLD $%d, %s, %s", n, reg, reg)
	}
}

// bits gives each of four bytes n bits of a number, which begin at a bit of a plane. Y2 is lost.
func (k *grid) bits(plane, bit, n int, to string) {
	k.c("Bits %d to %d: %d for each of four bytes.", bit, bit+4*n-1, n)
	mask := k.constant(uint32(1<<n-1) * 0x01010101)
	if k.zmm {
		k.p("VPBROADCASTQ %s, Y2", k.multishift(bit, n))
		k.p("VPMULTISHIFTQB %d(SI), Y2, %s", 128*plane, to)
		k.p("VPAND %s, %s, %s", mask, to, to)
		return
	}
	k.load(plane, to)
	k.shiftRight(bit, to)
	k.p("VPAND %s, %s, Y2", k.constant((1<<(2*n)-1)<<(2*n)), to)
	k.p("VPAND %s, %s, %s", k.constant(1<<(2*n)-1), to, to)
	k.p("VPSLLD $%d, Y2, Y2", 16-2*n)
	k.p("VPOR Y2, %s, %s", to, to)
	k.p("VPSLLD $%d, %s, Y2", 8-n, to)
	k.p("VPOR Y2, %s, %s", to, to)
	k.p("VPAND %s, %s, %s", mask, to, to)
}

// float gives the address of a vector of eight float32.
func (k *grid) float(v float32) string { return k.constant(math.Float32bits(v)) }

// splitBytes takes two planes of two words of 16 bits each: their low bytes go to Y0, their high ones to Y3. Y1, Y2
// and Y4 are lost.
func (k *grid) splitBytes(plane int) {
	k.c("Low and high bytes of four words of 16 bits.")
	k.load(plane, "Y0")
	if k.zmm {
		k.p("VMOVDQA64 Y0, Y3")
		k.p("VPERMT2B %d(SI), Y5, Y0", 128*(plane+1))
		k.p("VPERMT2B %d(SI), Y6, Y3", 128*(plane+1))
		return
	}
	k.load(plane+1, "Y1")
	k.p("VPSRLW $8, Y0, Y3")
	k.p("VPSRLW $8, Y1, Y4")
	k.p("VPAND %s, Y0, Y0", k.constant(0x00ff00ff))
	k.p("VPAND %s, Y1, Y1", k.constant(0x00ff00ff))
	for _, pair := range [][2]string{{"Y0", "Y1"}, {"Y3", "Y4"}} {
		k.p("VPACKUSWB %s, %s, %s", pair[1], pair[0], pair[0])
		k.p("VPSHUFB %s, %s, %s", k.vector([8]uint32{0x09080100, 0x0b0a0302, 0x0d0c0504, 0x0f0e0706,
			0x09080100, 0x0b0a0302, 0x0d0c0504, 0x0f0e0706}), pair[0], pair[0])
	}
}

// sevens spreads four times seven bits to bytes, and adds the eighth. Y1 is lost.
func (k *grid) sevens(reg string) {
	k.c("Four times seven signs to bytes, and the eighth of each.")
	if k.zmm {
		k.p("VPMULTISHIFTQB %s, Y13, %s", reg, reg)
		k.even(reg)
		return
	}
	k.p("VPAND %s, %s, Y1", k.constant(0x0fffc000), reg)
	k.p("VPAND %s, %s, %s", k.constant(0x3fff), reg, reg)
	k.p("VPSLLD $2, Y1, Y1")
	k.p("VPOR Y1, %s, %s", reg, reg)
	k.p("VPAND %s, %s, Y1", k.constant(0x3f803f80), reg)
	k.p("VPAND %s, %s, %s", k.constant(0x007f007f), reg, reg)
	k.p("VPSLLD $1, Y1, Y1")
	k.p("VPOR Y1, %s, %s", reg, reg)
	k.even(reg)
}

// even makes the eighth bit of each byte such that the number of bits set is even. Y1 and Y2 are lost.
func (k *grid) even(reg string) {
	if k.zmm { // all 128 bytes are in a table
		k.p("VPERMI2B Y12, Y11, %s", reg)
		return
	}
	parity := [8]uint32{0x00808000, 0x80000080, 0x80000080, 0x00808000}
	copy(parity[4:], parity[:4])
	k.p("VPAND %s, %s, %s", k.constant(0x7f7f7f7f), reg, reg)
	k.p("VPSRLW $4, %s, Y1", reg)
	k.p("VPXOR %s, Y1, Y1", reg)
	k.p("VPAND %s, Y1, Y1", k.constant(0x0f0f0f0f))
	k.p("VMOVDQU %s, Y2", k.vector(parity))
	k.p("VPSHUFB Y1, Y2, Y1")
	k.p("VPOR Y1, %s, %s", reg, reg)
}

// scale stores the scale of s, the bits from bit on of a plane: Y15·s + Y14, where Y15 is the super-scale times the
// format's factor, and Y14 half of that. Nothing is rounded there: a binary16 number times a few bits fits into a
// float32. On AVX-512 s+½ comes from a table of sixteen. Y1 is lost.
func (k *grid) scale(g, plane, bit, n int) {
	k.c("Scale %d: s+½ times the super-scale.", g)
	k.load(plane, "Y1")
	k.shiftRight(bit, "Y1")
	if k.zmm {
		k.p("VPERMPS Y10, Y1, Y1")
		k.p("VMULPS Y15, Y1, Y1")
	} else {
		if bit+n < 32 {
			k.p("VPAND %s, Y1, Y1", k.constant(1<<n-1))
		}
		k.p("VCVTDQ2PS Y1, Y1")
		k.p("VFMADD213PS Y14, Y15, Y1")
	}
	k.store("Y1", "R9", g)
}

// nibbleScales stores the two scales of run g, nibbles of byte g of the eight that begin with a plane.
func (k *grid) nibbleScales(g, plane int) {
	for h := range 2 {
		k.scale(2*g+h, plane+g/4, g%4*8+4*h, 4)
	}
}

// equal makes bytes that are equal to those of v ones, and others zeros.
func (k *grid) equal(v uint32, reg string) {
	if k.zmm {
		k.p("VPBROADCASTD %s, Y2", k.constant(v))
		k.p("VPCMPEQB Y2, %s, K1", reg)
		k.p("VPMOVM2B K1, %s", reg)
		return
	}
	k.p("VPCMPEQB %s, %s, %s", k.constant(v), reg, reg)
}
