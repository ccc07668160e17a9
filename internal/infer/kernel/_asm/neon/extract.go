package main

// Bytes of a panel's parts: a plane is a 32-bit word of each of 32 rows, a half-plane a binary16 number of each.
const (
	rows      = 32
	plane     = 4 * rows
	halfPlane = 2 * rows
	group     = 2048 // bytes of eight rows of an unpacked super-block
)

// Offsets in scalesNEON, whose rows have 32 numbers of four bytes.
const (
	scaleRow  = 4 * rows
	scalesMin = 16 * scaleRow
	scalesD   = 2 * scalesMin
	scalesDm  = scalesD + scaleRow
	scalesWid = scalesDm + scaleRow
)

// Blocks of activations: see acts.go.
const (
	act32Block  = 40
	act32Scale  = 32
	act32Init   = 36
	act256Block = 384
	act256Init  = 256
	act256Sum16 = 320
	act256Sum32 = 352
	act256Scale = 368
)

// body is a stretch of quads that share a scale and whose fields have the same place in their bytes.
type body struct {
	low       int // planes from the low fields' first one
	lowShift  int
	planes    int // of low fields, after which those above them follow; 0: one for each quad
	highShift int
	k         int // position of the first weight
	run       int // which scale
	quads     int
}

// place says where quad q's low fields are: the plane, and their shift in its bytes.
func (b *body) place(q int) (at, shift int) {
	if b.planes == 0 {
		return q, b.lowShift
	}
	return q % b.planes, b.lowShift + q/b.planes*4
}

// super is a format of 256 weights a block. Its bodies are gone through times times, each time with steps further on;
// where halves is set, twice each time, four quads and one run apart.
type super struct {
	name, format      string
	words             int // 32-bit words of a row's block
	half              bool
	runs              int
	minima            bool
	curve             bool // integers number the points of a curve
	offset            int  // of the unsigned integers
	shift             int  // what −128·Σq is shifted by, to the right, to be −offset·Σq
	times             int
	halves            bool
	lowBits, highBits int
	step              int // planes from quad to quad
	low, lowStep      int // planes, behind the half-plane
	high, highStep    int
	up                int // where the high field goes
	varying           int // how much further up high fields are each time
	bodies            []body
	kStep, runStep    int
	sums              int
	scales            func(*file)
}

func supers() []*super {
	four := func(quads int) []body {
		var all []body
		for s := range 4 {
			all = append(all, body{lowShift: 2 * s, highShift: s, k: 32 * s, run: 2 * s, quads: quads})
		}
		return all
	}
	two := []body{{k: 0, run: 0, quads: 8}, {lowShift: 4, highShift: 1, k: 32, run: 1, quads: 8}}
	var six []body
	for t := range 4 {
		six = append(six, body{low: t % 2, lowShift: t / 2 * 4, highShift: 2 * t, k: 32 * t, run: 2 * t, quads: 4})
	}
	return []*super{
		{name: "Q2K", format: "Q2_K",
			words: 21, runs: 16, minima: true, times: 2, halves: true, lowBits: 2, step: 1,
			low: 5, lowStep: 8, bodies: four(4), kStep: 128, runStep: 8, sums: act256Sum16, scales: scalesQ2},
		{name: "Q3K", format: "Q3_K",
			words: 27, half: true, runs: 16, offset: 4, shift: 5, times: 2, halves: true, lowBits: 2,
			highBits: 1, step: 3, low: 4, lowStep: 1, high: 3, up: 2, varying: 4, bodies: four(4), kStep: 128,
			runStep: 8, scales: scalesQ3},
		{name: "Q4K", format: "Q4_K",
			words: 36, runs: 8, minima: true, times: 4, lowBits: 4, step: 1, low: 4, lowStep: 8,
			bodies: two, kStep: 64, runStep: 2, sums: act256Sum32, scales: scalesQ45},
		{name: "Q5K", format: "Q5_K",
			words: 44, runs: 8, minima: true, times: 4, lowBits: 4, highBits: 1, step: 5, low: 5,
			lowStep: 1, high: 4, up: 4, varying: 2, bodies: two, kStep: 64, runStep: 2, sums: act256Sum32,
			scales: scalesQ45},
		{name: "Q6K", format: "Q6_K",
			words: 52, half: true, runs: 16, offset: 32, shift: 2, times: 2, halves: true, lowBits: 4,
			highBits: 2, step: 3, low: 4, lowStep: 24, high: 6, highStep: 24, up: 4, bodies: six, kStep: 128,
			runStep: 8, scales: scalesQ6},
		{name: "IQ4XS", format: "IQ4_XS",
			words: 34, runs: 8, curve: true, times: 8, lowBits: 4, step: 1, low: 2, lowStep: 4,
			bodies: []body{{planes: 4, quads: 8}}, kStep: 32, runStep: 1, scales: scalesIQ4},
	}
}

// block is the bytes of 32 rows' blocks.
func (s *super) block() int {
	n := s.words * plane
	if s.half {
		n += halfPlane
	}
	return n
}

// start is where a block's planes begin.
func (s *super) start() int {
	if s.half {
		return halfPlane
	}
	return 0
}

// Registers that extraction wants: masks of both fields, what high fields are shifted by (in each byte, negative),
// the same for this body, and the offset.
const (
	rMaskLow  = 28
	rMaskHigh = 29
	rVarying  = 30
	rBodys    = 27
	rOffset   = 31
	rCurve    = rMaskHigh // formats with a curve have no high fields
)

// curve loads the points that nibbles of IQ4_NL and IQ4_XS stand for: quant.Curve.
func curve(f *file) { f.p("VMOVQ $0xf6eaddcfbfad9881, $0x7159453526190d01, V%d", rCurve) }

func (s *super) constants(f *file, signed bool) {
	f.bytes(rMaskLow, 1<<s.lowBits-1)
	if s.curve {
		curve(f)
	}
	if s.highBits > 0 {
		f.bytes(rMaskHigh, 1<<s.highBits-1)
	}
	if signed && s.offset > 0 {
		f.bytes(rOffset, s.offset)
	}
}

// begin prepares for a body.
func (s *super) begin(f *file, b *body) {
	if s.varying > 0 {
		f.bytes(rBodys, b.highShift)
		f.v("sub v%d.16b, v%d.16b, v%d.16b", rBodys, rVarying, rBodys)
	}
}

// extract turns the planes' bytes in register w, where shift says, and those of the high fields in h, to weights in w.
func (s *super) extract(f *file, b *body, shift, w, h int, signed bool) {
	field(f, w, shift, s.lowBits, rMaskLow)
	if s.curve {
		lookUp(f, w)
	}
	if s.highBits > 0 {
		if s.varying > 0 {
			f.v("ushl v%d.16b, v%d.16b, v%d.16b", h, h, rBodys)
			f.v("and v%d.16b, v%d.16b, v%d.16b", h, h, rMaskHigh)
		} else {
			field(f, h, b.highShift, s.highBits, rMaskHigh)
		}
		f.v("sli v%d.16b, v%d.16b, #%d", w, h, s.up)
	}
	if signed && s.offset > 0 {
		f.v("sub v%d.16b, v%d.16b, v%d.16b", w, w, rOffset)
	}
}

// lookUp puts the curve's points for their numbers.
func lookUp(f *file, w int) { f.v("tbl v%d.16b, {v%d.16b}, v%d.16b", w, rCurve, w) }

// field takes bits of every byte.
func field(f *file, w, shift, bits, mask int) {
	if shift > 0 {
		f.v("ushr v%d.16b, v%d.16b, #%d", w, w, shift)
	}
	if shift+bits < 8 {
		f.v("and v%d.16b, v%d.16b, v%d.16b", w, w, mask)
	}
}

// walk goes through a block's bodies: R8 and R9 point to the planes of low and high fields, R10 to the activations,
// R11 to the scales, R14 to the runs' starts and R26 to unpacked weights. R12 and R13 count.
func (s *super) walk(f *file, one func(*body)) {
	move := func(low, high, k, run int) {
		for _, m := range []struct {
			reg string
			by  int
		}{{"R8", low * plane}, {"R9", high * plane}, {"R10", k}, {"R11", run * scaleRow}, {"R14", 4 * run},
			{"R26", 8 * k}} {
			switch {
			case m.by > 0:
				f.p("ADD  $%d, %s, %s", m.by, m.reg, m.reg)
			case m.by < 0:
				f.p("SUB  $%d, %s, %s", -m.by, m.reg, m.reg)
			}
		}
	}
	f.p("MOVD $%d, R12", s.times)
	if s.varying > 0 {
		f.zero(rVarying, 1)
	}
	f.loop("stretch", "R12", func() {
		each := func() {
			for i := range s.bodies {
				s.begin(f, &s.bodies[i])
				one(&s.bodies[i])
			}
		}
		if !s.halves {
			each()
			move(s.lowStep, s.highStep, s.kStep, s.runStep)
		} else {
			f.p("MOVD $2, R13")
			f.loop("half", "R13", func() {
				each()
				move(4*s.step, 4*s.step, 16, 1)
			})
			move(s.lowStep-8*s.step, s.highStep-8*s.step, s.kStep-32, s.runStep-2)
		}
		if s.varying > 0 {
			f.bytes(rBodys, s.varying)
			f.v("sub v%d.16b, v%d.16b, v%d.16b", rVarying, rVarying, rBodys)
		}
	})
}

// classic is a format of 32 weights a block: a half-plane of scales, or a plane of scales and minima, perhaps a plane
// of fifth bits, planes of integers.
type classic struct {
	name   string
	format string
	planes int // of integers
	fifth  bool
	minima bool
	curve  bool // integers number the points of a curve
	offset int
	shift  int
}

func classics() []*classic {
	return []*classic{
		{name: "Q8", format: "Q8_0", planes: 8},
		{name: "Q4", format: "Q4_0", planes: 4, offset: 8, shift: 4},
		{name: "Q5", format: "Q5_0", planes: 4, fifth: true, offset: 16, shift: 3},
		{name: "Q4Min", format: "Q4_1", planes: 4, minima: true},
		{name: "Q5Min", format: "Q5_1", planes: 4, fifth: true, minima: true},
		{name: "IQ4NL", format: "IQ4_NL", planes: 4, curve: true},
	}
}

// scales is how many bytes of them a block begins with.
func (c *classic) scales() int {
	if c.minima {
		return plane
	}
	return halfPlane
}

func (c *classic) first() int {
	if c.fifth {
		return c.scales() + plane
	}
	return c.scales()
}

func (c *classic) block() int { return c.first() + c.planes*plane }

func (c *classic) constants(f *file, signed bool) {
	if c.planes == 8 {
		f.bytes(rMaskLow, 0x80)
		return
	}
	f.bytes(rMaskLow, 15)
	if c.fifth {
		f.bytes(rMaskHigh, 1)
	}
	if c.curve {
		curve(f)
	}
	if signed && c.offset > 0 {
		f.bytes(rOffset, c.offset)
	}
}

// load takes quad j's weights of rows 4r … 4r+3 of the block at R1 to register w. Q8_0's are signed in any case.
func (c *classic) load(f *file, j, r, w, h int, signed bool) {
	f.p("FMOVQ %d(R1), F%d", c.first()+j%c.planes*plane+16*r, w)
	if c.planes == 8 {
		f.v("eor v%d.16b, v%d.16b, v%d.16b", w, w, rMaskLow)
		return
	}
	field(f, w, j/4*4, 4, rMaskLow)
	if c.curve {
		lookUp(f, w)
	}
	if c.fifth {
		f.p("FMOVQ %d(R1), F%d", c.scales()+16*r, h)
		field(f, h, j, 1, rMaskHigh)
		f.v("sli v%d.16b, v%d.16b, #4", w, h)
	}
	if signed && c.offset > 0 {
		f.v("sub v%d.16b, v%d.16b, v%d.16b", w, w, rOffset)
	}
}

// widen gives the scales of rows 4r … 4r+3 in register d, and the minima in m. Register t is lost.
func (c *classic) widen(f *file, r, d, m, t int) {
	if !c.minima {
		f.p("FMOVD %d(R1), F%d", 8*r, d)
		f.v("fcvtl v%d.4s, v%d.4h", d, d)
		return
	}
	f.p("FMOVQ %d(R1), F%d", 16*r, t)
	f.v("xtn v%d.4h, v%d.4s", d, t)
	f.v("shrn v%d.4h, v%d.4s, #16", m, t)
	f.v("fcvtl v%d.4s, v%d.4h", d, d)
	f.v("fcvtl v%d.4s, v%d.4h", m, m)
}

// total gives −Σ of a block's activations times their scale, which is in register factor, in register v, which has
// −128·Σ of their integers.
func total(f *file, v, factor int) {
	f.v("sshr v%d.4s, v%d.4s, #7", v, v)
	f.v("scvtf v%d.4s, v%d.4s", v, v)
	f.v("fmul v%d.4s, v%d.4s, v%d.s[0]", v, v, factor)
}
