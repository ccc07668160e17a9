package main

import "fmt"

// The functions here expand a super-block's scales into the buffer, eight rows at a time: R15 is the super-block and
// R14 the buffer, 32 bytes on for each eight rows, and CX the super-block, 16 bytes on: for half-planes.

// With a single column, minima are multiplied with its sums at once: Y7 has the eight rows' results.
func (y *ymm) eachRows(body func()) {
	rows := y.label("scales")
	y.p("MOVQ DI, R15")
	y.p("MOVQ DI, CX")
	y.p("MOVQ BX, R14")
	if y.pairs() {
		y.p("VMOVDQU %d(R8)(AX*1), Y8", y.sums)
		y.p("VPSHUFB %s, Y8, Y8", y.vector([8]uint32{0x05040100, 0x07060302, 0x0d0c0908, 0x0f0e0b0a,
			0x05040100, 0x07060302, 0x0d0c0908, 0x0f0e0b0a}))
		y.p("VMOVDQU Y8, %d(BX)", yEvenOdd)
	}
	y.p("MOVL $4, DX")
	y.l(rows)
	body()
	if y.single {
		y.p("VMOVDQU Y7, %d(R14)", yMin)
	}
	y.p("ADDQ $32, R15")
	y.p("ADDQ $16, CX")
	y.p("ADDQ $32, R14")
	y.p("DECQ DX")
	y.p("JNZ  %s", rows)
}

// pairs tells whether scales and minima are multiplied as words of even and odd bytes, so that the sums of activations
// are wanted in the order 0, 2, 1, 3 and so on.
func (y *ymm) pairs() bool { return y.single && !y.vnni && y.format.runs16 }

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
func (y *ymm) half(times uint32) {
	y.p("VCVTPH2PS (CX), Y1")
	y.p("VMOVUPS Y1, %d(R14)", yD)
	if y.vnni {
		y.p("VMULPS %s, Y1, Y2", y.constant(times))
		y.p("VMOVUPS Y2, %d(R14)", yDmin)
	}
}

// scales stores the four bytes of each word of reg as scales g … g+3; Y8 changes. Where a run's weights are four times
// as large (yrun.four) the other runs' scales are, if their sums are added up together; with AVX-VNNI, that of the run
// is a quarter. Signed ones that are multiplied as pairs are left as words, even bytes in Y10 and odd ones in Y11.
func (y *ymm) scales(reg string, g int, signed bool) {
	if signed && y.pairs() {
		y.p("VPSLLW $8, %s, Y10", reg)
		y.p("VPSRAW $8, Y10, Y10")
		y.p("VPSRAW $8, %s, Y11", reg)
	}
	for i := range 4 {
		run := y.format.run((g + i) / y.format.groups())
		up := 0
		if y.format.fours && !run.four && !y.pairs() {
			up = 2
		}
		switch {
		case y.vnni && signed:
			y.p("VPSHUFB %s, %s, Y8", y.shuffle(zero, zero, zero, i), reg)
			y.p("VPSRAD $24, Y8, Y8")
		case y.vnni:
			y.p("VPSHUFB %s, %s, Y8", y.shuffle(i, zero, zero, zero), reg)
		case signed && y.pairs():
			y.p("VPSHUFB %s, Y%d, Y8", y.shuffle(i&2, i&2+1, i&2, i&2+1), 10+i%2)
		case signed:
			y.p("VPSHUFB %s, %s, Y8", y.shuffle(zero, i, zero, i), reg)
			y.p("VPSRAW $%d, Y8, Y8", 8-up)
		default:
			y.p("VPSHUFB %s, %s, Y8", y.shuffle(i, zero, i, zero), reg)
			if up > 0 {
				y.p("VPSLLW $%d, Y8, Y8", up)
			}
		}
		if y.vnni {
			y.p("VCVTDQ2PS Y8, Y8")
			y.p("VMULPS Y1, Y8, Y8")
			if run.four {
				y.p("VMULPS %s, Y8, Y8", y.constant(0x3e800000)) // ¼
			}
		}
		y.p("VMOVDQU Y8, %d(R14)", yScale+128*(g+i))
	}
}

// minimaPairs multiplies minima 4i … 4i+3 with the sums of activations: even ones are words of one register, odd ones
// of another. Y8 and Y9 change.
func (y *ymm) minimaPairs(even, odd string, i int) {
	for k, reg := range []string{even, odd} {
		y.p("VPBROADCASTD %d(BX), Y9", yEvenOdd+4*(2*i+k))
		if i+k == 0 {
			y.p("VPMADDWD Y9, %s, Y7", reg)
			continue
		}
		y.p("VPMADDWD Y9, %s, Y8", reg)
		y.p("VPADDD Y8, Y7, Y7")
	}
}

// minima takes the four bytes of each word of reg as minima of runs 4i … 4i+3. Y8 and Y9 change.
func (y *ymm) minima(reg string, i int, signed bool) {
	if signed && y.pairs() {
		y.minimaPairs("Y10", "Y11", i)
		return
	}
	for p, from := range [][]int{{0, 1}, {2, 3}} {
		if signed {
			y.p("VPSHUFB %s, %s, Y8", y.shuffle(zero, from[0], zero, from[1]), reg)
			y.p("VPSRAW $8, Y8, Y8")
		} else {
			y.p("VPSHUFB %s, %s, Y8", y.shuffle(from[0], zero, from[1], zero), reg)
		}
		p += 2 * i
		if !y.single {
			y.p("VMOVDQU Y8, %d(R14)", yMin+128*p)
			continue
		}
		y.p("VPBROADCASTD %d(R8)(AX*1), Y9", y.sums+4*p)
		if p == 0 {
			y.p("VPMADDWD Y9, Y8, Y7")
			continue
		}
		y.p("VPMADDWD Y9, Y8, Y8")
		y.p("VPADDD Y8, Y7, Y7")
	}
}

// scales6 is for Q4_K and Q5_K: plane 0 (d, dmin), planes 1–3 bytes 0–3, 4–7 and 8–11 of the packed 6-bit numbers.
func (y *ymm) scales6() {
	y.eachRows(func() {
		y.p("VMOVDQU (R15), Y0")
		y.halves()
		for i := range 3 {
			y.p("VMOVDQU %d(R15), Y%d", 128*(i+1), 2+i)
		}
		// the upper four of planes 1 and 2, whose low bits are nibbles of plane 3
		for i := range 2 {
			y.and(0x30303030, y.shift(2, fmt.Sprint("Y", 2+i), "Y6"), "Y6")
			y.and(0x0f0f0f0f, y.shift(4*i, "Y4", "Y5"), "Y5")
			y.p("VPOR Y6, Y5, Y5")
			if i == 0 {
				y.scales("Y5", 4, false)
				y.and(0x3f3f3f3f, "Y2", "Y2")
				y.scales("Y2", 0, false)
				continue
			}
			y.and(0x3f3f3f3f, "Y3", "Y3")
			y.minima("Y3", 0, false)
			y.minima("Y5", 1, false)
		}
	})
}

// scalesQ2: plane 0 (d, dmin), planes 1–4 hold a scale in each byte's low and a minimum in its high nibble.
func (y *ymm) scalesQ2() {
	y.eachRows(func() {
		y.p("VMOVDQU (R15), Y0")
		y.halves()
		for p := range 4 {
			y.p("VMOVDQU %d(R15), Y2", 128*(1+p))
			y.p("VPSRLW $4, Y2, Y3")
			if y.pairs() {
				y.and(0x000f000f, "Y3", "Y3")
				y.p("VPSRLW $12, Y2, Y4")
				y.minimaPairs("Y3", "Y4", p)
			} else {
				y.and(0x0f0f0f0f, "Y3", "Y3")
				y.minima("Y3", p, false)
			}
			y.and(0x0f0f0f0f, "Y2", "Y2")
			y.scales("Y2", 4*p, false)
		}
	})
}

// scalesQ6: a half-plane d, then planes 0–3 of int8 scales.
func (y *ymm) scalesQ6() {
	y.eachRows(func() {
		y.half(0x42000000) // 32
		for p := range 4 {
			y.p("VMOVDQU %d(R15), Y2", 64+128*p)
			y.scales("Y2", 4*p, true)
			y.minima("Y2", p, true)
		}
	})
}

// scalesQ3: a half-plane d, then planes 0 and 1 with the low four bits of 16 scales and plane 2 with the upper two; 32
// is subtracted.
func (y *ymm) scalesQ3() {
	y.eachRows(func() {
		y.half(0x40800000) // 4
		for p := range 3 {
			y.p("VMOVDQU %d(R15), Y%d", 64+128*p, 2+p)
		}
		for p := range 4 {
			y.and(0x0f0f0f0f, y.shift(p/2*4, fmt.Sprint("Y", 2+p%2), "Y5"), "Y5")
			y.and(0x30303030, y.shift(2*p-4, "Y4", "Y6"), "Y6")
			y.p("VPOR Y6, Y5, Y5")
			y.p("VPSUBB %s, Y5, Y5", y.constant(0x20202020))
			y.scales("Y5", 4*p, true)
			y.minima("Y5", p, true)
		}
	})
}
