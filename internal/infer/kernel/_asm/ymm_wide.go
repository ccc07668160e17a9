package main

// Q8_0 of two columns and more on AVX2: products of bytes do not fit into 16 bits, so weights and activations are
// widened to words, and VPMADDWD adds pairs of products to 32-bit sums. It takes as many multiplications as bytes cut
// into halves of 4 bits, but the ends of blocks are shorter, since sums are signed 32-bit integers already.
//
// Weights are unpacked once for all columns, pairs of k of 32 rows together, and activations once for each group.
const (
	wideBlock = 72            // bytes of a block of activations: 32 words, the scale
	wideActs  = yBytes/32 + 1 // see yActs
	yActs     = 32 * wideActs // for each column of a group its blocks
	wideChunk = 4             // blocks
)

// wideUnpack writes the weights of CX blocks from DI on into the buffer as words, and fetches the next chunk.
func (y *ymm) wideUnpack(c *yclassic) {
	y.c("The weights of a chunk, as signed words, to the buffer.")
	loop := y.label("unpack")
	y.p("VMOVDQU %s, Y15", y.constant(0x80808080))
	y.p("VMOVDQU %s, Y14", y.shuffle(zero, 0, zero, 1))
	y.p("VMOVDQU %s, Y13", y.shuffle(zero, 2, zero, 3))
	y.p("MOVQ DI, R15")
	y.p("MOVQ BX, R14")
	y.l(loop)
	lines := (c.size + 63) / 64
	for q := range 8 {
		y.fetchLines("PREFETCHT0", "R15", wideChunk*c.size, lines*q/8, lines*(q+1)/8)
		for v := range 4 {
			y.p("VPXOR %d(R15), Y15, Y0", c.planes+128*q+32*v)
			for half, pairs := range []string{"Y14", "Y13"} {
				y.p("VPSHUFB %s, Y0, Y%d", pairs, 1+half)
				y.p("VPSRAW $8, Y%d, Y%d", 1+half, 1+half)
				y.p("VMOVDQU Y%d, %d(R14)", 1+half, yWeights+128*(2*q+half)+32*v)
			}
		}
	}
	y.p("ADDQ $%d, R15", c.size)
	y.p("ADDQ $2048, R14")
	y.p("DECQ CX")
	y.p("JNZ  %s", loop)
}

// wideActivations widens the chunk's blocks of a group's columns.
func (y *ymm) wideActivations(n int) {
	loop := y.label("widen")
	y.p("MOVQ %d(SI), CX", argChunk)
	y.p("MOVQ %d(SI), AX", argAct)
	y.p("MOVQ BX, R15")
	y.l(loop)
	for j := range n {
		at := yActs + j*wideChunk*wideBlock
		y.p("VPMOVSXBW 0(%s)(AX*1), Y0", xReg[j])
		y.p("VPMOVSXBW 16(%s)(AX*1), Y1", xReg[j])
		y.p("MOVL 32(%s)(AX*1), DX", xReg[j])
		y.p("VMOVDQU Y0, %d(R15)", at)
		y.p("VMOVDQU Y1, %d(R15)", at+32)
		y.p("MOVL DX, %d(R15)", at+64)
	}
	y.p("ADDQ $40, AX")
	y.p("ADDQ $%d, R15", wideBlock)
	y.p("DECQ CX")
	y.p("JNZ  %s", loop)
}

// wideGroups multiplies the unpacked chunk with each group of columns. R14 is the buffer, 64 bytes on for the lower
// half of the rows; R15 walks the weights, AX the activations, CX the blocks, DX is at the tile's outer sums.
func (y *ymm) wideGroups(c *yclassic, n int) {
	columns, tile, block := y.label("columns"), y.label("rows"), y.label("block")
	y.p("MOVQ $0, %d(SI)", argGroup)
	y.l(columns)
	y.p("MOVQ %d(SI), CX", argGroup)
	y.columns(n, "CX")
	y.wideActivations(n)
	y.p("MOVQ %d(SI), DX", argGroup)
	y.p("SHLQ $4, DX")
	y.p("ADDQ BX, DX")
	y.p("MOVQ BX, R14")
	y.p("MOVQ DI, CX")
	y.l(tile)
	y.p("MOVQ R14, R15")
	y.p("MOVQ BX, AX")
	y.p("MOVQ %d(SI), R8", argChunk)
	y.l(block)
	for pair := range 16 {
		for h := range 2 {
			y.p("VMOVDQU %d(R15), %s", yWeights+128*pair+32*h, yw(h))
		}
		for j := range n {
			y.p("VPBROADCASTD %d(AX), %s", yActs+j*wideChunk*wideBlock+4*pair, yx)
			if pair == 0 {
				y.p("VPMADDWD %s, %s, %s", yx, yw(0), ysum(j, 0))
				y.p("VPMADDWD %s, %s, %s", yx, yw(1), ysum(j, 1))
				continue
			}
			y.p("VPMADDWD %s, %s, %s", yx, yw(0), yp)
			y.p("VPMADDWD %s, %s, %s", yx, yw(1), yx)
			y.p("VPADDD %s, %s, %s", yp, ysum(j, 0), ysum(j, 0))
			y.p("VPADDD %s, %s, %s", yx, ysum(j, 1), ysum(j, 1))
		}
	}
	y.wideFinish(n)
	y.p("ADDQ $2048, R15")
	y.p("ADDQ $%d, CX", c.size)
	y.p("ADDQ $%d, AX", wideBlock)
	y.p("DECQ R8")
	y.p("JNZ  %s", block)
	y.next(c.size, tile, columns)
}

// wideFinish adds a block's sums times scales to the outer sums.
func (y *ymm) wideFinish(n int) {
	for h := range 2 {
		y.p("VCVTPH2PS %d(CX), %s", 16*h, yw(h))
	}
	for j := range n {
		y.p("VBROADCASTSS %d(AX), %s", yActs+j*wideChunk*wideBlock+64, yx)
		for h := range 2 {
			at := yOuter + 128*j + 32*h
			y.p("VCVTDQ2PS %s, %s", ysum(j, h), ysum(j, h))
			y.p("VMULPS %s, %s, %s", yx, yw(h), yp)
			y.p("VFMADD213PS %d(DX), %s, %s", at, yp, ysum(j, h))
			y.p("VMOVUPS %s, %d(DX)", ysum(j, h), at)
		}
	}
}
