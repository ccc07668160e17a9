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

// Codes are a block's weights, integers under scales: weight i is Scale[i/16]·(Q[i]−128). Blocks of 32 weights use the
// first 32 and two scales.
type Codes struct {
	Q     [superLen]uint8
	Scale [16]float32
}

// Curve is what a nibble of IQ4_NL and IQ4_XS stands for.
var Curve = [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

const ones8 = 0x0101010101010101

// signed gives 128 ± g, with the signs of mask, for each byte 128 + g of v. No carry leaves a byte, as the complement
// of 128 + g is at most 127.
func signed(v, mask uint64) uint64 { return (v ^ mask) + mask&ones8 }

// put sets the i-th eight codes.
func (c *Codes) put(i int, v uint64) { binary.LittleEndian.PutUint64((*[8]byte)(c.Q[8*(i&31):])[:], v) }

// both sets the two scales of group g of 32.
func (c *Codes) both(g int, scale float32) { c.Scale[2*g], c.Scale[2*g+1] = scale, scale }

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
				dst[i] = c.Scale[i/16] * float32(int(q)-128)
			}
		}
	}
}

func half16(b []byte) float32 { return F16to32(binary.LittleEndian.Uint16(b)) }

func codesIQ4_NL(c *Codes, block []byte) {
	b := (*[18]byte)(block)
	c.both(0, half16(b[:]))
	curveCodes((*[32]uint8)(c.Q[:]), (*[16]byte)(b[2:]))
}

func codesIQ4_XS(c *Codes, block []byte) {
	b := (*[136]byte)(block)
	d, high := half16(b[:]), binary.LittleEndian.Uint16(b[2:])
	for g := range 8 {
		scale := b[4+g/2]>>(4*(g%2))&15 | byte(high>>(2*g)&3)<<4
		c.both(g, d*float32(int(scale)-32))
		curveCodes((*[32]uint8)(c.Q[32*g:]), (*[16]byte)(b[8+16*g:]))
	}
}

// curveCodes looks up 32 nibbles, the low ones first.
func curveCodes(dst *[32]uint8, src *[16]byte) {
	for i, v := range src {
		dst[i], dst[i+16] = uint8(Curve[v&15])^0x80, uint8(Curve[v>>4])^0x80
	}
}

func codesIQ3_S(c *Codes, block []byte) {
	b := (*[110]byte)(block)
	d := half16(b[:])
	for g := range 8 {
		c.both(g, d*float32(1+2*int(b[106+g/2]>>(4*(g%2))&15)))
		ninth := uint(b[66+g])
		for l := range 4 {
			i := 8*g + 2*l
			low := gridIQ3S[uint(b[2+i])|ninth<<(8-2*l)&256]
			high := gridIQ3S[uint(b[3+i])|ninth<<(7-2*l)&256]
			c.put(4*g+l, signed(uint64(low)|uint64(high)<<32, signMasks[b[74+4*g+l]]))
		}
	}
}

func codesIQ3_XXS(c *Codes, block []byte) {
	b := (*[98]byte)(block)
	d := half16(b[:])
	for g := range 8 {
		word := binary.LittleEndian.Uint32(b[66+4*g:])
		c.both(g, d*(0.5+float32(word>>28))*0.5)
		for l := range 4 {
			i := 8*g + 2*l
			v := uint64(gridIQ3XXS[b[2+i]]) | uint64(gridIQ3XXS[b[3+i]])<<32
			c.put(4*g+l, signed(v, evenSigns[word>>(7*l)&127]))
		}
	}
}

// nibbleScales sets the scales of group g of 32 from the two nibbles of s.
func (c *Codes) nibbleScales(g int, d float32, s byte) {
	c.Scale[2*g] = d * (0.5 + float32(s&15)) * 0.25
	c.Scale[2*g+1] = d * (0.5 + float32(s>>4)) * 0.25
}

func codesIQ2_S(c *Codes, block []byte) {
	b := (*[82]byte)(block)
	d := half16(b[:])
	for g := range 8 {
		c.nibbleScales(g, d, b[74+g])
		high := uint(b[66+g])
		for l := range 4 {
			i := 4*g + l
			c.put(i, signed(gridIQ2S[uint(b[2+i])|high<<(8-2*l)&0x300], signMasks[b[34+i]]))
		}
	}
}

func codesIQ2_XS(c *Codes, block []byte) {
	b := (*[74]byte)(block)
	d := half16(b[:])
	for g := range 8 {
		c.nibbleScales(g, d, b[66+g])
		for i := 4 * g; i < 4*g+4; i++ {
			q := binary.LittleEndian.Uint16(b[2+2*i:])
			c.put(i, signed(gridIQ2XS[q&511], evenSigns[q>>9]))
		}
	}
}

func codesIQ2_XXS(c *Codes, block []byte) {
	b := (*[66]byte)(block)
	d := half16(b[:])
	for g := range 8 {
		word := binary.LittleEndian.Uint32(b[6+8*g:])
		c.both(g, d*(0.5+float32(word>>28))*0.25)
		for l := range 4 {
			c.put(4*g+l, signed(gridIQ2XXS[b[2+8*g+l]], evenSigns[word>>(7*l)&127]))
		}
	}
}

// shifted gives eight codes of grid·8 ± 1, under a scale that is an eighth: the same as grid ± ⅛. negative is 0 or 1:
// which it is cannot be foreseen, so there is no branch.
func shifted(index, negative uint) uint64 {
	return gridIQ1[index&2047] + ones8 - uint64(negative)*(2*ones8)
}

func codesIQ1_S(c *Codes, block []byte) {
	b := (*[50]byte)(block)
	d := half16(b[:])
	for g := range 8 {
		high := uint(binary.LittleEndian.Uint16(b[34+2*g:]))
		c.both(g, d*float32(2*(high>>12&7)+1)*0.125)
		for l := range 4 {
			c.put(4*g+l, shifted(uint(b[2+4*g+l])|high>>(3*l)&7<<8, high>>15))
		}
	}
}

func codesIQ1_M(c *Codes, block []byte) {
	b := (*[56]byte)(block)
	var scales [4]uint16
	var h uint16 // the super-scale is in the top nibbles of the scales
	for i := range scales {
		scales[i] = binary.LittleEndian.Uint16(b[48+2*i:])
		h |= scales[i] >> 12 << (4 * i)
	}
	d := F16to32(h)
	for g := range 8 {
		s := scales[g/2] >> (6 * (g % 2))
		c.Scale[2*g] = d * float32(2*(s&7)+1) * 0.125
		c.Scale[2*g+1] = d * float32(2*(s>>3&7)+1) * 0.125
		for l := range 4 {
			high := uint(b[32+2*g+l/2]) >> (4 * (l % 2))
			c.put(4*g+l, shifted(uint(b[4*g+l])|high&7<<8, high>>3&1))
		}
	}
}
