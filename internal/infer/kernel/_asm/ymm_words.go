package main

import "fmt"

// Q8_0 on AVX2: products of bytes do not fit into 16 bits, so weights and activations are words (act16 in acts.go),
// and VPMADDWD adds pairs of products to 32-bit sums. Of a quad's weights u = q+128, the even ones (0 and 2) are one
// vector of words and the odd ones (1 and 3) another: a mask and a shift unpack them.
//
// Few columns are multiplied as their weights are unpacked: one with whole planes, more in tiles of 16 rows.
// Weights are fetched ahead there: one column reads at 80 % of Zen 4's bandwidth without that and at 93 % with it,
// and two to four columns would be half as fast.
//
// For many columns, in groups of four (with more, weights do not stay in registers), weights are unpacked once, into
// the buffer, and half of the multiplications are replaced by additions (Winograd, A New Algorithm for Inner Product,
// 1968):
//
//	(a0 + u1)·(a1 + u0) = a0·u0 + a1·u1 + a0·a1 + u0·u1
//
// The sums of the last two terms over a block are known beforehand: those of activations are in act16, and those of
// weights are added up as they are unpacked. A block's sums become float32 without a conversion: magic is added to
// them as to integers, in act16, and subtracted as a number, together with the weights' sums. Integers are exact, so
// results are the same bits. There are as many instructions as without (three additions and a multiplication in place
// of two of each), but additions can use all four ports of Zen 3 and 4 and multiplications two: without the ends of
// blocks these tiles reach 98 % of the peak. With two multiplications they reach 84 %, since additions often take a
// port that a multiplication waits for.
const (
	wordBlock = 76 // bytes of a block of activations
	wordScale = 64 // offsets in it: the scale, −128·Σq, and magic − 128·Σq − Σ of even times odd neighbours
	wordInit  = 68
	wordPairs = 72

	wordChunk = 4           // blocks that are unpacked at once
	wordAhead = 6           // blocks that are fetched ahead
	yPairs    = yScale      // for each block of a chunk magic + Σ of even times odd weights of 32 rows, float32
	magic     = 0x4b400000  // 3 · 2²², whose neighbours in float32 are 1 apart: smaller integers add to its bits
	yWordSize = 8 * 2 * 128 // bytes of an unpacked block: for each quad even weights of 32 rows, then odd ones
)

// Registers of a tile of words: Y0 … Y3 weights, even and odd ones of eight rows each, Y4 and Y5 activations, Y6 and
// Y7 products, Y8 … Y15 sums. (Instructions whose second operand in memory order is below Y8 are a byte shorter.)
func wsum(j, h int) string { return fmt.Sprintf("Y%d", 8+2*j+h) }
func weven(h int) string   { return fmt.Sprintf("Y%d", h) }
func wodd(h int) string    { return fmt.Sprintf("Y%d", 2+h) }

func (y *ymm) words(c *yclassic) {
	y.most = fewCols
	y.function("tile"+c.name+y.tier(), "// "+c.doc+".\n", func() {}, func(n int) {
		if n == 1 {
			y.wordColumn(c)
			return
		}
		y.clearOuter(n)
		few, end := y.label("few"), y.label("end")
		y.p("MOVQ %d(SI), CX", argBlocks)
		y.p("MOVQ CX, %d(SI)", argLeft)
		y.p("CMPQ %d(SI), $%d", argGroups, 8*fewCols*fewGroups)
		y.p("JLE  %s", few)
		y.wordChunks(c, func() {
			y.wordUnpack(c)
			y.wordGroups(c, n)
		})
		y.p("JMP  %s", end)
		y.l(few)
		y.wordChunks(c, func() { y.wordFew(c, n) })
		y.l(end)
		y.storeOuter(n)
	})
}

// wordChunks emits a loop over chunks of blocks: their number is in argChunk and CX, DI is at the weights.
func (y *ymm) wordChunks(c *yclassic, body func()) {
	chunks := y.label("chunk")
	y.l(chunks)
	y.nextChunk(wordChunk, 1, 36)
	y.p("MOVQ AX, %d(SI)", argAct)
	body()
	y.p("MOVQ %d(SI), CX", argChunk)
	y.p("IMUL3Q $%d, CX, DX", c.size)
	y.p("ADDQ DX, DI")
	y.p("IMUL3Q $%d, CX, AX", wordBlock)
	y.p("ADDQ %d(SI), AX", argAct)
	y.p("CMPQ %d(SI), $0", argLeft)
	y.p("JNE  %s", chunks)
}

// wordUnpack writes the weights of CX blocks from DI on into the buffer as words, and fetches the next chunk.
func (y *ymm) wordUnpack(c *yclassic) {
	y.c("The weights of a chunk, as words, to the buffer.")
	loop := y.label("unpack")
	y.p("VMOVDQU %s, Y7", y.constant(evenBytes))
	y.p("MOVQ DI, R15")
	y.p("MOVQ BX, R14")
	y.p("MOVQ BX, R13")
	y.l(loop)
	for v := range 4 {
		y.p("VMOVDQU %s, Y%d", y.constant(magic), 8+v)
	}
	lines := (c.size + 63) / 64
	for q := range 8 {
		y.fetchLines("PREFETCHT0", "R15", wordChunk*c.size, lines*q/8, lines*(q+1)/8)
		for v := range 4 {
			at := yWeights + 256*q + 32*v
			y.p("VMOVDQU %d(R15), Y0", c.planes+128*q+32*v)
			y.p("VPAND Y0, Y7, Y1")
			y.p("VPSRLW $8, Y0, Y0")
			y.p("VMOVDQU Y1, %d(R14)", at)
			y.p("VMOVDQU Y0, %d(R14)", at+128)
			y.p("VPMADDWD Y0, Y1, Y1")
			y.p("VPADDD Y1, Y%d, Y%d", 8+v, 8+v)
		}
	}
	for v := range 4 {
		y.p("VMOVDQU Y%d, %d(R13)", 8+v, yPairs+32*v)
	}
	y.p("ADDQ $%d, R15", c.size)
	y.p("ADDQ $%d, R14", yWordSize)
	y.p("ADDQ $128, R13")
	y.p("DECQ CX")
	y.p("JNZ  %s", loop)
}

// wordGroups multiplies the unpacked chunk with each group of columns. R14 is the buffer, 32 rows' words are at it
// and 64 bytes on for the lower half of the rows; R15 walks the weights, AX the activations, CX the blocks' scales,
// R12 the sums of pairs, R13 counts blocks, DX is at the tile's outer sums.
func (y *ymm) wordGroups(c *yclassic, n int) {
	columns, tile, block := y.label("columns"), y.label("rows"), y.label("block")
	y.firstGroup(columns, n)
	y.p("MOVQ BX, R14")
	y.p("MOVQ DI, CX")
	y.l(tile)
	y.p("MOVQ R14, R15")
	y.p("MOVQ R14, R12")
	y.p("MOVQ %d(SI), AX", argAct)
	y.p("MOVQ %d(SI), R13", argChunk)
	y.l(block)
	for q := range 8 {
		for h := range 2 {
			y.p("VMOVDQU %d(R15), %s", yWeights+256*q+32*h, weven(h))
			y.p("VMOVDQU %d(R15), %s", yWeights+256*q+128+32*h, wodd(h))
		}
		for j := range n {
			y.p("VPBROADCASTD %d(%s)(AX*1), Y4", 8*q, xReg[j])
			y.p("VPBROADCASTD %d(%s)(AX*1), Y5", 8*q+4, xReg[j])
			y.wordPair(wodd(0), weven(0), "Y6", "Y7", wsum(j, 0), q == 0)
			y.wordPair(wodd(1), weven(1), "Y4", "Y5", wsum(j, 1), q == 0)
		}
	}
	y.wordFinish(n, wordPairs, true)
	y.p("ADDQ $%d, R15", yWordSize)
	y.p("ADDQ $128, R12")
	y.p("ADDQ $%d, CX", c.size)
	y.p("ADDQ $%d, AX", wordBlock)
	y.p("DECQ R13")
	y.p("JNZ  %s", block)
	y.p("MOVQ DI, CX")
	y.p("ADDQ $32, CX") // 16 scales on
	y.p("ADDQ $64, R14")
	y.p("ADDQ $64, DX")
	y.p("LEAQ 128(BX), AX")
	y.p("CMPQ R14, AX")
	y.p("JNE  %s", tile)
	y.nextWords(columns)
}

// wordPair adds (activations 0 + weights 1) · (activations 1 + weights 0) to a sum, or starts it. The activations are
// in Y4 and Y5; t0 and t1 change.
func (y *ymm) wordPair(odd, even, t0, t1, sum string, first bool) {
	y.p("VPADDW %s, Y4, %s", odd, t0)
	y.p("VPADDW %s, Y5, %s", even, t1)
	if first {
		y.p("VPMADDWD %s, %s, %s", t0, t1, sum)
		return
	}
	y.p("VPMADDWD %s, %s, %s", t0, t1, t0)
	y.p("VPADDD %s, %s, %s", t0, sum, sum)
}

// firstGroup begins the loop over groups of columns, and sets DX to a group's outer sums.
func (y *ymm) firstGroup(columns string, n int) {
	y.p("MOVQ $0, %d(SI)", argGroup)
	y.l(columns)
	y.p("MOVQ %d(SI), CX", argGroup)
	y.columns(n, "CX")
	y.p("MOVQ CX, DX")
	y.p("SHLQ $4, DX")
	y.p("ADDQ BX, DX")
}

// nextWords goes to the next group of columns.
func (y *ymm) nextWords(columns string) {
	y.p("ADDQ $%d, %d(SI)", 8*fewCols, argGroup)
	y.p("MOVQ %d(SI), CX", argGroup)
	y.p("CMPQ CX, %d(SI)", argGroups)
	y.p("JNE  %s", columns)
}

// wordFinish adds a block's sums, from what init says in the activations on, times scales to the outer sums.
func (y *ymm) wordFinish(n, init int, pairs bool) {
	for h := range 2 {
		y.p("VCVTPH2PS %d(CX), %s", 16*h, weven(h))
	}
	for j := range n {
		y.p("VPBROADCASTD %d(%s)(AX*1), Y4", init, xReg[j])
		y.p("VBROADCASTSS %d(%s)(AX*1), Y5", wordScale, xReg[j])
		for h := range 2 {
			at, sum := yOuter+128*j+32*h, wsum(j, h)
			y.p("VPADDD Y4, %s, %s", sum, sum)
			if pairs {
				y.p("VSUBPS %d(R12), %s, %s", yPairs+32*h, sum, sum)
			} else {
				y.p("VCVTDQ2PS %s, %s", sum, sum)
			}
			y.p("VMULPS %s, Y5, Y6", weven(h))
			y.p("VFMADD213PS %d(DX), Y6, %s", at, sum)
			y.p("VMOVUPS %s, %d(DX)", sum, at)
		}
	}
}

// wordFew multiplies a chunk of blocks with each group of columns as its weights are unpacked. CX walks the blocks,
// 32 bytes on for the lower half of the rows, R15 is at the half's planes, DX at its outer sums, R13 counts blocks.
// Each half fetches its own lines ahead.
func (y *ymm) wordFew(c *yclassic, n int) {
	columns, block, half := y.label("columns"), y.label("block"), y.label("rows")
	y.p("VMOVDQU %s, Y7", y.constant(evenBytes))
	y.firstGroup(columns, n)
	y.p("MOVQ DI, CX")
	y.p("MOVQ %d(SI), AX", argAct)
	y.p("MOVQ %d(SI), R13", argChunk)
	y.l(block)
	y.p("MOVQ CX, R15")
	y.p("MOVL $2, R14")
	y.l(half)
	y.fetchLines("PREFETCHT0", "R15", wordAhead*c.size, 0, 1)
	for q := range 8 {
		y.fetchLines("PREFETCHT0", "R15", wordAhead*c.size+c.planes+128*q, 0, 1)
		for h := range 2 {
			y.wordWeights("R15", c.planes+128*q+32*h, weven(h), wodd(h))
		}
		for j := range n {
			for odd, w := range []func(int) string{weven, wodd} {
				y.p("VPBROADCASTD %d(%s)(AX*1), Y4", 8*q+4*odd, xReg[j])
				for h, t := range []string{"Y5", "Y4"} {
					if q+odd == 0 {
						y.p("VPMADDWD %s, Y4, %s", w(h), wsum(j, h))
						continue
					}
					y.p("VPMADDWD %s, Y4, %s", w(h), t)
					y.p("VPADDD %s, %s, %s", t, wsum(j, h), wsum(j, h))
				}
			}
		}
	}
	y.wordFinish(n, wordInit, false)
	y.p("ADDQ $64, R15")
	y.p("ADDQ $32, CX")
	y.p("ADDQ $64, DX")
	y.p("DECQ R14")
	y.p("JNZ  %s", half)
	y.p("SUBQ $128, DX")
	y.p("ADDQ $%d, CX", c.size-64)
	y.p("ADDQ $%d, AX", wordBlock)
	y.p("DECQ R13")
	y.p("JNZ  %s", block)
	y.nextWords(columns)
}

// evenBytes masks the even bytes of a word.
const evenBytes = 0x00ff00ff

// wordWeights unpacks eight rows of a quad. Y7 is the mask.
func (y *ymm) wordWeights(base string, at int, even, odd string) {
	y.p("VMOVDQU %d(%s), %s", at, base, odd)
	y.p("VPAND %s, Y7, %s", odd, even)
	y.p("VPSRLW $8, %s, %s", odd, odd)
}

// wordColumn multiplies a panel with a single column, plane by plane. Y8 … Y11 are a block's sums, Y12 … Y15 the
// outer ones.
func (y *ymm) wordColumn(c *yclassic) {
	y.c("One column.")
	y.p("MOVQ %d(SI), R8", argX)
	y.p("MOVQ %d(SI), R9", argBlocks)
	y.p("VMOVDQU %s, Y7", y.constant(evenBytes))
	for v := range 4 {
		y.p("VXORPS Y%d, Y%d, Y%d", 12+v, 12+v, 12+v)
	}
	block, lines := y.label("block"), (c.size+63)/64
	y.l(block)
	for q := range 8 {
		y.fetchFew("DI", wordAhead*c.size, lines*q/8, lines*(q+1)/8)
		y.p("VPBROADCASTD %d(R8)(AX*1), Y4", 8*q)
		y.p("VPBROADCASTD %d(R8)(AX*1), Y5", 8*q+4)
		for v := range 4 {
			sum := fmt.Sprintf("Y%d", 8+v)
			y.wordWeights("DI", c.planes+128*q+32*v, "Y0", "Y1")
			y.p("VPMADDWD Y0, Y4, Y0")
			y.p("VPMADDWD Y1, Y5, Y1")
			if q == 0 {
				y.p("VPADDD Y0, Y1, %s", sum)
				continue
			}
			y.p("VPADDD Y0, Y1, Y0")
			y.p("VPADDD Y0, %s, %s", sum, sum)
		}
	}
	y.p("VPBROADCASTD %d(R8)(AX*1), Y4", wordInit)
	y.p("VBROADCASTSS %d(R8)(AX*1), Y5", wordScale)
	for v := range 4 {
		y.p("VPADDD Y4, Y%d, Y0", 8+v)
		y.p("VCVTDQ2PS Y0, Y0")
		y.p("VCVTPH2PS %d(DI), Y1", 16*v)
		y.p("VMULPS Y1, Y5, Y1")
		y.p("VFMADD231PS Y0, Y1, Y%d", 12+v)
	}
	y.p("ADDQ $%d, DI", c.size)
	y.p("ADDQ $%d, AX", wordBlock)
	y.p("DECQ R9")
	y.p("JNZ  %s", block)
	y.storeColumn(12)
}
