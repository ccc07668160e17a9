package main

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

// halved says whether a byte is multiplied with a single column as two halves: the sums of the upper ones stand apart.
func (c *yclassic) halved(vnni bool) bool { return c.bytes && !vnni }

// chunk is how many blocks are unpacked at once: as many as the buffer holds.
func (c *yclassic) chunk(vnni bool) int {
	if c.halved(vnni) {
		return wideChunk
	}
	return 8
}

func (y *ymm) classic(c *yclassic) {
	y.function("tile"+c.name+y.tier(), "// "+c.doc+".\n", func() {}, func(n int) {
		if n == 1 {
			y.classicColumn(c)
			return
		}
		y.clearOuter(n)
		y.p("MOVQ %d(SI), CX", argBlocks)
		y.p("MOVQ CX, %d(SI)", argLeft)
		chunks := y.label("chunk")
		y.l(chunks)
		y.p("MOVQ $%d, CX", c.chunk(y.vnni))
		y.p("MOVQ %d(SI), DX", argLeft)
		y.p("CMPQ DX, CX")
		y.p("CMOVQLT DX, CX")
		y.p("SUBQ CX, %d(SI)", argLeft)
		y.p("MOVQ CX, %d(SI)", argChunk)
		y.p("MOVQ AX, %d(SI)", argAct)
		if c.halved(y.vnni) {
			y.wideUnpack(c)
			y.wideGroups(c, n)
		} else {
			y.classicUnpack(c)
			y.classicGroups(c, n)
		}
		y.p("MOVQ %d(SI), CX", argChunk)
		y.p("IMUL3Q $%d, CX, DX", c.size)
		y.p("ADDQ DX, DI")
		y.p("IMUL3Q $40, CX, AX")
		y.p("ADDQ %d(SI), AX", argAct)
		y.p("CMPQ %d(SI), $0", argLeft)
		y.p("JNE  %s", chunks)
		y.storeOuter(n)
	})
}

// weights loads quad q of eight rows, whose block begins at base + rows, as bytes, or as halves: upper and lower ones.
// Y13 is the mask of nibbles, Y12 that of fifth bits.
func (y *ymm) classicWeights(c *yclassic, base string, rows, q int, upper, lower string) {
	if c.bytes {
		y.p("VMOVDQU %d(%s), %s", c.planes+128*q+rows, base, lower)
		if c.halved(y.vnni) {
			y.p("VPSRLD $4, %s, %s", lower, upper)
			y.p("VPAND Y13, %s, %s", upper, upper)
			y.p("VPAND Y13, %s, %s", lower, lower)
		}
		return
	}
	y.p("VMOVDQU %d(%s), %s", c.planes+128*(q%4)+rows, base, lower)
	if q >= 4 {
		y.p("VPSRLD $4, %s, %s", lower, lower)
	}
	y.p("VPAND Y13, %s, %s", lower, lower)
	if c.fifth == 0 {
		return
	}
	y.p("VMOVDQU %d(%s), %s", c.fifth+rows, base, upper)
	upper = y.shift(q-4, upper, upper)
	y.p("VPAND Y12, %s, %s", upper, upper)
	y.p("VPOR %s, %s, %s", upper, lower, lower)
}

func (y *ymm) classicMasks(c *yclassic) {
	if !c.bytes || !y.vnni {
		y.p("VMOVDQU %s, Y13", y.constant(0x0f0f0f0f))
	}
	if c.fifth != 0 {
		y.p("VMOVDQU %s, Y12", y.constant(0x10101010))
	}
}

// classicUnpack writes the weights of CX blocks from DI on into the buffer, and fetches the next chunk.
func (y *ymm) classicUnpack(c *yclassic) {
	y.c("The weights of a chunk, as bytes, to the buffer.")
	loop := y.label("unpack")
	y.classicMasks(c)
	y.p("MOVQ DI, R15")
	y.p("MOVQ BX, R14")
	y.l(loop)
	lines := (c.size + 63) / 64
	for q := range 8 {
		y.fetchLines("PREFETCHT0", "R15", c.chunk(y.vnni)*c.size, lines*q/8, lines*(q+1)/8)
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

// classicGroups multiplies the unpacked chunk with each group of columns. R14 is the buffer, 64 bytes on for the lower
// half of the rows; R15 walks the weights, CX the blocks, DX is at the tile's outer sums.
func (y *ymm) classicGroups(c *yclassic, n int) {
	columns, tile, block := y.label("columns"), y.label("rows"), y.label("block")
	y.p("MOVQ $0, %d(SI)", argGroup)
	y.l(columns)
	y.p("MOVQ %d(SI), CX", argGroup)
	y.columns(n, "CX")
	y.p("MOVQ CX, DX")
	y.p("SHLQ $4, DX")
	y.p("ADDQ BX, DX")
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
			y.classicTotal(c, ysum(j, h), ysum(j, 1))
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

// classicTotal widens a block's sum; of halves, sum has the upper and lower the lower ones.
func (y *ymm) classicTotal(c *yclassic, sum, lower string) {
	switch {
	case y.vnni:
	case c.bytes:
		y.p("VPMADDWD %s, %s, %s", y.constant(sixteens), sum, sum)
		y.p("VPMADDWD %s, %s, %s", y.constant(ones), lower, lower)
		y.p("VPADDD %s, %s, %s", lower, sum, sum)
	case c.fit == 8:
		y.p("VPMADDWD %s, %s, %s", y.constant(ones), sum, sum)
	}
}

// classicColumn multiplies a panel with a single column: block by block, eight rows at a time. Y8 … Y11 are the outer
// sums, Y0 and Y1 a block's. Memory is fetched as far ahead as for more columns.
func (y *ymm) classicColumn(c *yclassic) {
	y.c("One column.")
	y.p("MOVQ %d(SI), R8", argX)
	y.p("MOVQ %d(SI), R9", argBlocks)
	y.classicMasks(c)
	for v := range 4 {
		y.p("VXORPS Y%d, Y%d, Y%d", 8+v, 8+v, 8+v)
	}
	block := y.label("block")
	y.l(block)
	lines := (c.size + 63) / 64
	for v := range 4 {
		y.fetchLines("PREFETCHT0", "DI", 8*1088, lines*v/4, lines*(v+1)/4)
		for q := range 8 {
			y.classicWeights(c, "DI", 32*v, q, "Y3", "Y2")
			y.p("VPBROADCASTD %d(R8)(AX*1), Y14", 4*q)
			switch {
			case c.halved(y.vnni):
				y.multiply("Y14", "Y3", "Y0", "Y3", q == 0)
				y.multiply("Y14", "Y2", "Y1", "Y2", q == 0)
			case y.vnni:
				y.multiply("Y14", "Y2", "Y0", "Y2", q == 0)
			case q < c.fit:
				y.multiply("Y14", "Y2", "Y0", "Y2", q == 0)
			default:
				y.multiply("Y14", "Y2", "Y1", "Y2", q == c.fit)
			}
		}
		if c.fit == 4 && !y.vnni {
			y.p("VPMADDWD %s, Y0, Y0", y.constant(ones))
			y.p("VPMADDWD %s, Y1, Y1", y.constant(ones))
			y.p("VPADDD Y1, Y0, Y0")
		}
		y.classicTotal(c, "Y0", "Y1")
		y.p("VPBROADCASTD 36(R8)(AX*1), Y14")
		if c.shift > 0 {
			y.p("VPSRAD $%d, Y14, Y14", c.shift)
		}
		y.p("VPADDD Y14, Y0, Y0")
		y.p("VCVTDQ2PS Y0, Y0")
		y.p("VBROADCASTSS 32(R8)(AX*1), Y14")
		y.p("VCVTPH2PS %d(DI), Y4", 16*v)
		y.p("VMULPS Y14, Y4, Y4")
		y.p("VFMADD231PS Y4, Y0, Y%d", 8+v)
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
