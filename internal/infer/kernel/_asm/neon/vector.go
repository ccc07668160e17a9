package main

// vectors are element-wise functions of whole vectors: their callers in Go do what is left.
func vectors(f *file) {
	dot(f)
	scaleBy(f)
	addScaled(f)
	times(f)
	rope(f)
	halves(f)
	widenQ8(f)
	highest(f)
	quantise32(f)
	quantise256(f)
	putQ8(f)
	waits(f)
	measures(f)
}

func args(f *file, loads ...string) {
	for _, l := range loads {
		f.p("%s", l)
	}
}

// dot sums in four registers, 16 elements at a time.
func dot(f *file) {
	f.text("dotNEON", "(a, b *float32, n int64) float32", 28,
		"The sum of products, 16 elements at a time in four registers.")
	args(f, "MOVD a+0(FP), R0", "MOVD b+8(FP), R1", "MOVD n+16(FP), R2")
	f.zero(0, 4)
	f.p("LSR  $4, R2, R2")
	f.loop("loop", "R2", func() {
		for i := range 2 {
			f.p("FLDPQ.P 32(R0), (F%d, F%d)", 16+2*i, 17+2*i)
			f.p("FLDPQ.P 32(R1), (F%d, F%d)", 20+2*i, 21+2*i)
		}
		for i := range 4 {
			f.v("fmla v%d.4s, v%d.4s, v%d.4s", i, 16+i, 20+i)
		}
	})
	f.v("fadd v0.4s, v0.4s, v1.4s")
	f.v("fadd v2.4s, v2.4s, v3.4s")
	f.v("fadd v0.4s, v0.4s, v2.4s")
	f.v("faddp v0.4s, v0.4s, v0.4s")
	f.v("faddp v0.4s, v0.4s, v0.4s")
	f.p("FMOVS F0, ret+24(FP)")
	f.p("RET")
}

func scaleBy(f *file) {
	f.text("scaleByNEON", "(dst, x, w *float32, n int64, factor float32)", 36, "x · factor · w.")
	args(f, "MOVD dst+0(FP), R0", "MOVD x+8(FP), R1", "MOVD w+16(FP), R2", "MOVD n+24(FP), R3",
		"FMOVS factor+32(FP), F0", "LSR  $2, R3, R3")
	f.loop("loop", "R3", func() {
		f.p("FMOVQ.P 16(R1), F1")
		f.p("FMOVQ.P 16(R2), F2")
		f.v("fmul v1.4s, v1.4s, v0.s[0]")
		f.v("fmul v1.4s, v1.4s, v2.4s")
		f.p("FMOVQ.P F1, 16(R0)")
	})
	f.p("RET")
}

func addScaled(f *file) {
	f.text("addScaledNEON", "(dst, x *float32, n int64, factor float32)", 28, "Adds x · factor to dst.")
	args(f, "MOVD dst+0(FP), R0", "MOVD x+8(FP), R1", "MOVD n+16(FP), R2", "FMOVS factor+24(FP), F0",
		"LSR  $2, R2, R2")
	f.loop("loop", "R2", func() {
		f.p("FMOVQ.P 16(R1), F1")
		f.p("FMOVQ (R0), F2")
		f.v("fmla v2.4s, v1.4s, v0.s[0]")
		f.p("FMOVQ.P F2, 16(R0)")
	})
	f.p("RET")
}

func times(f *file) {
	f.text("timesNEON", "(x *float32, n int64, factor float32)", 20, "x · factor, in place.")
	args(f, "MOVD x+0(FP), R0", "MOVD n+8(FP), R1", "FMOVS factor+16(FP), F0", "LSR  $2, R1, R1")
	f.loop("loop", "R1", func() {
		f.p("FMOVQ (R0), F1")
		f.v("fmul v1.4s, v1.4s, v0.s[0]")
		f.p("FMOVQ.P F1, 16(R0)")
	})
	f.p("RET")
}

// rope turns n pairs.
func rope(f *file) {
	f.text("ropeNEON", "(x, cos, sin *float32, n int64)", 32,
		"Turns pairs of neighbours by angles whose cosines and sines are given.")
	args(f, "MOVD x+0(FP), R0", "MOVD cos+8(FP), R1", "MOVD sin+16(FP), R2", "MOVD n+24(FP), R3", "LSR  $2, R3, R3")
	f.loop("loop", "R3", func() {
		f.p("FLDPQ (R0), (F0, F1)")
		f.p("FMOVQ.P 16(R1), F2")
		f.p("FMOVQ.P 16(R2), F3")
		f.v("uzp1 v4.4s, v0.4s, v1.4s")
		f.v("uzp2 v5.4s, v0.4s, v1.4s")
		f.v("fmul v6.4s, v4.4s, v2.4s")
		f.v("fmls v6.4s, v5.4s, v3.4s")
		f.v("fmul v7.4s, v4.4s, v3.4s")
		f.v("fmla v7.4s, v5.4s, v2.4s")
		f.v("zip1 v0.4s, v6.4s, v7.4s")
		f.v("zip2 v1.4s, v6.4s, v7.4s")
		f.p("FSTPQ.P (F0, F1), 32(R0)")
	})
	f.p("RET")
}

// halves converts between binary16 and float32, eight at a time.
func halves(f *file) {
	f.text("toF16NEON", "(dst *byte, x *float32, n int64)", 24, "float32 to binary16, eight at a time.")
	args(f, "MOVD dst+0(FP), R0", "MOVD x+8(FP), R1", "MOVD n+16(FP), R2", "LSR  $3, R2, R2")
	f.loop("loop", "R2", func() {
		f.p("FLDPQ.P 32(R1), (F0, F1)")
		f.v("fcvtn v2.4h, v0.4s")
		f.v("fcvtn2 v2.8h, v1.4s")
		f.p("FMOVQ.P F2, 16(R0)")
	})
	f.p("RET")
	f.text("fromF16NEON", "(dst *float32, x *byte, n int64)", 24, "binary16 to float32, eight at a time.")
	args(f, "MOVD dst+0(FP), R0", "MOVD x+8(FP), R1", "MOVD n+16(FP), R2", "LSR  $3, R2, R2")
	f.loop("loop", "R2", func() {
		f.p("FMOVQ.P 16(R1), F2")
		f.v("fcvtl v0.4s, v2.4h")
		f.v("fcvtl2 v1.4s, v2.8h")
		f.p("FSTPQ.P (F0, F1), 32(R0)")
	})
	f.p("RET")
}

// sixteenBytes multiplies the signed bytes of register 0 with register 1's first element: to 2 to 5.
func sixteenBytes(f *file) {
	f.c("Sixteen bytes times their scale.")
	f.v("sshll v6.8h, v0.8b, #0")
	f.v("sshll2 v7.8h, v0.16b, #0")
	for i := range 4 {
		name, from := "sshll", "4h"
		if i%2 == 1 {
			name, from = "sshll2", "8h"
		}
		f.v("%s v%d.4s, v%d.%s, #0", name, 2+i, 6+i/2, from)
		f.v("scvtf v%d.4s, v%d.4s", 2+i, 2+i)
		f.v("fmul v%d.4s, v%d.4s, v1.s[0]", 2+i, 2+i)
	}
}

// widenQ8: each of some vectors, whose size is a multiple of 16, has a scale for every 32 elements; the vectors'
// scales of the same elements are neighbours.
func widenQ8(f *file) {
	f.text("widenQ8NEON", "(dst *float32, elements, scales *byte, dim, vectors int64)", 40, `
Signed bytes times scales, to float32. A vector has a scale for every 32 elements; the vectors' scales of the
same elements are neighbours.`)
	args(f, "MOVD dst+0(FP), R0", "MOVD elements+8(FP), R1", "MOVD scales+16(FP), R2", "MOVD dim+24(FP), R3",
		"MOVD vectors+32(FP), R4", "LSL  $1, R4, R5", "LSR  $4, R3, R3")
	f.loop("vector", "R4", func() {
		f.p("MOVD R2, R6")
		f.p("MOVD R3, R7")
		f.l("group")
		f.p("MOVHU (R6), R8")
		f.p("ADD  R5, R6, R6")
		f.p("FMOVS R8, F1")
		f.v("fcvtl v1.4s, v1.4h")
		for range 2 {
			f.p("FMOVQ.P 16(R1), F0")
			sixteenBytes(f)
			f.p("FSTPQ.P (F2, F3), 32(R0)")
			f.p("FSTPQ.P (F4, F5), 32(R0)")
			f.p("SUBS $1, R7, R7")
			f.p("BEQ  next")
		}
		f.p("B    group")
		f.l("next")
		f.p("ADD  $2, R2, R2")
	})
	f.p("RET")
}

func highest(f *file) {
	f.text("highestNEON", "(x *float32, n int64) (top float32, largest uint32)", 24,
		"The greatest element, and the bits of the largest magnitude.")
	args(f, "MOVD x+0(FP), R0", "MOVD n+8(FP), R1", "LSR  $2, R1, R1", "FMOVQ (R0), F0")
	f.zero(1, 1)
	f.loop("loop", "R1", func() {
		f.p("FMOVQ.P 16(R0), F2")
		f.v("fmaxnm v0.4s, v0.4s, v2.4s")
		f.v("fabs v2.4s, v2.4s")
		f.v("umax v1.4s, v1.4s, v2.4s")
	})
	f.v("fmaxnmv s0, v0.4s")
	f.v("umaxv s1, v1.4s")
	f.p("FMOVS F0, top+16(FP)")
	f.p("FMOVS F1, largest+20(FP)")
	f.p("RET")

	f.text("indexNEON", "(x *float32, n int64, v float32) int64", 32,
		"The index of the first element that equals v.")
	args(f, "MOVD x+0(FP), R0", "MOVD n+8(FP), R1", "FMOVS v+16(FP), F0", "MOVD R0, R3", "LSR  $2, R1, R1")
	f.v("dup v0.4s, v0.s[0]")
	f.loop("four", "R1", func() {
		f.p("FMOVQ.P 16(R0), F2")
		f.v("fcmeq v2.4s, v2.4s, v0.4s")
		f.v("umaxv s2, v2.4s")
		f.p("FMOVS F2, R2")
		f.p("CBNZW R2, found")
	})
	f.l("found")
	f.p("SUB  $16, R0, R0")
	f.p("MOVD $3, R4")
	f.loop("one", "R4", func() {
		f.p("FMOVS (R0), F2")
		f.p("FCMPS F0, F2")
		f.p("BEQ  done")
		f.p("ADD  $4, R0, R0")
	})
	f.l("done")
	f.p("SUB  R3, R0, R0")
	f.p("LSR  $2, R0, R0")
	f.p("MOVD R0, ret+24(FP)")
	f.p("RET")
}

// blockScale takes the largest magnitude's bits from register 16 and gives the scale in F17, its inverse in F18: see
// blockScale in acts.go. R8 is used.
func blockScale(f *file) {
	f.c("The scale, in F17, and its inverse, in F18: 0 where all is tiny, NaN where something is not finite.")
	broken, small, done := f.label("broken"), f.label("small"), f.label("done")
	f.v("umaxv s16, v16.4s")
	f.p("FMOVS F16, R8")
	f.zero(17, 2)
	f.p("MOVW $0x7f800000, R9")
	f.p("CMPW R9, R8")
	f.p("BHS  %s", broken)
	f.p("MOVW $0x0d800000, R9") // 2⁻¹⁰⁰
	f.p("CMPW R9, R8")
	f.p("BLO  %s", small)
	f.p("FMOVS $127.0, F19")
	f.p("FDIVS F19, F16, F17")
	f.p("FDIVS F16, F19, F18")
	f.p("B    %s", done)
	f.l(broken)
	f.p("MOVW $0x7fc00000, R9")
	f.p("FMOVS R9, F17")
	f.l(small)
	f.l(done)
}

// roundSixteen turns four registers of floats times F18 to sixteen bytes in the first.
func roundSixteen(f *file, v int) {
	f.c("Sixteen floats times F18 to bytes.")
	for i := range 4 {
		f.v("fmul v%d.4s, v%d.4s, v18.s[0]", v+i, v+i)
		f.v("fcvtns v%d.4s, v%d.4s", v+i, v+i)
	}
	f.v("sqxtn v%d.4h, v%d.4s", v, v)
	f.v("sqxtn2 v%d.8h, v%d.4s", v, v+1)
	f.v("sqxtn v%d.4h, v%d.4s", v+2, v+2)
	f.v("sqxtn2 v%d.8h, v%d.4s", v+2, v+3)
	f.v("sqxtn v%d.8b, v%d.8h", v, v)
	f.v("sqxtn2 v%d.16b, v%d.8h", v, v+2)
}

// sumSixteen gives the sum of register v's signed bytes, in a general register.
func sumSixteen(f *file, v int, to string) {
	f.c("The sum of sixteen bytes.")
	f.v("saddlp v20.8h, v%d.16b", v)
	f.v("saddlp v20.4s, v20.8h")
	f.v("addv s20, v20.4s")
	f.p("FMOVS F20, %s", to)
}

// magnitudes keeps the largest of 32 loaded floats in register 16.
func magnitudes(f *file) {
	f.c("The largest magnitude of 32 floats.")
	for i := range 8 {
		f.v("fabs v21.4s, v%d.4s", i)
		f.v("umax v16.4s, v16.4s, v21.4s")
	}
}

func quantise32(f *file) {
	f.text("quantise32NEON", "(dst *byte, x *float32, blocks int64)", 24,
		"Activations to blocks of 32 bytes with a scale and −128 times the sum (act32).")
	args(f, "MOVD dst+0(FP), R0", "MOVD x+8(FP), R1", "MOVD blocks+16(FP), R2")
	f.loop("block", "R2", func() {
		for i := range 4 {
			f.p("FLDPQ.P 32(R1), (F%d, F%d)", 2*i, 2*i+1)
		}
		f.zero(16, 1)
		magnitudes(f)
		blockScale(f)
		roundSixteen(f, 0)
		roundSixteen(f, 4)
		sumSixteen(f, 0, "R3")
		sumSixteen(f, 4, "R4")
		f.p("FMOVQ F0, (R0)")
		f.p("FMOVQ F4, 16(R0)")
		f.p("FMOVS F17, %d(R0)", act32Scale)
		f.p("ADDW R3, R4, R3")
		f.p("NEGW R3, R3")
		f.p("LSLW $7, R3, R3")
		f.p("MOVW R3, %d(R0)", act32Init)
		f.p("ADD  $%d, R0, R0", act32Block)
	})
	f.p("RET")
}

func quantise256(f *file) {
	f.text("quantise256NEON", "(dst *byte, x *float32, blocks int64)", 24,
		"Activations to blocks of 256 bytes with a scale and the sums of each 16 and 32 (act256).")
	args(f, "MOVD dst+0(FP), R0", "MOVD x+8(FP), R1", "MOVD blocks+16(FP), R2")
	f.loop("block", "R2", func() {
		f.zero(16, 1)
		f.p("MOVD R1, R3")
		f.p("MOVD $8, R4")
		f.loop("largest", "R4", func() {
			for i := range 4 {
				f.p("FLDPQ.P 32(R3), (F%d, F%d)", 2*i, 2*i+1)
			}
			magnitudes(f)
		})
		blockScale(f)
		f.p("FMOVS F17, %d(R0)", act256Scale)
		f.p("ADD  $%d, R0, R5", act256Init)
		f.p("ADD  $%d, R0, R6", act256Sum16)
		f.p("ADD  $%d, R0, R7", act256Sum32)
		f.p("MOVD R0, R3")
		f.p("MOVD $8, R4")
		f.loop("thirtytwo", "R4", func() {
			for i := range 4 {
				f.p("FLDPQ.P 32(R1), (F%d, F%d)", 2*i, 2*i+1)
			}
			for i := range 2 {
				roundSixteen(f, 4*i)
				f.p("FMOVQ.P F%d, 16(R3)", 4*i)
				reg := []string{"R10", "R11"}[i]
				sumSixteen(f, 4*i, reg)
				f.p("MOVH.P %s, 2(R6)", reg)
				f.p("NEGW %s, R12", reg)
				f.p("LSLW $7, R12, R12")
				f.p("MOVW.P R12, 4(R5)")
			}
			f.p("ADDW R10, R11, R10")
			f.p("MOVH.P R10, 2(R7)")
		})
		f.p("ADD  $%d, R0, R0", act256Block)
	})
	f.p("RET")
}

// putQ8 stores 32 elements at a time with a scale in binary16, as kvScale and kvRound in quant do.
func putQ8(f *file) {
	f.text("putQ8NEON", "(elements, scales *byte, x *float32, n, stride int64)", 40,
		"32 elements at a time to signed bytes, with a scale in binary16 for each.")
	args(f, "MOVD elements+0(FP), R0", "MOVD scales+8(FP), R1", "MOVD x+16(FP), R2", "MOVD n+24(FP), R3",
		"MOVD stride+32(FP), R4", "LSR  $5, R3, R3", "FMOVS $127.0, F23", "FMOVS $127.5, F24", "FMOVS $1.0, F25")
	f.loop("group", "R3", func() {
		for i := range 4 {
			f.p("FLDPQ.P 32(R2), (F%d, F%d)", 2*i, 2*i+1)
		}
		f.zero(16, 1)
		magnitudes(f)
		f.v("umaxv s16, v16.4s")
		f.zero(18, 1)
		f.p("FMOVS F16, R8")
		f.p("MOVW $0x7f800000, R9")
		f.p("MOVD $0x7e00, R10")
		f.p("CMPW R9, R8")
		f.p("BHS  write")
		f.p("FDIVS F23, F16, F17")
		f.v("fcvtn v17.4h, v17.4s")
		f.p("FMOVS F17, R10")
		f.p("ANDW $0xffff, R10, R10")
		f.v("fcvtl v17.4s, v17.4h")
		f.p("CBZW R8, write")
		f.p("FMULS F24, F17, F19")
		f.p("FCMPS F19, F16")
		f.p("BLT  fits")
		f.p("ADDW $1, R10, R10")
		f.p("FMOVS R10, F17")
		f.v("fcvtl v17.4s, v17.4h")
		f.l("fits")
		f.p("FDIVS F17, F25, F18")
		f.l("write")
		f.p("MOVH R10, (R1)")
		f.p("ADD  R4, R1, R1")
		roundSixteen(f, 0)
		roundSixteen(f, 4)
		f.p("FSTPQ.P (F0, F4), 32(R0)")
	})
	f.p("RET")
}

// measures do rounds of twelve multiplications whose sums do not wait for each other.
func measures(f *file) {
	for _, m := range [][2]string{{"NEON", "smlal v%d.8h, v30.8b, v31.8b"},
		{"DotProd", "sdot v%d.4s, v30.16b, v31.4b[0]"}, {"I8MM", "smmla v%d.4s, v30.16b, v31.16b"}} {
		f.text("multiply"+m[0], "(rounds int64)", 8, "Products on registers alone: twelve independent sums.")
		f.p("MOVD rounds+0(FP), R0")
		f.loop("round", "R0", func() {
			for i := range 12 {
				f.v(m[1], i)
			}
		})
		f.p("RET")
	}
}

func waits(f *file) {
	f.text("pause", "(n int32)", 4, "Waits some ten nanoseconds n times.")
	f.p("MOVW n+0(FP), R0")
	f.l("again")
	f.c("ISB takes some ten nanoseconds where YIELD takes none")
	f.p("ISB  $15")
	f.p("SUBSW $1, R0, R0")
	f.p("BGT  again")
	f.p("RET")

	f.text("fetch", "(b []byte)", 24, "Asks for the lines of b, four at a time.")
	args(f, "MOVD b_base+0(FP), R0", "MOVD b_len+8(FP), R1", "LSR  $8, R1, R1", "CBZ  R1, fetched")
	f.loop("lines", "R1", func() {
		for range 4 {
			f.p("PRFM (R0), PLDL2KEEP")
			f.p("ADD  $64, R0, R0")
		}
	})
	f.l("fetched")
	f.p("RET")

	f.text("touchNEON", "(p unsafe.Pointer, n int64)", 16, "Reads memory, 256 bytes at a time.")
	args(f, "MOVD p+0(FP), R0", "MOVD n+8(FP), R1", "LSR  $8, R1, R1")
	f.loop("read", "R1", func() {
		for i := range 8 {
			f.p("FLDPQ.P 32(R0), (F%d, F%d)", 2*i, 2*i+1)
		}
	})
	f.p("RET")
}
