package main

// zmmOutputs lists the files of the AVX-512 tier.
func zmmOutputs() (all []output) {
	add := func(name string, emit func(f *file)) { all = append(all, tileOutput(name, "avx512", emit)) }
	for _, c := range classicTiles {
		add(c.format, c.emit)
	}
	for _, s := range supers {
		add(s.format, func(f *file) { f.super(s) })
	}
	for _, t := range floats {
		add(t.name, func(f *file) { f.float(t) })
	}
	return all
}

// A tile is 32 rows × n columns, n = 1 … 6: y = weights · activations over the whole length of the rows.
//
// Why 32 × 6: a broadcast of four activations is loaded once and feeds two VPDPBUSD, so that 12 of these need 6 + 2
// loads. With 16 rows × 12 columns they would need 12 + 1, and a processor with two 512-bit multipliers and two loads
// a cycle (Zen 5) would wait for loads. Registers: 12 sums of integers, 12 of floats, 2 of weights, 1 broadcast leave
// 5.
//
// The same code is emitted for every n, so a column's sums are added in the same order beside any others.
const (
	maxCols   = 6
	maxGroups = 8
)

// Offsets in type tile (tile_amd64.go) and in its buffer.
const (
	argW      = 0
	argBlocks = 8
	argPanels = 16
	argUnit   = 24
	argCols   = 28
	argBuf    = 32
	argRow    = 40 // byte offset of the panel's rows in y
	argLeft   = 48 // blocks left, where no register is
	argGroup  = 56 // 48 × the group of columns at work
	argGroups = 64 // 48 × the number of groups
	argChunk  = 72 // blocks of the chunk
	argAct    = 80 // where the chunk's activations start
	argX      = 88
	argY      = argX + 8*maxCols*maxGroups
	argAhead  = argY + 8*maxCols*maxGroups // how many bytes ahead a single column fetches, see fetchAhead
	argOnce   = argAhead + 8               // not 0: the first group of columns unpacks weights for the others
	argPlace  = argAhead + 16              // where a run's unpacked weights are
	argSums   = argAhead + 24              // as AX, for the sums that a run starts from

	bufScale = 0    // 16 × 32 float32
	bufMin   = 2048 // 8 × 32 pairs of int16
	bufDmin  = 3072 // 32 float32
	bufOuter = 3200 // for each group 6 × 32 float32

	bufParked  = bufOuter + maxGroups*maxCols*128 // 16 vectors of a single column's sums
	bufWeights = bufParked + 16*64                // 64 quads × 32 rows × 4 bytes
)

// Registers. SI holds t, BX the buffer, DI walks the weights, AX the activations, CX counts blocks.
var xReg = [maxCols]string{"R8", "R9", "R10", "R11", "R12", "R13"}

const (
	w0, w1, bc = "Z24", "Z25", "Z26"
	halves     = 2
)

func sum(j, h int) int  { return 2*j + h }      // Z0 … Z11: integers
func acc(j, h int) int  { return 12 + 2*j + h } // Z12 … Z23: floats
func wreg(h int) string { return []string{w0, w1}[h] }

// function emits TEXT for one format: a jump by the number of columns, then for each number the loop over panels
// around body.
func (f *file) function(name, doc string, once func(), body func(n int)) {
	f.WriteString("\n// func " + name + "(t *tile)\n//\n" + doc)
	f.WriteString("TEXT ·" + name + "(SB), NOSPLIT, $0-8\n")
	f.p("MOVQ t+0(FP), SI")
	f.p("MOVQ %d(SI), DI", argW)
	f.p("MOVQ %d(SI), BX", argBuf)
	f.p("MOVQ $0, %d(SI)", argRow)
	once()
	f.p("MOVL %d(SI), DX", argCols)
	var starts [maxCols + 1]string
	for n := 1; n < f.cols(); n++ {
		starts[n] = f.label("cols")
		f.p("CMPL DX, $%d", n)
		f.p("JEQ  %s", starts[n])
	}
	for n := f.cols(); n >= 1; n-- {
		if n < f.cols() {
			f.l(starts[n])
		}
		f.c("%d columns, panel by panel.", n)
		panel := f.label("panel")
		f.l(panel)
		f.p("XORL AX, AX")
		body(n)
		f.p("ADDQ $128, %d(SI)", argRow)
		f.p("DECQ %d(SI)", argPanels)
		f.p("JNZ  %s", panel)
		f.p("VZEROUPPER")
		f.p("RET")
		for i := 0; i < len(f.far); i++ { // they may write more of it
			f.far[i]()
		}
		f.far = nil
	}
}

// start is for bodies with a single group of columns: it loads their pointers and the number of blocks.
func (f *file) start(n int) {
	f.p("XORL CX, CX")
	f.columns(n, "CX")
	f.p("MOVQ %d(SI), CX", argBlocks)
	f.clearAcc(n)
}

// columns loads the pointers of the group at an offset.
func (f *file) columns(n int, offset string) {
	for j := range n {
		f.p("MOVQ %d(SI)(%s*1), %s", argX+8*j, offset, xReg[j])
	}
}

// store writes acc · unit to y.
func (f *file) store(n int) {
	f.p("VBROADCASTSS %d(SI), %s", argUnit, bc)
	f.p("MOVQ %d(SI), AX", argRow)
	for j := range n {
		f.p("MOVQ %d(SI), DX", argY+8*j)
		for h := range halves {
			f.p("VMULPS %s, Z%d, Z%d", bc, acc(j, h), acc(j, h))
			f.p("VMOVUPS Z%d, %d(DX)(AX*1)", acc(j, h), 64*h)
		}
	}
}

// cols is the most columns of a group.
func (f *file) cols() int {
	if f.most > 0 {
		return f.most
	}
	return maxCols
}

// eachGroup emits a loop over the groups of columns, last to first: CX is a group's offset among the pointers, DX
// among the sums (8 bytes of pointers are 128 of sums).
func (f *file) eachGroup(body func()) {
	loop := f.label("each")
	f.p("MOVQ %d(SI), CX", argGroups)
	f.l(loop)
	f.p("SUBQ $%d, CX", 8*f.cols())
	f.p("MOVQ CX, DX")
	f.p("SHLQ $4, DX")
	body()
	f.p("TESTQ CX, CX")
	f.p("JNZ  %s", loop)
}

// clearOuter zeroes the outer sums of all groups.
func (f *file) clearOuter(n int) {
	f.p("VPXORD Z0, Z0, Z0")
	f.eachGroup(func() {
		for at := 0; at < 128*n; at += 64 {
			f.p("VMOVUPS Z0, %d(BX)(DX*1)", bufOuter+at)
		}
	})
}

// storeOuter writes the outer sums · unit to y.
func (f *file) storeOuter(n int) {
	f.p("VBROADCASTSS %d(SI), %s", argUnit, bc)
	f.p("MOVQ %d(SI), AX", argRow)
	f.eachGroup(func() {
		for j := range n {
			f.p("MOVQ %d(SI)(CX*1), R15", argY+8*j)
			for h := range halves {
				f.p("VMULPS %d(BX)(DX*1), %s, Z27", bufOuter+128*j+64*h, bc)
				f.p("VMOVUPS Z27, %d(R15)(AX*1)", 64*h)
			}
		}
	})
}

func (f *file) clearAcc(n int) {
	for j := range n {
		for h := range halves {
			f.p("VPXORD Z%d, Z%d, Z%d", acc(j, h), acc(j, h), acc(j, h))
		}
	}
}

func (f *file) clearSums(n int) {
	for j := range n {
		for h := range halves {
			f.p("VPXORD Z%d, Z%d, Z%d", sum(j, h), sum(j, h), sum(j, h))
		}
	}
}

// startSums loads −128·Σq, at off in the activations, into the sums.
func (f *file) startSums(n, off int) {
	for j := range n {
		for h := range halves {
			f.p("VPBROADCASTD %d(%s)(AX*1), Z%d", off, xReg[j], sum(j, h))
		}
	}
}

// quad multiplies the unsigned weights in two registers with four activations of each column.
func (f *file) quad(n, off int, weights [halves]string) {
	for j := range n {
		f.p("VPBROADCASTD %d(%s)(AX*1), %s", off, xReg[j], bc)
		for h := range halves {
			f.p("VPDPBUSD %s, %s, Z%d", bc, weights[h], sum(j, h))
		}
	}
}

// broadcast fills a register with a 32-bit constant.
func (f *file) broadcast(v uint32, reg string) {
	f.p("MOVL $0x%08x, DX", v)
	f.p("VPBROADCASTD DX, %s", reg)
}

func repeat(b uint32) uint32 { return b * 0x01010101 }

// selectBits makes a = a&mask | b&^mask (VPTERNLOG's table index is a·4 + b·2 + mask).
func (f *file) selectBits(mask, b, a string) { f.p("VPTERNLOGD $0xe4, %s, %s, %s", mask, b, a) }

// fetchFew asks for lines from … to−1 at so many bytes ahead of a register, into the L2 cache if fetchAhead is odd.
// The code for that is behind the function, so that other processors only test a byte.
func (f *file) fetchFew(base string, ahead, from, to int) {
	if from == to {
		return
	}
	second, back := f.label("second"), f.label("back")
	f.p("TESTB $1, %d(SI)", argAhead)
	f.p("JNZ  %s", second)
	f.fetchLines("PREFETCHT0", base, ahead, from, to)
	f.l(back)
	f.far = append(f.far, func() {
		f.l(second)
		f.fetchLines("PREFETCHT1", base, ahead, from, to)
		f.p("JMP  %s", back)
	})
}

// fetchOne asks for lines from … to−1 as far ahead of a register as R9 says, if that is not 0, into the L2 cache if
// it is odd: see fetchAhead.
func (f *file) fetchOne(base string, from, to int) {
	second, none := f.label("second"), f.label("none")
	f.p("TESTQ R9, R9")
	f.p("JZ   %s", none)
	f.p("TESTL $1, R9")
	f.p("JNZ  %s", second)
	for i := from; i < to; i++ {
		f.p("PREFETCHT0 %d(%s)(R9*1)", 64*i, base)
	}
	f.p("JMP  %s", none)
	f.l(second)
	for i := from; i < to; i++ {
		f.p("PREFETCHT1 %d(%s)(R9*1)", 64*i, base)
	}
	f.l(none)
}
