package main

// Scales of a super-block are spread to rows of 32-bit integers, which multiply the runs' integer sums. R1 points to
// the block, R5 to scalesNEON; a loop goes through the rows by fours.

// spreadScales is that loop: R16 and R17 are the block and the scales at the four rows, R19 the half-plane. Registers
// 0 to 27 and R15 are free.
func (s *super) spreadScales(f *file) {
	f.c("The scales, and minima, to rows of integers: R16 is the block, R17 the scales, at four rows.")
	f.p("ADD  $%d, R1, R16", s.start())
	f.p("MOVD R5, R17")
	f.p("MOVD R1, R19")
	f.p("MOVD $8, R15")
	f.bytes(24, 15)
	f.bytes(25, 63)
	f.loop("scales", "R15", func() {
		s.scales(f)
		f.p("ADD  $16, R16, R16")
		f.p("ADD  $16, R17, R17")
		f.p("ADD  $8, R19, R19")
	})
}

// store writes the four signed bytes of each word of register v to rows run … run+3 of the scales, or minima.
func store(f *file, v, run, base int) { storeEach(f, v, run, 1, base) }

// storeEach does so for rows run, run+step and so on.
func storeEach(f *file, v, run, step, base int) {
	for i := range 4 {
		w := 20 + i
		from := v
		if i < 3 {
			f.v("shl v%d.4s, v%d.4s, #%d", w, v, 24-8*i)
			from = w
		}
		f.v("sshr v%d.4s, v%d.4s, #24", w, from)
		f.p("FMOVQ F%d, %d(R17)", w, base+(run+step*i)*scaleRow)
	}
}

// superScales writes d and dmin of plane 0.
func superScales(f *file) {
	f.p("FMOVQ (R16), F0")
	f.v("xtn v1.4h, v0.4s")
	f.v("shrn v2.4h, v0.4s, #16")
	f.v("fcvtl v1.4s, v1.4h")
	f.v("fcvtl v2.4s, v2.4h")
	f.p("FMOVQ F1, %d(R17)", scalesD)
	f.p("FMOVQ F2, %d(R17)", scalesDm)
}

// halfScales writes d of the half-plane.
func halfScales(f *file) {
	f.p("FMOVD (R19), F0")
	f.v("fcvtl v0.4s, v0.4h")
	f.p("FMOVQ F0, %d(R17)", scalesD)
}

func scalesQ2(f *file) {
	superScales(f)
	for p := range 4 {
		f.p("FMOVQ %d(R16), F0", (1+p)*plane)
		f.v("and v1.16b, v0.16b, v24.16b")
		f.v("ushr v2.16b, v0.16b, #4")
		store(f, 1, 4*p, 0)
		store(f, 2, 4*p, scalesMin)
	}
}

func scalesQ3(f *file) {
	halfScales(f)
	f.bytes(27, 32)
	for i := range 3 {
		f.p("FMOVQ %d(R16), F%d", i*plane, 4+i)
	}
	for g := range 4 { // runs 4g … 4g+3: nibble g/2 of word g%2, bits 2g of the third
		f.v("mov v0.16b, v%d.16b", 4+g%2)
		field(f, 0, g/2*4, 4, 24)
		from := 6
		if g > 0 {
			f.v("ushr v1.16b, v6.16b, #%d", 2*g)
			from = 1
		}
		f.v("sli v0.16b, v%d.16b, #4", from)
		f.v("and v0.16b, v0.16b, v25.16b")
		f.v("sub v0.16b, v0.16b, v27.16b")
		store(f, 0, 4*g, 0)
	}
}

func scalesQ45(f *file) {
	superScales(f)
	for i := range 3 {
		f.p("FMOVQ %d(R16), F%d", (1+i)*plane, 4+i)
	}
	for i, base := range []int{0, scalesMin} {
		f.v("and v0.16b, v%d.16b, v25.16b", 4+i)
		store(f, 0, 0, base)
		f.v("mov v0.16b, v6.16b")
		field(f, 0, 4*i, 4, 24)
		f.v("ushr v1.16b, v%d.16b, #6", 4+i)
		f.v("sli v0.16b, v1.16b, #4")
		store(f, 0, 4, base)
	}
}

func scalesQ6(f *file) {
	halfScales(f)
	for p := range 4 {
		f.p("FMOVQ %d(R16), F0", p*plane)
		store(f, 0, 4*p, 0)
	}
}

// scalesIQ4 has d in the lower half of the first plane, whose upper half is two high bits for each run; the second
// plane has a nibble for each run, the first one lowest.
func scalesIQ4(f *file) {
	f.p("FMOVQ (R16), F0")
	f.p("FMOVQ %d(R16), F4", plane)
	f.v("xtn v1.4h, v0.4s")
	f.v("fcvtl v1.4s, v1.4h")
	f.p("FMOVQ F1, %d(R17)", scalesD)
	f.bytes(27, 32)
	// The two bytes of high bits go to the first and third of a word, and the upper nibbles of both into those behind
	// them: each byte then has the bits of an even run, and of the next one above.
	f.p("VMOVQ $0xff07ff06ff03ff02, $0xff0fff0eff0bff0a, V26")
	f.v("tbl v0.16b, {v0.16b}, v26.16b")
	f.v("shl v1.4s, v0.4s, #4")
	f.v("orr v0.16b, v0.16b, v1.16b")
	for odd := range 2 {
		f.v("mov v2.16b, v4.16b")
		field(f, 2, 4*odd, 4, 24)
		if odd == 1 {
			f.v("ushr v0.16b, v0.16b, #2")
		}
		f.v("sli v2.16b, v0.16b, #4")
		f.v("and v2.16b, v2.16b, v25.16b")
		f.v("sub v2.16b, v2.16b, v27.16b")
		storeEach(f, 2, odd, 2, 0)
	}
}
