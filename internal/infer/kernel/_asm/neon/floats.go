package main

// floats writes products of a format of floats. aboutFloat has the registers.
func floats(f *file, name string) {
	floatTile(f, name, 1)
	floatTile(f, name, 4)
}

// floatTile computes 32 rows of one column, or twice 16 of four, at once.
func floatTile(f *file, name string, columns int) {
	fours, step, text, doc := 8, plane, "gemv", "One column, 32 rows at once: registers 0 to 7 are the sums."
	if columns == 4 {
		fours, text = 4, "tile"
		doc = "Groups of four columns, twice 16 rows at once: registers 0 to 15 are the sums, four of each column."
	}
	if name != "F32" {
		step = halfPlane
	}
	f.text(text+name+"NEON", "(a *tileNEON)", 8, doc)
	f.p("MOVD a+0(FP), R0")
	f.p("MOVD (R0), R1")
	f.p("MOVD 16(R0), R6")
	f.p("MOVD 24(R0), R4")
	f.loop("group", "R4", func() {
		f.p("MOVD 32(R0), R3")
		for c := range columns {
			f.p("LDP.P 16(R6), (R%d, R%d)", 8+c, 12+c)
			f.p("ADD  R3, R%d, R%d", 8+c, 8+c)
		}
		for pass := range 8 / fours {
			f.c("Rows %d to %d: four k at once, and then the rest.", 4*fours*pass, 4*fours*(pass+1)-1)
			for c := range columns {
				f.p("MOVD R%d, R%d", 8+c, 19+c)
				for r := range fours {
					f.p("FMOVQ %d(R%d), F%d", 16*(fours*pass+r), 12+c, c*fours+r)
				}
			}
			f.p("ADD  $%d, R1, R2", pass*fours*4*step/rows)
			f.p("MOVD 40(R0), R24")
			rest, four, one, done := f.label("rest"), f.label("four"), f.label("one"), f.label("done")
			add := func(i int) {
				loadFloats(f, name, fours)
				for c := range columns {
					for r := range fours {
						f.v("fmla v%d.4s, v%d.4s, v%d.s[%d]", c*fours+r, 16+r, 24+c, i)
					}
				}
				f.p("ADD  $%d, R2, R2", step)
			}
			f.p("SUBS $4, R24, R24")
			f.p("BLT  %s", rest)
			f.l(four)
			for c := range columns {
				f.p("FMOVQ.P 16(R%d), F%d", 19+c, 24+c)
			}
			for i := range 4 {
				add(i)
			}
			f.p("SUBS $4, R24, R24")
			f.p("BGE  %s", four)
			f.l(rest)
			f.p("ADDS $4, R24, R24")
			f.p("BEQ  %s", done)
			f.l(one)
			for c := range columns {
				f.p("FMOVS.P 4(R%d), F%d", 19+c, 24+c)
			}
			add(0)
			f.p("SUBS $1, R24, R24")
			f.p("BNE  %s", one)
			f.l(done)
			for c := range columns {
				for r := range fours {
					f.p("FMOVQ F%d, %d(R%d)", c*fours+r, 16*(fours*pass+r), 12+c)
				}
			}
		}
	})
	f.p("RET")
}

// loadFloats widens weights of fours of rows to registers from 16 on.
func loadFloats(f *file, name string, fours int) {
	for r := range fours {
		switch w := 16 + r; {
		case name == "F32":
			f.p("FMOVQ %d(R2), F%d", 16*r, w)
		case r%2 == 0:
			f.p("FMOVQ %d(R2), F28", 8*r)
			if name == "F16" {
				f.v("fcvtl v%d.4s, v28.4h", w)
				f.v("fcvtl2 v%d.4s, v28.8h", w+1)
			} else {
				f.v("shll v%d.4s, v28.4h, #16", w)
				f.v("shll2 v%d.4s, v28.8h, #16", w+1)
			}
		}
	}
}
