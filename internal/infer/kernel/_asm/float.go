package main

// floatTiles: F32, F16 and BF16 times float32 activations, k by k. The two chains of additions of a single column
// allow a fused addition every two cycles, 64 bytes of F16 every four: above what memory delivers.
func floatTiles() *file {
	f := newFile()
	for _, t := range []struct {
		name, doc string
		size      int
		load      func(at int)
	}{
		{"tileF32", "// F32.\n", 128, func(at int) {
			for h := range halves {
				f.p("VMOVUPS %d(DI), %s", at+64*h, wreg(h))
			}
		}},
		{"tileF16", "// F16.\n", 64, func(at int) {
			for h := range halves {
				f.p("VCVTPH2PS %d(DI), %s", at+32*h, wreg(h))
			}
		}},
		{"tileBF16", "// BF16: the upper half of a float32.\n", 64, func(at int) {
			for h := range halves {
				f.p("VPMOVZXWD %d(DI), %s", at+32*h, wreg(h))
				f.p("VPSLLD $16, %s, %s", wreg(h), wreg(h))
			}
		}},
	} {
		f.function(t.name, t.doc, func() {}, func(n int) {
			const unroll = 4
			loop, tail, last, done := f.label("four"), f.label("tail"), f.label("one"), f.label("done")
			step := func(i int) {
				t.load(t.size * i)
				for j := range n {
					f.p("VBROADCASTSS %d(%s)(AX*1), %s", 4*i, xReg[j], bc)
					for h := range halves {
						f.p("VFMADD231PS %s, %s, Z%d", bc, wreg(h), acc(j, h))
					}
				}
			}
			f.start(n)
			f.p("SUBQ $%d, CX", unroll)
			f.p("JLT  %s", tail)
			f.l(loop)
			for i := range unroll {
				step(i)
			}
			f.p("ADDQ $%d, DI", unroll*t.size)
			f.p("ADDQ $%d, AX", unroll*4)
			f.p("SUBQ $%d, CX", unroll)
			f.p("JGE  %s", loop)
			f.l(tail)
			f.p("ADDQ $%d, CX", unroll)
			f.p("JZ   %s", done)
			f.l(last)
			step(0)
			f.p("ADDQ $%d, DI", t.size)
			f.p("ADDQ $4, AX")
			f.p("DECQ CX")
			f.p("JNZ  %s", last)
			f.l(done)
			f.store(n)
		})
	}
	return f
}
