package main

// The functions here expand a super-block's scales into the buffer, eight rows at a time: R15 is the super-block and
// R14 the buffer, 32 bytes on for each eight rows, and CX the super-block, 16 bytes on: for half-planes.

func (y *ymm) eachRows(body func()) {
	rows := y.label("scales")
	y.p("MOVQ DI, R15")
	y.p("MOVQ DI, CX")
	y.p("MOVQ BX, R14")
	y.p("MOVL $4, DX")
	y.l(rows)
	body()
	y.p("ADDQ $32, R15")
	y.p("ADDQ $16, CX")
	y.p("ADDQ $32, R14")
	y.p("DECQ DX")
	y.p("JNZ  %s", rows)
}

// and leaves reg & v in to.
func (y *ymm) and(v uint32, reg, to string) { y.p("VPAND %s, %s, %s", y.constant(v), reg, to) }

// shift leaves reg shifted to the right, or to the left if by is negative, in to.
func (y *ymm) shift(by int, reg, to string) string {
	switch {
	case by > 0:
		y.p("VPSRLD $%d, %s, %s", by, reg, to)
	case by < 0:
		y.p("VPSLLD $%d, %s, %s", -by, reg, to)
	default:
		return reg
	}
	return to
}

// halves makes float32 of the low and of the high binary16 of each word of Y0: d to Y1 and the buffer, dmin to it.
func (y *ymm) halves() {
	for _, high := range []bool{false, true} {
		word, at := "Y0", yD
		if high {
			at = yDmin
		} else {
			y.p("VPSLLD $16, Y0, Y2")
			word = "Y2"
		}
		y.p("VPSRLD $16, %s, Y2", word)
		y.p("VPACKUSDW Y2, Y2, Y2")
		y.p("VPERMQ $0x08, Y2, Y2")
		y.p("VCVTPH2PS X2, Y2")
		y.p("VMOVUPS Y2, %d(R14)", at)
		if !high {
			y.p("VMOVAPS Y2, Y1")
		}
	}
}

// half makes float32 of eight d; times is what minima are multiplied with beside it, where scales are minima too.
func (y *ymm) half(at int, times uint32) {
	y.p("VCVTPH2PS %d(CX), Y1", at)
	y.p("VMOVUPS Y1, %d(R14)", yD)
	if y.vnni {
		y.p("VMULPS %s, Y1, Y2", y.constant(times))
		y.p("VMOVUPS Y2, %d(R14)", yDmin)
	}
}

// scale stores the integers in reg, which changes, as scale g; Y9 changes.
func (y *ymm) scale(reg string, g int) {
	if y.vnni {
		y.p("VCVTDQ2PS %s, %s", reg, reg)
		y.p("VMULPS Y1, %s, %s", reg, reg)
	} else {
		y.p("VPSLLD $16, %s, Y9", reg)
		y.p("VPBLENDW $0xaa, Y9, %s, %s", reg, reg)
	}
	y.p("VMOVDQU %s, %d(R14)", reg, yScale+128*g)
}

// pair stores two minima, the low bytes of reg. Y9 changes.
func (y *ymm) pair(reg string, p int) {
	y.and(0xff, reg, "Y9")
	y.p("VPSLLD $8, %s, %s", reg, reg)
	y.and(0xff0000, reg, reg)
	y.p("VPOR Y9, %s, %s", reg, reg)
	y.p("VMOVDQU %s, %d(R14)", reg, yMin+128*p)
}

// scalePair stores two signed scales as minima. Y9 changes.
func (y *ymm) scalePair(even, odd string, p int) {
	y.p("VPSLLD $16, %s, Y9", odd)
	y.p("VPBLENDW $0xaa, Y9, %s, Y9", even)
	y.p("VMOVDQU Y9, %d(R14)", yMin+128*p)
}

// scales6 is for Q4_K and Q5_K: plane 0 (d, dmin), planes 1–3 bytes 0–3, 4–7 and 8–11 of the packed 6-bit numbers.
func (y *ymm) scales6() {
	y.eachRows(func() {
		y.p("VMOVDQU (R15), Y0")
		y.halves()
		for i := range 3 {
			y.p("VMOVDQU %d(R15), Y%d", 128*(i+1), 2+i)
		}
		for b := range 4 {
			y.and(0x3f, y.shift(8*b, "Y2", "Y8"), "Y8")
			y.scale("Y8", b)
		}
		for b := range 4 {
			y.and(0x0f, y.shift(8*b, "Y4", "Y8"), "Y8")
			y.and(0x30, y.shift(8*b+2, "Y2", "Y10"), "Y10")
			y.p("VPOR Y10, Y8, Y8")
			y.scale("Y8", 4+b)
		}
		for p := range 2 {
			y.and(0x3f3f, y.shift(16*p, "Y3", "Y8"), "Y8")
			y.pair("Y8", p)
		}
		for p := range 2 {
			y.and(0x0f0f, y.shift(16*p+4, "Y4", "Y8"), "Y8")
			y.and(0x3030, y.shift(16*p+2, "Y3", "Y10"), "Y10")
			y.p("VPOR Y10, Y8, Y8")
			y.pair("Y8", 2+p)
		}
	})
}

// scalesQ2: planes 0–3 hold a scale in each byte's low and a minimum in its high nibble, plane 20 (d, dmin).
func (y *ymm) scalesQ2() {
	y.eachRows(func() {
		y.p("VMOVDQU %d(R15), Y0", 20*128)
		y.halves()
		for p := range 4 {
			y.p("VMOVDQU %d(R15), Y2", 128*p)
			for i := range 4 {
				y.and(0x0f, y.shift(8*i, "Y2", "Y8"), "Y8")
				y.scale("Y8", 4*p+i)
			}
			for i := range 2 {
				y.and(0x0f0f, y.shift(16*i+4, "Y2", "Y8"), "Y8")
				y.pair("Y8", 2*p+i)
			}
		}
	})
}

// scalesQ6: planes 48–51 hold int8 scales, then a half-plane d.
func (y *ymm) scalesQ6() {
	y.eachRows(func() {
		y.half(52*128, 0x42000000) // 32
		for p := range 4 {
			y.p("VMOVDQU %d(R15), Y2", (48+p)*128)
			for i := range 4 {
				y.p("VPSLLD $%d, Y2, Y%d", 24-8*i, 4+i)
				y.p("VPSRAD $24, Y%d, Y%d", 4+i, 4+i)
			}
			y.scalePair("Y4", "Y5", 2*p)
			y.scalePair("Y6", "Y7", 2*p+1)
			for i, reg := range []string{"Y4", "Y5", "Y6", "Y7"} {
				y.scale(reg, 4*p+i)
			}
		}
	})
}

// scalesQ3: planes 24 and 25 hold the low four bits of 16 scales, plane 26 the upper two, then a half-plane d; 32 is
// subtracted.
func (y *ymm) scalesQ3() {
	y.eachRows(func() {
		y.half(27*128, 0x40800000) // 4
		for p := range 3 {
			y.p("VMOVDQU %d(R15), Y%d", (24+p)*128, 2+p)
		}
		for p := range 8 {
			for i, reg := range []string{"Y8", "Y10"} {
				g := 2*p + i
				y.and(0x0f, y.shift(g%4*8+g/8*4, []string{"Y2", "Y3"}[g%8/4], reg), reg)
				y.and(0x30, y.shift(g%4*8+g/4*2-4, "Y4", "Y11"), "Y11")
				y.p("VPOR Y11, %s, %s", reg, reg)
				y.p("VPSUBD %s, %s, %s", y.constant(32), reg, reg)
			}
			y.scalePair("Y8", "Y10", p)
			y.scale("Y8", 2*p)
			y.scale("Y10", 2*p+1)
		}
	})
}
