package main

// classicTiles: Q8_0, Q4_0, Q5_0. A block of 32 k starts with a half-plane of scales.
//
// For each block and column: 16 VPDPBUSD, 2 conversions, 2 multiplications of the scales and 2 fused additions. The
// multipliers do 20 operations of which 16 count: 80 % of the VNNI peak is the bound.
var classicTiles = []struct {
	format string
	emit   func(f *file)
}{{"Q8_0", (*file).tileQ8}, {"Q4_0", (*file).tileQ4}, {"Q5_0", (*file).tileQ5}}

func (f *file) tileQ8() {
	f.function("tileQ8AVX512", "// Q8_0: planes hold q+128.\n", func() {}, func(n int) {
		f.classic(n, 1088, func(fetch func(int, int)) {
			for q := range 8 {
				f.p("VMOVDQU32 %d(DI), %s", 64+128*q, w0)
				f.p("VMOVDQU32 %d(DI), %s", 128+128*q, w1)
				f.quad(n, 4*q, [halves]string{w0, w1})
				fetch(q, 8)
			}
		})
	})
}

func (f *file) tileQ4() {
	f.function("tileQ4AVX512", "// Q4_0: 16·q, so the high nibbles need a mask only.\n",
		func() { f.broadcast(repeat(0xf0), "Z31") }, func(n int) {
			f.classic(n, 576, func(fetch func(int, int)) {
				for p := range 4 {
					high := [halves]string{"Z27", "Z28"}
					for h := range halves {
						f.p("VMOVDQU32 %d(DI), %s", 64+128*p+64*h, wreg(h))
						f.p("VPANDD Z31, %s, %s", wreg(h), high[h])
						f.p("VPSLLD $4, %s, %s", wreg(h), wreg(h))
						f.p("VPANDD Z31, %s, %s", wreg(h), wreg(h))
					}
					f.quad(n, 4*p, [halves]string{w0, w1})
					f.quad(n, 4*(p+4), high)
					fetch(p, 4)
				}
			})
		})
}

func (f *file) tileQ5() {
	f.function("tileQ5AVX512", "// Q5_0: 8·q, a nibble at bits 3–6 and the fifth bit at 7.\n", func() {
		f.broadcast(repeat(0x78), "Z31")
		f.broadcast(repeat(0xf8), "Z30")
	}, func(n int) {
		f.classic(n, 704, func(fetch func(int, int)) {
			for q := range 8 {
				for h := range halves {
					f.p("VMOVDQU32 %d(DI), %s", 192+128*(q%4)+64*h, wreg(h))
					if q < 4 {
						f.p("VPSLLD $3, %s, %s", wreg(h), wreg(h))
					} else {
						f.p("VPSRLD $1, %s, %s", wreg(h), wreg(h))
					}
					f.p("VPSLLD $%d, %d(DI), Z27", 7-q, 64+64*h)
					f.selectBits("Z31", "Z27", wreg(h))
					f.p("VPANDD Z30, %s, %s", wreg(h), wreg(h))
				}
				f.quad(n, 4*q, [halves]string{w0, w1})
				fetch(q, 8)
			}
		})
	})
}

// classic is the loop over blocks of size bytes around the integer part. All groups of columns go through a chunk of
// blocks, which stays in the L1 cache, before the next chunk: weights stream from memory at an even pace whatever the
// number of columns. The next chunk is fetched a line or two a quad: bursts fill the processor's miss buffers and
// stall its loads. (Only the first group's fetches are needed, but a branch would cost as much.) A single column
// fetches as far ahead as it is told.
func (f *file) classic(n, size int, integers func(fetch func(step, steps int))) {
	const chunkBytes = 9 << 10
	chunk := chunkBytes / size
	f.clearOuter(n)
	if n == 1 {
		f.p("MOVQ %d(SI), R9", argAhead)
	}
	f.p("MOVQ %d(SI), CX", argBlocks)
	f.p("MOVQ CX, %d(SI)", argLeft)
	f.c("Chunks of blocks, which all groups of columns go through before the next.")
	chunks, groups, block, last := f.label("chunk"), f.label("columns"), f.label("block"), f.label("last")
	f.l(chunks)
	f.p("MOVQ $%d, CX", chunk)
	f.p("MOVQ %d(SI), DX", argLeft)
	f.p("CMPQ DX, CX")
	f.p("CMOVQLT DX, CX")
	f.p("SUBQ CX, %d(SI)", argLeft)
	f.p("MOVQ CX, %d(SI)", argChunk)
	f.p("MOVQ AX, %d(SI)", argAct)
	f.p("MOVQ DI, DX") // the chunk's start
	f.p("XORL R14, R14")
	f.p("XORL R15, R15")
	f.l(groups)
	f.columns(n, "R14")
	for j := range n {
		for h := range halves {
			f.p("VMOVUPS %d(BX)(R15*1), Z%d", bufOuter+128*j+64*h, acc(j, h))
		}
	}
	f.l(block)
	f.c("A block: integers, from −128·Σx on.")
	f.startSums(n, 36)
	integers(func(step, steps int) {
		lines := (size + 63) / 64
		from, to := lines*step/steps, lines*(step+1)/steps
		if n > 1 {
			f.fetchFew("DI", chunk*size, from, to)
		} else {
			f.fetchOne("DI", from, to)
		}
	})
	f.c("Times the scales of weights and activations.")
	f.p("VCVTPH2PS 0(DI), %s", w0)
	f.p("VCVTPH2PS 32(DI), %s", w1)
	for j := range n {
		f.p("VBROADCASTSS 32(%s)(AX*1), %s", xReg[j], bc)
		for h := range halves {
			f.p("VCVTDQ2PS Z%d, Z%d", sum(j, h), sum(j, h))
			f.p("VMULPS %s, %s, Z%d", bc, wreg(h), 27+h)
			f.p("VFMADD231PS Z%d, Z%d, Z%d", 27+h, sum(j, h), acc(j, h))
		}
	}
	f.p("ADDQ $%d, DI", size)
	f.p("ADDQ $40, AX")
	f.p("DECQ CX")
	f.p("JNZ  %s", block)
	for j := range n {
		for h := range halves {
			f.p("VMOVUPS Z%d, %d(BX)(R15*1)", acc(j, h), bufOuter+128*j+64*h)
		}
	}
	f.p("ADDQ $48, R14")
	f.p("ADDQ $768, R15")
	f.p("CMPQ R14, %d(SI)", argGroups)
	f.p("JEQ  %s", last)
	f.p("MOVQ DX, DI")
	f.p("MOVQ %d(SI), AX", argAct)
	f.p("MOVQ %d(SI), CX", argChunk)
	f.p("JMP  %s", groups)
	f.l(last)
	f.p("CMPQ %d(SI), $0", argLeft)
	f.p("JNE  %s", chunks)
	f.storeOuter(n)
}
