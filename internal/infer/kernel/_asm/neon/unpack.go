package main

// unpack writes both ways of unpacking: for SMMLA the quads are paired. aboutUnpack has the registers.
func (c *classic) unpack(f *file) {
	for _, paired := range []bool{false, true} {
		unpackText(f, c.name, paired)
		c.constants(f, true)
		f.loop("block", "R4", func() {
			for j := 0; j < 8; j += 2 {
				f.c("Quads %d and %d of all rows.", j, j+1)
				for r := range 8 {
					c.load(f, j, r, 0, 2, true)
					c.load(f, j+1, r, 1, 2, true)
					put(f, 0, 1, r, 64*j/2, "R2", paired)
				}
			}
			f.c("The scales.")
			for r := range 8 {
				c.widen(f, r, 16, 17, 18)
				f.p("FMOVQ F16, %d(R5)", 16*r)
				if c.minima {
					f.p("FMOVQ F17, %d(R5)", scalesMin+16*r)
				}
			}
			f.p("ADD  $%d, R1, R1", c.block())
			f.p("ADD  $%d, R2, R2", 8*32)
			f.p("ADD  $%d, R5, R5", scaleRow)
		})
		f.p("RET")
	}
}

func (s *super) unpack(f *file) {
	for _, paired := range []bool{false, true} {
		unpackText(f, s.name, paired)
		s.spreadScales(f)
		if paired {
			s.widenScales(f)
		}
		s.constants(f, true)
		f.p("ADD  $%d, R1, R8", s.start()+s.low*plane)
		f.p("ADD  $%d, R1, R9", s.start()+s.high*plane)
		f.p("MOVD R2, R26")
		s.walk(f, func(b *body) { s.unpackBody(f, b, paired) })
		f.p("RET")
	}
}

func unpackText(f *file, format string, paired bool) {
	suffix, doc := "NEON", "Two quads are 64 bytes as they are: each of eight rows in turn."
	if paired {
		suffix, doc = "I8MM", "Two quads are 64 bytes in which both of each row are together, for SMMLA."
	}
	f.text("unpack"+format+suffix, "(a *unpackNEON)", 8, doc)
	f.p("MOVD a+0(FP), R0")
	for i, r := range []string{"R1", "R2", "R5", "R4"} {
		f.p("MOVD %d(R0), %s", 8*i, r)
	}
}

// put stores two quads of rows 4r … 4r+3.
func put(f *file, a, b, r, at int, to string, paired bool) {
	at += r / 2 * group
	if paired {
		f.v("zip1 v16.4s, v%d.4s, v%d.4s", a, b)
		f.v("zip2 v17.4s, v%d.4s, v%d.4s", a, b)
		f.p("FMOVQ F16, %d(%s)", at+r%2*32, to)
		f.p("FMOVQ F17, %d(%s)", at+r%2*32+16, to)
		return
	}
	f.p("FMOVQ F%d, %d(%s)", a, at+r%2*16, to)
	f.p("FMOVQ F%d, %d(%s)", b, at+r%2*16+32, to)
}

func (s *super) unpackBody(f *file, b *body, paired bool) {
	f.p("ADD  $%d, R8, R15", b.low*plane)
	for q := 0; q < b.quads; q += 2 {
		f.c("Weights %d to %d of these, of all rows.", b.k+4*q, b.k+4*q+7)
		for r := range 8 {
			for i := range 2 {
				at, shift := b.place(q + i)
				f.p("FMOVQ %d(R15), F%d", at*s.step*plane+16*r, i)
				if s.highBits > 0 {
					f.p("FMOVQ %d(R9), F%d", (q+i)*s.step*plane+16*r, 2+i)
				}
				s.extract(f, b, shift, i, 2+i, true)
			}
			put(f, 0, 1, r, 8*b.k+32*q, "R26", paired)
		}
	}
}

// widenScales writes every scale twice, as the sums of SMMLA for two columns want them.
func (s *super) widenScales(f *file) {
	f.c("Each scale twice, as the sums of SMMLA for two columns want them.")
	f.p("MOVD R5, R16")
	f.p("ADD  $%d, R5, R17", scalesWid)
	f.p("MOVD $%d, R15", s.runs*8)
	f.loop("widen", "R15", func() {
		f.p("FMOVQ.P 16(R16), F0")
		f.v("zip1 v1.4s, v0.4s, v0.4s")
		f.v("zip2 v2.4s, v0.4s, v0.4s")
		f.p("FMOVQ.P F1, 16(R17)")
		f.p("FMOVQ.P F2, 16(R17)")
	})
}
