package main

import (
	"fmt"
	"math/bits"
)

// ysuper is a K format: a super-block of 256 k is eight runs of 32 (8 quads), one or two scales a run. A weight is
// one or two bit fields: those of run t are in the planes from low and high.
type ysuper struct {
	name, doc string
	size      int // bytes of a packed super-block
	step      int // bytes from quad to quad of the planes
	run       func(t int) yrun
	lowMask   byte
	highMask  byte // where the second field goes; 0: there is none
	fit       int  // quads whose products fit into 16 bits
	runs16    bool // a scale for each 16 instead of 32
	offset    int  // what is subtracted from the integers; 0: there are minima instead
	fours     bool // some runs are, see yrun
	sets      *ysets
	scales    func(y *ymm)
}

type yrun struct {
	low, lowShift   int
	high, highShift int // to the right, negative: to the left

	// four: the run's weights are taken four times as large, two bits further to the left, which saves shifts: runs
	// share shifted planes. Sums are then divided by four, which is exact: all others' scales are four times as large.
	four bool
}

// quarter says for run t, one of four in a plane of 2-bit fields, how far the plane is shifted: one shift serves two.
func quarter(t int) (shift int, four bool) { return t % 4 / 2 * 4, t%2 == 1 }

var ysupers = []*ysuper{
	{
		name: "Q2K", doc: "Q2_K", size: 2688, step: 128, lowMask: 0x03, fit: 8, runs16: true, scales: (*ymm).scalesQ2,
		sets: &ysets{times: 2, move: 1024, order: []int{0, 1, 2, 3}, fetch: true},
		run: func(t int) yrun {
			shift, four := quarter(t)
			return yrun{low: 640 + t/4*1024, lowShift: shift, four: four}
		},
		fours: true,
	},
	{
		name: "Q3K", doc: "Q3_K", size: 3520, step: 384, lowMask: 0x03, highMask: 0x04, fit: 8, runs16: true,
		offset: 4, scales: (*ymm).scalesQ3,
		sets: &ysets{times: 1},
		run: func(t int) yrun {
			shift, four := quarter(t)
			up := 2
			if four {
				up = 4
			}
			return yrun{low: 576 + t/4*128, lowShift: shift, high: 448, highShift: t - up, four: four}
		},
		fours: true,
	},
	{
		name: "Q4K", doc: "Q4_K", size: 4608, step: 128, lowMask: 0x0f, fit: 8, scales: (*ymm).scales6,
		sets: &ysets{times: 4, move: 1024, order: []int{0, 1}},
		run:  func(t int) yrun { return yrun{low: 512 + t/2*1024, lowShift: t % 2 * 4} },
	},
	{
		name: "Q5K", doc: "Q5_K", size: 5632, step: 640, lowMask: 0x0f, highMask: 0x10, fit: 4, scales: (*ymm).scales6,
		sets: &ysets{times: 1},
		run: func(t int) yrun {
			return yrun{low: 640 + t/2*128, lowShift: t % 2 * 4, high: 512, highShift: t - 4}
		},
	},
	{
		name: "Q6K", doc: "Q6_K", size: 6720, step: 384, lowMask: 0x0f, highMask: 0x30, fit: 2, runs16: true,
		offset: 32, scales: (*ymm).scalesQ6,
		sets: &ysets{times: 2, move: 3072, order: []int{0, 2, 1, 3}},
		run: func(t int) yrun {
			return yrun{low: 576 + t/4*3072 + t%2*128, lowShift: t % 4 / 2 * 4, high: 832 + t/4*3072,
				highShift: t%4*2 - 4}
		},
	},
}

// groups is how many scales a run has.
func (s *ysuper) groups() int {
	if s.runs16 {
		return 2
	}
	return 1
}

// fits is after how many quads sums are widened.
func (s *ysuper) fits(vnni bool) int {
	if vnni {
		return 8 / s.groups()
	}
	return min(s.fit, 8/s.groups())
}

// ahead is how many bytes ahead weights are fetched: 8 KiB or more, whole super-blocks.
func (s *ysuper) ahead() int { return (8191 + s.size) / s.size * s.size }

func (y *ymm) super(s *ysuper) {
	y.function("tile"+s.name+y.tier(), "// "+s.doc+".\n", func() {}, func(n int) {
		y.format, y.single, y.sums = s, n == 1, 352
		if s.runs16 {
			y.sums = 320
		}
		y.clearOuter(n)
		y.p("MOVQ %d(SI), CX", argBlocks)
		y.p("MOVQ CX, %d(SI)", argLeft)
		if n == 1 {
			y.p("MOVQ %d(SI), R8", argX)
		}
		block := y.label("block")
		y.l(block)
		s.scales(y)
		switch {
		case n > 1:
			y.superTiles(s, n)
		case y.vnni:
			y.superColumn(s)
		default:
			y.superSets(s)
		}
		y.p("ADDQ $%d, DI", s.size)
		y.p("ADDQ $384, AX")
		y.p("DECQ %d(SI)", argLeft)
		y.p("JNZ  %s", block)
		y.storeOuter(n)
	})
}

// few says whether few columns are multiplied without the buffer: see superFew.
func (s *ysuper) few() bool { return s.highMask == 0 }

// superTiles multiplies a super-block with two columns or more, in tiles of 16 rows.
func (y *ymm) superTiles(s *ysuper, n int) {
	few := s.few() && n <= fewCols
	many, end := "", ""
	if few {
		many, end = y.label("many"), y.label("end")
		y.p("CMPQ %d(SI), $%d", argGroups, 8*maxCols)
		y.p("JGT  %s", many)
		y.superFew(s, n)
		y.p("JMP  %s", end)
		y.l(many)
	}
	y.superUnpack(s)
	y.superGroups(s, n)
	if few {
		y.l(end)
	}
}

// field leaves the bytes of run t in reg: the low field's plane is in Y9, the high one's in Y10. Y14 and Y13 are
// masks, Y12 changes.
func (y *ymm) field(s *ysuper, r yrun, reg string) {
	low := y.shift(r.lowShift, "Y9", reg)
	y.p("VPAND %s, %s, %s", y.mask(s.lowMask, r, "Y14"), low, reg)
	if s.highMask == 0 {
		return
	}
	high := y.shift(r.highShift, "Y10", "Y12")
	y.p("VPAND %s, %s, Y12", y.mask(s.highMask, r, "Y13"), high)
	y.p("VPOR Y12, %s, %s", reg, reg)
}

// mask is a field's, which is in reg, or in memory where the run's weights are four times as large.
func (y *ymm) mask(mask byte, r yrun, reg string) string {
	if r.four {
		return y.constant(repeat(4 * uint32(mask)))
	}
	return reg
}

// eachRun loads the planes of a quad, at off from a register, each once, and calls do for each run.
func (y *ymm) eachRun(s *ysuper, base string, off int, do func(t int, r yrun)) {
	low, high := -1, -1
	for t := range 8 {
		r := s.run(t)
		if r.low != low {
			y.p("VMOVDQU %d(%s), Y9", r.low+off, base)
			low = r.low
		}
		if s.highMask != 0 && r.high != high {
			y.p("VMOVDQU %d(%s), Y10", r.high+off, base)
			high = r.high
		}
		do(t, r)
	}
}

func (y *ymm) fieldMasks(s *ysuper) {
	y.p("VMOVDQU %s, Y14", y.constant(repeat(uint32(s.lowMask))))
	if s.highMask != 0 {
		y.p("VMOVDQU %s, Y13", y.constant(repeat(uint32(s.highMask))))
	}
}

// superUnpack writes a super-block's weights into the buffer as bytes, run by run, and fetches what comes later.
func (y *ymm) superUnpack(s *ysuper) {
	y.c("The weights, as bytes, to the buffer: eight runs of a quad at a time.")
	loop := y.label("unpack")
	y.fieldMasks(s)
	y.p("MOVQ DI, R15")
	y.p("MOVQ BX, R14")
	y.p("MOVQ DI, CX") // fetched
	y.p("MOVL $8, DX")
	y.l(loop)
	lines := (s.size/64 + 7) / 8
	for v := range 4 {
		y.fetchLines("PREFETCHT1", "CX", s.ahead(), lines*v/4, lines*(v+1)/4)
		y.eachRun(s, "R15", 32*v, func(t int, r yrun) {
			y.field(s, r, "Y11")
			y.p("VMOVDQU Y11, %d(R14)", yWeights+1024*t+32*v)
		})
	}
	y.p("ADDQ $%d, R15", s.step)
	y.p("ADDQ $128, R14")
	y.p("ADDQ $%d, CX", 64*lines)
	y.p("DECQ DX")
	y.p("JNZ  %s", loop)
}

// superGroups multiplies the unpacked super-block with each group of columns. R14 is the buffer, 64 bytes on for the
// lower half of the rows; R15 walks the weights, CX the scales, DX counts runs.
func (y *ymm) superGroups(s *ysuper, n int) {
	columns, pair, run := y.label("columns"), y.label("rows"), y.label("run")
	y.p("XORL CX, CX")
	y.l(columns)
	y.p("MOVQ CX, %d(SI)", argGroup)
	y.columns(n, "CX")
	y.p("MOVQ BX, R14")
	y.l(pair)
	y.clearTotals(n)
	y.p("MOVQ R14, R15")
	y.p("MOVQ R14, CX")
	y.p("MOVL $8, DX")
	y.l(run)
	fit := s.fits(y.vnni)
	for q := range 8 {
		y.quad(n, yWeights+128*q, "R15", 4*q, q%fit == 0)
		if q%fit == fit-1 {
			y.superWiden(n, yScale+128*(q*s.groups()/8))
		}
	}
	y.p("ADDQ $1024, R15")
	y.p("ADDQ $%d, CX", 128*s.groups())
	y.p("ADDQ $32, AX")
	y.p("DECQ DX")
	y.p("JNZ  %s", run)
	y.p("SUBQ $256, AX")
	y.p("MOVQ %d(SI), DX", argGroup)
	y.p("SHLQ $4, DX")
	y.p("ADDQ R14, DX")
	y.superEnd(s, n)
	y.p("ADDQ $64, R14")
	y.p("LEAQ 64(BX), DX")
	y.p("CMPQ R14, DX")
	y.p("JLE  %s", pair)
	y.p("MOVQ %d(SI), CX", argGroup)
	y.p("ADDQ $48, CX")
	y.p("CMPQ CX, %d(SI)", argGroups)
	y.p("JNE  %s", columns)
}

// superFew multiplies a super-block with one group of few columns as its weights are unpacked, without the buffer: no
// stores, and fewer loads. A run's planes are read for each run, so it is for formats of one field: with two, taking
// each plane apart once for all runs is faster.
//
// R15 walks the planes and CX the buffer's scales, as far apart as in ysets; R14 is at the buffer, 64 bytes on for the
// lower half of the rows; R13 walks what is fetched, DX counts sets. Y12 … Y15 change, Y8 and Y10 are masks.
func (y *ymm) superFew(s *ysuper, n int) {
	rows, set := y.label("rows"), y.label("set")
	y.p("XORL CX, CX")
	y.columns(n, "CX")
	y.p("VMOVDQU %s, Y10", y.constant(repeat(uint32(s.lowMask))))
	if s.fours {
		y.p("VMOVDQU %s, Y8", y.constant(repeat(4*uint32(s.lowMask))))
	}
	y.p("MOVQ BX, R14")
	y.p("MOVQ DI, R15")
	y.p("MOVQ DI, R13")
	y.l(rows)
	y.p("MOVQ R14, CX")
	y.clearTotals(n)
	y.p("MOVL $%d, DX", s.sets.times)
	y.l(set)
	runs, fit, size := 8/s.sets.times, s.fits(y.vnni), s.size/s.sets.times/2
	for t := range runs {
		for q := range 8 {
			lines, step := (size+63)/64, 8*t+q
			y.fetchLines("PREFETCHT1", "R13", s.ahead(), lines*step/(8*runs), lines*(step+1)/(8*runs))
			for h := range 2 {
				y.fewField(s.run(t), s.step*q+32*h, yw(h))
			}
			y.timesColumns(n, 32*t+4*q, q%fit == 0)
			if q%fit == fit-1 {
				y.superWiden(n, yScale+128*(t*s.groups()+q*s.groups()/8))
			}
		}
	}
	y.p("ADDQ $%d, R13", size)
	y.p("ADDQ $%d, R15", s.sets.move)
	y.p("ADDQ $%d, CX", 128*s.groups()*runs)
	y.p("ADDQ $%d, AX", 32*runs)
	y.p("DECQ DX")
	y.p("JNZ  %s", set)
	y.p("SUBQ $256, AX")
	y.p("MOVQ R14, DX")
	y.superEnd(s, n)
	y.p("SUBQ $%d, R15", s.sets.times*s.sets.move-64)
	y.p("ADDQ $64, R14")
	y.p("LEAQ 64(BX), DX")
	y.p("CMPQ R14, DX")
	y.p("JLE  %s", rows)
}

// fewField leaves the bytes of eight rows of a run's quad in reg. Its plane is off bytes further than the run says.
func (y *ymm) fewField(r yrun, off int, reg string) {
	mask := "Y10"
	if r.four {
		mask = "Y8"
	}
	if r.lowShift == 0 {
		y.p("VPAND %d(R15), %s, %s", r.low+off, mask, reg)
		return
	}
	y.p("VMOVDQU %d(R15), %s", r.low+off, reg)
	y.p("VPAND %s, %s, %s", mask, y.shift(r.lowShift, reg, reg), reg)
}

// clearTotals zeroes a tile's sums over runs.
func (y *ymm) clearTotals(n int) {
	y.p("VPXOR %s, %s, %s", yp, yp, yp)
	for i := range 2 * n {
		y.p("VMOVDQU %s, %d(BX)", yp, ySum+32*i)
	}
}

// superEnd adds a super-block of a tile to the outer sums, which are at DX.
func (y *ymm) superEnd(s *ysuper, n int) {
	y.c("What minima or the offset take away.")
	y.superMinima(s, n)
	for j := range n {
		y.p("VBROADCASTSS 368(%s)(AX*1), %s", xReg[j], yx)
		for h := range 2 {
			y.superFinish(s, ysum(j, h), fmt.Sprintf("%d(BX)", ySum+32*(2*j+h)), 32*h, yOuter+128*j+32*h)
		}
	}
}

// superWiden adds a tile's sums times their scales, at off from CX, to its sums over runs.
func (y *ymm) superWiden(n, off int) {
	if y.vnni {
		for h := range 2 {
			y.p("VMOVUPS %d(CX), %s", off+32*h, yw(h))
		}
	}
	for j := range n {
		for h := range 2 {
			sum, at := ysum(j, h), ySum+32*(2*j+h)
			if y.vnni {
				y.p("VCVTDQ2PS %s, %s", sum, sum)
				y.p("VFMADD213PS %d(BX), %s, %s", at, yw(h), sum)
			} else {
				y.p("VPMADDWD %d(CX), %s, %s", off+32*h, sum, sum)
				y.p("VPADDD %d(BX), %s, %s", at, sum, sum)
			}
			y.p("VMOVDQU %s, %d(BX)", sum, at)
		}
	}
}

// superMinima leaves Σ minimum · Σx, over all runs, in the sums of a tile of 16 rows, whose minima are at R14.
func (y *ymm) superMinima(s *ysuper, n int) {
	for p := range 4 * s.groups() {
		for h := range 2 {
			y.p("VMOVDQU %d(R14), %s", yMin+128*p+32*h, yw(h))
		}
		for j := range n {
			y.p("VPBROADCASTD %d(%s)(AX*1), %s", y.sums+4*p, xReg[j], yx)
			for h := range 2 {
				if p == 0 {
					y.p("VPMADDWD %s, %s, %s", yx, yw(h), ysum(j, h))
					continue
				}
				y.p("VPMADDWD %s, %s, %s", yx, yw(h), yp)
				y.p("VPADDD %s, %s, %s", yp, ysum(j, h), ysum(j, h))
			}
		}
	}
}

// superFinish adds a super-block to the outer sums at off from DX. The sums over runs are in total, those of minima in
// the register least. R14 + rows is the place of d, Y14 the activations' scale.
func (y *ymm) superFinish(s *ysuper, least, total string, rows, outer int) {
	load := func(op string) { y.p("%s %s, %s", op, total, yp) }
	quarter := func() {
		switch {
		case y.pairs() && s.fours: // those sums are apart
			y.p("VMOVDQU %d(R14), %s", ySum+128, yp)
			y.p("VPSRAD $2, %s, %s", yp, yp)
			y.p("VPADDD %s, %s, %s", total, yp, yp)
		case s.fours:
			y.p("VPSRAD $2, %s, %s", yp, yp)
		}
	}
	switch {
	case y.vnni:
		load("VMOVUPS")
		y.p("VCVTDQ2PS %s, %s", least, least)
		y.p("VFNMADD231PS %d(R14), %s, %s", yDmin+rows, least, yp)
	case s.offset > 0:
		load("VMOVDQU")
		quarter()
		y.p("VPSLLD $%d, %s, %s", bits.TrailingZeros(uint(s.offset)), least, least)
		y.p("VPSUBD %s, %s, %s", least, yp, yp)
		y.p("VCVTDQ2PS %s, %s", yp, yp)
		y.p("VMULPS %d(R14), %s, %s", yD+rows, yp, yp)
	default:
		load("VMOVDQU")
		quarter()
		y.p("VCVTDQ2PS %s, %s", yp, yp)
		y.p("VMULPS %d(R14), %s, %s", yD+rows, yp, yp)
		y.p("VCVTDQ2PS %s, %s", least, least)
		y.p("VFNMADD231PS %d(R14), %s, %s", yDmin+rows, least, yp)
	}
	y.p("VFMADD213PS %d(DX), %s, %s", outer, yx, yp)
	y.p("VMOVUPS %s, %d(DX)", yp, outer)
}

// superColumn multiplies a super-block with a single column for AVX-VNNI, eight rows at a time, all runs of a quad
// together, so that each plane is loaded once. Y0 … Y7 are the runs' sums, Y8 the sum over runs. R14 is the buffer and
// R15 the super-block, 32 bytes on for each eight rows; R12 walks what is fetched.
func (y *ymm) superColumn(s *ysuper) {
	y.c("One column: eight rows at a time, all runs of a quad together.")
	y.p("MOVQ BX, R14")
	y.p("MOVQ DI, R15")
	y.p("MOVQ DI, R12")
	rows := y.label("rows")
	y.p("MOVL $4, R13")
	y.l(rows)
	y.fieldMasks(s)
	y.p("VPXOR Y8, Y8, Y8")
	lines := (s.size/64 + 3) / 4
	fit := s.fits(true)
	for q := range 8 {
		y.fetchLines("PREFETCHT1", "R12", s.ahead(), lines*q/8, lines*(q+1)/8)
		y.eachRun(s, "R15", s.step*q, func(t int, r yrun) {
			y.field(s, r, "Y11")
			y.p("VPBROADCASTD %d(R8)(AX*1), %s", 32*t+4*q, yp)
			y.multiply(yp, "Y11", ysum(0, t), "Y11", q%fit == 0)
		})
		if q%fit == fit-1 {
			y.columnWiden(s, q)
		}
	}
	y.p("ADDQ $%d, R12", 64*lines)
	y.p("VMOVDQU %d(R14), Y0", yMin)
	y.p("MOVQ R14, DX")
	y.p("VBROADCASTSS 368(R8)(AX*1), %s", yx)
	y.superFinish(s, "Y0", "Y8", 0, yOuter)
	y.p("ADDQ $32, R14")
	y.p("ADDQ $32, R15")
	y.p("DECQ R13")
	y.p("JNZ  %s", rows)
}

// columnWiden adds the runs' sums times their scales to Y8 behind quad q, in the order of k as for more columns: where
// a run has two scales, its first half's sums wait in the buffer for the second's.
func (y *ymm) columnWiden(s *ysuper, q int) {
	for t := range 8 {
		sum, scale := ysum(0, t), yScale+128*t*s.groups()
		y.p("VCVTDQ2PS %s, %s", sum, sum)
		switch {
		case !s.runs16:
			y.p("VFMADD231PS %d(R14), %s, Y8", scale, sum)
		case q < 4:
			y.p("VMOVUPS %s, %d(BX)", sum, ySum+32*t)
		default:
			y.p("VMOVUPS %d(BX), Y11", ySum+32*t)
			y.p("VFMADD231PS %d(R14), Y11, Y8", scale)
			y.p("VFMADD231PS %d(R14), %s, Y8", scale+128, sum)
		}
	}
}
