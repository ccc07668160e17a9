package main

// yfloatCols is how many columns a tile of float weights has: it is all 32 rows of a panel, four vectors.
const yfloatCols = 3

type yfloat struct {
	name, doc string
	size      int // bytes of 32 rows
	load      func(y *ymm, at int, reg string)
}

var yfloats = []*yfloat{
	{"F32", "F32", 128, func(y *ymm, at int, reg string) { y.p("VMOVUPS %d(DI), %s", at, reg) }},
	{"F16", "F16", 64, func(y *ymm, at int, reg string) { y.p("VCVTPH2PS %d(DI), %s", at/2, reg) }},
	{"BF16", "BF16: the upper half of a float32", 64, func(y *ymm, at int, reg string) {
		y.p("VPMOVZXWD %d(DI), %s", at/2, reg)
		y.p("VPSLLD $16, %s, %s", reg, reg)
	}},
}

// float multiplies k by k: Y0 … Y11 sums, Y12 … Y14 activations, Y15 weights.
func (y *ymm) float(t *yfloat) {
	y.function("tile"+t.name+y.tier(), "// "+t.doc+".\n", func() {}, func(n int) {
		y.p("XORL CX, CX")
		y.columns(n, "CX")
		y.p("MOVQ %d(SI), CX", argBlocks)
		for i := range 4 * n {
			y.p("VXORPS Y%d, Y%d, Y%d", i, i, i)
		}
		const unroll = 4
		step := func(i int) {
			if n == 1 {
				y.fetchAsked("DI", 9<<10, t.size*i/64, t.size*(i+1)/64)
			}
			for j := range n {
				y.p("VBROADCASTSS %d(%s)(AX*1), Y%d", 4*i, xReg[j], 12+j)
			}
			for v := range 4 {
				t.load(y, t.size*i*(128/t.size)+32*v, "Y15")
				for j := range n {
					y.p("VFMADD231PS Y15, Y%d, Y%d", 12+j, 4*j+v)
				}
			}
		}
		loop, tail, last, done := y.label("four"), y.label("tail"), y.label("one"), y.label("done")
		y.p("SUBQ $%d, CX", unroll)
		y.p("JLT  %s", tail)
		y.l(loop)
		for i := range unroll {
			step(i)
		}
		y.p("ADDQ $%d, DI", unroll*t.size)
		y.p("ADDQ $%d, AX", unroll*4)
		y.p("SUBQ $%d, CX", unroll)
		y.p("JGE  %s", loop)
		y.l(tail)
		y.p("ADDQ $%d, CX", unroll)
		y.p("JZ   %s", done)
		y.l(last)
		step(0)
		y.p("ADDQ $%d, DI", t.size)
		y.p("ADDQ $4, AX")
		y.p("DECQ CX")
		y.p("JNZ  %s", last)
		y.l(done)
		y.p("MOVQ %d(SI), AX", argRow)
		for j := range n {
			y.p("MOVQ %d(SI), R15", argY+8*j)
			for v := range 4 {
				y.p("VMOVUPS Y%d, %d(R15)(AX*1)", 4*j+v, 32*v)
			}
		}
	})
}
