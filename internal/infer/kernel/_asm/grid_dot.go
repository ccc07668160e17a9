package main

import (
	"fmt"
	"slices"
	"strings"
)

// The kernels of this file multiply a panel of a format with a grid with a single column, on AVX-512 with VBMI. A step
// takes two vectors of indices, each of four indices of sixteen rows: those of sixteen rows of a run of IQ3, or of 32
// rows of one of the others. It looks their entries up, two bytes each, and multiplies them at once.
//
// An entry's bytes have the numbers of its weights' values in such places that VPERMB, which looks at six bits of a
// byte, finds one of the numbers and the sign's bit, whatever the others are: so the bytes are hardly ever shifted.
//
//	IQ3       first byte   weight 0: bits 1, 4, 5, sign 0;  weight 1: bits 0, 2, 3, sign 1
//	          second byte  weight 2: bits 3 to 5, sign 2;   weight 3: bits 0 to 2, sign 3
//	IQ2, IQ1  first byte   weight 4: bits 0, 1, sign 4;     weight 5: bits 2, 3, sign 5
//	          two bits on  weight 0: bits 2, 3, sign 0;     weight 1: bits 4, 5, sign 1
//	          second byte  weights 6, 7, 2, 3 in the same places, the signs two bits on
//
// Signs are a byte of eight bits for eight weights, from which VPTERNLOGD takes those bits. So a vector of weights is
// that of four entries, as they are looked up; the activations are put into their order once a block.
//
// What Zen 4's pipes do decides how this is written: two permute and shift, two multiply, compare and do
// VPMULTISHIFTQB, and one of these is the same. VBROADCASTI64X4 takes one of the first, VPBROADCASTQ from memory none.
//
// Registers: Z0 … Z3, Z6 and Z7 products, Z4, Z5 and Z23 lookups, Z8 … Z15 entries of two steps, Z16 … Z19 the grid,
// Z20 … Z22 the activations' scale and sums of floats, Z24 … Z27 values, Z28 … Z31 signs' bits or numbers of tables.
// BX is the argument, R10 a gridHelp, DI the grid, SI walks the planes, R13 the activations; R12 has these in the
// order of entries, R11 super-scales.
type gridDot struct {
	format string
	size   int  // bytes of a block's planes
	three  bool // IQ3
	fine   bool // sixteen weights share a scale
	high   int  // bits of an index beyond eight
	factor float32

	// index leaves the low bits of indices in reg, more their other bits, and any above these.
	index func(k *grid, d *gridDot, run, word, half int, reg string)
	more  func(k *grid, d *gridDot, run, word, half int, reg string)
	// sign leaves the signs of a run in reg.
	sign func(k *grid, d *gridDot, run, half int, reg string)
	// scale gives plane and bit of scale number i.
	scale func(i int) (plane, bit int)
}

// Offsets in type gridHelp, which R10 points to. (Tables in the program's text may cross cache lines.)
const (
	helpEven   = 256
	helpHalves = 384
	helpOrder  = 448
	helpLow    = 512
	helpHigh   = 576
)

// at gives the address of sixteen rows of a plane.
func (d *gridDot) at(plane, half int) string {
	base := 64
	if d.format == "IQ1_M" {
		base = 0
	}
	return fmt.Sprintf("%d(SI)", base+128*plane+64*half)
}

// moreBits is for formats that have the other bits of a run's indices in n bits of each plane's 32.
func moreBits(plane, n int) func(k *grid, d *gridDot, run, word, half int, reg string) {
	return func(k *grid, d *gridDot, run, word, half int, reg string) {
		bit := 4*n*run + 4*n*word
		if d.three {
			bit = 8*run + 4*word
		}
		k.p("VPBROADCASTQ %s, Z23", k.multishift(bit%32, n))
		k.p("VPMULTISHIFTQB %s, Z23, %s", d.at(plane+bit/32, half), reg)
	}
}

// indexIn is for formats that have a plane for each word of low bits.
func indexIn(step int) func(k *grid, d *gridDot, run, word, half int, reg string) {
	return func(k *grid, d *gridDot, run, word, half int, reg string) {
		k.p("VMOVDQU64 %s, %s", d.at(step*run+word, half), reg)
	}
}

// sevenSigns is for formats that have four times seven signs in a word.
func sevenSigns(plane, step int) func(k *grid, d *gridDot, run, half int, reg string) {
	return func(k *grid, d *gridDot, run, half int, reg string) {
		k.p("VPBROADCASTQ %s, Z3", k.multishift(0, 7))
		k.p("VPMULTISHIFTQB %s, Z3, %s", d.at(plane+step*run, half), reg)
		k.eighth(reg)
	}
}

func signsIn(plane int) func(k *grid, d *gridDot, run, half int, reg string) {
	return func(k *grid, d *gridDot, run, half int, reg string) {
		k.p("VMOVDQU64 %s, %s", d.at(plane+run, half), reg)
	}
}

// eighth makes the number of bits set in each byte even.
func (k *grid) eighth(reg string) {
	k.p("VMOVDQU64 %d(R10), Z3", helpEven)
	k.p("VPERMI2B %d(R10), Z3, %s", helpEven+64, reg)
}

// halfWords leaves the low or the high bytes of two planes' words in reg.
func (k *grid) halfWords(d *gridDot, run, half int, reg, scratch string, which int) {
	k.p("VMOVDQU64 %d(R10), %s", which, reg)
	k.p("VMOVDQU64 %s, %s", d.at(2*run, half), scratch)
	k.p("VPERMI2B %s, %s, %s", d.at(2*run+1, half), scratch, reg)
}

func nibblesIn(plane int) func(i int) (int, int) {
	return func(i int) (int, int) { return plane + i/8, i % 8 * 4 }
}

var gridDots = []*gridDot{
	{format: "IQ3_XXS", size: 98 * 32, three: true, factor: 0.5, index: indexIn(2), sign: sevenSigns(16, 1),
		scale: func(i int) (int, int) { return 16 + i, 28 }},
	{format: "IQ3_S", size: 110 * 32, three: true, high: 1, factor: 2, index: indexIn(2), more: moreBits(16, 1),
		sign:  signsIn(18),
		scale: func(i int) (int, int) { return 26, 4 * i }},
	{format: "IQ2_XXS", size: 66 * 32, factor: 0.25, index: indexIn(2), sign: sevenSigns(1, 2),
		scale: func(i int) (int, int) { return 2*i + 1, 28 }},
	{format: "IQ2_XS", size: 74 * 32, fine: true, high: 1, factor: 0.25,
		index: func(k *grid, d *gridDot, run, word, half int, reg string) {
			k.halfWords(d, run, half, reg, "Z23", helpLow)
		},
		more: func(k *grid, d *gridDot, run, word, half int, reg string) {
			k.halfWords(d, run, half, reg, "Z23", helpHigh)
		},
		sign: func(k *grid, d *gridDot, run, half int, reg string) {
			k.halfWords(d, run, half, reg, "Z3", helpHigh)
			k.p("VPSRLW $1, %s, %s", reg, reg)
			k.eighth(reg)
		}, scale: nibblesIn(16)},
	{format: "IQ2_S", size: 82 * 32, fine: true, high: 2, factor: 0.25, index: indexIn(1), more: moreBits(16, 2),
		sign: signsIn(8), scale: nibblesIn(18)},
	{format: "IQ1_S", size: 50 * 32, high: 3, factor: 0.25, index: indexIn(1),
		more: func(k *grid, d *gridDot, run, word, half int, reg string) {
			k.p("VPBROADCASTQ %s, Z23", k.multishift(run%2*16, 3))
			k.p("VPMULTISHIFTQB %s, Z23, %s", d.at(8+run/2, half), reg)
		},
		sign: func(k *grid, d *gridDot, run, half int, reg string) {
			if run%2 == 0 {
				k.p("VPSLLD $16, %s, %s", d.at(8+run/2, half), reg)
				k.p("VPSRAD $31, %s, %s", reg, reg)
				return
			}
			k.p("VPSRAD $31, %s, %s", d.at(8+run/2, half), reg)
		},
		scale: func(i int) (int, int) { return 8 + i/2, i%2*16 + 12 }},
	{format: "IQ1_M", size: 56 * 32, fine: true, high: 3, factor: 0.25, index: indexIn(1),
		more: func(k *grid, d *gridDot, run, word, half int, reg string) {
			k.p("VPBROADCASTQ %s, Z23", k.multishift(run%2*16, 4))
			k.p("VPMULTISHIFTQB %s, Z23, %s", d.at(8+run/2, half), reg)
		},
		sign: func(k *grid, d *gridDot, run, half int, reg string) {
			k.p("VPBROADCASTQ %s, Z3", k.multishift(run%2*16, 4))
			k.p("VPMULTISHIFTQB %s, Z3, %s", d.at(8+run/2, half), reg)
			k.p("VPBROADCASTD %s, Z3", k.constant(0x08080808))
			k.p("VPTESTMB Z3, %s, K6", reg)
			k.p("VPMOVM2B K6, %s", reg)
		},
		scale: func(i int) (int, int) { return 12 + i/8, i/4%2*16 + i%4*3 }},
}

// dotOf is the kernel of a format.
func dotOf(format string) *gridDot {
	return gridDots[slices.IndexFunc(gridDots, func(d *gridDot) bool { return d.format == format })]
}

// dotPanel emits a kernel.
func (k *grid) dotPanel(d *gridDot) {
	k.text("dot"+plainName(d.format)+"AVX512", d.doc())
	k.p("MOVQ b+0(FP), BX")
	for _, r := range []struct {
		at  int
		reg string
	}{{gridPlanes, "SI"}, {gridScale, "R11"}, {gridIndex, "R12"}, {gridX, "R13"}, {gridBlocks, "CX"},
		{gridAcc, "DI"}, {gridHelp, "R10"}} {
		k.p("MOVQ %d(BX), %s", r.at, r.reg)
	}
	k.p("VMOVUPS (DI), Z21")
	k.p("VMOVUPS 64(DI), Z22")
	for i := range 4 {
		k.p("VMOVDQU64 %d(R10), Z%d", 64*i, 24+i)
		k.p("VPBROADCASTD %s, Z%d", k.constant(d.constants(i)*0x01010101), 28+i)
	}
	k.p("MOVQ %d(BX), DI", gridTable)
	block := k.label("block")
	k.l(block)
	k.inOrder()
	k.superScales(d)
	// A step's lookups stand between the products of the step before: they wait for different things.
	k.c("The first step's lookups.")
	k.entriesOf(d, 0)
	for step := range d.steps() {
		k.c("Step %d: its products, between the lookups of the next one.", step)
		var next []string
		if step+1 < d.steps() {
			next = k.captured(func() { k.entriesOf(d, step+1) })
		}
		now := k.captured(func() { k.products(d, step) })
		lines := d.size / 64
		fetch := k.captured(func() {
			k.fetchLines("PREFETCHT1", "SI", 3*d.size, lines*step/d.steps(), lines*(step+1)/d.steps())
		})
		k.merged(fetch, k.captured(func() { k.merged(next, now) }))
	}
	k.p("ADDQ $%d, SI", d.size)
	k.p("ADDQ $384, R13")
	k.p("DECQ CX")
	k.p("JNZ  %s", block)
	k.p("MOVQ %d(BX), DI", gridAcc)
	k.p("VMOVUPS Z21, (DI)")
	k.p("VMOVUPS Z22, 64(DI)")
	k.p("VZEROUPPER")
	k.p("RET")
}

// inOrder puts the activations of a block into the order of entries, and loads their scale.
func (k *grid) inOrder() {
	k.c("The activations, in the order of entries, and their scale.")
	k.p("VMOVDQU64 %d(R10), Z0", helpOrder)
	for at := 0; at < 256; at += 64 {
		k.p("VPERMB %d(R13), Z0, Z1", at)
		k.p("VMOVDQU64 Z1, %d(R12)", at)
	}
	k.p("VBROADCASTSS %d(R13), Z20", gridFactor)
}

// superScales stores the super-scales of 32 rows times the format's factor.
func (k *grid) superScales(d *gridDot) {
	k.c("The super-scales, times the format's factor.")
	for half := range 2 {
		if d.format == "IQ1_M" {
			k.scatteredScale(half)
		} else {
			k.file.p("VCVTPH2PS %d(SI), Z0", 32*half)
		}
		k.p("VMULPS.BCST %s, Z0, Z0", k.float(d.factor))
		k.p("VMOVUPS Z0, %d(R11)", 64*half)
	}
}

// scatteredScale gathers the super-scale of IQ1_M from the top nibbles of four words of 16 bits.
func (k *grid) scatteredScale(half int) {
	for i, step := range []struct{ shift, mask int }{{-12, 0xf}, {-24, 0xf0}, {-4, 0xf00}, {-16, 0xf000}} {
		at := fmt.Sprintf("%d(SI)", 128*(12+i/2)+64*half)
		k.p("VPSRLD $%d, %s, Z1", -step.shift, at)
		k.file.p("VPANDD.BCST %s, Z1, Z1", k.constant(uint32(step.mask)))
		if i == 0 {
			k.p("VMOVDQA64 Z1, Z0")
		} else {
			k.p("VPORD Z1, Z0, Z0")
		}
	}
	k.file.p("VPMOVDW Z0, Y0")
	k.file.p("VCVTPH2PS Y0, Z0")
}

// signBits are the bits that are taken from the signs.
func (d *gridDot) signBits() []uint32 {
	if d.three {
		return []uint32{1, 2, 4, 8}
	}
	return []uint32{0x30, 0x03}
}

// keysKept tells whether Z28 … Z31 are the numbers of four tables: those of a grid of 512 entries.
func (d *gridDot) keysKept() bool { return d.high == 1 }

// constants gives the byte that register 28 + i has.
func (d *gridDot) constants(i int) uint32 {
	switch bits := d.signBits(); {
	case d.keysKept():
		return []uint32{0, 0x80, 1, 0x81}[i]
	case i < len(bits):
		return bits[i]
	}
	return 0
}

// captured gives the lines that do writes.
func (f *file) captured(do func()) []string {
	at := f.Len()
	do()
	lines := strings.SplitAfter(string(f.Bytes()[at:]), "\n")
	f.Truncate(at)
	return lines[:len(lines)-1]
}

// merged writes two lists of instructions, each evenly among the other's.
func (k *grid) merged(a, b []string) {
	for i, j := 0, 0; i < len(a) || j < len(b); {
		if i*len(b) < j*len(a) {
			k.WriteString(a[i])
			i++
		} else {
			k.WriteString(b[j])
			j++
		}
	}
}

// vectorOf says which run, word and half vector v of a step has.
func (d *gridDot) vectorOf(step, v int) (run, word, half int) {
	if d.three {
		return step / 2, v, step % 2
	}
	return step, 0, v
}

// steps is how many a block has.
func (d *gridDot) steps() int {
	if d.three {
		return 16
	}
	return 8
}

// entriesOf looks up the entries of a step's vectors: to Z8 … Z11, or Z12 … Z15.
func (k *grid) entriesOf(d *gridDot, step int) {
	for v := range 2 {
		run, word, half := d.vectorOf(step, v)
		index := fmt.Sprintf("Z%d", d.entry(step, v, 0))
		d.index(k, d, run, word, half, index)
		k.p("VMOVDQA64 %s, Z%d", index, d.entry(step, v, 1))
		if d.high == 0 {
			k.p("VPMOVB2M %s, K%d", index, 1+v)
			continue
		}
		key := fmt.Sprintf("Z%d", 4+v) // the number of a pair of tables, and bit 7 says which
		d.more(k, d, run, word, half, key)
		k.file.p("VPANDD.BCST %s, %s, %s", k.constant(uint32(1<<d.high-1)*0x01010101), key, key)
		k.file.p("VPTERNLOGD.BCST $0xf8, %s, %s, %s", k.constant(0x80808080), index, key)
	}
	for chunk := range 2 << d.high {
		for i := range 4 {
			k.p("VMOVDQU64 %d(DI), Z%d", 256*chunk+64*i, 16+i)
		}
		number := 28 + chunk
		if d.high > 1 {
			number = 30 + chunk%2
			switch {
			case chunk == 0:
				k.p("VPXORD Z30, Z30, Z30")
			case chunk%2 == 1:
				k.file.p("VPORD.BCST %s, Z30, Z31", k.constant(0x80808080))
			default:
				k.file.p("VPADDD.BCST %s, Z30, Z30", k.constant(0x01010101))
			}
		}
		for v := range 2 {
			mask := 1 + v
			switch {
			case d.high > 0:
				k.p("VPCMPEQB Z%d, Z%d, K%d", number, 4+v, mask)
			case chunk == 0:
				k.p("KNOTQ K%d, K5", 1+v)
				mask = 5
			}
			k.p("VPERMI2B Z17, Z16, K%d, Z%d", mask, d.entry(step, v, 0))
			k.p("VPERMI2B Z19, Z18, K%d, Z%d", mask, d.entry(step, v, 1))
		}
	}
}

// entry is the register of a byte of a step's entries.
func (d *gridDot) entry(step, v, b int) int { return 8 + step%2*4 + 2*v + b }

// products multiplies a step's entries.
func (k *grid) products(d *gridDot, step int) {
	switch {
	case d.three:
		k.threes(d, step)
	case d.fine:
		k.fines(d, step)
	default:
		k.twos(d, step)
	}
}

// shifts gives the address of what makes VPMULTISHIFTQB take a word's four bytes from these bits on.
func (k *grid) shifts(from ...int) string {
	var v [8]uint32
	for i := range v {
		for j, bit := range from {
			v[i] |= uint32((bit+i%2*32)&63) << (8 * j)
		}
	}
	return k.vector(v)
}

// started starts two sums of integers.
func (k *grid) started(run int) {
	k.p("VPBROADCASTD %d(R13), Z6", gridInit+8*run)
	k.p("VPBROADCASTD %d(R13), Z7", gridInit+8*run+4)
}

// weights looks the values in t up and multiplies them.
func (k *grid) weights(t string, values, x, sum int) {
	k.p("VPERMB Z%d, %s, Z3", 24+values, t)
	k.p("VPDPBUSD.BCST %d(R12), Z3, Z%d", x, sum)
}

// takeSigns puts signs' bits into t.
func (k *grid) takeSigns(d *gridDot, i int, signs, t string) {
	if d.keysKept() {
		k.file.p("VPTERNLOGD.BCST $0xd8, %s, %s, %s", k.constant(d.signBits()[i]*0x01010101), signs, t)
		return
	}
	k.p("VPTERNLOGD $0xd8, Z%d, %s, %s", 28+i, signs, t)
}

// threes multiplies sixteen rows of a run of IQ3.
func (k *grid) threes(d *gridDot, step int) {
	run, half := step/2, step%2
	d.sign(k, d, run, half, "Z2")
	k.p("VPBROADCASTQ %s, Z0", k.multishift(0, 4))
	k.p("VPBROADCASTQ %s, Z1", k.multishift(16, 4))
	k.p("VPMULTISHIFTQB Z2, Z0, Z0")
	k.p("VPMULTISHIFTQB Z2, Z1, Z1")
	k.started(run)
	for word := range 2 {
		signs, x := fmt.Sprintf("Z%d", word), 32*run+16*word
		for b := range 2 {
			entry := fmt.Sprintf("Z%d", d.entry(step, word, b))
			k.p("VMOVDQA64 %s, Z2", entry)
			k.takeSigns(d, 2*b, signs, "Z2")
			k.takeSigns(d, 2*b+1, signs, entry)
			k.weights("Z2", 2*b, x+8*b, 6)
			k.weights(entry, 2*b+1, x+8*b+4, 7)
		}
	}
	k.p("VPADDD Z7, Z6, Z6")
	k.scaledBy(d, run, half, "Z6")
}

// twos multiplies a run of which all weights share a scale.
func (k *grid) twos(d *gridDot, step int) {
	run := step
	for half := range 2 {
		d.sign(k, d, run, half, "Z0")
		k.p("VPSRLW $2, Z0, Z1")
		k.started(run)
		for b := range 2 {
			entry, signs := fmt.Sprintf("Z%d", d.entry(step, half, b)), fmt.Sprintf("Z%d", b)
			k.places(d, entry, signs, func(t string, i, sum int) {
				k.weights(t, i, 32*run+4*([]int{4, 5, 0, 1}[i]+2*b), sum)
			})
		}
		k.p("VPADDD Z7, Z6, Z6")
		k.scaledBy(d, run, half, "Z6")
	}
}

// places calls do for each of the four weights in the bytes of an entry.
func (k *grid) places(d *gridDot, entry, signs string, do func(t string, i, sum int)) {
	k.p("VPSRLW $2, %s, Z2", entry)
	k.takeSigns(d, 0, signs, entry)
	k.takeSigns(d, 1, signs, "Z2")
	do(entry, 0, 6)
	do(entry, 1, 7)
	do("Z2", 2, 6)
	do("Z2", 3, 7)
}

// fines multiplies a run of two scales. Weights of its first two entries, and of the other two, are brought together.
func (k *grid) fines(d *gridDot, step int) {
	run := step
	for half := range 2 {
		first, second := fmt.Sprintf("Z%d", d.entry(step, half, 0)), fmt.Sprintf("Z%d", d.entry(step, half, 1))
		d.sign(k, d, run, half, "Z2")
		k.p("VPBROADCASTQ %s, Z0", k.shifts(0, 8, 2, 10))
		k.p("VPBROADCASTQ %s, Z1", k.shifts(16, 24, 18, 26))
		k.p("VPMULTISHIFTQB Z2, Z0, Z0")
		k.p("VPMULTISHIFTQB Z2, Z1, Z1")
		k.p("VPSLLD $16, %s, Z2", second)
		k.p("VPSRLD $16, %s, Z3", first)
		k.file.p("VPTERNLOGD.BCST $0xd8, %s, Z2, %s", k.constant(0xffff0000), first)
		k.file.p("VPTERNLOGD.BCST $0xd8, %s, Z3, %s", k.constant(0x0000ffff), second)
		for i, entry := range []string{first, second} {
			k.p("VPBROADCASTD %d(R13), Z6", gridInit+8*run+4*i)
			k.p("VPXORD Z7, Z7, Z7")
			k.places(d, entry, fmt.Sprintf("Z%d", i), func(t string, w, sum int) {
				k.weights(t, w, 32*run+16*i+4*w, sum)
			})
			k.p("VPADDD Z7, Z6, Z6")
			k.scaledBy(d, 2*run+i, half, "Z6")
		}
	}
}

// scaledBy adds a sum of sixteen rows times scale number i: s+½ comes from a table.
func (k *grid) scaledBy(d *gridDot, i, half int, sum string) {
	plane, bit := d.scale(i)
	k.p("VPSRLD $%d, %s, Z3", bit, d.at(plane, half))
	k.p("VPERMPS %d(R10), Z3, Z3", helpHalves)
	k.p("VCVTDQ2PS %s, %s", sum, sum)
	k.p("VMULPS %d(R11), Z3, Z3", 64*half)
	k.p("VMULPS Z20, Z3, Z3")
	k.p("VFMADD231PS %s, Z3, Z%d", sum, 21+half)
}
