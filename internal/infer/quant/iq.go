package quant

import "encoding/binary"

// The IQ formats: each weight is a scale times an integer that is not on a line. Those of four bits look it up in one
// curve of sixteen; the others take eight (or four) weights at once from a grid of vectors, and signs for them.
//
//	IQ4_NL:  d, 16 × two nibbles                                             32 weights; x = d·curve[q]
//	IQ4_XS:  d, high 2 bits of 8 scales, their low nibbles, 128 B of nibbles   x = d·(scale−32)·curve[q]
//	IQ3_S:   d, 64 indices, their ninth bits, 256 signs, 8 nibbles of scale    x = d·(2·scale+1)·±grid
//	IQ3_XXS: d, 64 indices, 8 words of 4 × 7 signs and a scale                 x = d·(scale+½)/2·±grid
//	IQ2_S:   d, 32 indices, 256 signs, the indices' high bits, 16 scales       x = d·(scale+½)/4·±grid
//	IQ2_XS:  d, 32 × (9 bits of index, 7 signs), 16 scales                     likewise
//	IQ2_XXS: d, 8 × (4 indices, a word of 4 × 7 signs and a scale)             likewise
//	IQ1_M:   32 indices, 16 B of high bits and shifts, 16 scales and d         x = d·(2·scale+1)·(grid ± ⅛)
//	IQ1_S:   d, 32 indices, 8 words of high bits, a scale and a shift          likewise
//
// Seven signs stand for eight: the number of negative elements is even.

// Codes are a block's weights, integers under scales that are integers times one number: weight i is
// D·Step[i/16]·(Q[i]−128), where D·Step is exact in float32. Blocks of 32 weights use the first 32 and two steps.
type Codes struct {
	Q    [superLen]uint8
	D    float32
	Step [16]int8
}

// Curve is what a nibble of IQ4_NL and IQ4_XS stands for.
var Curve = [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

const ones8 = 0x0101010101010101

// signed gives 128 ± g, with the signs of mask, for each byte 128 + g of v. No carry leaves a byte, as the complement
// of 128 + g is at most 127.
func signed(v, mask uint64) uint64 { return (v ^ mask) + mask&ones8 }

// run gives the 32 codes of group g.
func (c *Codes) run(g int) *[32]uint8 { return (*[32]uint8)(c.Q[32*(g&7):]) }

// The loops below go through a block 32 weights at a time, and read their indices as words: all positions in these are
// constants, for which the compiler needs no checks of bounds. Where kernels have no assembly for these formats,
// models are computed from what the loops give.

// put sets four times eight codes.
func put(q *[32]uint8, a, b, c, d uint64) {
	binary.LittleEndian.PutUint64(q[0:], a)
	binary.LittleEndian.PutUint64(q[8:], b)
	binary.LittleEndian.PutUint64(q[16:], c)
	binary.LittleEndian.PutUint64(q[24:], d)
}

// both sets the two steps of group g of 32, pair each of them.
func (c *Codes) both(g int, step uint32) { c.pair(g, step, step) }
func (c *Codes) pair(g int, one, two uint32) {
	*(*[2]int8)(c.Step[2*(g&7):]) = [2]int8{int8(one), int8(two)}
}

// Decode takes a block of an IQ format apart; t.Coded says whether t is one. len(block) is t.BlockBytes().
func (c *Codes) Decode(t Type, block []byte) { formats[t].codes(c, block) }

// Coded tells whether t's blocks can be taken apart into Codes.
func (t Type) Coded() bool {
	f := t.format()
	return f != nil && f.codes != nil
}

// unpackCodes makes an unpacker of what takes a block apart.
func unpackCodes(elems, bytes int, codes func(c *Codes, block []byte)) func(dst []float32, src []byte) {
	return func(dst []float32, src []byte) {
		var c Codes
		for ; len(src) >= bytes; src, dst = src[bytes:], dst[elems:] {
			codes(&c, src[:bytes])
			for i, q := range c.Q[:elems] {
				dst[i] = float32(c.D*float32(c.Step[i/16])) * float32(int(q)-128)
			}
		}
	}
}

func half16(b []byte) float32 { return F16to32(binary.LittleEndian.Uint16(b)) }

func codesIQ4_NL(c *Codes, block []byte) {
	b := (*[18]byte)(block)
	c.D = half16(b[:])
	c.both(0, 1)
	curveCodes((*[32]uint8)(c.Q[:]), (*[16]byte)(b[2:]))
}

func codesIQ4_XS(c *Codes, block []byte) {
	b := (*[136]byte)(block)
	high, low := binary.LittleEndian.Uint16(b[2:]), binary.LittleEndian.Uint32(b[4:])
	c.D = half16(b[:])
	for g := range 8 {
		scale := low&15 | uint32(high&3)<<4
		low, high = low>>4, high>>2
		c.both(g, scale-32)
		curveCodes(c.run(g), (*[16]byte)(b[8+16*(g&7):]))
	}
}

// curveCodes looks up 32 nibbles, the low ones first.
func curveCodes(dst *[32]uint8, src *[16]byte) {
	for i, v := range src {
		dst[i], dst[i+16] = curveCode[v&15], curveCode[v>>4]
	}
}

// curveCode is Curve, 128 added.
var curveCode = func() (code [16]uint8) {
	for i, v := range Curve {
		code[i] = uint8(v) ^ 0x80
	}
	return code
}()

func codesIQ3_S(c *Codes, block []byte) {
	b := (*[110]byte)(block)
	scales := binary.LittleEndian.Uint32(b[106:])
	c.D = half16(b[:])
	indices, ninths, signs := (*[64]byte)(b[2:]), (*[8]byte)(b[66:]), (*[32]byte)(b[74:])
	// eight weights: two indices, of which n has the ninth bits, and eight signs
	eight := func(i uint64, n, s uint32) uint64 {
		low, high := gridIQ3S[i&255|uint64(n<<8&256)], gridIQ3S[i>>8&255|uint64(n<<7&256)]
		return signed(uint64(low)|uint64(high)<<32, signMasks[s&255])
	}
	for g := range 8 {
		c.both(g, 1+2*(scales>>(4*g)&15))
		i, n := binary.LittleEndian.Uint64(indices[8*(g&7):]), uint32(ninths[g])
		s := binary.LittleEndian.Uint32(signs[4*(g&7):])
		put(c.run(g), eight(i, n, s), eight(i>>16, n>>2, s>>8), eight(i>>32, n>>4, s>>16), eight(i>>48, n>>6, s>>24))
	}
}

func codesIQ3_XXS(c *Codes, block []byte) {
	b := (*[98]byte)(block)
	c.D = half16(b[:]) * 0.25
	indices, words := (*[64]byte)(b[2:]), (*[32]byte)(b[66:])
	eight := func(i uint64, s uint32) uint64 {
		v := uint64(gridIQ3XXS[i&255]) | uint64(gridIQ3XXS[i>>8&255])<<32
		return signed(v, evenSigns[s&127])
	}
	for g := range 8 {
		i, s := binary.LittleEndian.Uint64(indices[8*(g&7):]), binary.LittleEndian.Uint32(words[4*(g&7):])
		c.both(g, 1+2*(s>>28))
		put(c.run(g), eight(i, s), eight(i>>16, s>>7), eight(i>>32, s>>14), eight(i>>48, s>>21))
	}
}

// nibbles sets the steps of group g of 32 from the two nibbles of s.
func (c *Codes) nibbles(g int, s byte) { c.pair(g, 1+2*uint32(s&15), 1+2*uint32(s>>4)) }

func codesIQ2_S(c *Codes, block []byte) {
	b := (*[82]byte)(block)
	c.D = half16(b[:]) * 0.125
	indices, signs, highs, scales := (*[32]byte)(b[2:]), (*[32]byte)(b[34:]), (*[8]byte)(b[66:]), (*[8]byte)(b[74:])
	eight := func(i, h, s uint32) uint64 { return signed(gridIQ2S[i&255|h<<8&0x300], signMasks[s&255]) }
	for g := range 8 {
		c.nibbles(g, scales[g])
		i, s := binary.LittleEndian.Uint32(indices[4*(g&7):]), binary.LittleEndian.Uint32(signs[4*(g&7):])
		h := uint32(highs[g])
		put(c.run(g), eight(i, h, s), eight(i>>8, h>>2, s>>8), eight(i>>16, h>>4, s>>16), eight(i>>24, h>>6, s>>24))
	}
}

func codesIQ2_XS(c *Codes, block []byte) {
	b := (*[74]byte)(block)
	c.D = half16(b[:]) * 0.125
	indices, scales := (*[64]byte)(b[2:]), (*[8]byte)(b[66:])
	eight := func(q uint64) uint64 { return signed(gridIQ2XS[q&511], evenSigns[q>>9&127]) }
	for g := range 8 {
		c.nibbles(g, scales[g])
		q := binary.LittleEndian.Uint64(indices[8*(g&7):])
		put(c.run(g), eight(q), eight(q>>16), eight(q>>32), eight(q>>48))
	}
}

func codesIQ2_XXS(c *Codes, block []byte) {
	b := (*[66]byte)(block)
	words := (*[64]byte)(b[2:])
	c.D = half16(b[:]) * 0.125
	eight := func(i uint64, s uint64) uint64 { return signed(gridIQ2XXS[i&255], evenSigns[s&127]) }
	for g := range 8 {
		q := binary.LittleEndian.Uint64(words[8*(g&7):]) // four indices, then the signs and the scale
		c.both(g, 1+2*uint32(q>>60))
		put(c.run(g), eight(q, q>>32), eight(q>>8, q>>39), eight(q>>16, q>>46), eight(q>>24, q>>53))
	}
}

// shifted gives eight codes of grid·8 ± 1, under a scale that is an eighth: the same as grid ± ⅛. negative is 0 or 1:
// which it is cannot be foreseen, so there is no branch.
func shifted(index, negative uint32) uint64 {
	return gridIQ1[index&2047] + ones8 - uint64(negative)*(2*ones8)
}

func codesIQ1_S(c *Codes, block []byte) {
	b := (*[50]byte)(block)
	indices, highs := (*[32]byte)(b[2:]), (*[16]byte)(b[34:])
	c.D = half16(b[:]) * 0.125
	for g := range 8 {
		i, h := binary.LittleEndian.Uint32(indices[4*(g&7):]), uint32(binary.LittleEndian.Uint16(highs[2*(g&7):]))
		c.both(g, 2*(h>>12&7)+1)
		eight := func(i, high uint32) uint64 { return shifted(i&255|high<<8&0x700, h>>15) }
		put(c.run(g), eight(i, h), eight(i>>8, h>>3), eight(i>>16, h>>6), eight(i>>24, h>>9))
	}
}

func codesIQ1_M(c *Codes, block []byte) {
	b := (*[56]byte)(block)
	scales := binary.LittleEndian.Uint64(b[48:])
	// the super-scale is in the top nibbles of the scales
	c.D = F16to32(uint16(scales>>12&15|scales>>24&0xf0|scales>>36&0xf00|scales>>48&0xf000)) * 0.125
	indices, highs := (*[32]byte)(b[0:]), (*[16]byte)(b[32:])
	eight := func(i, h uint32) uint64 { return shifted(i&255|h<<8&0x700, h>>3&1) }
	for g := range 8 {
		s := uint32(scales>>(16*(g/2))&0xffff) >> (6 * (g % 2))
		c.pair(g, 2*(s&7)+1, 2*(s>>3&7)+1)
		i, h := binary.LittleEndian.Uint32(indices[4*(g&7):]), uint32(binary.LittleEndian.Uint16(highs[2*(g&7):]))
		put(c.run(g), eight(i, h), eight(i>>8, h>>4), eight(i>>16, h>>8), eight(i>>24, h>>12))
	}
}
