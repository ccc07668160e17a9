package main

// transposes bring blocks of formats with a grid into rows, which portable code looks up, and what it found into the
// order of tiles.
func transposes(f *file) {
	gatherRows(f)
	spreadRows(f, false)
	spreadRows(f, true)
}

// square transposes four words of registers from … from+3, to registers to … to+3. The first are lost.
func square(f *file, from, to int) {
	f.v("zip1 v%d.4s, v%d.4s, v%d.4s", to, from, from+1)
	f.v("zip2 v%d.4s, v%d.4s, v%d.4s", to+1, from, from+1)
	f.v("zip1 v%d.4s, v%d.4s, v%d.4s", to+2, from+2, from+3)
	f.v("zip2 v%d.4s, v%d.4s, v%d.4s", to+3, from+2, from+3)
	f.v("zip1 v%d.2d, v%d.2d, v%d.2d", from, to, to+2)
	f.v("zip2 v%d.2d, v%d.2d, v%d.2d", from+1, to, to+2)
	f.v("zip1 v%d.2d, v%d.2d, v%d.2d", from+2, to+1, to+3)
	f.v("zip2 v%d.2d, v%d.2d, v%d.2d", from+3, to+1, to+3)
}

// gatherRows reads planes, four words of four rows at a time; the last of a row's words may be done twice.
func gatherRows(f *file) {
	f.text("gatherRowsNEON", "(to, planes *byte, words int64)", 24,
		"Planes to rows, four words of four rows at a time. The last of a row's words may be done twice.")
	args(f, "MOVD to+0(FP), R0", "MOVD planes+8(FP), R1", "MOVD $8, R5")
	f.loop("rows", "R5", func() {
		args(f, "MOVD R0, R2", "MOVD R1, R3", "MOVD words+16(FP), R4")
		four, done := f.label("four"), f.label("done")
		f.l(four)
		for i := range 4 {
			f.p("FMOVQ %d(R3), F%d", plane*i, i)
		}
		f.c("Columns of four words of four rows to rows.")
		square(f, 0, 4)
		for i := range 4 {
			f.p("FMOVQ F%d, %d(R2)", i, rowLen*i)
		}
		args(f, "ADD  $16, R2, R2")
		f.p("ADD  $%d, R3, R3", 4*plane)
		f.p("SUBS $4, R4, R4")
		f.p("BEQ  %s", done)
		f.p("CMP  $4, R4")
		f.p("BGE  %s", four)
		args(f, "SUB  $4, R4, R6", "ADD  R6<<2, R2, R2", "ADD  R6<<7, R3, R3", "MOVD $4, R4") // back by 4 − R4
		f.p("B    %s", four)
		f.l(done)
		f.p("ADD  $%d, R0, R0", 4*rowLen)
		f.p("ADD  $16, R1, R1")
	})
	f.p("RET")
}

// rowLen is how far apart gathered rows are.
const rowLen = 128

// spreadRows writes the 256 codes of eight rows as signed bytes.
func spreadRows(f *file, paired bool) {
	name, order := "spreadRowsNEON", "each quad of eight rows in turn"
	if paired {
		name, order = "spreadRowsI8MM", "two quads of each row together"
	}
	f.text(name, "(to *int8, codes *byte, stride int64)", 24,
		"The 256 codes of eight rows to signed bytes in the order of tiles: "+order+".")
	args(f, "MOVD to+0(FP), R0", "MOVD codes+8(FP), R1", "MOVD stride+16(FP), R2", "MOVD $16, R4")
	f.bytes(16, 0x80)
	f.loop("quads", "R4", func() {
		f.p("MOVD R1, R3")
		for half := range 2 {
			f.c("Sixteen codes of rows %d to %d, and their signs.", 4*half, 4*half+3)
			for r := range 4 {
				f.p("FMOVQ (R3), F%d", r)
				f.p("ADD  R2, R3, R3")
				f.v("eor v%d.16b, v%d.16b, v16.16b", r, r)
			}
			if !paired {
				square(f, 0, 4)
				for q := range 4 {
					f.p("FMOVQ F%d, %d(R0)", q, 32*q+16*half)
				}
				continue
			}
			for r := 0; r < 4; r += 2 {
				for pair := range 2 {
					f.v("zip%d v4.2d, v%d.2d, v%d.2d", pair+1, r, r+1)
					f.p("FMOVQ F4, %d(R0)", 64*pair+32*half+8*r)
				}
			}
		}
		f.p("ADD  $16, R1, R1")
		f.p("ADD  $128, R0, R0")
	})
	f.p("RET")
}
