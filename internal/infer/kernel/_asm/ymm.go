package main

import (
	"fmt"
	"slices"
)

// The tiles of this file and of ymm_*.go have 256-bit vectors and sixteen registers: those of the AVX2 tier and, with
// VPDPBUSD in its VEX form, those of the AVX-VNNI tier. A tile is 16 rows × n columns, n = 2 … 6; a panel's 32 rows
// are two of them. Weights are unpacked to bytes in the buffer once for all groups of columns. A single column, and
// few columns of most formats, are multiplied as their weights are unpacked, without the buffer.
//
// AVX2 has no instruction that adds products of bytes to 32-bit sums. VPMADDUBSW multiplies unsigned weights with
// signed activations and adds neighbours: two products, at most w · 127 · 2. As many of these as fit are added in 16
// bits, eight for 4-bit weights (15 · 127 · 2 · 8 = 30,480), four for 5 bits (31,496), two for 6 bits (32,004); then
// VPMADDWD widens, and multiplies with the K formats' integer scales at the same time. Bytes go as words
// (ymm_words.go).
//
// So weights stay unsigned, without the offset that makes them signed; what it would have subtracted follows from the
// sums of the activations.
type ymm struct {
	*file
	vnni bool

	format *ysuper // at work, its sums of activations, and whether it is multiplied with a single column
	sums   int
	single bool

	nibbles, fifths string // operands: masks of classic formats
}

func (y *ymm) tier() string {
	if y.vnni {
		return "AVXVNNI"
	}
	return "AVX2"
}

// prefetch is the instruction that fetches ahead. Most processors with AVX-VNNI and without AVX-512 are Intel's: see
// fetchAhead.
func (y *ymm) prefetch() string {
	if y.vnni {
		return "PREFETCHT1"
	}
	return "PREFETCHT0"
}

// fetchFew is file.fetchFew, which leaves the instruction to the processor, unless the tier says which one.
func (y *ymm) fetchFew(base string, ahead, from, to int) {
	if y.vnni {
		y.fetchLines(y.prefetch(), base, ahead, from, to)
		return
	}
	y.file.fetchFew(base, ahead, from, to)
}

// fetchAsked asks for lines where fetchAhead is not 0. The branch goes the same way each time.
func (y *ymm) fetchAsked(base string, ahead, from, to int) {
	if from == to {
		return
	}
	none := y.label("none")
	y.p("CMPQ %d(SI), $0", argAhead)
	y.p("JE   %s", none)
	y.fetchLines("PREFETCHT1", base, ahead, from, to)
	y.l(none)
}

// Offsets in the buffer.
const (
	yOuter   = 0                         // for each group 6 × 32 float32
	yScale   = maxGroups * maxCols * 128 // 16 × 32 pairs of int16, both the scale; AVX-VNNI: 16 × 32 float32
	yMin     = yScale + 16*128           // 8 × 32 pairs of int16
	yEvenOdd = yMin + 128                // 16 sums of activations, where minima are multiplied at once
	yD       = yMin + 8*128              // 32 float32
	yDmin    = yD + 128                  // 32 float32
	ySum     = yDmin + 128               // 12 vectors: a tile's sums over runs
	yWeights = ySum + 12*32              // 64 quads × 32 rows × 4 bytes
	yCount   = yWeights + 64*128         // blocks left of a tile's
)

// Registers of a tile: Y0 … Y11 sums, Y12 and Y13 weights, Y14 activations, Y15 products.
const (
	yx = "Y14"
	yp = "Y15"
)

func ysum(j, h int) string { return fmt.Sprintf("Y%d", 2*j+h) }
func yw(h int) string      { return fmt.Sprintf("Y%d", 12+h) }

// constant gives the address of a vector of eight words v.
func (f *file) constant(v uint32) string { return f.vector([8]uint32{v, v, v, v, v, v, v, v}) }

// zero is what shuffle's bytes of zero come from.
const zero = 0x80

// shuffle gives the address of what makes VPSHUFB gather each word from these bytes of it.
func (f *file) shuffle(from ...int) string {
	var v [8]uint32
	for k := range v {
		for b, at := range from {
			if at != zero {
				at += k % 4 * 4
			}
			v[k] |= uint32(at) << (8 * b)
		}
	}
	return f.vector(v)
}

// vector gives the address of a vector.
func (f *file) vector(v [8]uint32) string {
	i := slices.Index(f.constants, v)
	if i < 0 {
		i = len(f.constants)
		f.constants = append(f.constants, v)
	}
	return fmt.Sprintf("·constants<>+%d(SB)", 32*i)
}

// writeConstants emits the vectors that were asked for.
func (f *file) writeConstants() {
	if len(f.constants) == 0 {
		return
	}
	f.WriteString("\n// Vectors of constants.\n")
	for i, v := range f.constants {
		for k, word := range v {
			fmt.Fprintf(f, "DATA ·constants<>+%d(SB)/4, $0x%08x\n", 32*i+4*k, word)
		}
	}
	fmt.Fprintf(f, "GLOBL ·constants<>(SB), RODATA|NOPTR, $%d\n", 32*len(f.constants))
}

// ones is a vector of sixteen 1.
const ones = 0x00010001

// multiply adds weights times activations to a sum, or starts it.
func (y *ymm) multiply(x, w, sum, temp string, first bool) {
	switch {
	case y.vnni:
		if first {
			y.p("VPXOR %s, %s, %s", sum, sum, sum)
		}
		y.dot(x, w, sum)
	case first:
		y.p("VPMADDUBSW %s, %s, %s", x, w, sum)
	default:
		y.p("VPMADDUBSW %s, %s, %s", x, w, temp)
		y.p("VPADDW %s, %s, %s", temp, sum, sum)
	}
}

// dot is VPDPBUSD of three registers in its VEX form, which Go's assembler does not know: VEX.256.66.0F38.W0 50 /r.
// With -evex it is what the assembler writes, for tests on machines that have only that.
func (y *ymm) dot(x, w, sum string) {
	if y.evex {
		y.p("VPDPBUSD %s, %s, %s", x, w, sum)
		return
	}
	rm, v, reg := number(x), number(w), number(sum)
	second := 0xe2 &^ (reg >> 3 << 7) &^ (rm >> 3 << 5) // R, X, B inverted, map 0F38
	third := 0x7d &^ (v << 3)                           // W 0, vvvv inverted, L 1, prefix 66
	y.p("BYTE $0xc4; BYTE $0x%02x; BYTE $0x%02x; BYTE $0x50; BYTE $0x%02x // VPDPBUSD %s, %s, %s", second, third,
		0xc0|reg&7<<3|rm&7, x, w, sum)
}

func number(reg string) (n int) {
	if _, err := fmt.Sscanf(reg, "Y%d", &n); err != nil {
		panic(reg)
	}
	return n
}

// clearOuter zeroes the outer sums of all groups.
func (y *ymm) clearOuter(n int) {
	y.p("VPXOR Y0, Y0, Y0")
	y.eachGroup(func() {
		for at := 0; at < 128*n; at += 32 {
			y.p("VMOVUPS Y0, %d(BX)(DX*1)", yOuter+at)
		}
	})
}

// storeOuter writes the outer sums to y.
func (y *ymm) storeOuter(n int) {
	y.p("MOVQ %d(SI), AX", argRow)
	y.eachGroup(func() {
		for j := range n {
			y.p("MOVQ %d(SI)(CX*1), R15", argY+8*j)
			for h := range 4 {
				y.p("VMOVUPS %d(BX)(DX*1), Y%d", yOuter+128*j+32*h, h)
				y.p("VMOVUPS Y%d, %d(R15)(AX*1)", h, 32*h)
			}
		}
	})
}

// quad multiplies four k of a tile, whose weights are at off from a register, with four activations of each column.
func (y *ymm) quad(n int, off int, base string, x int, first bool) {
	for h := range 2 {
		y.p("VMOVDQU %d(%s), %s", off+32*h, base, yw(h))
	}
	y.timesColumns(n, x, first)
}

// timesColumns multiplies four k of a tile, whose weights are in yw, with four activations of each column.
func (y *ymm) timesColumns(n, x int, first bool) {
	for j := range n {
		y.p("VPBROADCASTD %d(%s)(AX*1), %s", x, xReg[j], yx)
		for h := range 2 {
			y.multiply(yx, yw(h), ysum(j, h), yp, first)
		}
	}
}

// next ends the two outer loops of a kernel of K formats, whose blocks have size bytes: it goes to the tile of the
// next 16 rows, and behind the last one to the next group of columns.
func (y *ymm) next(size int, tile, columns string) {
	y.p("ADDQ $64, R14")
	y.p("ADDQ $64, DX")
	y.p("MOVQ %d(SI), AX", argChunk) // back to the first block, 16 scales on
	y.p("IMUL3Q $%d, AX, AX", size)
	y.p("SUBQ AX, CX")
	y.p("ADDQ $32, CX")
	y.p("LEAQ 128(BX), AX")
	y.p("CMPQ R14, AX")
	y.p("JNE  %s", tile)
	y.p("ADDQ $48, %d(SI)", argGroup)
	y.p("MOVQ %d(SI), CX", argGroup)
	y.p("CMPQ CX, %d(SI)", argGroups)
	y.p("JNE  %s", columns)
}

// fetchLines asks for lines from … to−1 at so many bytes ahead of a register.
func (f *file) fetchLines(instruction, base string, ahead, from, to int) {
	for i := from; i < to; i++ {
		f.p("%s %d(%s)", instruction, ahead+64*i, base)
	}
}
