package main

import "fmt"

// yclassic is a format of blocks of 32 k: a half-plane of scales, then planes.
type yclassic struct {
	name, format, doc string
	size              int
	planes            int  // offset of the planes of bytes or low fields
	bytes             bool // weights are whole bytes, else nibbles
	fifth             int  // offset of the plane of fifth bits; 0: there is none
	fit               int  // quads whose products fit into 16 bits
	shift             int  // from −128·Σq to what sums start from
}

var yclassics = []*yclassic{
	{name: "Q8", format: "Q8_0", doc: "Q8_0: planes hold q+128", size: 1088, planes: 64, bytes: true, fit: 8},
	{name: "Q4", format: "Q4_0", doc: "Q4_0", size: 576, planes: 64, fit: 8, shift: 4},
	{name: "Q5", format: "Q5_0", doc: "Q5_0", size: 704, planes: 192, fifth: 64, fit: 4, shift: 3},
}

const (
	classicChunk = 8 // blocks that are unpacked at once: as many as the buffer holds
	fewGroups    = 3 // groups of columns that are multiplied without the buffer
	fewCols      = 4 // columns of these
)

func (y *ymm) classic(c *yclassic) {
	if c.bytes && !y.vnni {
		y.words(c)
		return
	}
	y.function("tile"+c.name+y.tier(), "// "+c.doc+".\n", func() {}, func(n int) {
		if n == 1 {
			y.classicColumn(c)
			return
		}
		y.clearOuter(n)
		chunks, end := y.label("chunk"), y.label("end")
		if n <= fewCols {
			many := y.label("many")
			y.p("CMPQ %d(SI), $%d", argGroups, 8*maxCols*fewGroups)
			y.p("JGT  %s", many)
			y.classicFew(c, n)
			y.p("JMP  %s", end)
			y.l(many)
		}
		y.p("MOVQ %d(SI), CX", argBlocks)
		y.p("MOVQ CX, %d(SI)", argLeft)
		y.l(chunks)
		y.nextChunk(classicChunk, 2, 30)
		y.p("MOVQ AX, %d(SI)", argAct)
		y.classicUnpack(c)
		y.classicGroups(c, n)
		y.p("MOVQ %d(SI), CX", argChunk)
		y.p("IMUL3Q $%d, CX, DX", c.size)
		y.p("ADDQ DX, DI")
		y.p("IMUL3Q $40, CX, AX")
		y.p("ADDQ %d(SI), AX", argAct)
		y.p("CMPQ %d(SI), $0", argLeft)
		y.p("JNE  %s", chunks)
		y.l(end)
		y.storeOuter(n)
	})
}

// nextChunk puts the number of blocks of the next chunk in CX and argChunk: blocks, or few where there are fewer
// columns than columns. With few columns, reading takes nearly as long as computing. Small chunks let them overlap,
// because each chunk is fetched in a burst while the one before it is unpacked.
func (y *ymm) nextChunk(blocks, few, columns int) {
	y.p("MOVQ $%d, CX", blocks)
	y.p("MOVQ $%d, DX", few)
	y.p("CMPQ %d(SI), $%d", argGroups, 8*columns)
	y.p("CMOVQLT DX, CX")
	y.p("MOVQ %d(SI), DX", argLeft)
	y.p("CMPQ DX, CX")
	y.p("CMOVQLT DX, CX")
	y.p("SUBQ CX, %d(SI)", argLeft)
	y.p("MOVQ CX, %d(SI)", argChunk)
}

// classicWeights loads quad q of eight rows, whose block begins at base + rows, as bytes; upper changes.
func (y *ymm) classicWeights(c *yclassic, base string, rows, q int, upper, lower string) {
	if c.bytes {
		y.p("VMOVDQU %d(%s), %s", c.planes+128*q+rows, base, lower)
		return
	}
	y.p("VMOVDQU %d(%s), %s", c.planes+128*(q%4)+rows, base, lower)
	if q >= 4 {
		y.p("VPSRLD $4, %s, %s", lower, lower)
	}
	y.p("VPAND %s, %s, %s", y.nibbles, lower, lower)
	if c.fifth == 0 {
		return
	}
	y.p("VMOVDQU %d(%s), %s", c.fifth+rows, base, upper)
	upper = y.shift(q-4, upper, upper)
	y.p("VPAND %s, %s, %s", y.fifths, upper, upper)
	y.p("VPOR %s, %s, %s", upper, lower, lower)
}

// classicMasks loads the masks of nibbles and fifth bits into registers, or says that they are in memory: "".
func (y *ymm) classicMasks(c *yclassic, nibbles, fifths string) {
	mask := func(v uint32, reg string, wanted bool) string {
		if !wanted {
			return ""
		}
		if reg == "" {
			return y.constant(v)
		}
		y.p("VMOVDQU %s, %s", y.constant(v), reg)
		return reg
	}
	y.nibbles, y.fifths = mask(0x0f0f0f0f, nibbles, !c.bytes), mask(0x10101010, fifths, c.fifth != 0)
}

// classicUnpack writes the weights of CX blocks from DI on into the buffer, and fetches the next chunk.
func (y *ymm) classicUnpack(c *yclassic) {
	y.c("The weights of a chunk, as bytes, to the buffer.")
	loop := y.label("unpack")
	y.classicMasks(c, "Y13", "Y12")
	y.p("MOVQ DI, R15")
	y.p("MOVQ BX, R14")
	y.l(loop)
	lines := (c.size + 63) / 64
	for q := range 8 {
		y.fetchLines(y.prefetch(), "R15", classicChunk*c.size, lines*q/8, lines*(q+1)/8)
		for v := range 4 {
			y.classicWeights(c, "R15", 32*v, q, "Y1", "Y0")
			y.p("VMOVDQU Y0, %d(R14)", yWeights+128*q+32*v)
		}
	}
	y.p("ADDQ $%d, R15", c.size)
	y.p("ADDQ $1024, R14")
	y.p("DECQ CX")
	y.p("JNZ  %s", loop)
}

// classicGroups multiplies the unpacked chunk with each group of columns. R14 is the buffer, 64 bytes on for the
// lower half of the rows; R15 walks the weights, CX the blocks, DX is at the tile's outer sums.
func (y *ymm) classicGroups(c *yclassic, n int) {
	columns, tile, block := y.label("columns"), y.label("rows"), y.label("block")
	y.firstGroup(columns, n)
	y.p("MOVQ BX, R14")
	y.p("MOVQ DI, CX")
	y.l(tile)
	y.p("MOVQ R14, R15")
	y.p("MOVQ %d(SI), AX", argChunk)
	y.p("MOVQ AX, %d(BX)", yCount)
	y.p("MOVQ %d(SI), AX", argAct)
	y.l(block)
	for q := range 8 {
		first := q%c.fit == 0
		y.quad(n, yWeights+128*q, "R15", 4*q, first && (y.vnni && q == 0 || !y.vnni))
		if !y.vnni && q%c.fit == c.fit-1 && c.fit < 8 {
			y.classicSpill(n, q/c.fit)
		}
	}
	y.classicFinish(c, n)
	y.p("ADDQ $1024, R15")
	y.p("ADDQ $%d, CX", c.size)
	y.p("ADDQ $40, AX")
	y.p("DECQ %d(BX)", yCount)
	y.p("JNZ  %s", block)
	y.next(c.size, tile, columns)
}

// classicSpill widens the sums of half a block: those of the first half wait in the buffer.
func (y *ymm) classicSpill(n, half int) {
	for j := range n {
		for h := range 2 {
			sum, at := ysum(j, h), ySum+32*(2*j+h)
			y.p("VPMADDWD %s, %s, %s", y.constant(ones), sum, sum)
			if half == 0 {
				y.p("VMOVDQU %s, %d(BX)", sum, at)
			} else {
				y.p("VPADDD %d(BX), %s, %s", at, sum, sum)
			}
		}
	}
}

// classicFinish adds a block's sums times scales to the outer sums.
func (y *ymm) classicFinish(c *yclassic, n int) {
	for h := range 2 {
		y.p("VCVTPH2PS %d(CX), %s", 16*h, yw(h))
	}
	for j := range n {
		y.p("VPBROADCASTD 36(%s)(AX*1), %s", xReg[j], yx)
		if c.shift > 0 {
			y.p("VPSRAD $%d, %s, %s", c.shift, yx, yx)
		}
		for h := range 2 {
			y.classicTotal(c, ysum(j, h))
			y.p("VPADDD %s, %s, %s", yx, ysum(j, h), ysum(j, h))
			y.p("VCVTDQ2PS %s, %s", ysum(j, h), ysum(j, h))
		}
		y.p("VBROADCASTSS 32(%s)(AX*1), %s", xReg[j], yx)
		for h := range 2 {
			at := yOuter + 128*j + 32*h
			y.p("VMULPS %s, %s, %s", yx, yw(h), yp)
			y.p("VFMADD213PS %d(DX), %s, %s", at, yp, ysum(j, h))
			y.p("VMOVUPS %s, %d(DX)", ysum(j, h), at)
		}
	}
}

// classicTotal widens a block's sum.
func (y *ymm) classicTotal(c *yclassic, sum string) {
	if !y.vnni && c.fit == 8 {
		y.p("VPMADDWD %s, %s, %s", y.constant(ones), sum, sum)
	}
}

// classicFew multiplies a panel with each group of columns as its weights are unpacked. CX walks the blocks, 32 bytes
// on for the lower half of the rows, R15 is at the half's planes, DX at its outer sums, R13 counts blocks. Each half
// fetches its own lines ahead.
func (y *ymm) classicFew(c *yclassic, n int) {
	columns, block, half := y.label("columns"), y.label("block"), y.label("rows")
	y.classicMasks(c, "Y11", "Y10")
	y.firstGroup(columns, n)
	y.p("MOVQ DI, CX")
	y.p("XORL AX, AX")
	y.p("MOVQ %d(SI), R13", argBlocks)
	y.l(block)
	y.p("MOVQ CX, R15")
	y.p("MOVL $2, R14")
	y.l(half)
	lines := []int{0}
	if c.fifth != 0 {
		lines = append(lines, c.fifth)
	}
	for at := c.planes; at < c.size; at += 128 {
		lines = append(lines, at)
	}
	for q := range 8 {
		for _, at := range lines[len(lines)*q/8 : len(lines)*(q+1)/8] {
			y.fetchLines(y.prefetch(), "R15", c.ahead()+at, 0, 1)
		}
		for h := range 2 {
			y.classicWeights(c, "R15", 32*h, q, "Y9", yw(h))
		}
		y.timesColumns(n, 4*q, q == 0 || !y.vnni && q%c.fit == 0)
		if !y.vnni && q%c.fit == c.fit-1 && c.fit < 8 {
			y.classicSpill(n, q/c.fit)
		}
	}
	y.classicFinish(c, n)
	y.p("ADDQ $64, R15")
	y.p("ADDQ $32, CX")
	y.p("ADDQ $64, DX")
	y.p("DECQ R14")
	y.p("JNZ  %s", half)
	y.p("SUBQ $128, DX")
	y.p("ADDQ $%d, CX", c.size-64)
	y.p("ADDQ $40, AX")
	y.p("DECQ R13")
	y.p("JNZ  %s", block)
	y.p("ADDQ $%d, %d(SI)", 8*maxCols, argGroup)
	y.p("MOVQ %d(SI), CX", argGroup)
	y.p("CMPQ CX, %d(SI)", argGroups)
	y.p("JNE  %s", columns)
	y.p("MOVQ %d(SI), CX", argBlocks)
	y.p("IMUL3Q $%d, CX, DX", c.size)
	y.p("ADDQ DX, DI")
}

// ahead is how many bytes ahead few columns fetch.
func (c *yclassic) ahead() int { return (6527 + c.size) / c.size * c.size }

// classicColumn multiplies a panel with a single column, plane by plane: quad q+4 has the high nibbles of quad q's
// plane. Y0 … Y7 are a block's sums, Y8 … Y11 the outer ones.
func (y *ymm) classicColumn(c *yclassic) {
	y.c("One column.")
	y.p("MOVQ %d(SI), R8", argX)
	y.p("MOVQ %d(SI), R9", argBlocks)
	y.classicMasks(c, "Y13", "")
	for v := range 4 {
		y.p("VXORPS Y%d, Y%d, Y%d", 8+v, 8+v, 8+v)
	}
	block, lines := y.label("block"), (c.size+63)/64
	y.l(block)
	for i := range 8 {
		q := i
		if !c.bytes {
			q = i/2 + i%2*4
		}
		y.fetchFew("DI", c.ahead(), lines*i/8, lines*(i+1)/8)
		y.p("VPBROADCASTD %d(R8)(AX*1), Y14", 4*q)
		for v := range 4 {
			y.classicWeights(c, "DI", 32*v, q, "Y15", "Y12")
			sum, first := v, i == 0
			if !y.vnni && q >= c.fit {
				sum, first = 4+v, q == c.fit
			}
			y.multiply("Y14", "Y12", fmt.Sprintf("Y%d", sum), "Y12", first)
		}
	}
	y.p("VPBROADCASTD 36(R8)(AX*1), Y14")
	if c.shift > 0 {
		y.p("VPSRAD $%d, Y14, Y14", c.shift)
	}
	y.p("VBROADCASTSS 32(R8)(AX*1), Y15")
	for v := range 4 {
		sum := fmt.Sprintf("Y%d", v)
		if c.fit == 4 && !y.vnni {
			y.p("VPMADDWD %s, %s, %s", y.constant(ones), sum, sum)
			y.p("VPMADDWD %s, Y%d, Y%d", y.constant(ones), 4+v, 4+v)
			y.p("VPADDD Y%d, %s, %s", 4+v, sum, sum)
		}
		y.classicTotal(c, sum)
		y.p("VPADDD Y14, %s, %s", sum, sum)
		y.p("VCVTDQ2PS %s, %s", sum, sum)
		y.p("VCVTPH2PS %d(DI), Y12", 16*v)
		y.p("VMULPS Y15, Y12, Y12")
		y.p("VFMADD231PS Y12, %s, Y%d", sum, 8+v)
	}
	y.p("ADDQ $%d, DI", c.size)
	y.p("ADDQ $40, AX")
	y.p("DECQ R9")
	y.p("JNZ  %s", block)
	y.storeColumn(8)
}

// storeColumn writes four vectors of sums from register first on to y.
func (y *ymm) storeColumn(first int) {
	y.p("MOVQ %d(SI), AX", argRow)
	y.p("MOVQ %d(SI), R15", argY)
	for v := range 4 {
		y.p("VMOVUPS Y%d, %d(R15)(AX*1)", first+v, 32*v)
	}
}
