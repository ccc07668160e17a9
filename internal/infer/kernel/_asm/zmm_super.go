package main

import "fmt"

// superTiles: the K formats. A super-block of 256 k is eight runs of 32 (8 quads); one or two scales a run. First its
// scales are expanded to float32 in the buffer. Then, for one group of columns after the other, each run is
// multiplied, converted and added with its scale; then the minima, if the format has them, are multiplied with the
// sums of the activations by VPDPWSSD, two runs at a time; and last the super-block is added with the activations'
// scale to the outer sums, which live in the buffer. All groups go through a super-block before the next, so that
// expanding its scales (as much work as a seventh of a group) is shared.
//
// For each run and column: 16 VPDPBUSD and 2 fused additions (4 with two scales a run), plus 12 operations each 8
// runs (Q4_K): 82 % of the VNNI peak is the bound (16 · 8 / (18 · 8 + 12)), less where fields have to be shifted:
// shifts share the multipliers' ports. So fields stay where they are: q·2ᵖ is multiplied, and the run's scale has 2⁻ᵖ
// in it.
//
// A weight is one or two bit fields. Run t finds the first in the planes from low(t), under mask(t). Where there is a
// second, the first is rotated left by lowRot(t) onto mask(t), and the second, in the planes from high(t), by
// highRot(t) onto the other bits of keep. All this comes from a table, so one loop body serves eight runs.
type super struct {
	format, name, doc string
	size              int // bytes of a packed super-block
	low, high         func(t int) int
	step              int // bytes from quad to quad of the planes
	lowRot            func(t int) int
	highRot           func(t int) int
	mask              func(t int) uint32
	keep              uint32
	runs16            bool // a scale for each 16 instead of 32
	minima            bool
	scales            func(f *file, s *super, n int)

	// With a single column, the integers of run t are taken place(t) bits up, where that saves shifts; with more, up
	// bits in a format of two fields.
	place func(t int) int
	up    int
	set   *zset
}

func always(mask uint32) func(int) uint32 { return func(int) uint32 { return mask } }

func (s *super) groups() int {
	if s.runs16 {
		return 2
	}
	return 1
}

// sums is where a block of activations has the sums that minima are multiplied with.
func (s *super) sums() int {
	if s.runs16 {
		return 320
	}
	return 352
}

// exponent is which power of two the sums of run t are too small by.
func (s *super) exponent(n, t int) int {
	if n > 1 && s.high != nil {
		return 0
	}
	return s.up - s.place(t)
}

var supers = []*super{
	{format: "Q4_K", name: "tileQ4KAVX512", doc: "// Q4_K.\n", size: 4608, step: 128, minima: true,
		scales: (*file).scales6,
		low:    func(t int) int { return 512 + t/2*1024 }, mask: func(t int) uint32 { return 0x0f << (t % 2 * 4) },
		place: func(t int) int { return t % 2 * 4 },
		set:   &zset{runs: 2, move: 1024}},
	{format: "Q5_K", name: "tileQ5KAVX512", doc: "// Q5_K.\n", size: 5632, step: 640, mask: always(0x0f), keep: 0x1f,
		minima: true,
		scales: (*file).scales6,
		low:    func(t int) int { return 640 + t/2*128 }, lowRot: func(t int) int { return -4 * (t % 2) },
		high: func(t int) int { return 512 }, highRot: func(t int) int { return 4 - t },
		place: func(int) int { return 0 },
		set: &zset{runs: 8, lowMask: 0x0f, highMask: 0x10,
			lowShift: func(t int) int { return t % 2 * 4 }, highShift: func(t int) int { return t - 4 }}},
	{format: "Q2_K", name: "tileQ2KAVX512", doc: "// Q2_K.\n", size: 2688, step: 128, minima: true, runs16: true,
		scales: (*file).scalesQ2,
		low:    func(t int) int { return 640 + t/4*1024 }, mask: func(t int) uint32 { return 0x03 << (t % 4 * 2) },
		place: func(t int) int { return t % 4 * 2 },
		set:   &zset{runs: 4, move: 1024}},
	{format: "Q6_K", name: "tileQ6KAVX512", doc: "// Q6_K: 4·q, 128 added.\n", size: 6720, step: 384,
		mask: always(0x3c), keep: 0xfc, runs16: true,
		scales: (*file).scalesQ6,
		low:    func(t int) int { return 576 + t/4*3072 + t%2*128 }, lowRot: func(t int) int { return 2 - t%4/2*4 },
		high: func(t int) int { return 832 + t/4*3072 }, highRot: func(t int) int { return 6 - t%4*2 },
		place: func(t int) int { return t % 4 / 2 * 2 }, up: 2,
		set: &zset{runs: 4, move: 3072, lowMask: 0x0f, highMask: 0x30,
			lowShift:  func(t int) int { return t % 4 / 2 * 2 },
			highShift: func(t int) int { return []int{-4, -2, -2, 0}[t%4] }}},
	{format: "Q3_K", name: "tileQ3KAVX512", doc: "// Q3_K: 32·q, 128 added.\n", size: 3520, step: 384,
		mask: always(0x60), keep: 0xe0, runs16: true, scales: (*file).scalesQ3,
		low: func(t int) int { return 576 + t/4*128 }, lowRot: func(t int) int { return 5 - t%4*2 },
		high: func(t int) int { return 448 }, highRot: func(t int) int { return 7 - t },
		place: func(t int) int { return min(t%4*2, 5) }, up: 5,
		set: &zset{runs: 8, lowMask: 0x03, highMask: 0x04,
			lowShift:  func(t int) int { return max(0, t%4*2-5) },
			highShift: func(t int) int { return t - 2 - min(t%4*2, 5) }}},
}

// Registers beside those of zmm.go: Z31 mask, Z30 keep, Z29 and Z28 rotation counts, Z27 the second field. R15 walks
// the table of runs, CX and R14 point to the fields, DX indexes the sums that runs start from, BX the scales.
func (f *file) super(s *super) {
	f.WriteString("\n// Runs: offsets of the two fields, their rotations, the first one's mask, how many runs " +
		"follow, what to fetch.\n")
	table := s.name + "Runs"
	for t := range 8 {
		high, lowRot, highRot := 0, 0, 0
		if s.high != nil {
			high, lowRot, highRot = s.high(t), s.lowRot(t), s.highRot(t)
		}
		for i, v := range []int{s.low(t), high, lowRot & 31, highRot & 31, int(repeat(s.mask(t))), 7 - t,
			64 * s.fetch() * t} {
			fmt.Fprintf(f, "DATA ·%s<>+%d(SB)/4, $%d\n", table, runBytes*t+4*i, v)
		}
	}
	fmt.Fprintf(f, "GLOBL ·%s<>(SB), RODATA|NOPTR, $%d\n", table, 8*runBytes)
	f.function(s.name, s.doc, func() {
		if s.high != nil {
			f.broadcast(repeat(s.keep), "Z30")
		}
	}, func(n int) { f.superBody(s, n, table) })
}

const runBytes = 28

// ahead is how many super-blocks ahead the first group of columns fetches: 8 KiB or more, which one column takes 0.3
// µs to get to at 30 GB/s. The parts of a super-block are too short for the processor to see streams in them.
func (s *super) ahead() int { return (8191 + s.size) / s.size }

// fetch is how many cache lines are fetched in each run.
func (s *super) fetch() int { return (s.size/64 + 7) / 8 }

func (f *file) superBody(s *super, n int, table string) {
	f.clearOuter(n)
	f.p("MOVQ %d(SI), CX", argBlocks)
	f.p("MOVQ CX, %d(SI)", argLeft)
	if n == 1 {
		f.p("MOVQ %d(SI), R8", argX)
	}
	block, columns := f.label("block"), f.label("columns")
	f.l(block)
	f.c("The scales of a super-block, to the buffer.")
	s.scales(f, s, n)
	f.p("XORL CX, CX")
	f.c("Each group of columns.")
	f.l(columns)
	f.p("MOVQ CX, %d(SI)", argGroup)
	f.columns(n, "CX")
	f.clearAcc(n)
	if n == 1 {
		f.single(s)
	} else {
		f.runs(s, n, table)
	}
	if s.minima {
		f.c("The minima, times the sums of activations.")
		f.minima(s, n)
	}
	f.c("Times the activations' scale, to the outer sums.")
	f.p("MOVQ %d(SI), CX", argGroup)
	f.p("MOVQ CX, DX")
	f.p("SHLQ $4, DX")
	for j := range n {
		f.p("VBROADCASTSS %d(%s)(AX*1), %s", 368-256, xReg[j], bc)
		for h := range halves {
			at := bufOuter + 128*j + 64*h
			f.p("VMOVUPS %d(BX)(DX*1), Z27", at)
			f.p("VFMADD231PS %s, Z%d, Z27", bc, acc(j, h))
			f.p("VMOVUPS Z27, %d(BX)(DX*1)", at)
		}
	}
	f.p("SUBQ $256, AX")
	f.p("ADDQ $48, CX")
	f.p("CMPQ CX, %d(SI)", argGroups)
	f.p("JNE  %s", columns)
	f.p("ADDQ $%d, DI", s.size)
	f.p("ADDQ $384, AX")
	f.p("DECQ %d(SI)", argLeft)
	f.p("JNZ  %s", block)
	f.storeOuter(n)
}

// way is where a group of columns has the weights of a super-block from.
type way int

const (
	unpacked way = iota // from the planes
	kept                // the same, and it leaves them in the buffer
	taken               // from there
)

// runs multiplies the runs of a super-block with a group of columns. If argOnce says so, only the first group unpacks
// weights: unpacking takes the ports of the multipliers on Intel's processors (0 and 5), on Zen 4 others.
func (f *file) runs(s *super, n int, table string) {
	once, taking, done := f.label("once"), f.label("taking"), f.label("done")
	f.p("LEAQ ·%s<>(SB), R15", table)
	f.p("MOVQ AX, DX")
	several := n > maxCols/2 // of two groups each has more than half of the most columns, or they would be one
	if several {
		f.p("CMPQ %d(SI), $0", argOnce)
		f.p("JNE  %s", once)
	}
	f.eachRun(s, n, unpacked)
	f.l(done)
	f.p("SUBQ $%d, BX", 8*128*s.groups())
	if !several {
		return
	}
	f.far = append(f.far, func() {
		f.l(once)
		f.p("MOVQ AX, %d(SI)", argSums)
		f.p("LEAQ %d(BX), DX", bufWeights)
		f.p("MOVQ DX, %d(SI)", argPlace)
		f.p("CMPQ %d(SI), $0", argGroup)
		f.p("JNE  %s", taking)
		f.eachRun(s, n, kept)
		f.p("JMP  %s", done)
		f.l(taking)
		f.eachRun(s, n, taken)
		f.p("JMP  %s", done)
	})
}

// eachRun is the loop over the runs. With weights in the buffer it has no register for where sums start.
func (f *file) eachRun(s *super, n int, w way) {
	run := f.label("run")
	f.l(run)
	f.run(s, n, w)
	f.p("ADDQ $%d, BX", 128*s.groups())
	if w == unpacked {
		f.p("ADDQ $8, DX")
	} else {
		f.p("ADDQ $8, %d(SI)", argSums)
		f.p("ADDQ $1024, %d(SI)", argPlace)
	}
	f.p("ADDQ $32, AX")
	f.p("ADDQ $%d, R15", runBytes)
	f.p("CMPL %d(R15), $0", 20-runBytes)
	f.p("JNE  %s", run)
}

// run multiplies 32 k.
func (f *file) run(s *super, n int, w way) {
	f.fetchRun(s, w)
	if w != taken {
		f.fields(s)
	}
	groups := s.groups()
	for g := range groups {
		if s.minima {
			f.clearSums(n)
		} else {
			if w != unpacked {
				f.p("MOVQ %d(SI), DX", argSums)
			}
			for j := range n {
				for h := range halves {
					f.p("VPBROADCASTD %d(%s)(DX*1), Z%d", 256+4*g, xReg[j], sum(j, h))
				}
			}
		}
		if w != unpacked {
			f.p("MOVQ %d(SI), DX", argPlace)
		}
		for q := g * 8 / groups; q < (g+1)*8/groups; q++ {
			f.quadWeights(s, q, w)
			f.quad(n, 4*q, [halves]string{w0, w1})
			if s.minima && w == unpacked {
				f.fetchFew("DX", s.ahead()*s.size, s.fetch()*q/8, s.fetch()*(q+1)/8)
			}
		}
		for h := range halves {
			f.p("VMOVUPS %d(BX), %s", bufScale+128*g+64*h, wreg(h))
		}
		for j := range n {
			for h := range halves {
				f.p("VCVTDQ2PS Z%d, Z%d", sum(j, h), sum(j, h))
				f.p("VFMADD231PS %s, Z%d, Z%d", wreg(h), sum(j, h), acc(j, h))
			}
		}
	}
}

// fetchRun is for what a run fetches. Formats with minima have a register for that, and fetch a line or two a quad;
// others, and what goes to the buffer, fetch at the start of a run, which only the first group of columns does.
func (f *file) fetchRun(s *super, w way) {
	switch {
	case w == taken:
	case s.minima && w == unpacked:
		f.p("MOVL 24(R15), DX")
		f.p("ADDQ DI, DX")
	default:
		fetched := f.label("fetched")
		f.p("CMPQ %d(SI), $0", argGroup)
		f.p("JNE  %s", fetched)
		f.p("MOVL 24(R15), CX")
		f.p("ADDQ DI, CX")
		f.fetchFew("CX", s.ahead()*s.size, 0, s.fetch())
		f.l(fetched)
	}
}

// fields points to a run's fields.
func (f *file) fields(s *super) {
	f.p("MOVL 0(R15), CX")
	f.p("ADDQ DI, CX")
	f.p("VPBROADCASTD 16(R15), Z31")
	if s.high != nil {
		f.p("VPBROADCASTD 8(R15), Z29")
		f.p("MOVL 4(R15), R14")
		f.p("ADDQ DI, R14")
		f.p("VPBROADCASTD 12(R15), Z28")
	}
}

// quadWeights loads a quad's weights, and leaves them in the buffer if they are to be kept.
func (f *file) quadWeights(s *super, q int, w way) {
	for h := range halves {
		at := 128*q + 64*h
		switch {
		case w == taken:
			f.p("VMOVDQU32 %d(DX), %s", at, wreg(h))
			continue
		case s.high == nil:
			f.p("VPANDD %d(CX), Z31, %s", s.step*q+64*h, wreg(h))
		default:
			f.p("VMOVDQU32 %d(CX), %s", s.step*q+64*h, wreg(h))
			f.p("VPROLVD Z29, %s, %s", wreg(h), wreg(h))
			f.p("VMOVDQU32 %d(R14), Z27", s.step*q+64*h)
			f.p("VPROLVD Z28, Z27, Z27")
			f.selectBits("Z31", "Z27", wreg(h))
			f.p("VPANDD Z30, %s, %s", wreg(h), wreg(h))
		}
		if w == kept {
			f.p("VMOVDQU32 %s, %d(DX)", wreg(h), at)
		}
	}
}

// minima subtracts dmin · Σ min·Σq. AX is 256 ahead.
func (f *file) minima(s *super, n int) {
	if n == 1 { // they have been multiplied
		for h := range halves {
			f.p("VCVTDQ2PS %d(BX), Z%d", bufMin+64*h, sum(0, h))
			f.p("VFNMADD231PS %d(BX), Z%d, Z%d", bufDmin+64*h, sum(0, h), acc(0, h))
		}
		return
	}
	f.clearSums(n)
	for p := range 4 * s.groups() {
		for h := range halves {
			f.p("VMOVDQU32 %d(BX), %s", bufMin+128*p+64*h, wreg(h))
		}
		for j := range n {
			f.p("VPBROADCASTD %d(%s)(AX*1), %s", s.sums()-256+4*p, xReg[j], bc)
			for h := range halves {
				f.p("VPDPWSSD %s, %s, Z%d", bc, wreg(h), sum(j, h))
			}
		}
	}
	for h := range halves {
		f.p("VMOVUPS %d(BX), %s", bufDmin+64*h, wreg(h))
	}
	for j := range n {
		for h := range halves {
			f.p("VCVTDQ2PS Z%d, Z%d", sum(j, h), sum(j, h))
			f.p("VFNMADD231PS %s, Z%d, Z%d", wreg(h), sum(j, h), acc(j, h))
		}
	}
}
