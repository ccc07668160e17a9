package main

import "fmt"

// superTiles: the K formats. A super-block of 256 k is eight runs of 32 (8 quads); one or two scales a run. First its
// scales are expanded to float32 in the buffer; then each run is multiplied, converted and added with its scale; then
// the minima, if the format has them, are multiplied with the sums of the activations by VPDPWSSD, two runs at a time;
// and last the super-block is added with the activations' scale to the outer sum, which lives in the buffer.
//
// For each run and column: 16 VPDPBUSD and 2 fused additions (4 with two scales a run), plus 10 operations each 8 runs
// (Q4_K): 82 % of the VNNI peak is the bound (16 · 8 / (18 · 8 + 12)), 75 % for two scales a run.
//
// A weight is at most two bit fields. Run t finds the first in planes from low(t), to be rotated left by lowRot(t) so that it
// falls on mask; the second likewise where mask has zeros but keep has ones. Rotation counts come from a table, so one
// loop body serves all eight runs.
type super struct {
	name, doc  string
	size       int // bytes of a packed super-block
	low, high  func(t int) int
	lowRot     func(t int) int
	highRot    func(t int) int
	mask, keep uint32
	runs16     bool // a scale for each 16 instead of 32
	minima     bool
	scales     func(f *file)
}

func superTiles() *file {
	f := newFile()
	for _, s := range []*super{
		{name: "tileQ4K", doc: "// Q4_K.\n", size: 4608, mask: 0x0f, minima: true, scales: (*file).scales6,
			low: func(t int) int { return 512 + t/2*1024 }, lowRot: func(t int) int { return -4 * (t % 2) }},
		{name: "tileQ5K", doc: "// Q5_K.\n", size: 5632, mask: 0x0f, keep: 0x1f, minima: true, scales: (*file).scales6,
			low: func(t int) int { return 1536 + t/2*1024 }, lowRot: func(t int) int { return -4 * (t % 2) },
			high: func(t int) int { return 512 }, highRot: func(t int) int { return 4 - t }},
		{name: "tileQ2K", doc: "// Q2_K.\n", size: 2688, mask: 0x03, minima: true, runs16: true, scales: (*file).scalesQ2,
			low: func(t int) int { return 512 + t/4*1024 }, lowRot: func(t int) int { return -2 * (t % 4) }},
		{name: "tileQ6K", doc: "// Q6_K: 4·q, 128 added.\n", size: 6720, mask: 0x3c, keep: 0xfc, runs16: true, scales: (*file).scalesQ6,
			low: func(t int) int { return t/4*2048 + t%2*1024 }, lowRot: func(t int) int { return 2 - t%4/2*4 },
			high: func(t int) int { return 4096 + t/4*1024 }, highRot: func(t int) int { return 6 - t%4*2 }},
		{name: "tileQ3K", doc: "// Q3_K: 32·q, 128 added.\n", size: 3520, mask: 0x60, keep: 0xe0, runs16: true, scales: (*file).scalesQ3,
			low: func(t int) int { return 1024 + t/4*1024 }, lowRot: func(t int) int { return 5 - t%4*2 },
			high: func(t int) int { return 0 }, highRot: func(t int) int { return 7 - t }},
	} {
		f.super(s)
	}
	return f
}

// Registers beside those of tile.go: Z31 mask, Z30 keep, Z29 and Z28 rotation counts, Z27 the second field. R15 walks the
// table of runs, CX and R14 point to the fields, DX indexes the sums that runs start from, BX the scales.
func (f *file) super(s *super) {
	f.WriteString("\n// Runs: offsets of the two fields, their rotations, how many runs follow.\n")
	table := s.name + "Runs"
	for t := range 8 {
		high, highRot := 0, 0
		if s.high != nil {
			high, highRot = s.high(t), s.highRot(t)
		}
		for i, v := range []int{s.low(t), high, s.lowRot(t) & 31, highRot & 31, 7 - t} {
			fmt.Fprintf(f, "DATA ·%s<>+%d(SB)/4, $%d\n", table, runBytes*t+4*i, v)
		}
	}
	fmt.Fprintf(f, "GLOBL ·%s<>(SB), RODATA|NOPTR, $%d\n", table, 8*runBytes)
	f.function(s.name, s.doc, func() {
		f.broadcast(repeat(s.mask), "Z31")
		if s.high != nil {
			f.broadcast(repeat(s.keep), "Z30")
		}
	}, func(n int) { f.superBody(s, n, table) })
}

const runBytes = 20

func (f *file) superBody(s *super, n int, table string) {
	groups := 1
	if s.runs16 {
		groups = 2
	}
	f.p("MOVQ CX, %d(SI)", argLeft)
	f.clearAcc(n)
	f.eachOuter(n, func(at int, reg string) { f.p("VMOVUPS %s, %d(BX)", reg, at) })
	block, run := f.label("block"), f.label("run")
	f.l(block)
	s.scales(f)
	f.clearAcc(n)
	f.p("LEAQ ·%s<>(SB), R15", table)
	f.p("MOVQ AX, DX")
	f.l(run)
	f.run(s, n, groups)
	f.p("ADDQ $%d, BX", 128*groups)
	f.p("ADDQ $8, DX")
	f.p("ADDQ $32, AX")
	f.p("ADDQ $%d, R15", runBytes)
	f.p("CMPL %d(R15), $0", 16-runBytes)
	f.p("JNE  %s", run)
	f.p("SUBQ $%d, BX", 8*128*groups)
	if s.minima {
		f.minima(n, s.runs16)
	}
	for j := range n {
		f.p("VBROADCASTSS %d(%s)(AX*1), %s", 368-256, xReg[j], bc)
		for h := range halves {
			at := bufOuter + 128*j + 64*h
			f.p("VMOVUPS %d(BX), Z27", at)
			f.p("VFMADD231PS %s, Z%d, Z27", bc, acc(j, h))
			f.p("VMOVUPS Z27, %d(BX)", at)
		}
	}
	f.p("ADDQ $%d, DI", s.size)
	f.p("ADDQ $%d, AX", 384-256)
	f.p("DECQ %d(SI)", argLeft)
	f.p("JNZ  %s", block)
	f.eachOuter(n, func(at int, reg string) { f.p("VMOVUPS %d(BX), %s", at, reg) })
}

func (f *file) eachOuter(n int, do func(at int, reg string)) {
	for j := range n {
		for h := range halves {
			do(bufOuter+128*j+64*h, fmt.Sprintf("Z%d", acc(j, h)))
		}
	}
}

// run multiplies 32 k.
func (f *file) run(s *super, n, groups int) {
	f.p("MOVL 0(R15), CX")
	f.p("ADDQ DI, CX")
	f.p("VPBROADCASTD 8(R15), Z29")
	if s.high != nil {
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
				f.p("VMOVDQU32 %d(CX), %s", 128*q+64*h, wreg(h))
				f.p("VPROLVD Z29, %s, %s", wreg(h), wreg(h))
				if s.high == nil {
					f.p("VPANDD Z31, %s, %s", wreg(h), wreg(h))
					continue
				}
				f.p("VMOVDQU32 %d(R14), Z27", 128*q+64*h)
				f.p("VPROLVD Z28, Z27, Z27")
				f.selectBits("Z31", "Z27", wreg(h))
				f.p("VPANDD Z30, %s, %s", wreg(h), wreg(h))
			}
			f.quad(n, 4*q, [halves]string{w0, w1})
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
