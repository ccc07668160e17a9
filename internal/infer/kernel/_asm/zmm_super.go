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
	lowRot            func(t int) int
	highRot           func(t int) int
	mask              func(t int) uint32
	keep              uint32
	runs16            bool // a scale for each 16 instead of 32
	minima            bool
	scales            func(f *file)
}

func always(mask uint32) func(int) uint32 { return func(int) uint32 { return mask } }

var supers = []*super{
	{format: "Q4_K", name: "tileQ4KAVX512", doc: "// Q4_K.\n", size: 4608, minima: true, scales: (*file).scalesQ4,
		low: func(t int) int { return 512 + t/2*1024 }, mask: func(t int) uint32 { return 0x0f << (t % 2 * 4) }},
	{format: "Q5_K", name: "tileQ5KAVX512", doc: "// Q5_K.\n", size: 5632, mask: always(0x0f), keep: 0x1f,
		minima: true,
		scales: (*file).scalesQ5,
		low:    func(t int) int { return 1536 + t/2*1024 }, lowRot: func(t int) int { return -4 * (t % 2) },
		high: func(t int) int { return 512 }, highRot: func(t int) int { return 4 - t }},
	{format: "Q2_K", name: "tileQ2KAVX512", doc: "// Q2_K.\n", size: 2688, minima: true, runs16: true,
		scales: (*file).scalesQ2,
		low:    func(t int) int { return 512 + t/4*1024 }, mask: func(t int) uint32 { return 0x03 << (t % 4 * 2) }},
	{format: "Q6_K", name: "tileQ6KAVX512", doc: "// Q6_K: 4·q, 128 added.\n", size: 6720, mask: always(0x3c),
		keep: 0xfc, runs16: true,
		scales: (*file).scalesQ6,
		low:    func(t int) int { return t/4*2048 + t%2*1024 }, lowRot: func(t int) int { return 2 - t%4/2*4 },
		high: func(t int) int { return 4096 + t/4*1024 }, highRot: func(t int) int { return 6 - t%4*2 }},
	{format: "Q3_K", name: "tileQ3KAVX512", doc: "// Q3_K: 32·q, 128 added.\n", size: 3520, mask: always(0x60),
		keep:   0xe0,
		runs16: true, scales: (*file).scalesQ3,
		low: func(t int) int { return 1024 + t/4*1024 }, lowRot: func(t int) int { return 5 - t%4*2 },
		high: func(t int) int { return 0 }, highRot: func(t int) int { return 7 - t }},
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

// prefetch is the instruction that fetches. A single column of all formats but Q4_K, which is read in one direction,
// is faster from L2: planes are read in several streams there, and the L1 cache's misses are fewer than memory could
// serve (on Zen 4, Q6_K reads 43 % of its bandwidth with PREFETCHT0 and 72 % with PREFETCHT1, Q2_K 70 and 86 %).
func (s *super) prefetch(n int) string {
	if n == 1 && s.format != "Q4_K" {
		return "PREFETCHT1"
	}
	return "PREFETCHT0"
}

// fetch is how many cache lines are fetched in each run.
func (s *super) fetch() int { return (s.size/64 + 7) / 8 }

func (f *file) superBody(s *super, n int, table string) {
	scales := 1 // of a run
	if s.runs16 {
		scales = 2
	}
	f.clearOuter(n)
	f.p("MOVQ %d(SI), CX", argBlocks)
	f.p("MOVQ CX, %d(SI)", argLeft)
	block, columns, run := f.label("block"), f.label("columns"), f.label("run")
	f.l(block)
	f.c("The scales of a super-block, to the buffer.")
	s.scales(f)
	f.p("XORL CX, CX")
	f.c("Each group of columns.")
	f.l(columns)
	f.p("MOVQ CX, %d(SI)", argGroup)
	f.columns(n, "CX")
	f.clearAcc(n)
	if n == 1 && s.high == nil {
		f.sets(s, scales)
	} else {
		f.p("LEAQ ·%s<>(SB), R15", table)
		f.p("MOVQ AX, DX")
		f.l(run)
		f.run(s, n, scales)
		f.p("ADDQ $%d, BX", 128*scales)
		f.p("ADDQ $8, DX")
		f.p("ADDQ $32, AX")
		f.p("ADDQ $%d, R15", runBytes)
		f.p("CMPL %d(R15), $0", 20-runBytes)
		f.p("JNE  %s", run)
		f.p("SUBQ $%d, BX", 8*128*scales)
	}
	if s.minima {
		f.c("The minima, times the sums of activations.")
		f.minima(n, s.runs16)
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

// sets multiplies a super-block with a single column. All runs whose fields lie in the same planes go together: a
// third fewer instructions stand between two reads of memory, which take 92 % and then 97 % of its bandwidth in Q4_K.
// Floats are added in the order of runs, as for more columns. Registers: Z0 … Z17 sums of integers by run, scale and
// half, with the float sums Z12 and Z13 among them; Z18 … Z21 masks; Z22 … Z25 weights; Z27 … Z30 activations.
func (f *file) sets(s *super, groups int) {
	const n = 1
	together := 1
	for s.low(together) == s.low(0) {
		together++
	}
	sum := func(r, g, h int) int {
		i := (r*groups+g)*halves + h
		if i >= acc(0, 0) { // beside the float sums
			i += halves
		}
		return i
	}
	for r := range together {
		f.p("VPBROADCASTD ·%s<>+%d(SB), Z%d", s.name+"Runs", runBytes*r+16, 18+r)
	}
	loop, lines := f.label("set"), s.size/64*together/8
	f.p("LEAQ %d(DI), CX", s.low(0))
	f.p("MOVQ DI, DX")
	f.p("MOVQ %d(SI), R9", argAhead)
	f.p("MOVQ $%d, R14", 8/together)
	f.l(loop)
	for i := range together * groups * halves {
		z := sum(0, 0, i)
		f.p("VPXORD Z%d, Z%d, Z%d", z, z, z)
	}
	for q := range 8 {
		g := q * groups / 8
		for r := range together {
			f.p("VPBROADCASTD %d(%s)(AX*1), Z%d", 32*r+4*q, xReg[0], 27+r)
		}
		for h := range halves {
			f.p("VMOVDQU32 %d(CX), Z%d", 128*q+64*h, 22+h)
			for r := range together {
				f.p("VPANDD Z%d, Z%d, Z%d", 22+h, 18+r, 24+(h+r)%2)
				f.p("VPDPBUSD Z%d, Z%d, Z%d", 27+r, 24+(h+r)%2, sum(r, g, h))
			}
		}
		if s.format == "Q4_K" {
			f.fetchOne("DX", lines*q/8, lines*(q+1)/8)
			continue
		}
		f.fetchLines(s.prefetch(n), "DX", s.ahead()*s.size, lines*q/8, lines*(q+1)/8)
	}
	for r := range together {
		for g := range groups {
			for h := range halves {
				z := sum(r, g, h)
				f.p("VCVTDQ2PS Z%d, Z%d", z, z)
				f.p("VFMADD231PS %d(BX), Z%d, Z%d", bufScale+128*(groups*r+g)+64*h, z, acc(0, h))
			}
		}
	}
	f.p("ADDQ $%d, BX", 128*groups*together)
	f.p("ADDQ $%d, AX", 32*together)
	f.p("ADDQ $1024, CX")
	f.p("ADDQ $%d, DX", 64*lines)
	f.p("DECQ R14")
	f.p("JNZ  %s", loop)
	f.p("SUBQ $%d, BX", 8*128*groups)
}

// run multiplies 32 k.
func (f *file) run(s *super, n, groups int) {
	// A single column fetches a line or two a quad: a burst would fill the processor's miss buffers and stall its
	// loads. More columns fetch at the start of a run, which only the first group does.
	ahead := "R13"
	if s.minima {
		ahead = "DX"
	}
	spread := n == 1 || s.minima
	if spread {
		f.p("MOVL 24(R15), %s", ahead)
		f.p("ADDQ DI, %s", ahead)
	} else {
		fetched := f.label("fetched")
		f.p("CMPQ %d(SI), $0", argGroup)
		f.p("JNE  %s", fetched)
		f.p("MOVL 24(R15), CX")
		f.p("ADDQ DI, CX")
		for i := range s.fetch() {
			f.p("PREFETCHT0 %d(CX)", s.ahead()*s.size+64*i)
		}
		f.l(fetched)
	}
	f.p("MOVL 0(R15), CX")
	f.p("ADDQ DI, CX")
	f.p("VPBROADCASTD 16(R15), Z31")
	if s.high != nil {
		f.p("VPBROADCASTD 8(R15), Z29")
		f.p("MOVL 4(R15), R14")
		f.p("ADDQ DI, R14")
		f.p("VPBROADCASTD 12(R15), Z28")
	}
	for g := range groups {
		if s.minima {
			f.clearSums(n)
		} else {
			for j := range n {
				for h := range halves {
					f.p("VPBROADCASTD %d(%s)(DX*1), Z%d", 256+4*g, xReg[j], sum(j, h))
				}
			}
		}
		for q := g * 8 / groups; q < (g+1)*8/groups; q++ {
			for h := range halves {
				if s.high == nil {
					f.p("VPANDD %d(CX), Z31, %s", 128*q+64*h, wreg(h))
					continue
				}
				f.p("VMOVDQU32 %d(CX), %s", 128*q+64*h, wreg(h))
				f.p("VPROLVD Z29, %s, %s", wreg(h), wreg(h))
				f.p("VMOVDQU32 %d(R14), Z27", 128*q+64*h)
				f.p("VPROLVD Z28, Z27, Z27")
				f.selectBits("Z31", "Z27", wreg(h))
				f.p("VPANDD Z30, %s, %s", wreg(h), wreg(h))
			}
			f.quad(n, 4*q, [halves]string{w0, w1})
			for i := s.fetch() * q / 8; spread && i < s.fetch()*(q+1)/8; i++ {
				f.p("%s %d(%s)", s.prefetch(n), s.ahead()*s.size+64*i, ahead)
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

// minima subtracts dmin · Σ min·Σq. AX is 256 ahead.
func (f *file) minima(n int, runs16 bool) {
	pairs, sums := 4, 352-256
	if runs16 {
		pairs, sums = 8, 320-256
	}
	f.clearSums(n)
	for p := range pairs {
		for h := range halves {
			f.p("VMOVDQU32 %d(BX), %s", bufMin+128*p+64*h, wreg(h))
		}
		for j := range n {
			f.p("VPBROADCASTD %d(%s)(AX*1), %s", sums+4*p, xReg[j], bc)
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
