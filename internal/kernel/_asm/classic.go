package main

// classicTiles: Q8_0, Q4_0, Q5_0. A block of 32 k starts with a half-plane of scales.
//
// For each block and column: 16 VPDPBUSD, 2 conversions, 2 multiplications of the scales and 2 fused additions. The
// multipliers do 20 operations of which 16 count: 80 % of the VNNI peak is the bound.
func classicTiles() *file {
	f := newFile()
	f.function("tileQ8", "// Q8_0: planes hold q+128.\n", func() {}, func(n int) {
		f.classic(n, 1088, func() {
			for q := range 8 {
				f.p("VMOVDQU32 %d(DI), %s", 64+128*q, w0)
				f.p("VMOVDQU32 %d(DI), %s", 128+128*q, w1)
				f.quad(n, 4*q, [halves]string{w0, w1})
			}
		})
	})
	f.function("tileQ4", "// Q4_0: 16·q, so the high nibbles need a mask only.\n", func() { f.broadcast(repeat(0xf0), "Z31") }, func(n int) {
		f.classic(n, 576, func() {
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
			}
		})
	})
	f.function("tileQ5", "// Q5_0: 8·q, a nibble at bits 3–6 and the fifth bit at 7.\n", func() {
		f.broadcast(repeat(0x78), "Z31")
		f.broadcast(repeat(0xf8), "Z30")
	}, func(n int) {
		f.classic(n, 704, func() {
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
			}
		})
	})
	return f
}

// classic is the loop over blocks of size bytes around the integer part.
func (f *file) classic(n, size int, integers func()) {
	f.start(n)
	loop := f.label("block")
	f.l(loop)
	f.startSums(n, 36)
	integers()
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
	f.p("JNZ  %s", loop)
	f.store(n)
}
