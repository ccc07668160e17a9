package main

// gridKind is a kind of formats that look up in the same way.
type gridKind struct {
	name    string
	formats string // of all that share its file
	dots    string // its own
	four    bool   // an entry of the grid has four weights, else eight
	delta   bool   // signs are of what is added to the weights, and the weights' own are in the grid
	fine    bool   // there is a scale for 16 weights, else for 32
}

// gridKinds has those that share a file beside each other.
var gridKinds = [][]gridKind{
	{{name: "Eight", formats: "IQ2_XXS, IQ2_XS and IQ2_S", dots: "IQ2_XXS"},
		{name: "EightFine", dots: "IQ2_XS and IQ2_S", fine: true}},
	{{name: "Four", formats: "IQ3_XXS and IQ3_S", dots: "IQ3_XXS and IQ3_S", four: true}},
	{{name: "Delta", formats: "IQ1_S and IQ1_M", dots: "IQ1_S", delta: true},
		{name: "DeltaFine", dots: "IQ1_M", delta: true, fine: true}},
}

// doc says what an entry and a scale are.
func (kind *gridKind) doc() string {
	entry, scale := "eight weights, each with a sign", "32"
	switch {
	case kind.four:
		entry = "four weights, each with a sign"
	case kind.delta:
		entry = "eight weights, to which 1 or −1 is added, as a sign says"
	}
	if kind.fine {
		scale = "16"
	}
	return "An entry has " + entry + "; a scale is for " + scale + " weights."
}

// gridOutputs lists the files of formats with grids: one for each format, and those of what is common to several.
func gridOutputs() (all []output) {
	for _, t := range partings {
		all = append(all,
			output{"grid", t.format, "avx2", aboutPartYMM, func(f *file) { (&grid{file: f}).part(t) }},
			output{"grid", t.format, "avx512", aboutPartZMM, func(f *file) {
				k := &grid{file: f, zmm: true}
				k.part(t)
				k.partTables(t)
				k.dotPanel(dotOf(t.format))
			}})
	}
	for _, kinds := range gridKinds {
		all = append(all, output{"grid", kinds[0].name, "avx2", aboutLookYMM, func(f *file) {
			for _, kind := range kinds {
				k := &grid{file: f}
				if !kind.fine { // storing is the same with two scales
					k.lookUps(kind, false)
				}
				k.lookUps(kind, true)
			}
		}})
	}
	return append(all, output{"grid", "lookup", "avx512", aboutLookZMM, func(f *file) {
		k := &grid{file: f, zmm: true}
		k.lookUp()
		k.lookUp256()
		k.spreadQuads(false)
		k.spreadQuads(true)
	}})
}

// words is how many words of four indices a run of 32 weights has.
func (kind *gridKind) words() int {
	if kind.four {
		return 2
	}
	return 1
}

// The kernels of the AVX2 tier look up entries one by one, with indices of 16 bits that are put together before. An
// entry of eight weights gives two quads of a row: of eight rows' entries two shuffles make two vectors of quads. R8
// walks the indices' low bits, R9 their high bits, R10 the signs, R11 scales; R12 is the buffer of indices, DI the
// grid, R13 the activations or the weights to store. Y8 has the sums of eight rows.
func (k *grid) lookUps(kind gridKind, dot bool) {
	name, doc := "spread", kind.formats+": looks entries up and stores their weights. "+kind.doc()
	if dot {
		name, doc = "dot", kind.dots+": looks entries up and multiplies their weights with a column. "+kind.doc()
	}
	k.text(name+kind.name+"AVX2", doc)
	k.p("MOVQ b+0(FP), SI")
	k.p("MOVQ %d(SI), DI", gridTable)
	k.p("MOVQ %d(SI), R15", gridLowStep)
	k.p("MOVQ %d(SI), DX", gridFetch)
	for h := range 2 {
		k.p("VMOVDQU %s, Y%d", k.constant(bitsOfBytes[h]), 14+h)
	}
	k.p("XORL R14, R14 // byte of the rows in a plane")
	rows, runs := k.label("rows"), k.label("runs")
	k.l(rows)
	for _, r := range []struct {
		at  int
		reg string
	}{{gridLow, "R8"}, {gridHigh, "R9"}, {gridSigns, "R10"}} {
		k.p("MOVQ %d(SI), %s", r.at, r.reg)
		k.p("ADDQ R14, %s", r.reg)
	}
	if dot {
		k.p("MOVQ %d(SI), R11", gridScale)
		k.p("ADDQ R14, R11")
		k.p("MOVQ %d(SI), R13", gridX)
		k.p("MOVQ %d(SI), AX", gridAcc)
		k.p("VMOVUPS (AX)(R14*1), Y8")
		k.p("VBROADCASTSS %d(R13), Y9", gridFactor)
	} else {
		k.p("MOVQ %d(SI), R13", gridQ)
		k.p("ADDQ R14, R13")
	}
	k.p("MOVQ %d(SI), R12", gridIndex)
	k.c("The indices of eight rows and all runs, to the buffer: rows 0, 1, 4, 5 of a run, and 2, 3, 6, 7.")
	k.indices(kind)
	k.c("Run by run.")
	k.p("MOVQ $8, CX")
	k.l(runs)
	k.fetch(2) // 32 times: most blocks have fewer lines
	k.p("VMOVDQU (R10), Y7")
	for p := range 4 {
		k.c("Quads %d and %d of eight rows, to Y2 and Y0.", 2*p, 2*p+1)
		k.entries(kind, p)
		k.c("Their signs, and what is done with the weights.")
		k.p("VPSHUFB %s, Y7, Y3", k.shuffle(p, p, p, p))
		if kind.delta {
			k.p("VPOR %s, Y3, Y3", k.constant(0x01010101)) // 1 or −1
		}
		for h, w := range []string{"Y2", "Y0"} {
			q := 2*p + h
			if kind.delta {
				k.p("VPADDB Y3, %s, %s", w, w)
			} else {
				k.p("VPAND Y%d, Y3, Y4", 14+h)
				k.p("VPCMPEQB Y%d, Y4, Y4", 14+h)
			}
			if dot {
				k.product(kind, w, q)
				continue
			}
			if !kind.delta {
				k.p("VPXOR Y4, %s, %s", w, w)
				k.p("VPSUBB Y4, %s, %s", w, w)
			}
			k.p("VMOVDQU %s, %d(R13)", w, 128*q)
		}
		if dot && kind.fine && p%2 == 1 {
			k.scaled(128 * (p / 2))
		}
	}
	k.p("ADDQ $%d, R12", 64*kind.words())
	k.p("ADDQ $128, R10")
	if dot {
		if !kind.fine {
			k.scaled(0)
			k.p("ADDQ $128, R11")
		} else {
			k.p("ADDQ $256, R11")
		}
		k.p("ADDQ $32, R13")
	} else {
		k.p("ADDQ $1024, R13")
	}
	k.p("DECQ CX")
	k.p("JNZ  %s", runs)
	if dot {
		k.p("MOVQ %d(SI), AX", gridAcc)
		k.p("VMOVUPS Y8, (AX)(R14*1)")
	}
	k.p("ADDQ $32, R14")
	k.p("CMPQ R14, $128")
	k.p("JNE  %s", rows)
	k.p("VZEROUPPER")
	k.p("RET")
}

// bitsOfBytes are the bits of eight that belong to the bytes of a quad.
var bitsOfBytes = [2]uint32{0x08040201, 0x80402010}

// indices puts the indices of eight rows together: of each run those of rows 0, 1, 4, 5, and of rows 2, 3, 6, 7,
// which is what unpacking halves gives. That is done for all runs before anything is looked up: a load of a part of
// what has just been stored waits.
func (k *grid) indices(kind gridKind) {
	for w := range 8 * kind.words() {
		k.p("VMOVDQU (R8), Y0")
		k.p("VMOVDQU %d(R9), Y1", 128*w)
		k.p("VPUNPCKLBW Y1, Y0, Y2")
		k.p("VPUNPCKHBW Y1, Y0, Y0")
		k.p("VMOVDQU Y2, %d(R12)", 64*w)
		k.p("VMOVDQU Y0, %d(R12)", 64*w+32)
		k.p("ADDQ R15, R8")
	}
}

// entries looks quads 2p and 2p+1 of eight rows up, to Y2 and Y0. Loads are what these kernels wait for, so one brings
// two indices. Y1 and Y3 are lost.
func (k *grid) entries(kind gridKind, p int) {
	if kind.four {
		k.fours(p)
		return
	}
	if p%2 == 0 { // those of 2p+2 and 2p+3 are left in Y10 and Y11
		for half, y := range []int{0, 1} {
			for i, to := range []int{y, 2} {
				next := []int{y + 10, 12}[i]
				k.twoIndices(32*half + 16*i + 2*p)
				k.p("VMOVQ (DI)(BX*8), X%d", to)
				k.p("VMOVQ (DI)(AX*8), X%d", next)
				k.twoIndices(32*half + 16*i + 8 + 2*p)
				k.p("VMOVHPS (DI)(BX*8), X%d, X%d", to, to)
				k.p("VMOVHPS (DI)(AX*8), X%d, X%d", next, next)
			}
			k.p("VINSERTI128 $1, X2, Y%d, Y%d", y, y)
			k.p("VINSERTI128 $1, X12, Y%d, Y%d", y+10, y+10)
		}
	}
	a, b := p%2*10, p%2*10+1
	k.p("VSHUFPS $0x88, Y%d, Y%d, Y2", b, a)
	k.p("VSHUFPS $0xdd, Y%d, Y%d, Y0", b, a)
}

// fours looks up quads of entries of four weights. Broadcasts from memory need no shuffle, and blends are done
// anywhere.
func (k *grid) fours(p int) {
	at := 64*(p/2) + 4*(p%2)
	for r, from := range [8]int{0, 8, 32, 40, 16, 24, 48, 56} {
		k.twoIndices(at + from)
		if r == 0 {
			k.p("VMOVD (DI)(BX*4), X2")
			k.p("VMOVD (DI)(AX*4), X0")
			continue
		}
		k.p("VPBROADCASTD (DI)(BX*4), Y1")
		k.p("VPBROADCASTD (DI)(AX*4), Y3")
		k.p("VPBLENDD $%d, Y1, Y2, Y2", 1<<r)
		k.p("VPBLENDD $%d, Y3, Y0, Y0", 1<<r)
	}
}

// twoIndices loads two indices to BX and AX.
func (k *grid) twoIndices(at int) {
	k.p("MOVL %d(R12), AX", at)
	k.p("MOVWLZX AX, BX")
	k.p("SHRL $16, AX")
}

// product adds the products of quad q to the sum in Y6: those of two quads fit into 16 bits. Signs are in Y4; w, Y4
// and Y5 are lost.
func (k *grid) product(kind gridKind, w string, q int) {
	k.p("VPBROADCASTD %d(R13), Y5", 4*q)
	if kind.delta {
		k.p("VPSIGNB %s, Y5, Y5", w)
		k.p("VPABSB %s, %s", w, w)
	} else {
		k.p("VPXOR Y4, Y5, Y5")
		k.p("VPSUBB Y4, Y5, Y5")
	}
	k.p("VPMADDUBSW Y5, %s, %s", w, w)
	if q%2 == 0 {
		return
	}
	k.p("VPADDW Y2, %s, %s", w, w)
	if q == 1 || kind.fine && q == 5 {
		k.p("VPMADDWD %s, %s, Y6", k.constant(ones), w)
		return
	}
	k.p("VPMADDWD %s, %s, %s", k.constant(ones), w, w)
	k.p("VPADDD %s, Y6, Y6", w)
}

// scaled adds a sum times its scale to Y8.
func (k *grid) scaled(off int) {
	k.c("The sum, times the scales of weights and activations.")
	k.p("VCVTDQ2PS Y6, Y6")
	k.p("VMULPS %d(R11), Y9, Y5", off)
	k.p("VFMADD231PS Y6, Y5, Y8")
}
