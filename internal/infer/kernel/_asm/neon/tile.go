package main

// A file of tiles has the functions of formats whose scales are alike, for each instruction set. aboutTile has the
// registers. Every sum is of four rows and one column: register first + 2·column + fours of rows.
type tileKind struct {
	name, doc string
	super     *super // nil: classic
	minima    bool
	single    bool // for one column, too
}

var tileKinds = []tileKind{
	{name: "32", doc: `
Q8_0, Q4_0, Q5_0 and IQ4_NL: up to eight blocks of 32 weights, each with a scale in float32.`},
	{name: "32_float_min", minima: true, doc: `
Q4_1 and Q5_1: up to eight blocks of 32 weights, each with a scale and a minimum in float32.`},
	{name: "16", super: &super{name: "16", runs: 16}, single: true, doc: `
Q3_K, Q6_K and formats with grids whose scales are for 16 weights: a super-block of 16 runs of 16, each with an integer
scale.`},
	{name: "32_int", super: &super{name: "32Int", runs: 8}, single: true, doc: `
IQ4_XS and formats with grids whose scales are for 32 weights: a super-block of eight runs of 32, each with an integer
scale. Bytes may be of any size.`},
	{name: "16_min", super: &super{name: "16Min", runs: 16, minima: true, sums: act256Sum16}, doc: `
Q2_K: a super-block of 16 runs of 16, each with an integer scale and a minimum.`},
	{name: "32_min", super: &super{name: "32Min", runs: 8, minima: true, sums: act256Sum32}, doc: `
Q4_K and Q5_K: a super-block of eight runs of 32, each with an integer scale and a minimum.`},
}

// emit writes a file.
func (k *tileKind) emit(f *file) {
	for _, t := range []*tile{
		{suffix: "NEON", totals: 16, least: 0, lanes: 8, columns: 4,
			doc: "Four columns without SDOT: products of bytes are added in 16 bits, and these in 32 bits."},
		{suffix: "DotProd", totals: 8, least: 0, lanes: 16, columns: 4, doc: "Four columns with SDOT."},
		{suffix: "I8MM", totals: 0, least: 8, lanes: 16, columns: 4,
			doc: "Four columns with SMMLA: a sum is of two rows and two columns until the end."},
	} {
		if k.super == nil {
			t.classic(f, k.minima)
		} else {
			t.super(f, k.super)
		}
	}
	if !k.single {
		return
	}
	for _, t := range []*tile{
		{suffix: "NEON", totals: 16, columns: 1, doc: "A single column without SDOT."},
		{suffix: "DotProd", totals: 8, columns: 1, doc: "A single column with SDOT."},
	} {
		t.super(f, k.super)
	}
}

// tile is an instruction set's way. At the end of a super-block totals are from totals on, and minima are summed from
// least on, with sums of activations in lanes.
type tile struct {
	suffix, doc          string
	totals, least, lanes int
	columns              int
}

func (t *tile) groups(f *file, name string, each func()) {
	prefix := "tile"
	if t.columns == 1 {
		prefix = "single"
	}
	f.text(prefix+name+t.suffix, "(a *tileNEON)", 8, t.doc)
	f.p("MOVD a+0(FP), R0")
	f.p("MOVD (R0), R1")
	f.p("MOVD 8(R0), R5")
	f.p("MOVD 16(R0), R6")
	f.p("MOVD 24(R0), R4")
	f.loop("group", "R4", func() {
		f.p("MOVD 32(R0), R3")
		for c := range t.columns {
			f.p("LDP.P 16(R6), (R%d, R%d)", 8+c, 12+c)
			f.p("ADD  R3, R%d, R%d", 8+c, 8+c)
		}
		f.p("MOVD R1, R25")
		f.p("MOVD R5, R17")
		f.p("MOVD $4, R16")
		f.loop("rows", "R16", func() {
			f.p("MOVD R25, R2")
			for c := range t.columns {
				f.p("MOVD R%d, R%d", 8+c, 19+c)
			}
			each()
			f.p("ADD  $%d, R25, R25", group)
			f.p("ADD  $32, R17, R17")
			for c := range t.columns {
				f.p("ADD  $32, R%d, R%d", 12+c, 12+c)
			}
		})
	})
	f.p("RET")
}

// eight adds products of 8 weights of each row to two sums each, without SDOT; R19 to R22 move on.
func (t *tile) eight(f *file) {
	f.c("Eight weights of eight rows.")
	f.p("FLDPQ.P 32(R2), (F24, F25)")
	f.p("FLDPQ.P 32(R2), (F26, F27)")
	for c := range t.columns {
		f.p("VLD1R.P 4(R%d), [V28.S4]", 19+c)
		f.p("VLD1R.P 4(R%d), [V29.S4]", 19+c)
		for r := range 2 {
			pairs(f, 2*(2*c+r), 24+r, 26+r, 28, 29, 30)
		}
	}
}

// sixteen adds products of 16 weights of each row to the sums; R19 to R22 move on.
func (t *tile) sixteen(f *file) {
	f.c("Sixteen weights of eight rows.")
	switch t.suffix {
	case "DotProd":
		for c := range t.columns {
			f.p("FMOVQ.P 16(R%d), F%d", 19+c, 24+c)
		}
		for q := range 4 {
			f.p("FLDPQ.P 32(R2), (F16, F17)")
			for i := range 2 * t.columns {
				f.v("sdot v%d.4s, v%d.16b, v%d.4b[%d]", i, 16+i%2, 24+i/2, q)
			}
		}
	case "I8MM":
		for c := range 4 {
			f.p("FMOVQ.P 16(R%d), F%d", 19+c, 24+c)
		}
		for k := range 2 {
			f.v("zip%d v%d.2d, v24.2d, v25.2d", k+1, 20+2*k)
			f.v("zip%d v%d.2d, v26.2d, v27.2d", k+1, 21+2*k)
		}
		for k := range 2 {
			f.p("FLDPQ.P 32(R2), (F16, F17)")
			f.p("FLDPQ.P 32(R2), (F18, F19)")
			for i := range 8 { // pair i/2 of rows, pair i%2 of columns
				f.v("smmla v%d.4s, v%d.16b, v%d.16b", i, 16+i/2, 20+2*k+i%2)
			}
		}
	}
}

// unpair turns what SMMLA left in eight registers to sums of four rows and one column, from to on.
func unpair(f *file, from, to int) {
	f.c("From sums of two rows and two columns to those of four rows and one.")
	for r := range 2 {
		for p := range 2 {
			a, b := from+4*r+p, from+4*r+2+p
			f.v("uzp1 v%d.4s, v%d.4s, v%d.4s", to+4*p+r, a, b)
			f.v("uzp2 v%d.4s, v%d.4s, v%d.4s", to+4*p+2+r, a, b)
		}
	}
}

// classic: up to eight blocks of 32, each with a scale, and perhaps a minimum, in float32. The results stay in
// registers meanwhile.
func (t *tile) classic(f *file, minima bool) {
	name := "32"
	if minima {
		name = "32FloatMin"
	}
	acc := 8
	if t.suffix == "NEON" {
		acc = 16
	}
	t.groups(f, name, func() {
		for c := range 4 {
			f.p("FLDPQ (R%d), (F%d, F%d)", 12+c, acc+2*c, acc+2*c+1)
		}
		f.p("MOVD R17, R23")
		f.p("MOVD 40(R0), R24")
		f.loop("block", "R24", func() {
			sums := 0
			switch t.suffix {
			case "NEON":
				f.zero(0, 16)
				for range 4 {
					t.eight(f)
				}
				for i := range 8 {
					f.v("addp v%d.4s, v%d.4s, v%d.4s", i, 2*i, 2*i+1)
				}
			default:
				f.zero(0, 8)
				t.sixteen(f)
				t.sixteen(f)
				if t.suffix == "I8MM" {
					unpair(f, 0, 16)
					sums = 16
				}
			}
			f.c("Times the scales of weights and activations.")
			f.p("FLDPQ (R23), (F24, F25)")
			if minima {
				f.p("ADD  $%d, R23, R26", scalesMin)
				f.p("FLDPQ (R26), (F30, F31)")
			}
			f.p("ADD  $%d, R23, R23", scaleRow)
			for c := range 4 {
				f.p("FMOVS (R%d), F26", 19+c)
				if minima {
					f.p("FMOVS %d(R%d), F29", act32Init-act32Scale, 19+c)
					total(f, 29, 26)
				}
				f.p("ADD  $%d, R%d, R%d", act32Block-32, 19+c, 19+c)
				for r := range 2 {
					s := sums + 2*c + r
					f.v("fmul v27.4s, v%d.4s, v26.s[0]", 24+r)
					f.v("scvtf v%d.4s, v%d.4s", s, s)
					f.v("fmla v%d.4s, v%d.4s, v27.4s", acc+2*c+r, s)
					if minima {
						f.v("fmls v%d.4s, v%d.4s, v29.s[0]", acc+2*c+r, 30+r)
					}
				}
			}
		})
		for c := range 4 {
			f.p("FSTPQ (F%d, F%d), (R%d)", acc+2*c, acc+2*c+1, 12+c)
		}
	})
}

// super: the runs' sums times integer scales, minima, and then float32 once.
func (t *tile) super(f *file, s *super) {
	t.groups(f, s.name, func() {
		f.p("MOVD R17, R23")
		width := scaleRow
		if t.suffix == "I8MM" {
			width = 2 * scaleRow
			f.p("SUB  R5, R17, R23") // scales are twice as wide there, and so is the place in them
			f.p("ADD  R17, R23, R23")
			f.p("ADD  $%d, R23, R23", scalesWid)
		}
		total := t.totals
		if t.suffix == "I8MM" {
			total = 8
		}
		f.zero(total, 2*t.columns)
		f.p("MOVD $%d, R24", s.runs)
		f.loop("run", "R24", func() { t.run(f, s, total, width) })
		if t.suffix == "I8MM" {
			unpair(f, total, t.totals)
		}
		if s.minima {
			t.minima(f, s)
		}
		f.c("Times the super-scales and the activations' scale, to the results.")
		for c := range t.columns {
			f.p("FMOVS %d(R%d), F28", act256Scale, 8+c)
			f.p("FLDPQ (R%d), (F30, F31)", 12+c)
			for r := range 2 {
				i := 2*c + r
				t.scaled(f, s, 30+r, t.totals+i, t.least+i, 16*r)
			}
			f.p("FSTPQ (F30, F31), (R%d)", 12+c)
		}
	})
}

func (t *tile) run(f *file, s *super, total, width int) {
	switch {
	case t.suffix == "NEON" && s.runs == 8 && !s.minima:
		f.zero(0, 4*t.columns)
		for range 4 {
			t.eight(f)
		}
		f.c("Times the integer scales.")
		f.p("FLDPQ (R23), (F28, F29)")
		for i := range 2 * t.columns {
			f.v("addp v%d.4s, v%d.4s, v%d.4s", 2*i, 2*i, 2*i+1)
			f.v("mla v%d.4s, v%d.4s, v%d.4s", total+i, 2*i, 28+i%2)
		}
	case t.suffix == "NEON":
		for q := range 64 / s.runs {
			f.c("Quad %d of eight rows.", q)
			f.p("FLDPQ.P 32(R2), (F24, F25)")
			for c := range t.columns {
				f.p("VLD1R.P 4(R%d), [V26.S4]", 19+c)
				for r := range 2 {
					products(f, 2*(2*c+r), 24+r, 26, q == 0)
				}
			}
		}
		f.c("Times the integer scales.")
		f.p("FLDPQ (R23), (F28, F29)")
		for i := range 2 * t.columns {
			gather(f, 2*i)
			f.v("mla v%d.4s, v%d.4s, v%d.4s", total+i, 2*i, 28+i%2)
		}
	default:
		f.zero(0, 2*t.columns)
		for range 16 / s.runs {
			t.sixteen(f)
		}
		f.c("Times the integer scales.")
		f.p("FLDPQ (R23), (F28, F29)")
		if t.suffix == "I8MM" {
			f.p("FLDPQ 32(R23), (F30, F31)")
		}
		for i := range 2 * t.columns {
			scale := 28 + i%2
			if t.suffix == "I8MM" {
				scale = 28 + i/2
			}
			f.v("mla v%d.4s, v%d.4s, v%d.4s", total+i, i, scale)
		}
	}
	f.p("ADD  $%d, R23, R23", width)
}

// minima sums the runs' minima times the sums of their activations.
func (t *tile) minima(f *file, s *super) {
	f.c("The minima, times the sums of activations.")
	f.zero(t.least, 8)
	f.p("ADD  $%d, R17, R23", scalesMin)
	for half := range s.runs / 8 {
		for c := range 4 {
			f.p("FMOVQ %d(R%d), F28", s.sums+16*half, 8+c)
			f.v("sshll v%d.4s, v28.4h, #0", t.lanes+2*c)
			f.v("sshll2 v%d.4s, v28.8h, #0", t.lanes+2*c+1)
		}
		for g := range 8 {
			f.p("FLDPQ (R23), (F28, F29)")
			f.p("ADD  $%d, R23, R23", scaleRow)
			for i := range 8 {
				f.v("mla v%d.4s, v%d.4s, v%d.s[%d]", t.least+i, 28+i%2, t.lanes+i/2*2+g/4, g%4)
			}
		}
	}
}

// scaled is super.scaled with other registers.
func (t *tile) scaled(f *file, s *super, acc, total, least, at int) {
	f.p("FMOVQ %d(R17), F26", scalesD+at)
	f.v("fmul v26.4s, v26.4s, v28.s[0]")
	f.v("scvtf v%d.4s, v%d.4s", total, total)
	f.v("fmla v%d.4s, v%d.4s, v26.4s", acc, total)
	if s.minima {
		f.p("FMOVQ %d(R17), F27", scalesDm+at)
		f.v("fmul v27.4s, v27.4s, v28.s[0]")
		f.v("scvtf v%d.4s, v%d.4s", least, least)
		f.v("fmls v%d.4s, v%d.4s, v27.4s", acc, least)
	}
}
