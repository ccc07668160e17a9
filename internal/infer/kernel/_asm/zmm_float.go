package main

// floats: F32, F16 and BF16 times float32 activations, k by k. The two chains of additions of a single column
// allow a fused addition every two cycles, 64 bytes of F16 every four: above what memory delivers.
var floats = []*floatTile{
	{"F32", 128, func(f *file, at int) {
		for h := range halves {
			f.p("VMOVUPS %d(DI), %s", at+64*h, wreg(h))
		}
	}},
	{"F16", 64, func(f *file, at int) {
		for h := range halves {
			f.p("VCVTPH2PS %d(DI), %s", at+32*h, wreg(h))
		}
	}},
	{"BF16", 64, func(f *file, at int) { // the upper half of a float32
		for h := range halves {
			f.p("VPMOVZXWD %d(DI), %s", at+32*h, wreg(h))
			f.p("VPSLLD $16, %s, %s", wreg(h), wreg(h))
		}
	}},
}

type floatTile struct {
	name string
	size int // bytes of 32 rows
	load func(f *file, at int)
}

func (f *file) float(t *floatTile) {
	f.function("tile"+t.name+"AVX512", "// "+t.name+".\n", func() {}, func(n int) {
		const unroll = 4
		loop, tail, last, done := f.label("four"), f.label("tail"), f.label("one"), f.label("done")
		step := func(i int) {
			if n == 1 {
				f.fetchOne("DI", t.size*i/64, t.size*(i+1)/64)
			}
			t.load(f, t.size*i)
			for j := range n {
				f.p("VBROADCASTSS %d(%s)(AX*1), %s", 4*i, xReg[j], bc)
				for h := range halves {
					f.p("VFMADD231PS %s, %s, Z%d", bc, wreg(h), acc(j, h))
				}
			}
		}
		f.start(n)
		if n == 1 {
			f.p("MOVQ %d(SI), R9", argAhead)
		}
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
