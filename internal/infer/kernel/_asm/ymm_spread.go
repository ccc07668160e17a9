package main

import "fmt"

// The kernels of this file multiply a block that was spread out to bytes, on the AVX-VNNI tier: what
// multiplySpreadAVX512 is for AVX-512. Quads are unsigned: −128·Σx, from which sums start, takes an offset off.
//
// Vector ports are the limit: products, conversions and multiplications of floats share two. So sums do not start
// from 0 but from the bits of 3·2²², where a unit in the last place is 1. What they are then, read as float32 less
// 3·2²², is the sum: a subtraction, for which processors of Intel and AMD have ports that do not multiply. A run's sum
// is at most 128 · 128 · 32 = 2¹⁹ in magnitude, so nothing is rounded.

// Offsets in type spreadProduct.
const (
	spreadQuads   = 0
	spreadScale   = 8
	spreadLeast   = 16
	spreadColumns = 24
	spreadCount   = 32
	spreadRuns    = 40
	spreadLength  = 48
	spreadStart   = 56
	spreadStarts  = 64
	spreadFactor  = 72
)

// Bits of 3·2²² and of 3·2¹⁵, where a unit in the last place is 1 and 1/128.
const (
	unitBits  = 0x4b400000
	totalBits = 0x47c00000
)

// aboutSpread is what the head of the file says.
const aboutSpread = `
The kernels of this file multiply a block that was spread out to bytes with columns. SI is the argument (type
spreadProduct), DI walks the columns, R8 the weights, R10 scales, R12 minima (nil: there are none). R9, R11, R13 and DX
are columns, BX is the byte of their activations, 2·CX that of the rows, R14 the run. Y8 and Y9 are weights, Y10
activations or scales, Y11 is the number from which sums start, Y12 … Y15 are the columns' scales.
Go's assembler does not know VPDPBUSD in its VEX form: BYTE has the encoding, the comment the instruction.`

// spreadTile is one of the kernels: a number of columns, times as many vectors of eight rows as there is room for.
type spreadTile struct {
	*ymm
	columns []string // registers of the columns' activations
	rows    int      // vectors of eight rows
	chains  int      // 2: sums over even quads, and over odd ones
}

func (s *spreadTile) sum(j, h, chain int) string {
	return fmt.Sprintf("Y%d", (chain*len(s.columns)+j)*s.rows+h)
}

func emitSpread(f *file) {
	y := &ymm{file: f, vnni: true}
	(&spreadTile{y, []string{"R9", "R11", "R13", "DX"}, 2, 1}).emit("multiplySpread4AVXVNNI",
		"Sixteen rows and four columns at a time: Y0 … Y7 are sums.")
	(&spreadTile{y, []string{"R9"}, 4, 2}).emit("multiplySpreadAVXVNNI",
		"A column at a time, and all its rows: Y0 … Y3 are sums over even quads, Y4 … Y7 over odd ones, as VPDPBUSD\n"+
			"// takes four or five cycles.")
}

func (s *spreadTile) emit(name, doc string) {
	fmt.Fprintf(s, "\n// func %s(p *spreadProduct)\n//\n// %s\nTEXT ·%s(SB), NOSPLIT, $0-8\n", name, doc, name)
	s.p("MOVQ p+0(FP), SI")
	s.p("MOVQ %d(SI), DI", spreadColumns)
	s.p("MOVQ %d(SI), R15", spreadCount)
	s.p("VMOVDQU %s, Y11", s.constant(unitBits))
	group, rows, run := s.label("group"), s.label("rows"), s.label("run")
	s.l(group)
	s.p("MOVQ %d(SI), AX", spreadFactor)
	for j, x := range s.columns {
		s.p("MOVQ %d(DI), %s", 16*j, x)
		s.p("VBROADCASTSS (%s)(AX*1), Y%d", x, 12+j)
	}
	if s.rows < 4 {
		s.c("The end of the next block, where blocks are of 32.")
		for _, x := range s.columns {
			s.p("PREFETCHT0 79(%s)", x)
		}
	}
	s.p("XORL CX, CX // half the byte of the rows in a plane")
	s.l(rows)
	s.p("MOVQ %d(SI), R8", spreadQuads)
	s.p("LEAQ (R8)(CX*2), R8")
	s.p("MOVQ %d(SI), R10", spreadScale)
	s.p("MOVQ %d(SI), R12", spreadLeast)
	s.p("XORL BX, BX // byte of the activations")
	s.p("XORL R14, R14 // number of the run")
	s.l(run)
	if s.rows < 4 {
		s.fetch()
	}
	s.starts()
	s.products()
	s.scaled()
	s.p("ADDQ $128, R10")
	s.p("INCQ R14")
	s.p("CMPQ R14, %d(SI)", spreadRuns)
	s.p("JNE  %s", run)
	if s.rows < 4 {
		s.p("ADDQ $%d, CX", 16*s.rows)
		s.p("CMPQ CX, $64")
		s.p("JNE  %s", rows)
	}
	s.p("ADDQ $%d, DI", 16*len(s.columns))
	s.p("SUBQ $%d, R15", len(s.columns))
	s.p("JNZ  %s", group)
	s.p("VZEROUPPER")
	s.p("RET")
}

// fetch asks for a part of the next columns' activations, which lie far apart: one line of two columns in each run of
// a super-block and half of the rows.
func (s *spreadTile) fetch() {
	last := s.label("last")
	s.p("CMPQ R15, $4")
	s.p("JEQ  %s", last)
	for i := range 2 {
		s.p("MOVQ %d(DI)(CX*1), AX", 64+16*i)
		s.p("PREFETCHT0 (AX)(BX*2)")
	}
	s.l(last)
}

// starts sets the sums to what those of run R14 start from. A run of 32 may have two sums of sixteen activations.
func (s *spreadTile) starts() {
	s.c("What the sums start from.")
	one, started := s.label("one"), s.label("started")
	for j := range s.columns {
		s.p("VMOVDQA Y11, %s", s.sum(j, 0, 0))
	}
	s.p("TESTQ R12, R12")
	s.p("JNZ  %s", started)
	s.p("MOVQ %d(SI), AX", spreadStart)
	s.p("LEAQ (AX)(R14*4), AX")
	s.p("CMPQ %d(SI), $1", spreadStarts)
	s.p("JEQ  %s", one)
	s.p("LEAQ 4(AX)(R14*4), AX")
	s.start(-4)
	s.l(one)
	s.start(0)
	s.l(started)
	for j := range s.columns {
		for h := 1; h < s.rows; h++ {
			s.p("VMOVDQA %s, %s", s.sum(j, 0, 0), s.sum(j, h, 0))
		}
	}
	if s.chains > 1 {
		for h := range s.rows {
			s.p("VPXOR %[1]s, %[1]s, %[1]s", s.sum(0, h, 1))
		}
	}
}

// start adds what is at an offset from AX in the columns.
func (s *spreadTile) start(off int) {
	for j, x := range s.columns {
		s.p("VPBROADCASTD %d(%s)(AX*1), Y10", off, x)
		s.p("VPADDD Y10, %[1]s, %[1]s", s.sum(j, 0, 0))
	}
}

// products adds a run's products, those of four or eight quads.
func (s *spreadTile) products() {
	s.c("The products of a run.")
	done := s.label("done")
	for part := range 2 {
		for q := range 4 {
			quad := 4*part + q
			for h := 0; h < s.rows; h += 2 {
				s.p("VMOVDQU %d(R8), Y8", 128*quad+32*h)
				s.p("VMOVDQU %d(R8), Y9", 128*quad+32*h+32)
				for j, x := range s.columns {
					if h == 0 {
						s.p("VPBROADCASTD %d(%s)(BX*1), Y10", 4*quad, x)
					}
					for i := range 2 {
						s.dot("Y10", fmt.Sprintf("Y%d", 8+i), s.sum(j, h+i, q%s.chains))
					}
				}
			}
		}
		if part == 0 {
			s.p("CMPQ %d(SI), $4", spreadLength)
			s.p("JEQ  %s", done)
		}
	}
	s.p("ADDQ $16, BX")
	s.p("ADDQ $512, R8")
	s.l(done)
	s.p("ADDQ $16, BX")
	s.p("ADDQ $512, R8")
	if s.chains > 1 {
		for h := range s.rows {
			s.p("VPADDD %s, %[2]s, %[2]s", s.sum(0, h, 1), s.sum(0, h, 0))
		}
	}
}

// scaled adds a run's sums, times scales, to the columns' sums of floats, and subtracts minima.
func (s *spreadTile) scaled() {
	s.c("Times the scales of weights and activations, to the sums of floats.")
	for j := range s.columns {
		s.p("MOVQ %d(DI), AX", 16*j+8)
		for h := range s.rows {
			sum := s.sum(j, h, 0)
			s.p("VSUBPS Y11, %[1]s, %[1]s", sum)
			s.p("VMULPS %d(R10)(CX*2), Y%d, Y10", 32*h, 12+j)
			s.p("VFMADD213PS %d(AX)(CX*2), Y10, %s", 32*h, sum)
		}
	}
	store := s.label("store")
	s.p("TESTQ R12, R12")
	s.p("JZ   %s", store)
	s.c("The sum of a run's activations is −1/128 of what other sums start from.")
	s.p("VMOVDQU %s, Y8", s.constant(totalBits))
	s.p("MOVQ %d(SI), AX", spreadStart)
	s.p("LEAQ (AX)(R14*4), AX")
	for j, x := range s.columns {
		s.p("VPBROADCASTD (%s)(AX*1), Y10", x)
		s.p("VPADDD Y8, Y10, Y10")
		s.p("VSUBPS Y10, Y8, Y10")
		s.p("VMULPS Y%d, Y10, Y10", 12+j)
		for h := range s.rows {
			s.p("VFNMADD231PS %d(R12)(CX*2), Y10, %s", 32*h, s.sum(j, h, 0))
		}
	}
	s.p("ADDQ $128, R12")
	s.l(store)
	for j := range s.columns {
		s.p("MOVQ %d(DI), AX", 16*j+8)
		for h := range s.rows {
			s.p("VMOVUPS %s, %d(AX)(CX*2)", s.sum(j, h, 0), 32*h)
		}
	}
}
