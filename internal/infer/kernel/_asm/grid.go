package main

import (
	"fmt"
	"math"
)

// The kernels of the formats with grids (IQ3, IQ2, IQ1) work in steps, each over a block of 32 rows × 256 weights. The
// argument of all is type gridBlock.
//
// A step of each format's own, in this file, takes the planes of a block apart: into the indices' high bits (a byte
// for each index), signs (a bit for each weight) and scales (float32). What follows is common to formats of the same
// kind: looking up and multiplying, or looking up and storing weights for several columns (grid_ymm.go, grid_zmm.go).
type grid struct {
	*file
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
)

// Offsets in a block of activations (act256 in acts.go).
const (
	gridInit   = 256
	gridFactor = 368
)

// partings lists the formats' own steps. half tells whether a block begins with binary16 scales; planes is how many
// planes there are behind these.
var partings = []struct {
	name   string
	half   bool
	planes int
	run    func(k *grid, g int)
	before func(k *grid)
}{
	{"IQ3XXS", true, 24, func(k *grid, g int) {
		k.load(16+g, "Y0")
		k.scale(g, "Y0", 28, 0.5)
		k.sevens("Y0")
		k.store("Y0", "R8", g)
	}, nil},
	{"IQ2XXS", true, 16, func(k *grid, g int) {
		k.load(2*g+1, "Y0")
		k.scale(g, "Y0", 28, 0.25)
		k.sevens("Y0")
		k.store("Y0", "R8", g)
	}, nil},
	{"IQ2XS", true, 18, func(k *grid, g int) {
		k.load(2*g, "Y0")
		k.load(2*g+1, "Y1")
		k.p("VPSRLW $8, Y0, Y2")
		k.p("VPSRLW $8, Y1, Y3")
		k.p("VPAND %s, Y0, Y0", k.constant(0x00ff00ff))
		k.p("VPAND %s, Y1, Y1", k.constant(0x00ff00ff))
		k.joinBytes("Y0", "Y1")
		k.store("Y0", "R11", g)
		k.joinBytes("Y2", "Y3")
		k.p("VPAND %s, Y2, Y0", k.constant(0x01010101))
		k.store("Y0", "DI", g)
		k.p("VPSRLW $1, Y2, Y0")
		k.p("VPAND %s, Y0, Y0", k.constant(0x7f7f7f7f))
		k.even("Y0")
		k.store("Y0", "R8", g)
		k.nibbleScales(g, 16)
	}, nil},
	{"IQ3S", true, 27, func(k *grid, g int) {
		k.byteOf(16, g, "Y0")
		k.bits("Y0", "Y1", 1, 0x01010101)
		k.store("Y1", "DI", 2*g)
		k.p("VPSRLD $4, Y0, Y0")
		k.bits("Y0", "Y1", 1, 0x01010101)
		k.store("Y1", "DI", 2*g+1)
		k.load(18+g, "Y0")
		k.store("Y0", "R8", g)
		k.load(26, "Y0")
		k.shiftRight(4*g, "Y0")
		k.p("VPAND %s, Y0, Y0", k.constant(15))
		k.oddScale(g, "Y0", false)
	}, nil},
	{"IQ2S", true, 20, func(k *grid, g int) {
		k.byteOf(16, g, "Y0")
		k.bits("Y0", "Y1", 2, 0x03030303)
		k.store("Y1", "DI", g)
		k.load(8+g, "Y0")
		k.store("Y0", "R8", g)
		k.nibbleScales(g, 18)
	}, nil},
	{"IQ1S", true, 12, func(k *grid, g int) {
		k.wordOf(8, g, "Y0")
		k.bits("Y0", "Y1", 3, 0x07070707)
		k.store("Y1", "DI", g)
		k.p("VPSLLD $16, Y0, Y1")
		k.p("VPSRAD $31, Y1, Y1")
		k.store("Y1", "R8", g)
		k.p("VPSRLD $12, Y0, Y0")
		k.p("VPAND %s, Y0, Y0", k.constant(7))
		k.oddScale(g, "Y0", true)
	}, nil},
	{"IQ1M", false, 14, func(k *grid, g int) {
		k.wordOf(8, g, "Y0")
		k.bits("Y0", "Y1", 4, 0x0f0f0f0f)
		k.p("VPAND %s, Y1, Y0", k.constant(0x07070707))
		k.store("Y0", "DI", g)
		k.p("VPAND %s, Y1, Y1", k.constant(0x08080808))
		k.p("VPCMPEQB %s, Y1, Y1", k.constant(0x08080808))
		k.store("Y1", "R8", g)
		for h := range 2 {
			k.load(12+g/4, "Y0")
			k.shiftRight(g/2%2*16+g%2*6+3*h, "Y0")
			k.p("VPAND %s, Y0, Y0", k.constant(7))
			k.oddScale(2*g+h, "Y0", true)
		}
	}, func(k *grid) {
		// the super-scale is in the top nibbles of four words of 16 bits
		for i, step := range []struct{ right, left int }{{12, 0}, {28, 4}, {12, 8}, {28, 12}} {
			k.load(12+i/2, "Y1")
			k.p("VPSRLD $%d, Y1, Y1", step.right)
			k.p("VPAND %s, Y1, Y1", k.constant(15))
			if i == 0 {
				k.p("VMOVDQA Y1, Y0")
				continue
			}
			k.p("VPSLLD $%d, Y1, Y1", step.left)
			k.p("VPOR Y1, Y0, Y0")
		}
		k.p("VEXTRACTI128 $1, Y0, X1")
		k.p("VPACKUSDW X1, X0, X0")
		k.p("VCVTPH2PS X0, Y15")
	}},
}

// partings emits the steps that take blocks apart, eight rows at a time.
func (k *grid) partings() {
	for _, t := range partings {
		fmt.Fprintf(k, "\n// func part%sAVX2(b *gridBlock)\nTEXT ·part%sAVX2(SB), NOSPLIT, $0-8\n", t.name, t.name)
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
		k.p("LEAQ %d(SI), R12", 2*128*t.planes)
		k.p("MOVQ $4, CX")
		rows := k.label("rows")
		k.l(rows)
		if t.half {
			k.p("VCVTPH2PS (R10), Y15")
			k.p("ADDQ $16, R10")
		}
		if t.before != nil {
			t.before(k)
		}
		for g := range 8 {
			t.run(k, g)
		}
		k.fetch(t.planes)
		for _, reg := range []string{"SI", "DI", "R8", "R9", "R11"} {
			k.p("ADDQ $32, %s", reg)
		}
		k.p("DECQ CX")
		k.p("JNZ  %s", rows)
		k.p("VZEROUPPER")
		k.p("RET")
	}
}

// fetch asks for a quarter of a block's lines, from R12 on: two blocks ahead are 30 µs in the fastest format's kernel.
func (k *grid) fetch(planes int) {
	lines := (2*planes + 1 + 3) / 4
	for i := range lines {
		k.p("PREFETCHT0 %d(R12)", 64*i)
	}
	k.p("ADDQ $%d, R12", 64*lines)
}

func (k *grid) load(plane int, reg string)      { k.p("VMOVDQU %d(SI), %s", 128*plane, reg) }
func (k *grid) store(reg, to string, plane int) { k.p("VMOVDQU %s, %d(%s)", reg, 128*plane, to) }

func (k *grid) shiftRight(n int, reg string) {
	if n > 0 {
		k.p("VPSRLD $%d, %s, %s", n, reg, reg)
	}
}

// byteOf gives byte g of the eight that begin with a plane, wordOf word g of eight words of 16 bits.
func (k *grid) byteOf(plane, g int, reg string) {
	k.load(plane+g/4, reg)
	k.shiftRight(g%4*8, reg)
	if g%4 < 3 {
		k.p("VPAND %s, %s, %s", k.constant(0xff), reg, reg)
	}
}

func (k *grid) wordOf(plane, g int, reg string) {
	k.load(plane+g/2, reg)
	if g%2 == 1 {
		k.p("VPSRLD $16, %s, %s", reg, reg)
	} else {
		k.p("VPAND %s, %s, %s", k.constant(0xffff), reg, reg)
	}
}

// bits gives each of four bytes its n bits of the low 4n of a word. Y2 is lost.
func (k *grid) bits(from, to string, n int, mask uint32) {
	k.p("VPAND %s, %s, Y2", k.constant((1<<(2*n)-1)<<(2*n)), from)
	k.p("VPAND %s, %s, %s", k.constant(1<<(2*n)-1), from, to)
	k.p("VPSLLD $%d, Y2, Y2", 16-2*n)
	k.p("VPOR Y2, %s, %s", to, to)
	k.p("VPSLLD $%d, %s, Y2", 8-n, to)
	k.p("VPOR Y2, %s, %s", to, to)
	k.p("VPAND %s, %s, %s", k.constant(mask), to, to)
}

// float gives the address of a vector of eight float32.
func (k *grid) float(v float32) string { return k.constant(math.Float32bits(v)) }

// joinBytes makes words of four bytes of two words' pairs of 16 bits, all below 256.
func (k *grid) joinBytes(a, b string) {
	k.p("VPACKUSWB %s, %s, %s", b, a, a)
	k.p("VPSHUFB %s, %s, %s", k.vector([8]uint32{0x09080100, 0x0b0a0302, 0x0d0c0504, 0x0f0e0706,
		0x09080100, 0x0b0a0302, 0x0d0c0504, 0x0f0e0706}), a, a)
}

// sevens spreads four times seven bits to bytes, and adds the eighth. Y1 is lost.
func (k *grid) sevens(reg string) {
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

// even sets the eighth bit of each byte so that the number of bits set is even. Y1 and Y2 are lost.
func (k *grid) even(reg string) {
	parity := [8]uint32{0x00808000, 0x80000080, 0x80000080, 0x00808000}
	copy(parity[4:], parity[:4])
	k.p("VPSRLW $4, %s, Y1", reg)
	k.p("VPXOR %s, Y1, Y1", reg)
	k.p("VPAND %s, Y1, Y1", k.constant(0x0f0f0f0f))
	k.p("VMOVDQU %s, Y2", k.vector(parity))
	k.p("VPSHUFB Y1, Y2, Y1")
	k.p("VPOR Y1, %s, %s", reg, reg)
}

// scale stores d·(½+s)·by, where s is what from has from bit shift on. Y1 is lost.
func (k *grid) scale(g int, from string, shift int, by float32) {
	k.p("VPSRLD $%d, %s, Y1", shift, from)
	k.halfScale(g, by)
}

func (k *grid) halfScale(g int, by float32) {
	k.p("VCVTDQ2PS Y1, Y1")
	k.p("VADDPS %s, Y1, Y1", k.float(0.5))
	k.p("VMULPS Y15, Y1, Y1")
	k.p("VMULPS %s, Y1, Y1", k.float(by))
	k.store("Y1", "R9", g)
}

// nibbleScales stores the two scales of run g, nibbles of byte g of the eight that begin with a plane.
func (k *grid) nibbleScales(g, plane int) {
	for h := range 2 {
		k.load(plane+g/4, "Y1")
		if n := g%4*8 + 4*h; n > 0 {
			k.p("VPSRLD $%d, Y1, Y1", n)
		}
		k.p("VPAND %s, Y1, Y1", k.constant(15))
		k.halfScale(2*g+h, 0.25)
	}
}

// oddScale stores d·(2s+1), an eighth of it for those of IQ1.
func (k *grid) oddScale(g int, reg string, eighth bool) {
	k.p("VPADDD %s, %s, %s", reg, reg, reg)
	k.p("VPADDD %s, %s, %s", k.constant(1), reg, reg)
	k.p("VCVTDQ2PS %s, %s", reg, reg)
	k.p("VMULPS %s, Y15, %s", reg, reg)
	if eighth {
		k.p("VMULPS %s, %s, %s", k.float(0.125), reg, reg)
	}
	k.store(reg, "R9", g)
}

// aboutGrid is what the heads of the files say.
var aboutGrid = map[string]string{
	"avx2": `
Formats with grids. part… takes the planes of a block of 32 rows apart into high bits of indices, signs and scales;
spread… looks weights up and stores them as quads, dot… multiplies them with a column.`,
	"avx512": `
Formats with grids. lookUp finds the entries of all indices of a block in tables that VPERMI2B looks 64 bytes up in at
once; spread… makes quads of weights of the entries and the signs, dot… multiplies them with a column.`,
}

func emitGridYMM(f *file) {
	k := &grid{f}
	k.partings()
	for _, kind := range gridKinds {
		k.lookUps(kind, false)
		k.lookUps(kind, true)
	}
}
