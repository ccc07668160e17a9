package kernel

import (
	"math/bits"
	"slices"
	"unsafe"

	"golang.org/x/sys/cpu"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// gridBlock is the argument of the kernels of formats with grids, each of which takes a block of 32 rows a step
// further, or a panel all the way. _asm/grid.go has its layout, and says what the steps are.
type gridBlock struct {
	planes  unsafe.Pointer // of the block
	low     unsafe.Pointer // words of the low eight bits of four indices: one or two for each run of 32 weights
	lowStep int64          // bytes from one plane of these to the next
	high    unsafe.Pointer // the same of the indices' other bits
	signs   unsafe.Pointer // a word for each run
	scale   unsafe.Pointer // of a spread
	table   unsafe.Pointer // the grid, as the tier looks it up
	index   *[512]uint16   // AVX2: eight rows' indices; AVX-512: activations in the order of entries
	q       unsafe.Pointer // of a spread
	x, acc  unsafe.Pointer // a block of activations, sums of 32 rows
	chunks  int64          // how many times 128 entries the grid has
	values  unsafe.Pointer // what an entry's numbers and signs stand for
	fields  unsafe.Pointer // two words for each word of low
	pairs   int64          // half the number of low's words
	fetch   uintptr        // the block behind the next one, which may not exist
	blocks  int64          // AVX-512, a single column: how many blocks there are
	help    unsafe.Pointer // a gridHelp
}

// gridBuffers is a worker's memory for them, each at a multiple of 64 bytes.
type gridBuffers struct {
	index [512]uint16
	low   [8][panelRows]uint32
	high  [16][panelRows]uint32
	none  [16][panelRows]uint32 // high bits of indices that have none
	signs [8][panelRows]uint32
	parts [16][2][panelRows]uint32
}

// gridFormat is how a format's blocks are computed.
type gridFormat struct {
	part, part512 func(*gridBlock) // takes planes apart
	at, step      int              // where low words are in a block; at −1: part gathers them
	words         int              // low words of a run
	high          bool             // indices have more than eight bits
	fine          bool             // sixteen weights share a scale
	spread, dot   func(*gridBlock) // AVX2: what looks entries up, and stores weights or multiplies
	codes, plain  []byte           // its grids: with 128 added, and without
	look          func(*gridBlock) // AVX-512 with VBMI: spread after lookUpAVX512
	tables        []byte           // its grid: 128 entries' first bytes, their second ones, those of the next 128 …
	values        [16]uint8
	chunks, pairs int64
	whole         func(*gridBlock) // AVX-512 with VBMI: multiplies a panel with a single column
	placed        []byte           // as tables, with bits where whole finds them
	help          *gridHelp
}

// gridFormats are the formats with grids.
var gridFormats = map[quant.Type]*gridFormat{
	quant.IQ3_XXS: {part: partIQ3XXSAVX2, part512: partIQ3XXSAVX512, at: halfPlane, step: plane, words: 2,
		spread: spreadFourAVX2, dot: dotFourAVX2, look: spreadThreeAVX512,
		whole: dotIQ3XXSAVX512},
	quant.IQ3_S: {part: partIQ3SAVX2, part512: partIQ3SAVX512, at: halfPlane, step: plane, words: 2, high: true,
		spread: spreadFourAVX2, dot: dotFourAVX2, look: spreadThreeAVX512,
		whole: dotIQ3SAVX512},
	quant.IQ2_XXS: {part: partIQ2XXSAVX2, part512: partIQ2XXSAVX512, at: halfPlane, step: 2 * plane, words: 1,
		spread: spreadEightAVX2, dot: dotEightAVX2, look: spreadTwoAVX512,
		whole: dotIQ2XXSAVX512},
	quant.IQ2_XS: {part: partIQ2XSAVX2, part512: partIQ2XSAVX512, at: -1, step: plane, words: 1, high: true,
		fine:   true,
		spread: spreadEightAVX2, dot: dotEightFineAVX2, look: spreadTwoAVX512,
		whole: dotIQ2XSAVX512},
	quant.IQ2_S: {part: partIQ2SAVX2, part512: partIQ2SAVX512, at: halfPlane, step: plane, words: 1, high: true,
		fine:   true,
		spread: spreadEightAVX2, dot: dotEightFineAVX2, look: spreadTwoAVX512,
		whole: dotIQ2SAVX512},
	quant.IQ1_S: {part: partIQ1SAVX2, part512: partIQ1SAVX512, at: halfPlane, step: plane, words: 1, high: true,
		spread: spreadDeltaAVX2, dot: dotDeltaAVX2, look: spreadTwoAVX512,
		whole: dotIQ1SAVX512},
	quant.IQ1_M: {part: partIQ1MAVX2, part512: partIQ1MAVX512, at: 0, step: plane, words: 1, high: true,
		fine:   true,
		spread: spreadDeltaAVX2, dot: dotDeltaFineAVX2, look: spreadTwoAVX512,
		whole: dotIQ1MAVX512},
}

func init() {
	for typ, f := range gridFormats {
		f.build(quant.Grid(typ), typ == quant.IQ1_S || typ == quant.IQ1_M)
	}
}

// build makes a format's tables of its grid's entries. delta says that signs are of an addend of one.
func (f *gridFormat) build(entries [][]int8, delta bool) {
	var points []int8 // the values of weights, whose numbers the small tables have
	for _, e := range entries {
		for _, v := range e {
			f.codes, f.plain = append(f.codes, uint8(v)^0x80), append(f.plain, uint8(v))
			if !slices.Contains(points, v) {
				points = append(points, v)
			}
		}
	}
	slices.Sort(points)
	negative := 4 * f.words // the bit of a number that says so
	for i := range f.values {
		v := points[min(i%negative, len(points)-1)]
		switch sign := i&negative != 0; {
		case delta && sign:
			v--
		case delta:
			v++
		case sign:
			v = -v
		}
		f.values[i] = uint8(v) ^ 0x80
	}
	f.chunks, f.pairs = int64(len(entries)/128), int64(4*f.words)
	f.tables, f.placed = alignedBytes(2*len(entries)), alignedBytes(2*len(entries))
	places := &placesOfEight
	if f.words == 2 {
		places = &placesOfFour
	}
	for i, e := range entries {
		var packed, placed uint16
		for j, v := range e {
			number := slices.Index(points, v)
			packed |= uint16(number) << (2 * f.words * j)
			for k, bit := range places.weights[j] {
				placed |= uint16(number>>k&1) << bit
			}
		}
		at := i/128*256 + i%128
		f.tables[at], f.tables[at+128] = uint8(packed), uint8(packed>>8)
		f.placed[at], f.placed[at+128] = uint8(placed), uint8(placed>>8)
	}
	f.help = newGridHelp()
	for t := range f.help.points {
		for i := range f.help.points[t] {
			number := i >> places.signs[t] & 1 * negative
			for k, bit := range places.values[t] {
				number |= i >> bit & 1 << k
			}
			f.help.points[t][i] = f.values[number]
		}
	}
	scales := 16
	if delta {
		scales = 8
	}
	for i := range f.help.halves {
		f.help.halves[i] = float32(i%scales) + 0.5
	}
	for i := range f.help.order {
		at := i&^31 + i%4*8 + i/4%8 // weight i/4%8 of entry i%4 of four
		switch {
		case f.words == 2: // entries have four weights
			at = i&^15 + i%4*4 + i/4%4
		case f.fine: // two weights of two entries
			at = i&^15 + i%2*8 + i%4/2*2 + []int{4, 5, 0, 1}[i/4%4]
		}
		f.help.order[i] = uint8(at)
	}
}

// gridHelp has what the kernels of whole panels look up beside a grid. _asm/grid_dot.go has its layout.
type gridHelp struct {
	points    [4][64]uint8 // values, with 128 added
	even      [128]uint8   // seven signs with the eighth
	halves    [16]float32  // scales' numbers and a half
	order     [64]uint8    // of activations
	low, high [64]uint8    // the bytes of words of 16 bits, two of which are in one vector and two in another
}

func newGridHelp() *gridHelp {
	h := (*gridHelp)(unsafe.Pointer(unsafe.SliceData(alignedBytes(int(unsafe.Sizeof(gridHelp{}))))))
	for i := range h.even {
		h.even[i] = uint8(i | bits.OnesCount(uint(i))&1<<7)
	}
	for i := range h.low {
		h.low[i] = uint8(i/2%2*64 + i&^3 + i%2*2)
		h.high[i] = h.low[i] + 1
	}
	return h
}

// places says where the bits of the weights' numbers are in the two bytes of an entry, and where the four tables of
// values find those of one and its sign among six bits: _asm/grid_dot.go says which table belongs to which weight.
type places struct {
	weights [][]int
	values  [4][]int
	signs   [4]int
}

var (
	placesOfFour = places{weights: [][]int{{1, 4, 5}, {0, 2, 3}, {11, 12, 13}, {8, 9, 10}},
		values: [4][]int{{1, 4, 5}, {0, 2, 3}, {3, 4, 5}, {0, 1, 2}}, signs: [4]int{0, 1, 2, 3}}
	placesOfEight = places{weights: [][]int{{4, 5}, {6, 7}, {12, 13}, {14, 15}, {0, 1}, {2, 3}, {8, 9}, {10, 11}},
		values: [4][]int{{0, 1}, {2, 3}, {2, 3}, {4, 5}}, signs: [4]int{4, 5, 0, 1}}
)

// lookUp finds the entries of a block's indices.
func (f *gridFormat) lookUp(b *gridBlock) {
	if f.high {
		lookUpAVX512(b)
	} else {
		lookUp256AVX512(b)
	}
}

// hasVBMI tells whether the AVX-512 tier can look up 64 bytes at once.
var hasVBMI = cpu.X86.HasAVX512VBMI

// prepare sets a block's argument up, but for its planes.
func (f *gridFormat) prepare(s *Scratch) *gridBlock {
	g, b := s.gridBuffers, &s.grid
	*b = gridBlock{low: unsafe.Pointer(&g.low), lowStep: int64(f.step), high: unsafe.Pointer(&g.none),
		signs: unsafe.Pointer(&g.signs), scale: unsafe.Pointer(&s.spread.scale), index: &g.index,
		q: unsafe.Pointer(&s.spread.q), chunks: f.chunks, pairs: f.pairs,
		values: unsafe.Pointer(&f.values), fields: unsafe.Pointer(&g.parts)}
	if f.high {
		b.high = unsafe.Pointer(&g.high)
	}
	return b
}

// next says where a block is.
func (f *gridFormat) next(b *gridBlock, planes []byte) {
	b.planes = unsafe.Pointer(unsafe.SliceData(planes))
	b.fetch = uintptr(b.planes) + uintptr(2*len(planes))
	if f.at >= 0 {
		b.low = unsafe.Add(b.planes, f.at)
	}
}

// gridBlock2 spreads a block of a format with a grid.
func gridBlock2(f *gridFormat, s *Scratch, planes []byte) {
	b := f.prepare(s)
	f.next(b, planes)
	b.table = unsafe.Pointer(unsafe.SliceData(f.codes))
	f.part(b)
	f.spread(b)
	*b = gridBlock{}
}

func gridBlock512(f *gridFormat, s *Scratch, planes []byte) {
	b := f.prepare(s)
	f.next(b, planes)
	b.table = unsafe.Pointer(unsafe.SliceData(f.tables))
	f.part512(b)
	f.lookUp(b)
	f.look(b)
	*b = gridBlock{}
}

// gridSingle2 multiplies a panel with one column.
func gridSingle2(m *Matrix, s *Scratch, w []byte, x unsafe.Pointer, acc *[panelRows]float32) {
	f := gridFormats[m.typ]
	b := f.prepare(s)
	b.x, b.acc, b.table = x, unsafe.Pointer(acc), unsafe.Pointer(unsafe.SliceData(f.plain))
	for ; len(w) > 0; w = w[m.block:] {
		f.next(b, w[:m.block])
		f.part(b)
		f.dot(b)
		b.x = unsafe.Add(b.x, act256Block)
	}
	*b = gridBlock{} // it points behind the rows now
}

// gridSingle512 is the same in one step.
func gridSingle512(m *Matrix, s *Scratch, w []byte, x unsafe.Pointer, acc *[panelRows]float32) {
	f := gridFormats[m.typ]
	b := &s.grid
	*b = gridBlock{planes: unsafe.Pointer(unsafe.SliceData(w)), blocks: int64(len(w) / m.block), x: x,
		acc: unsafe.Pointer(acc), scale: unsafe.Pointer(&s.spread.scale), index: &s.gridBuffers.index,
		table: unsafe.Pointer(unsafe.SliceData(f.placed)), help: unsafe.Pointer(f.help)}
	f.whole(b)
	*b = gridBlock{}
}

//go:noescape
func partIQ3XXSAVX2(b *gridBlock)

//go:noescape
func partIQ2XXSAVX2(b *gridBlock)

//go:noescape
func partIQ2XSAVX2(b *gridBlock)

//go:noescape
func partIQ3SAVX2(b *gridBlock)

//go:noescape
func partIQ2SAVX2(b *gridBlock)

//go:noescape
func partIQ1SAVX2(b *gridBlock)

//go:noescape
func partIQ1MAVX2(b *gridBlock)

//go:noescape
func spreadEightAVX2(b *gridBlock)

//go:noescape
func dotEightAVX2(b *gridBlock)

//go:noescape
func dotEightFineAVX2(b *gridBlock)

//go:noescape
func spreadFourAVX2(b *gridBlock)

//go:noescape
func dotFourAVX2(b *gridBlock)

//go:noescape
func spreadDeltaAVX2(b *gridBlock)

//go:noescape
func dotDeltaAVX2(b *gridBlock)

//go:noescape
func dotDeltaFineAVX2(b *gridBlock)

//go:noescape
func lookUpAVX512(b *gridBlock)

// lookUp256AVX512 is lookUpAVX512 for grids of 256 entries.
//
//go:noescape
func lookUp256AVX512(b *gridBlock)

//go:noescape
func spreadTwoAVX512(b *gridBlock)

//go:noescape
func spreadThreeAVX512(b *gridBlock)

//go:noescape
func partIQ3XXSAVX512(b *gridBlock)

//go:noescape
func partIQ2XXSAVX512(b *gridBlock)

//go:noescape
func partIQ2XSAVX512(b *gridBlock)

//go:noescape
func partIQ3SAVX512(b *gridBlock)

//go:noescape
func partIQ2SAVX512(b *gridBlock)

//go:noescape
func partIQ1SAVX512(b *gridBlock)

//go:noescape
func partIQ1MAVX512(b *gridBlock)

//go:noescape
func dotIQ3XXSAVX512(b *gridBlock)

//go:noescape
func dotIQ3SAVX512(b *gridBlock)

//go:noescape
func dotIQ2XXSAVX512(b *gridBlock)

//go:noescape
func dotIQ2XSAVX512(b *gridBlock)

//go:noescape
func dotIQ2SAVX512(b *gridBlock)

//go:noescape
func dotIQ1SAVX512(b *gridBlock)

//go:noescape
func dotIQ1MAVX512(b *gridBlock)
