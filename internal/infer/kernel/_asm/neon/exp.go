package main

// Functions of eˣ: see exp32 in vec.go. expTable, in Go, has the constants: they are loaded to registers 16 to 28 in
// its order.
const (
	kLog2e = 16 + iota
	kHigh
	kLow
	kP0 // the polynomial, highest power first
	kP1
	kP2
	kP3
	kP4
	kP5
	kOne
	kMost
	kLeast
	kInf
	kBias // 127, an integer
)

func expConstants(f *file) {
	f.p("MOVD $·expTable(SB), R15")
	for k := kLog2e; k <= kBias; k++ {
		f.p("VLD1R.P 4(R15), [V%d.S4]", k)
	}
}

// exp replaces register 0 by its exponentials. Registers 1 to 6 are used.
func exp(f *file) {
	f.c("x is n·ln 2 + r: the integer n, and r.")
	f.v("fmul v1.4s, v0.4s, v%d.4s", kLog2e)
	f.v("frintn v1.4s, v1.4s")
	f.v("mov v2.16b, v0.16b")
	f.v("fmls v2.4s, v1.4s, v%d.4s", kHigh)
	f.v("fmls v2.4s, v1.4s, v%d.4s", kLow)
	f.c("e to the power of r, by a polynomial.")
	p, t := kP0, 3
	for k := kP1; k <= kP5; k++ {
		f.v("mov v%d.16b, v%d.16b", t, k)
		f.v("fmla v%d.4s, v%d.4s, v2.4s", t, p)
		p, t = t, 7-t
	}
	f.v("fmul v5.4s, v2.4s, v2.4s")
	f.v("fmla v2.4s, v%d.4s, v5.4s", p)
	f.v("fadd v2.4s, v2.4s, v%d.4s", kOne)
	f.c("2ⁿ in two factors: 2¹²⁸ has no float32")
	f.v("fcvtns v1.4s, v1.4s")
	f.v("sshr v3.4s, v1.4s, #1")
	f.v("sub v1.4s, v1.4s, v3.4s")
	for _, v := range []int{1, 3} {
		f.v("add v%d.4s, v%d.4s, v%d.4s", v, v, kBias)
		f.v("shl v%d.4s, v%d.4s, #23", v, v)
		f.v("fmul v2.4s, v2.4s, v%d.4s", v)
	}
	f.c("Infinity above the range, 0 below it.")
	f.v("fcmgt v3.4s, v0.4s, v%d.4s", kMost)
	f.v("fcmgt v4.4s, v%d.4s, v0.4s", kLeast)
	f.zero(5, 1)
	f.v("bit v2.16b, v%d.16b, v3.16b", kInf)
	f.v("bit v2.16b, v5.16b, v4.16b")
	f.v("mov v0.16b, v2.16b")
}

func exponentials(f *file) {
	f.text("expScaledNEON", "(dst, x *float32, n int64, top, factor float32)", 32,
		"Writes e to the power of (x − top) · factor.")
	args(f, "MOVD dst+0(FP), R0", "MOVD x+8(FP), R1", "MOVD n+16(FP), R2", "FMOVS top+24(FP), F30",
		"FMOVS factor+28(FP), F31", "LSR  $2, R2, R2")
	f.v("dup v30.4s, v30.s[0]")
	expConstants(f)
	f.loop("loop", "R2", func() {
		f.p("FMOVQ.P 16(R1), F0")
		f.v("fsub v0.4s, v0.4s, v30.4s")
		f.v("fmul v0.4s, v0.4s, v31.s[0]")
		exp(f)
		f.p("FMOVQ.P F0, 16(R0)")
	})
	f.p("RET")

	f.text("maxNEON", "(x *float32, n int64) float32", 20, "The greatest element; a NaN is passed over.")
	args(f, "MOVD x+0(FP), R0", "MOVD n+8(FP), R1", "LSR  $2, R1, R1", "FMOVQ (R0), F0")
	f.loop("most", "R1", func() {
		f.p("FMOVQ.P 16(R0), F1")
		f.v("fmaxnm v0.4s, v0.4s, v1.4s")
	})
	f.v("fmaxnmv s0, v0.4s")
	f.p("FMOVS F0, ret+16(FP)")
	f.p("RET")

	f.text("expSumNEON", "(x *float32, n int64, top float32) float64", 32,
		"Replaces x by e to the power of x − top, and returns the sum in float64.")
	args(f, "MOVD x+0(FP), R0", "MOVD n+8(FP), R1", "FMOVS top+16(FP), F30", "LSR  $2, R1, R1")
	f.v("dup v30.4s, v30.s[0]")
	f.zero(31, 1)
	expConstants(f)
	f.loop("sum", "R1", func() {
		f.p("FMOVQ (R0), F0")
		f.v("fsub v0.4s, v0.4s, v30.4s")
		exp(f)
		f.p("FMOVQ.P F0, 16(R0)")
		f.v("fcvtl v1.2d, v0.2s")
		f.v("fcvtl2 v2.2d, v0.4s")
		f.v("fadd v31.2d, v31.2d, v1.2d")
		f.v("fadd v31.2d, v31.2d, v2.2d")
	})
	f.v("faddp v31.2d, v31.2d, v31.2d")
	f.p("FMOVD F31, ret+24(FP)")
	f.p("RET")

	f.text("swigluNEON", "(dst, gate, up *float32, n int64)", 32, "Writes gate / (1 + e to the power of −gate) · up.")
	args(f, "MOVD dst+0(FP), R0", "MOVD gate+8(FP), R1", "MOVD up+16(FP), R2", "MOVD n+24(FP), R3",
		"LSR  $2, R3, R3")
	expConstants(f)
	f.loop("glu", "R3", func() {
		f.p("FMOVQ.P 16(R1), F30")
		f.p("FMOVQ.P 16(R2), F31")
		f.v("fneg v0.4s, v30.4s")
		exp(f)
		f.v("fadd v0.4s, v0.4s, v%d.4s", kOne)
		f.v("fdiv v0.4s, v30.4s, v0.4s")
		f.v("fmul v0.4s, v0.4s, v31.4s")
		f.p("FMOVQ.P F0, 16(R0)")
	})
	f.p("RET")
}
