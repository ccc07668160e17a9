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

// partTables emits what part loads in tables.
func (k *grid) partTables(t parting) {
	k.bytes("evenBytes", 128, func(i int) int { return i | bits.OnesCount(uint(i))&1<<7 }) // for even, in grid.go
	n := scaleBits(t.format)
	k.bytes(fmt.Sprintf("halves%d", n), 64, func(i int) int {
		return int(math.Float32bits(float32(i/4%(1<<n))+0.5) >> (i % 4 * 8) & 0xff)
	})
	for i, name := range []string{"lowBytes", "highBytes"} { // of two words of 16 bits, and two in another vector
		k.bytes(name, 64, func(at int) int { return at/2%2*64 + at&^3 + at%2*2 + i })
	}
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
	k.text("lookUpAVX512", `
Entries of any grid, whose tables are gone through for two planes at a time: R8 walks the low
bits of indices, R9 their high bits, DI the results, DX the tables, AX counts these. Z0 … Z3 are indices, Z4 … Z7 the
numbers of their tables, Z8 … Z15 the results, Z16 … Z19 tables.`)
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
	k.c("The number of an index's table: its high bits, and the highest of the low eight.")
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
	k.c("Table by table, for the indices that it has.")
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
	k.text("lookUp256AVX512", `
Entries of a grid of 256, whose tables stay in Z16 … Z23: a bit of an index says in which half.
R8 walks the indices, DI the results.`)
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
		k.c("Four indices of sixteen rows, in the half that their highest bits say: first bytes, then second ones.")
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

// spreadQuads stores weights, a word for a quad, sixteen rows at a time. R8 walks the entries' words, R10 the signs,
// R13 the weights to store, DX what is fetched. Z16 is the values, Z17 says which bits of their numbers are the
// entries', Z20 … Z31 where bits are.
func (k *grid) spreadQuads(three bool) {
	name, formats, width := "Two", "IQ2 and IQ1", 2
	if three {
		name, formats, width = "Three", "IQ3", 3
	}
	k.text("spread"+name+"AVX512", fmt.Sprintf(`
%s: stores weights, a word for a quad, sixteen rows at a time. R8 walks the entries' words, R10 the signs, R13 the
weights, DX what is fetched. Z16 is the values, Z17 says which of the %d bits of a number are an entry's, Z20 … Z31
where bits are.`, formats, width+1))
	k.p("MOVQ b+0(FP), SI")
	k.p("MOVQ %d(SI), AX", gridValues)
	k.p("VBROADCASTI32X4 (AX), Z16")
	k.p("MOVQ %d(SI), DX", gridFetch)
	k.broadcast(uint32(1<<width-1)*0x01010101, "Z17")
	k.whereBits(three)
	k.p("XORL R14, R14 // byte of the rows in a plane")
	rows, runs := k.label("rows"), k.label("runs")
	k.l(rows)
	k.pointer(gridFields, "R8")
	k.pointer(gridSigns, "R10")
	k.pointer(gridQ, "R13")
	k.p("MOVQ $8, CX")
	k.l(runs)
	k.fetch(1 + width) // sixteen times
	k.p("VMOVDQU64 (R10), Z2")
	for q := range 8 {
		k.c("Quad %d: the numbers of the weights' values, their signs, and the values.", q)
		k.quad(three, q)
		k.p("VMOVDQU64 Z4, %d(R13)", 128*q)
	}
	k.p("ADDQ $%d, R8", 256*(width-1))
	k.p("ADDQ $128, R10")
	k.p("ADDQ $1024, R13")
	k.p("DECQ CX")
	k.p("JNZ  %s", runs)
	k.p("ADDQ $64, R14")
	k.p("CMPQ R14, $128")
	k.p("JNE  %s", rows)
	k.p("VZEROUPPER")
	k.p("RET")
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
