package main

import "fmt"

// ysets says how the AVX2 tier multiplies a super-block with a single column: sets of runs whose low fields lie in the
// same planes go together, so that memory is read once and about in its order. What a set does is done times times,
// each time so many bytes on in the low and high planes, for the runs that follow. (The integers of a super-block may
// be added in any order. AVX-VNNI adds floats, in the order of runs: see superColumn.)
type ysets struct {
	runs      [][]int
	times     int
	fetch     string // how memory is fetched ahead; "": the processor sees one stream and does it better itself
	low, high int
}

// superSets multiplies a super-block with a single column. Y0 … Y7 are sums of so many runs × vectors of rows. R9
// walks the low planes, R14 the high ones, R10 the scales, AX the activations, R12 what is fetched.
func (y *ymm) superSets(s *ysuper) {
	y.c("One column: runs that share planes together.")
	y.p("MOVQ DI, R9")
	y.p("MOVQ DI, R14")
	y.p("MOVQ BX, R10")
	y.p("MOVQ DI, R12")
	y.fieldMasks(s)
	y.p("VPXOR Y15, Y15, Y15")
	for v := range 4 {
		y.p("VMOVDQU Y15, %d(BX)", ySum+32*v)
	}
	loop := y.label("set")
	if s.sets.times > 1 {
		y.p("MOVL $%d, R11", s.sets.times)
		y.l(loop)
	}
	var steps []func(fetch func())
	runs := 0
	for _, set := range s.sets.runs {
		vectors := 8 / len(set)
		for first := 0; first < 4; first += vectors {
			for q := range 8 {
				steps = append(steps, func(fetch func()) { y.setQuad(s, set, first, vectors, q, fetch) })
			}
		}
		runs += len(set)
	}
	lines := (s.size/64 + s.sets.times - 1) / s.sets.times
	for i, step := range steps {
		step(func() {
			if s.sets.fetch == "" {
				return
			}
			y.fetchLines(s.sets.fetch, "R12", s.ahead(), lines*i/len(steps), lines*(i+1)/len(steps))
		})
	}
	if s.sets.times > 1 {
		y.p("ADDQ $%d, R12", 64*lines)
		y.p("ADDQ $%d, R9", s.sets.low)
		if s.sets.high > 0 {
			y.p("ADDQ $%d, R14", s.sets.high)
		}
		y.p("ADDQ $%d, R10", 128*s.groups()*runs)
		y.p("ADDQ $%d, AX", 32*runs)
		y.p("DECQ R11")
		y.p("JNZ  %s", loop)
		y.p("SUBQ $256, AX")
	}
	rows := y.label("rows")
	y.p("MOVQ BX, R14")
	y.p("MOVL $4, R13")
	y.l(rows)
	y.p("VMOVDQU %d(R14), Y0", yMin)
	y.p("MOVQ R14, DX")
	y.p("VBROADCASTSS 368(R8)(AX*1), %s", yx)
	y.superFinish(s, "Y0", fmt.Sprintf("%d(R14)", ySum), 0, yOuter)
	y.p("ADDQ $32, R14")
	y.p("DECQ R13")
	y.p("JNZ  %s", rows)
}

// setQuad multiplies quad q of a set's runs for some vectors of rows. Activations of two runs stay in Y8 and Y15.
func (y *ymm) setQuad(s *ysuper, set []int, first, vectors, q int, fetch func()) {
	sum := func(r, v int) string { return fmt.Sprintf("Y%d", r*vectors+v) }
	fit := s.fits(false)
	x := func(r int, reg string) string {
		y.p("VPBROADCASTD %d(R8)(AX*1), %s", 32*set[r]+4*q, reg)
		return reg
	}
	kept := []string{"Y8", "Y15"}
	if len(set) == 2 {
		x(0, kept[0])
		x(1, kept[1])
	}
	fetch()
	if len(set) > 2 {
		y.setFours(s, set, first, vectors, q, x)
		y.setWiden(s, set, first, vectors, q)
		return
	}
	for v := range vectors {
		at := 128*q + 32*(first+v)
		y.p("VMOVDQU %d(R9), Y9", s.run(set[0]).low+at)
		if s.highMask != 0 {
			y.p("VMOVDQU %d(R14), Y10", s.run(set[0]).high+at)
		}
		for r, t := range set {
			y.field(s, s.run(t), "Y11")
			y.multiply(kept[r], "Y11", sum(r, v), "Y11", q%fit == 0)
		}
	}
	y.setWiden(s, set, first, vectors, q)
}

// setFours is setQuad for four runs that are 2-bit fields of one plane. It is shifted by two bits between runs that do
// not share a shift. Without high fields, two vectors' planes have a register each: Y9 and Y10.
func (y *ymm) setFours(s *ysuper, set []int, first, vectors, q int, x func(r int, reg string) string) {
	together := vectors
	if s.highMask != 0 {
		together = 1
	}
	for v0 := 0; v0 < vectors; v0 += together {
		at := 128*q + 32*(first+v0)
		for i := range together {
			y.p("VMOVDQU %d(R9), Y%d", s.run(set[0]).low+at+32*i, 9+i)
		}
		if s.highMask != 0 {
			y.p("VMOVDQU %d(R14), Y10", s.run(set[0]).high+at)
		}
		shifted, high, plane := 0, 0, "Y10"
		for r, t := range set {
			run := s.run(t)
			x(r, "Y15")
			for i := range together {
				low := fmt.Sprintf("Y%d", 9+i)
				y.shift(run.lowShift-shifted, low, low)
				y.p("VPAND %s, %s, Y11", y.mask(s.lowMask, run, "Y14"), low)
				if s.highMask != 0 {
					if r == 0 || run.highShift != high {
						plane, high = y.shift(run.highShift, "Y10", "Y8"), run.highShift
					}
					y.p("VPAND %s, %s, Y12", y.mask(s.highMask, run, "Y13"), plane)
					y.p("VPOR Y12, Y11, Y11")
				}
				y.multiply("Y15", "Y11", fmt.Sprintf("Y%d", r*vectors+v0+i), "Y11", q%s.fits(false) == 0)
			}
			shifted = run.lowShift
		}
	}
}

// setWiden adds the sums of a set times their scales to those over runs, where quad q is the last that fits.
func (y *ymm) setWiden(s *ysuper, set []int, first, vectors, q int) {
	sum := func(r, v int) string { return fmt.Sprintf("Y%d", r*vectors+v) }
	if fit := s.fits(false); q%fit != fit-1 {
		return
	}
	for v := range vectors {
		at := fmt.Sprintf("%d(BX)", ySum+32*(first+v))
		for r, t := range set {
			scale := yScale + 128*(t*s.groups()+q*s.groups()/8) + 32*(first+v)
			y.p("VPMADDWD %d(R10), %s, %s", scale, sum(r, v), sum(r, v))
			if r > 0 {
				y.p("VPADDD %s, %s, %s", sum(r, v), sum(0, v), sum(0, v))
			}
		}
		y.p("VPADDD %s, %s, %s", at, sum(0, v), sum(0, v))
		y.p("VMOVDQU %s, %s", sum(0, v), at)
	}
}
