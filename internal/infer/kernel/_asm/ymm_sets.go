package main

import (
	"fmt"
	"math/bits"
)

// ysets says how the AVX2 tier multiplies a super-block with a single column, so that memory is read about in its
// order: 8/times runs after the others, whose planes begin move bytes on. Formats whose high fields are one bit go
// through these quad by quad (superQuads), others through pairs of runs in turn, in some order (superPairs). (The
// integers of a super-block may be added in any order. AVX-VNNI adds floats, in the order of runs: see superColumn.)
type ysets struct {
	times, move int
	order       []int
	fetch       bool // memory is fetched ahead on every processor; else where fetchAhead is not 0
}

// superSets multiplies a super-block with a single column. R9 walks the planes, R10 the scales, AX the activations,
// R12 what is fetched.
func (y *ymm) superSets(s *ysuper) {
	y.c("One column.")
	y.p("MOVQ DI, R9")
	y.p("MOVQ BX, R10")
	y.fieldMasks(s)
	y.p("VPXOR Y15, Y15, Y15")
	for v := range 8 {
		y.p("VMOVDQU Y15, %d(BX)", ySum+32*v)
	}
	loop := y.label("set")
	y.p("MOVQ DI, R12")
	if s.sets.times > 1 {
		y.p("MOVL $%d, R11", s.sets.times)
		y.l(loop)
	}
	if bits.OnesCount8(s.highMask) == 1 {
		y.superQuads(s)
	} else {
		y.superPairs(s)
	}
	runs := 8 / s.sets.times
	if s.sets.times > 1 {
		y.p("ADDQ $%d, R9", s.sets.move)
		y.p("ADDQ $%d, R12", s.size/s.sets.times)
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

// superPairs multiplies pairs of runs that are fields of the same planes, as many quads of each as fit.
func (y *ymm) superPairs(s *ysuper) {
	fit, lines := s.fits(false), s.size/64/s.sets.times
	step, steps := 0, 8*len(s.sets.order)/2
	for q := 0; q < 8; q += fit {
		for i := 0; i < len(s.sets.order); i += 2 {
			set := [2]int(s.sets.order[i:])
			for j := q; j < q+fit; j++ {
				y.setQuad(s, set, j)
				y.fetchSet(s, lines*step/steps, lines*(step+1)/steps)
				step++
			}
			y.setWiden(s, set, (q+fit-1)*s.groups()/8)
		}
	}
}

// fetchSet asks for lines from … to−1 of a set.
func (y *ymm) fetchSet(s *ysuper, from, to int) {
	if s.sets.fetch {
		y.fetchLines("PREFETCHT1", "R12", s.ahead(), from, to)
		return
	}
	y.fetchAsked("R12", s.ahead(), from, to)
}

// superQuads multiplies quad by quad, four runs at a time: memory is read in its order, and each plane once for four
// runs. Their sums have no registers then, they are in the buffer. High fields are looked up by half a byte of their
// plane, which has the bits of four runs: this takes an instruction less than shifting the plane for each.
//
// Y0 … Y3 are the tables, Y4 … Y7 the runs' activations, Y8 the high fields' plane, Y9 the low ones', Y10 and Y11
// weights, Y12 and Y15 sums over runs, Y14 the low fields' mask.
func (y *ymm) superQuads(s *ysuper) {
	for i := range 4 {
		y.p("VMOVDQU %s, Y%d", y.bitTable(i, s.highMask<<s.run(i).up()), i)
	}
	for q := range 8 {
		for first := 0; first < 8; first += 4 {
			lines, step := s.size/64, 2*q+first/4
			y.fetchSet(s, lines*step/16, lines*(step+1)/16)
			for i := range 4 {
				y.p("VPBROADCASTD %d(R8)(AX*1), Y%d", 32*(first+i)+4*q, 4+i)
			}
			for v := range 4 {
				y.fourRuns(s, first, q, v)
			}
		}
	}
}

// bitTable gives the address of what makes VPSHUFB turn bit i of a byte below 16 into a value.
func (y *ymm) bitTable(i int, value byte) string {
	var v [8]uint32
	for n := range 32 {
		if n%16>>i&1 != 0 {
			v[n/4] |= uint32(value) << (n % 4 * 8)
		}
	}
	return y.vector(v)
}

// up is how much further to the left than others the run's weights are taken.
func (r yrun) up() int {
	if r.four {
		return 2
	}
	return 0
}

// fourRuns multiplies quad q of four runs for eight rows.
func (y *ymm) fourRuns(s *ysuper, first, q, v int) {
	at, fit := s.step*q+32*v, s.fits(false)
	y.p("VMOVDQU %d(R9), Y8", s.run(first).high+at)
	y.and(0x0f0f0f0f, y.shift(first, "Y8", "Y8"), "Y8") // first is 0 or 4: which half of a byte
	plane, shifted := -1, 0
	for i := range 4 {
		t := first + i
		r := s.run(t)
		if r.low != plane {
			y.p("VMOVDQU %d(R9), Y9", r.low+at)
			plane, shifted = r.low, 0
		}
		y.shift(r.lowShift-shifted, "Y9", "Y9")
		shifted = r.lowShift
		y.p("VPAND %s, Y9, Y10", y.mask(s.lowMask, r, "Y14"))
		y.p("VPSHUFB Y8, Y%d, Y11", i)
		y.p("VPOR Y11, Y10, Y10")
		y.p("VPMADDUBSW Y%d, Y10, Y10", 4+i)
		sum := fmt.Sprintf("%d(BX)", yWeights+32*(4*t+v))
		if q%fit > 0 {
			y.p("VPADDW %s, Y10, Y10", sum)
		}
		if q%fit < fit-1 {
			y.p("VMOVDQU Y10, %s", sum)
			continue
		}
		total := "Y15"
		if r.four {
			total = "Y12"
		}
		scale := fmt.Sprintf("%d(R10)", yScale+128*(t*s.groups()+q*s.groups()/8)+32*v)
		if i == 0 || r.four && i == 1 {
			y.p("VPMADDWD %s, Y10, %s", scale, total)
			continue
		}
		y.p("VPMADDWD %s, Y10, Y10", scale)
		y.p("VPADDD Y10, %s, %s", total, total)
	}
	if q%fit == fit-1 {
		y.total("Y15", ySum+32*v)
		if s.fours {
			y.total("Y12", ySum+128+32*v)
		}
	}
}

// total adds a register to what is in the buffer.
func (y *ymm) total(reg string, at int) {
	y.p("VPADDD %d(BX), %s, %s", at, reg, reg)
	y.p("VMOVDQU %s, %d(BX)", reg, at)
}

// setQuad multiplies quad q of two runs. Their activations are in Y8 and Y15, and their sums in Y0 … Y7.
func (y *ymm) setQuad(s *ysuper, set [2]int, q int) {
	x := []string{"Y8", "Y15"}
	var runs [2]yrun
	for r, t := range set {
		y.p("VPBROADCASTD %d(R8)(AX*1), %s", 32*t+4*q, x[r])
		runs[r] = s.run(t)
	}
	low := runs[0].lowShift
	if runs[1].lowShift != low {
		low = 0
	}
	for v := range 4 {
		at := s.step*q + 32*v
		y.p("VMOVDQU %d(R9), Y9", runs[0].low+at)
		y.shift(low, "Y9", "Y9")
		if s.highMask != 0 {
			y.p("VMOVDQU %d(R9), Y10", runs[0].high+at)
		}
		for r, run := range runs {
			run.lowShift -= low
			y.field(s, run, "Y11")
			y.multiply(x[r], "Y11", ysum(2*r, v), "Y11", q%s.fits(false) == 0)
		}
	}
}

// setWiden adds the sums of two runs times their scales g to those over runs.
func (y *ymm) setWiden(s *ysuper, set [2]int, g int) {
	for v := range 4 {
		for r, t := range set {
			y.p("VPMADDWD %d(R10), %s, %s", yScale+128*(t*s.groups()+g)+32*v, ysum(2*r, v), ysum(2*r, v))
		}
		first, second := ysum(0, v), ysum(2, v)
		if s.fours { // the second run's weights are taken four times as large
			y.total(second, ySum+128+32*v)
		} else {
			y.p("VPADDD %s, %s, %s", second, first, first)
		}
		y.total(first, ySum+32*v)
	}
}
