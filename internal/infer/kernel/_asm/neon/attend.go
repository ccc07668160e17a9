package main

// attention takes four heads at once. aboutAttend has the registers.
func attention(f *file) {
	scores(f)
	values(f)
}

func attendArgs(f *file, name, doc string) {
	f.text(name, "(a *attend)", 8, doc)
	f.p("MOVD a+0(FP), R0")
	f.p("LDP  (R0), (R1, R2)")
	f.p("MOVD 16(R0), R3")
	for i := range 4 {
		f.p("MOVD %d(R0), R%d", 32+8*i, 8+i)
		f.p("MOVD %d(R0), R%d", 64+8*i, 12+i)
	}
}

// scores: two positions at once, each with four heads: sums in registers 0 to 7. A last position alone is computed
// twice, in the same place.
func scores(f *file) {
	attendArgs(f, "attendScoresNEON", `Queries times keys, two positions at once, each with four heads: sums are in registers 0 to
7. A last position alone is computed twice, in the same place.`)
	f.p("FMOVS 24(R0), F24")
	next, two, dim := f.label("next"), f.label("two"), f.label("dim")
	f.l(next)
	f.p("MOVD R1, R4")
	f.p("ADD  R3, R1, R5")
	f.p("ADD  R3, R5, R1")
	f.p("MOVD $4, R7")
	f.p("CMP  $1, R2")
	f.p("BGT  %s", two)
	f.p("MOVD R4, R5")
	f.p("MOVD $0, R7")
	f.l(two)
	for h := range 4 {
		f.p("MOVD R%d, R%d", 8+h, 19+h)
	}
	f.zero(0, 8)
	f.p("LSR  $6, R3, R6")
	f.c("Sixteen elements of two keys and four queries.")
	f.l(dim)
	for range 4 {
		f.p("FMOVQ.P 16(R4), F16")
		f.p("FMOVQ.P 16(R5), F17")
		for h := range 4 {
			f.p("FMOVQ.P 16(R%d), F%d", 19+h, 18+h)
		}
		for h := range 4 {
			f.v("fmla v%d.4s, v16.4s, v%d.4s", h, 18+h)
			f.v("fmla v%d.4s, v17.4s, v%d.4s", 4+h, 18+h)
		}
	}
	f.p("SUBS $1, R6, R6")
	f.p("BNE  %s", dim)
	for k := range 2 {
		f.c("The sums of position %d, times the factor, to the scores of its heads.", k)
		v := 4 * k
		f.v("faddp v%d.4s, v%d.4s, v%d.4s", v, v, v+1)
		f.v("faddp v%d.4s, v%d.4s, v%d.4s", v+2, v+2, v+3)
		f.v("faddp v%d.4s, v%d.4s, v%d.4s", v, v, v+2)
		f.v("fmul v%d.4s, v%d.4s, v24.s[0]", v, v)
		for h := range 4 {
			f.v("dup v16.4s, v%d.s[%d]", v, h)
			if k == 0 {
				f.p("FMOVS F16, (R%d)", 12+h)
				f.p("ADD  R7, R%d, R%d", 12+h, 12+h)
			} else {
				f.p("FMOVS.P F16, 4(R%d)", 12+h)
			}
		}
	}
	f.p("SUBS $2, R2, R2")
	f.p("BGT  %s", next)
	f.p("RET")
}

// values: sixteen elements at once, each head's in four registers, through all positions.
func values(f *file) {
	attendArgs(f, "attendValuesNEON", `Values times scores, sixteen elements at once through all positions: each head's
are in four registers from 0 on.`)
	f.p("LSR  $6, R3, R6")
	f.loop("part", "R6", func() {
		f.p("MOVD R1, R4")
		f.p("MOVD R2, R5")
		for h := range 4 {
			f.p("MOVD R%d, R%d", 12+h, 19+h)
			f.p("FLDPQ (R%d), (F%d, F%d)", 8+h, 4*h, 4*h+1)
			f.p("FLDPQ 32(R%d), (F%d, F%d)", 8+h, 4*h+2, 4*h+3)
		}
		add := func(i int) {
			f.p("FLDPQ (R4), (F16, F17)")
			f.p("FLDPQ 32(R4), (F18, F19)")
			f.p("ADD  R3, R4, R4")
			for h := range 4 {
				for k := range 4 {
					f.v("fmla v%d.4s, v%d.4s, v%d.s[%d]", 4*h+k, 16+k, 20+h, i)
				}
			}
		}
		f.c("Four positions at once.")
		f.p("SUBS $4, R5, R5")
		f.p("BLT  rest")
		f.l("four")
		for h := range 4 {
			f.p("FMOVQ.P 16(R%d), F%d", 19+h, 20+h)
		}
		for i := range 4 {
			add(i)
		}
		f.p("SUBS $4, R5, R5")
		f.p("BGE  four")
		f.c("The rest of the positions, one by one.")
		f.l("rest")
		f.p("ADDS $4, R5, R5")
		f.p("BEQ  done")
		f.l("one")
		for h := range 4 {
			f.p("FMOVS.P 4(R%d), F%d", 19+h, 20+h)
		}
		add(0)
		f.p("SUBS $1, R5, R5")
		f.p("BNE  one")
		f.l("done")
		for h := range 4 {
			f.p("FSTPQ (F%d, F%d), (R%d)", 4*h, 4*h+1, 8+h)
			f.p("FSTPQ (F%d, F%d), 32(R%d)", 4*h+2, 4*h+3, 8+h)
			f.p("ADD  $64, R%d, R%d", 8+h, 8+h)
		}
		f.p("ADD  $64, R1, R1")
	})
	f.p("RET")
}
