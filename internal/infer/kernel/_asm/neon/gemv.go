package main

// gemv and gemvs write products with one column: with SDOT, and without. aboutGemv has the registers.
func (c *classic) gemv(f *file) {
	c.gemvSDOT(f)
	c.gemvBase(f)
}

func (s *super) gemvs(f *file) {
	s.gemv(f, "gemv"+s.name+"DotProd", 8, `With SDOT, 32 rows at once: registers 0 to 7 are the sums of a run, four rows in
each, 8 to 15 the sums of these times the integer scales.`)
	products := "in 16 bits"
	if s.curve {
		products = "in 32 bits"
	}
	s.gemv(f, "gemv"+s.name+"NEON", 4, `Without SDOT, 16 rows at once: a run's products are added `+products+`, four rows in two
of registers 0 to 7; 8 to 11 are the sums of these times the integer scales.`)
}

func gemvLoops(f *file, name, doc string, block, x int, begin, each, end func()) {
	f.text(name, "(a *gemvNEON)", 8, doc)
	f.p("MOVD a+0(FP), R0")
	for i, r := range []string{"R1", "R2", "R3", "", "R6", "R5"} {
		if r != "" {
			f.p("MOVD %d(R0), %s", 8*i, r)
		}
	}
	f.loop("panel", "R6", func() {
		f.p("MOVD R2, R7")
		f.p("MOVD 24(R0), R4")
		begin()
		f.loop("block", "R4", func() {
			each()
			f.p("ADD  $%d, R1, R1", block)
			f.p("ADD  $%d, R7, R7", x)
		})
		end()
		f.p("ADD  $%d, R3, R3", plane)
	})
	f.p("RET")
}

// gemvSDOT sums four rows in each of registers 0 to 7, and their products with the scales in 8 to 15.
func (c *classic) gemvSDOT(f *file) {
	gemvLoops(f, "gemv"+c.name+"DotProd", `With SDOT: registers 0 to 7 are the sums of a block, four rows in each, 8 to 15
the sums of these times the scales.`, c.block(), act32Block, func() {
		c.constants(f, false)
		f.zero(8, 8)
	}, func() {
		c.start(f)
		for r := range 8 {
			f.v("mov v%d.16b, v26.16b", r)
		}
		f.p("FMOVQ (R7), F24")
		f.p("FMOVQ 16(R7), F25")
		for j := range 8 {
			f.c("Quad %d of all rows.", j)
			for r := range 8 {
				w := 16 + r%4
				c.load(f, j, r, w, 20+r%4, false)
				f.v("sdot v%d.4s, v%d.16b, v%d.4b[%d]", r, w, 24+j/4, j%4)
			}
		}
		c.factor(f)
		for r := range 8 {
			c.addScaled(f, r, r, 8+r)
		}
	}, func() {
		for r := range 8 {
			f.p("FMOVQ F%d, %d(R3)", 8+r, 16*r)
		}
	})
}

// start fills register 26 with what a block's integer sums start from.
func (c *classic) start(f *file) {
	f.c("What the sums of integers start from.")
	if c.shift == 0 {
		f.zero(26, 1)
		return
	}
	f.p("ADD  $%d, R7, R8", act32Init)
	f.p("VLD1R (R8), [V26.S4]")
	f.v("sshr v26.4s, v26.4s, #%d", c.shift)
}

// factor loads the activations' scale to register 26, and for minima what total gives to 27.
func (c *classic) factor(f *file) {
	f.c("Times the scales of weights and activations.")
	f.p("FMOVS %d(R7), F26", act32Scale)
	if c.minima {
		f.p("FMOVS %d(R7), F27", act32Init)
		total(f, 27, 26)
	}
}

// addScaled adds sum · (scale · factor), and the minimum times the activations, to acc, for rows 4r … 4r+3.
func (c *classic) addScaled(f *file, r, sum, acc int) {
	c.widen(f, r, 16, 17, 18)
	f.v("fmul v16.4s, v16.4s, v26.s[0]")
	f.v("scvtf v%d.4s, v%d.4s", sum, sum)
	f.v("fmla v%d.4s, v%d.4s, v16.4s", acc, sum)
	if c.minima {
		f.v("fmls v%d.4s, v17.4s, v27.s[0]", acc)
	}
}

// gemvBase multiplies bytes to 16 bits, two products in each, and adds these to pairs of 32-bit sums, four rows in two
// of registers 0 to 7. Registers 8 to 15 are as above.
func (c *classic) gemvBase(f *file) {
	gemvLoops(f, "gemv"+c.name+"NEON", `Without SDOT: products of bytes are added in 16 bits by twos, and these in 32 bits,
sixteen rows at once, four in two of registers 0 to 7. 8 to 15 are the sums of these times the scales.`, c.block(),
		act32Block, func() {
			c.constants(f, false)
			f.zero(8, 8)
		}, func() {
			for pass := range 2 {
				f.zero(0, 8)
				f.p("FMOVQ (R7), F24")
				f.p("FMOVQ 16(R7), F25")
				for j := 0; j < 8; j += 2 {
					f.c("Quads %d and %d of rows %d to %d.", j, j+1, 16*pass, 16*pass+15)
					f.v("dup v22.4s, v%d.s[%d]", 24+j/4, j%4)
					f.v("dup v23.4s, v%d.s[%d]", 24+j/4, j%4+1)
					for r := range 4 {
						c.load(f, j, 4*pass+r, 16, 18, false)
						c.load(f, j+1, 4*pass+r, 17, 19, false)
						pairs(f, 2*r, 16, 17, 22, 23, 20)
					}
				}
				c.start(f)
				for r := range 4 {
					f.v("addp v%d.4s, v%d.4s, v%d.4s", r, 2*r, 2*r+1)
					f.v("add v%d.4s, v%d.4s, v26.4s", r, r)
				}
				c.factor(f)
				for r := range 4 {
					c.addScaled(f, 4*pass+r, r, 8+4*pass+r)
				}
			}
		}, func() {
			for r := range 8 {
				f.p("FMOVQ F%d, %d(R3)", 8+r, 16*r)
			}
		})
}

// pairs adds the products of the weights in a and b with the activations in x and y to the sums acc and acc+1: 128 ·
// 127 · 2 is below 2¹⁵.
func pairs(f *file, acc, a, b, x, y, t int) {
	f.v("smull v%d.8h, v%d.8b, v%d.8b", t, a, x)
	f.v("smull2 v%d.8h, v%d.16b, v%d.16b", t+1, a, x)
	f.v("smlal v%d.8h, v%d.8b, v%d.8b", t, b, y)
	f.v("smlal2 v%d.8h, v%d.16b, v%d.16b", t+1, b, y)
	f.v("sadalp v%d.4s, v%d.8h", acc, t)
	f.v("sadalp v%d.4s, v%d.8h", acc+1, t+1)
}

// gemv sums four rows of a run in each register from 0 on (without SDOT: in two, in 16 bits: 63 · 127 · 4 and 31 · 127
// · 8 are below 2¹⁵; of a curve in 32, as pairs does), and these times the integer scales from 8 on. n fours of rows
// are gone through at once; R20 is where they begin in a plane.
func (s *super) gemv(f *file, name string, n int, doc string) {
	gemvLoops(f, name, doc, s.block(), act256Block, func() {
		s.constants(f, false)
		f.zero(0, 1)
		for r := range 8 {
			f.p("FMOVQ F0, %d(R3)", 16*r)
		}
	}, func() {
		s.spreadScales(f)
		f.p("MOVD $0, R20")
		pass := f.label("pass")
		f.l(pass)
		f.zero(8, n)
		f.p("ADD  $%d, R1, R8", s.start()+s.low*plane)
		f.p("ADD  R20, R8, R8")
		f.p("ADD  $%d, R1, R9", s.start()+s.high*plane)
		f.p("ADD  R20, R9, R9")
		f.p("MOVD R7, R10")
		f.p("ADD  R20, R5, R11")
		f.p("MOVD R11, R21")
		f.p("ADD  $%d, R7, R14", act256Init)
		s.walk(f, func(b *body) { s.gemvBody(f, b, n) })
		s.finish(f, n)
		f.p("ADD  $%d, R20, R20", 16*n)
		f.p("CMP  $%d, R20", plane)
		f.p("BLT  %s", pass)
	}, func() {})
}

func (s *super) gemvBody(f *file, b *body, n int) {
	f.c("A run, from weight %d of these on: what its sums start from, and its quads.", b.k)
	if s.offset > 0 {
		f.p("ADD  $%d, R14, R15", 4*b.run)
		f.p("VLD1R (R15), [V26.S4]")
		f.v("sshr v26.4s, v26.4s, #%d", s.shift)
	} else if n == 8 {
		f.zero(26, 1)
	}
	if n == 8 {
		for r := range n {
			f.v("mov v%d.16b, v26.16b", r)
		}
	}
	f.p("ADD  $%d, R8, R15", b.low*plane)
	wide := s.curve && n == 4
	if wide {
		f.zero(0, 8)
	}
	for q := range b.quads {
		if q%4 == 0 {
			f.p("FMOVQ %d(R10), F24", b.k+4*q)
		}
		x := 25
		if wide {
			x += q % 2
		}
		if n == 4 {
			f.v("dup v%d.4s, v24.s[%d]", x, q%4)
		}
		at, shift := b.place(q)
		for r := range n {
			w, h := 16+r%4, 20+r%4
			if q%2 == 1 && wide {
				w = h
			}
			f.p("FMOVQ %d(R15), F%d", at*s.step*plane+16*r, w)
			if s.highBits > 0 {
				f.p("FMOVQ %d(R9), F%d", q*s.step*plane+16*r, h)
			}
			s.extract(f, b, shift, w, h, false)
			switch {
			case n == 8:
				f.v("sdot v%d.4s, v%d.16b, v24.4b[%d]", r, w, q%4)
			case !wide:
				products(f, 2*r, w, x, q == 0)
			case q%2 == 1:
				pairs(f, 2*r, w-4, w, 25, 26, 30)
			}
		}
	}
	f.c("Times the integer scales.")
	f.p("ADD  $%d, R11, R15", b.run*scaleRow)
	for r := range n {
		sum := r
		if n == 4 {
			sum = 2 * r
			if wide {
				f.v("addp v%d.4s, v%d.4s, v%d.4s", sum, sum, sum+1)
			} else {
				gather(f, sum)
			}
			if s.offset > 0 {
				f.v("add v%d.4s, v%d.4s, v26.4s", sum, sum)
			}
		}
		f.p("FMOVQ %d(R15), F%d", 16*r, 16+r%4)
		f.v("mla v%d.4s, v%d.4s, v%d.4s", 8+r, sum, 16+r%4)
	}
}

// products adds products in 16 bits to acc and acc+1.
func products(f *file, acc, w, x int, first bool) {
	name := "smlal"
	if first {
		name = "smull"
	}
	f.v("%s v%d.8h, v%d.8b, v%d.8b", name, acc, w, x)
	f.v("%s2 v%d.8h, v%d.16b, v%d.16b", name, acc+1, w, x)
}

// gather adds up what products left: four rows in acc.
func gather(f *file, acc int) {
	f.v("saddlp v%d.4s, v%d.8h", acc, acc)
	f.v("saddlp v%d.4s, v%d.8h", acc+1, acc+1)
	f.v("addp v%d.4s, v%d.4s, v%d.4s", acc, acc, acc+1)
}

// finish adds a block's integers, times d and the activations' scale, to the results at R3; and takes off the minima.
// R21 are the scales at the first of the rows.
func (s *super) finish(f *file, n int) {
	if s.minima {
		f.c("The minima, times the sums of activations.")
		f.zero(0, n)
		for half := range s.runs / 8 {
			f.p("FMOVQ %d(R7), F24", s.sums+16*half)
			f.v("sshll v26.4s, v24.4h, #0")
			f.v("sshll2 v27.4s, v24.8h, #0")
			for g := range 8 {
				for r := range n {
					f.p("FMOVQ %d(R21), F%d", scalesMin+(8*half+g)*scaleRow+16*r, 16+r%4)
					f.v("mla v%d.4s, v%d.4s, v%d.s[%d]", r, 16+r%4, 26+g/4, g%4)
				}
			}
		}
	}
	f.c("Times the super-scales and the activations' scale, to the results.")
	f.p("FMOVS %d(R7), F24", act256Scale)
	f.p("ADD  R20, R3, R15")
	for r := range n {
		f.p("FMOVQ %d(R15), F20", 16*r)
		s.scaled(f, 20, 8+r, r, 16*r, "R21", "24.s[0]")
		f.p("FMOVQ F20, %d(R15)", 16*r)
	}
}

// scaled adds total · (d · factor) − least · (dmin · factor) to acc. Registers 16 and 17 are used.
func (s *super) scaled(f *file, acc, total, least, at int, scales, factor string) {
	f.p("FMOVQ %d(%s), F16", scalesD+at, scales)
	f.v("fmul v16.4s, v16.4s, v%s", factor)
	f.v("scvtf v%d.4s, v%d.4s", total, total)
	f.v("fmla v%d.4s, v%d.4s, v16.4s", acc, total)
	if s.minima {
		f.p("FMOVQ %d(%s), F17", scalesDm+at, scales)
		f.v("fmul v17.4s, v17.4s, v%s", factor)
		f.v("scvtf v%d.4s, v%d.4s", least, least)
		f.v("fmls v%d.4s, v%d.4s, v17.4s", acc, least)
	}
}
