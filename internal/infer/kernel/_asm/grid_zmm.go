package main

import (
	"fmt"
	"math"
	"math/bits"
)

// The AVX-512 tier looks indices up where a processor has VBMI: VPERMI2B takes 64 bytes at once from tables of 128. An
// entry of eight weights of three values is two bytes, one of four weights of eight values is two bytes too, with a
// place for each weight's sign. So a word of four indices of a row becomes two words; from those and the signs
// VPMULTISHIFTQB makes the numbers of a quad's values, and VPERMB the values.
func emitGridZMM(f *file) {
	k := &grid{file: f, zmm: true}
	k.partings()
	k.bytes("evenBytes", 128, func(i int) int { return i | bits.OnesCount(uint(i))&1<<7 }) // for even, in grid.go
	for n := 3; n <= 4; n++ {
		k.bytes(fmt.Sprintf("halves%d", n), 64, func(i int) int {
			return int(math.Float32bits(float32(i/4%(1<<n))+0.5) >> (i % 4 * 8) & 0xff)
		})
	}
	for i, name := range []string{"lowBytes", "highBytes"} { // of two words of 16 bits, and two in another vector
		k.bytes(name, 64, func(at int) int { return at/2%2*64 + at&^3 + at%2*2 + i })
	}
	k.lookUp()
	k.lookUp256()
	k.spreadQuads(false)
	k.spreadQuads(true)
	k.dotFine()
	k.dot(false)
	k.dot(true)
}

// bytes emits a table of bytes.
func (k *grid) bytes(name string, n int, at func(i int) int) {
	k.WriteString("\n")
	for i := 0; i < n; i += 4 {
		var word uint32
		for j := range 4 {
			word |= uint32(at(i+j)) << (8 * j)
		}
		fmt.Fprintf(k, "DATA ·%s<>+%d(SB)/4, $0x%08x\n", name, i, word)
	}
	fmt.Fprintf(k, "GLOBL ·%s<>(SB), RODATA|NOPTR, $%d\n", name, n)
}

// lookUp replaces words of four indices by two words each, two planes at a time. Z0 … Z3 are the indices, Z4 … Z7 the
// numbers of their tables, Z8 … Z15 the results, Z16 … Z19 tables.
func (k *grid) lookUp() {
	k.WriteString("\n// func lookUpAVX512(b *gridBlock)\nTEXT ·lookUpAVX512(SB), NOSPLIT, $0-8\n")
	k.p("MOVQ b+0(FP), SI")
	k.p("MOVQ %d(SI), R8", gridLow)
	k.p("MOVQ %d(SI), R15", gridLowStep)
	k.p("MOVQ %d(SI), R9", gridHigh)
	k.p("MOVQ %d(SI), DI", gridFields)
	k.p("MOVQ %d(SI), R10", gridChunks)
	k.p("MOVQ %d(SI), CX", gridPairs)
	k.broadcast(0x01010101, "Z31")
	planes, chunks := k.label("planes"), k.label("chunks")
	k.l(planes)
	for i := range 4 {
		low := []string{"(R8)", "64(R8)", "(R8)(R15*1)", "64(R8)(R15*1)"}[i]
		k.p("VMOVDQU64 %s, Z%d", low, i)
		k.p("VMOVDQU64 %d(R9), Z%d", 64*i, 4+i)
		k.p("VPADDB Z%d, Z%d, Z%d", 4+i, 4+i, 4+i)
		k.p("VPSRLW $7, Z%d, Z%d", i, 8+i)
		k.p("VPTERNLOGD $0xf8, Z31, Z%d, Z%d", 8+i, 4+i) // twice the high bits, and the low eight's highest
		k.p("VMOVDQA64 Z%d, Z%d", i, 8+i)
		k.p("VMOVDQA64 Z%d, Z%d", i, 12+i)
	}
	k.p("MOVQ %d(SI), DX", gridTable)
	k.p("XORL AX, AX")
	k.l(chunks)
	k.p("VPBROADCASTB AX, Z20")
	for i := range 4 {
		k.p("VMOVDQU64 %d(DX), Z%d", 64*i, 16+i)
	}
	for i := range 4 {
		k.p("VPCMPEQB Z20, Z%d, K%d", 4+i, 1+i)
		k.p("VPERMI2B Z17, Z16, K%d, Z%d", 1+i, 8+i)
		k.p("VPERMI2B Z19, Z18, K%d, Z%d", 1+i, 12+i)
	}
	k.p("ADDQ $256, DX")
	k.p("INCQ AX")
	k.p("CMPQ AX, R10")
	k.p("JNE  %s", chunks)
	for i := range 4 {
		at := i/2*256 + i%2*64
		k.p("VMOVDQU64 Z%d, %d(DI)", 8+i, at)
		k.p("VMOVDQU64 Z%d, %d(DI)", 12+i, at+128)
	}
	k.p("ADDQ $512, DI")
	k.p("ADDQ $256, R9")
	k.p("LEAQ (R8)(R15*2), R8")
	k.p("DECQ CX")
	k.p("JNZ  %s", planes)
	k.p("VZEROUPPER")
	k.p("RET")
}

// lookUp256 is lookUp for grids of 256 entries, whose tables stay in Z16 … Z23: a bit of an index says which half.
func (k *grid) lookUp256() {
	k.WriteString("\n// func lookUp256AVX512(b *gridBlock)\nTEXT ·lookUp256AVX512(SB), NOSPLIT, $0-8\n")
	k.p("MOVQ b+0(FP), SI")
	k.p("MOVQ %d(SI), R8", gridLow)
	k.p("MOVQ %d(SI), R15", gridLowStep)
	k.p("MOVQ %d(SI), DI", gridFields)
	k.p("MOVQ %d(SI), DX", gridTable)
	k.p("MOVQ %d(SI), CX", gridPairs)
	for i := range 8 {
		k.p("VMOVDQU64 %d(DX), Z%d", 64*i, 16+i)
	}
	planes := k.label("planes")
	k.l(planes)
	for i := range 4 {
		k.p("VMOVDQU64 %s, Z%d", []string{"(R8)", "64(R8)", "(R8)(R15*1)", "64(R8)(R15*1)"}[i], 3*i)
		k.p("VPMOVB2M Z%d, K1", 3*i)
		k.p("KNOTQ K1, K2")
		for half := range 2 {
			to := 3*i + 1 + half
			k.p("VMOVDQA64 Z%d, Z%d", 3*i, to)
			k.p("VPERMI2B Z%d, Z%d, K2, Z%d", 17+2*half, 16+2*half, to)
			k.p("VPERMI2B Z%d, Z%d, K1, Z%d", 21+2*half, 20+2*half, to)
			k.p("VMOVDQU64 Z%d, %d(DI)", to, i/2*256+i%2*64+128*half)
		}
	}
	k.p("ADDQ $512, DI")
	k.p("LEAQ (R8)(R15*2), R8")
	k.p("DECQ CX")
	k.p("JNZ  %s", planes)
	k.p("VZEROUPPER")
	k.p("RET")
}

// broadcast fills a register with a word.
func (k *grid) broadcast(v uint32, reg string) { k.p("VBROADCASTI64X4 %s, %s", k.constant(v), reg) }

// multishift gives the address of what makes VPMULTISHIFTQB take a word's four bytes from bit at on, step bits apart.
func (k *grid) multishift(at, step int) string {
	var v [8]uint32
	for i := range v {
		for j := range 4 {
			v[i] |= uint32((at+step*j+i%2*32)&63) << (8 * j)
		}
	}
	return k.vector(v)
}

// begin begins a function that goes through sixteen rows at a time, and through their runs; end ends it. R8 walks the
// entries' words, R10 the signs, R11 the scales, R13 the activations or the weights to store, DX what is fetched. Z8
// has the sums of sixteen rows; Z16 is the values, Z17 says which bits of their numbers are the entries'.
func (k *grid) begin(name string, three, dot bool, constants func()) (end func()) {
	width, what := 2, "spread"
	if three {
		width = 3
	}
	if dot {
		what = "dot"
	}
	fmt.Fprintf(k, "\n// func %s%sAVX512(b *gridBlock)\nTEXT ·%s%sAVX512(SB), NOSPLIT, $0-8\n", what, name, what, name)
	k.p("MOVQ b+0(FP), SI")
	k.p("MOVQ %d(SI), AX", gridValues)
	k.p("VBROADCASTI32X4 (AX), Z16")
	k.p("MOVQ %d(SI), DX", gridFetch)
	k.broadcast(uint32(1<<width-1)*0x01010101, "Z17")
	constants()
	k.p("XORL R14, R14 // byte of the rows in a plane")
	rows, runs := k.label("rows"), k.label("runs")
	k.l(rows)
	k.pointer(gridFields, "R8")
	k.pointer(gridSigns, "R10")
	if dot {
		k.pointer(gridScale, "R11")
		k.pointer(gridAcc, "DI")
		k.p("MOVQ %d(SI), R13", gridX)
		k.p("LEAQ %d(R13), R9", gridInit)
		k.p("VMOVUPS (DI), Z8")
		k.p("VBROADCASTSS %d(R13), Z9", gridFactor)
	} else {
		k.pointer(gridQ, "R13")
	}
	k.p("MOVQ %d(SI), R12", gridIndex)
	k.p("MOVQ $8, CX")
	k.l(runs)
	k.fetch(1 + width) // sixteen times
	k.p("VMOVDQU64 (R10), Z2")
	if dot {
		k.p("VPBROADCASTD (R9), Z6")
		k.p("VPBROADCASTD 4(R9), Z7")
	}
	return func() {
		k.p("ADDQ $%d, R8", 256*(width-1))
		k.p("ADDQ $128, R10")
		if dot {
			k.p("ADDQ $32, R12")
			k.p("ADDQ $32, R13")
			k.p("ADDQ $8, R9")
		} else {
			k.p("ADDQ $1024, R13")
		}
		k.p("DECQ CX")
		k.p("JNZ  %s", runs)
		if dot {
			k.p("VMOVUPS Z8, (DI)")
		}
		k.p("ADDQ $64, R14")
		k.p("CMPQ R14, $128")
		k.p("JNE  %s", rows)
		k.p("VZEROUPPER")
		k.p("RET")
	}
}

// spreadQuads stores weights, a word for a quad. Z20 … Z31 say where bits are.
func (k *grid) spreadQuads(three bool) {
	end := k.begin(map[bool]string{false: "Two", true: "Three"}[three], three, false, func() { k.whereBits(three) })
	for q := range 8 {
		k.quad(three, q)
		k.p("VMOVDQU64 Z4, %d(R13)", 128*q)
	}
	end()
}

// dotFine multiplies weights of which sixteen share a scale, quad by quad.
func (k *grid) dotFine() {
	end := k.begin("TwoFine", false, true, func() { k.whereBits(false) })
	for q := range 8 {
		k.quad(false, q)
		k.p("VPDPBUSD.BCST %d(R13), Z4, Z%d", 4*q, 6+q/4)
	}
	k.sixteen("Z6", 0)
	k.sixteen("Z7", 128)
	k.p("ADDQ $256, R11")
	end()
}

// whereBits loads what makes quads.
func (k *grid) whereBits(three bool) {
	width := 2
	if three {
		width = 3
		k.broadcast(0x00ff00ff, "Z18")
	}
	for q := range 8 {
		k.p("VBROADCASTI64X4 %s, Z%d", k.multishift(4*q-width, 1), 20+q)
	}
	for i := range 4 {
		at := []string{k.multishift(8*i, 2), k.multishift(16*(i/2), 4)}[width-2]
		k.p("VBROADCASTI64X4 %s, Z%d", at, 28+i)
	}
}

// quad leaves quad q of sixteen rows in Z4.
func (k *grid) quad(three bool, q int) {
	k.numbers(three, q)
	k.p("VPMULTISHIFTQB Z2, Z%d, Z5", 20+q)
	k.p("VPTERNLOGD $0xe4, Z17, Z5, Z4")
	k.p("VPERMB Z16, Z4, Z4")
}

// dot multiplies weights of which 32 share a scale. Then a word need not be a quad: it has a weight of each of four
// entries, as they are looked up, which plain shifts and additions bring into place. Those and VPERMB have other units
// than VPMULTISHIFTQB, which would compete with VPDPBUSD. The activations are put into that order in R12's buffer.
func (k *grid) dot(three bool) {
	name := "Two"
	if three {
		name = "Three"
	}
	k.bytes("order"+name, 64, func(i int) int {
		if three { // weight i/4%4 of entry i%4 of four
			return i&^15 + i%4*4 + i/4%4
		}
		return i&^31 + i%4*8 + i/4%8 // of eight weights
	})
	end := k.begin(name, three, true, func() {
		k.p("VMOVDQU64 ·order%s<>(SB), Z0", name)
		k.p("MOVQ %d(SI), R12", gridIndex)
		k.p("MOVQ %d(SI), R13", gridX)
		for at := 0; at < 256; at += 64 {
			k.p("VPERMB %d(R13), Z0, Z1", at)
			k.p("VMOVDQU64 Z1, %d(R12)", at)
		}
		if three {
			k.p("VBROADCASTI64X4 %s, Z20", k.multishift(0, 4))
			k.p("VBROADCASTI64X4 %s, Z21", k.multishift(16, 4))
		}
	})
	if three {
		k.threes()
	} else {
		k.twos()
	}
	k.p("VPADDD Z7, Z6, Z6")
	k.sixteen("Z6", 0)
	k.p("ADDQ $128, R11")
	end()
}

// threes multiplies entries of four weights, whose numbers have three bits.
func (k *grid) threes() {
	for w := range 2 {
		k.p("VMOVDQU64 %d(R8), Z0", 256*w)
		k.p("VMOVDQU64 %d(R8), Z1", 256*w+128)
		k.p("VPMULTISHIFTQB Z2, Z%d, Z5", 20+w) // four entries' signs; the last one's place is theirs
		k.p("VPADDB Z5, Z5, Z10")
		k.p("VPADDB Z10, Z10, Z11")
		k.p("VPADDB Z11, Z11, Z12")
		k.p("VPSRLW $4, Z0, Z3")
		k.p("VPSRLW $4, Z1, Z4")
		for e, t := range []int{0, 3, 1, 4} {
			k.word(t, []int{12, 11, 10, 5}[e], 16*w+4*e, 6+e%2)
		}
	}
}

// twos multiplies entries of eight weights, whose numbers have two bits.
func (k *grid) twos() {
	k.p("VMOVDQU64 (R8), Z0")
	k.p("VMOVDQU64 128(R8), Z1")
	k.p("VPSRLW $3, Z2, Z12")
	k.p("VPSRLW $5, Z2, Z15")
	for _, add := range [][2]int{{2, 10}, {10, 11}, {12, 13}, {13, 14}, {15, 18}} {
		k.p("VPADDB Z%d, Z%d, Z%d", add[0], add[0], add[1])
	}
	for h := range 2 {
		for _, e := range []int{1, 2, 3, 0} { // 0 last, as it needs no shift
			t := h
			if e > 0 {
				t = 20 + e
				k.p("VPSRLW $%d, Z%d, Z%d", 2*e, h, t)
			}
			j := 4*h + e
			k.word(t, []int{11, 10, 2, 14, 13, 12, 18, 15}[j], 4*j, 6+e%2)
		}
	}
}

// word multiplies the weights whose numbers' bits are at the bottom of bytes of t, and whose signs are where they
// belong in s.
func (k *grid) word(t, s, x, sum int) {
	k.p("VPTERNLOGD $0xe4, Z17, Z%d, Z%d", s, t)
	k.p("VPERMB Z16, Z%d, Z%d", t, t)
	k.p("VPDPBUSD.BCST %d(R12), Z%d, Z%d", x, t, sum)
}

// pointer loads what is at an offset of the argument, and moves it on to the rows.
func (k *grid) pointer(at int, reg string) {
	k.p("MOVQ %d(SI), %s", at, reg)
	k.p("ADDQ R14, %s", reg)
}

// numbers leaves the bits of quad q's entries in Z4, each weight's at the bottom of its byte. Of entries of eight
// weights one word has the first four of each; the four weights of smaller ones are half of one word and half of the
// other.
func (k *grid) numbers(three bool, q int) {
	if !three {
		if q == 0 {
			k.p("VMOVDQU64 (R8), Z0")
			k.p("VMOVDQU64 128(R8), Z1")
		}
		k.p("VPMULTISHIFTQB Z%d, Z%d, Z4", q%2, 28+q/2)
		return
	}
	if q%4 == 0 {
		at := 256 * (q / 4)
		k.p("VMOVDQU64 %d(R8), Z0", at)
		k.p("VMOVDQU64 %d(R8), Z1", at+128)
		k.p("VPSLLD $8, Z1, Z3")
		k.p("VPSRLD $8, Z0, Z10")
		k.p("VPTERNLOGD $0xe4, Z18, Z3, Z0")  // first and third entry
		k.p("VPTERNLOGD $0xb8, Z10, Z18, Z1") // second and fourth
	}
	k.p("VPMULTISHIFTQB Z%d, Z%d, Z4", q%2, 28+q%4/2*2)
}

// sixteen adds a sum of sixteen rows times its scale to Z8.
func (k *grid) sixteen(sum string, off int) {
	k.p("VCVTDQ2PS %s, %s", sum, sum)
	k.p("VMULPS %d(R11), Z9, Z10", off)
	k.p("VFMADD231PS %s, Z10, Z8", sum)
}
