package quant

import (
	"encoding/binary"
	"math/big"
)

// reference decodes element i of a block by the format's definition: one element at a time, one bit field at a time,
// in exact rational arithmetic rounded where the definition rounds. It shares nothing with the unpackers but the
// binary16 scales.
type reference func(block []byte, i int) float32

var references = map[Type]reference{
	Q4_0: func(b []byte, i int) float32 { return mul(half(b, 0), int(bits(b, 16+8*(i%16)+4*(i/16), 4))-8) },
	Q5_0: func(b []byte, i int) float32 {
		return mul(half(b, 0), int(bits(b, 48+8*(i%16)+4*(i/16), 4)+16*bits(b, 16+i, 1))-16)
	},
	Q8_0: func(b []byte, i int) float32 {
		q := int(bits(b, 16+8*i, 8))
		if q > 127 {
			q -= 256
		}
		return mul(half(b, 0), q)
	},
	Q2_K: func(b []byte, i int) float32 {
		group := i / 16
		scale, least := bits(b, 8*group, 4), bits(b, 8*group+4, 4)
		// Bytes 16–47 hold elements 0–127, 48–79 the rest: byte i%32, bit pair i/32%4.
		q := bits(b, 8*(16+32*(i/128)+i%32)+2*(i/32%4), 2)
		return sub(mul(mul(half(b, 80), int(scale)), int(q)), mul(half(b, 82), int(least)))
	},
	Q3_K: func(b []byte, i int) float32 {
		group := i / 16
		low := bits(b, 8*(96+group%8)+4*(group/8), 4)
		high := bits(b, 8*(104+group%4)+2*(group/4), 2)
		q := bits(b, 8*(32+32*(i/128)+i%32)+2*(i/32%4), 2) + 4*bits(b, 8*(i%32)+i/32, 1)
		return mul(mul(half(b, 108), int(low+16*high)-32), int(q)-4)
	},
	Q4_K: func(b []byte, i int) float32 {
		q := bits(b, 8*(16+32*(i/64)+i%32)+4*(i/32%2), 4)
		return affine(b, i/32, q)
	},
	Q5_K: func(b []byte, i int) float32 {
		q := bits(b, 8*(48+32*(i/64)+i%32)+4*(i/32%2), 4) + 16*bits(b, 8*(16+i%32)+i/32, 1)
		return affine(b, i/32, q)
	},
	Q6_K: func(b []byte, i int) float32 {
		part := i / 128 // two parts of 64 + 32 bytes; quarter k of 32 elements within
		k, l := i%128/32, i%32
		low := bits(b, 8*(64*part+32*(k%2)+l)+4*(k/2), 4)
		high := bits(b, 8*(128+32*part+l)+2*k, 2)
		scale := int(bits(b, 8*(192+i/16), 8))
		if scale > 127 {
			scale -= 256
		}
		return mul(mul(half(b, 208), scale), int(low+16*high)-32)
	},
	Q4_1: func(b []byte, i int) float32 {
		return add(mul(half(b, 0), int(bits(b, 32+8*(i%16)+4*(i/16), 4))), half(b, 2))
	},
	Q5_1: func(b []byte, i int) float32 {
		q := bits(b, 64+8*(i%16)+4*(i/16), 4) + 16*bits(b, 32+i, 1)
		return add(mul(half(b, 0), int(q)), half(b, 2))
	},
	IQ4_NL: func(b []byte, i int) float32 {
		return mul(half(b, 0), curvePoint(bits(b, 16+8*(i%16)+4*(i/16), 4)))
	},
	IQ4_XS: func(b []byte, i int) float32 {
		g := i / 32
		scale := int(bits(b, 32+4*g, 4)+16*bits(b, 16+2*g, 2)) - 32
		return mul(mul(half(b, 0), scale), curvePoint(bits(b, 64+128*g+8*(i%16)+4*(i%32/16), 4)))
	},
	IQ3_S: func(b []byte, i int) float32 {
		index := bits(b, 16+8*(i/4), 8) + 256*bits(b, 66*8+i/4, 1)
		v := mul(mul(half(b, 0), int(2*bits(b, 106*8+4*(i/32), 4)+1)), int(gridIQ3S[index]>>(8*(i%4))&127))
		return withSign(v, bits(b, 74*8+i, 1))
	},
	IQ3_XXS: func(b []byte, i int) float32 {
		word := 8 * (66 + 4*(i/32))
		scale := mul(mul(half(b, 0), int(2*bits(b, word+28, 4)+1)), 1) / 4
		v := mul(scale, int(gridIQ3XXS[bits(b, 16+8*(i/4), 8)]>>(8*(i%4))&127))
		return withSign(v, parted(b, word+7*(i%32/8), i%8))
	},
	IQ2_S: func(b []byte, i int) float32 {
		index := bits(b, 16+8*(i/8), 8) + 256*bits(b, 66*8+2*(i/8), 2)
		v := mul(sixteenth(b, 74, i), int(gridIQ2S[index]>>(8*(i%8))&127))
		return withSign(v, bits(b, 34*8+i, 1))
	},
	IQ2_XS: func(b []byte, i int) float32 {
		at := 16 + 16*(i/8)
		v := mul(sixteenth(b, 66, i), int(gridIQ2XS[bits(b, at, 9)]>>(8*(i%8))&127))
		return withSign(v, parted(b, at+9, i%8))
	},
	IQ2_XXS: func(b []byte, i int) float32 {
		at := 16 + 64*(i/32)
		scale := mul(half(b, 0), int(2*bits(b, at+60, 4)+1)) / 8
		v := mul(scale, int(gridIQ2XXS[bits(b, at+8*(i%32/8), 8)]>>(8*(i%8))&127))
		return withSign(v, parted(b, at+32+7*(i%32/8), i%8))
	},
	IQ1_S: func(b []byte, i int) float32 {
		word := 8 * (34 + 2*(i/32))
		index := bits(b, 16+8*(i/8), 8) + 256*bits(b, word+3*(i%32/8), 3)
		return one(mul(half(b, 0), int(2*bits(b, word+12, 3)+1)), index, i, bits(b, word+15, 1))
	},
	IQ1_M: func(b []byte, i int) float32 {
		var h uint
		for k := range 4 {
			h += bits(b, 8*(49+2*k)+4, 4) << (4 * k)
		}
		scale := int(2*bits(b, 48*8+16*(i/64)+3*(i%64/16), 3) + 1)
		at := 32*8 + 4*(i/8)
		return one(mul(F16to32(uint16(h)), scale), bits(b, 8*(i/8), 8)+256*bits(b, at, 3), i, bits(b, at+3, 1))
	},
}

func curvePoint(q uint) int {
	return []int{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}[q]
}

// sixteenth is the scale of element i's sixteen: d·(s+½)/4 with nibbles from byte at on.
func sixteenth(b []byte, at, i int) float32 {
	return mul(half(b, 0), int(2*bits(b, 8*at+4*(i/16), 4)+1)) / 8
}

// parted gives sign j of the seven from bit at on; the eighth makes their sum even.
func parted(b []byte, at, j int) uint {
	if j < 7 {
		return bits(b, at+j, 1)
	}
	sum := uint(0)
	for k := range 7 {
		sum += bits(b, at+k, 1)
	}
	return sum % 2
}

// withSign is x or −x.
func withSign(x float32, negative uint) float32 {
	if negative == 1 {
		return -x
	}
	return x
}

// one is scale·(grid ± ⅛).
func one(scale float32, index uint, i int, negative uint) float32 {
	eighths := int(gridIQ1[index]>>(8*(i%8))&255) - 128
	return mul(scale/8, eighths+1-2*int(negative))
}

// affine is d·scale·q − dmin·min with the packed 6-bit scales of Q4_K and Q5_K.
func affine(b []byte, group int, q uint) float32 {
	var scale, least uint
	if group < 4 {
		scale, least = bits(b, 8*(4+group), 6), bits(b, 8*(8+group), 6)
	} else {
		scale = bits(b, 8*(8+group), 4) + 16*bits(b, 8*group+6, 2)
		least = bits(b, 8*(8+group)+4, 4) + 16*bits(b, 8*(4+group)+6, 2)
	}
	return sub(mul(mul(half(b, 0), int(scale)), int(q)), mul(half(b, 2), int(least)))
}

// bits reads n bits from bit at, least significant first.
func bits(b []byte, at, n int) uint {
	v := uint(0)
	for k := range n {
		v |= uint(b[(at+k)/8]>>((at+k)%8)&1) << k
	}
	return v
}

func half(b []byte, at int) float32 { return F16to32(binary.LittleEndian.Uint16(b[at:])) }

func mul(a float32, n int) float32 {
	return round(new(big.Float).Mul(exact(a), exact(float32(n))))
}

func add(a, b float32) float32 { return round(new(big.Float).Add(exact(a), exact(b))) }

func sub(a, b float32) float32 { return round(new(big.Float).Sub(exact(a), exact(b))) }

func exact(f float32) *big.Float { return new(big.Float).SetPrec(200).SetFloat64(float64(f)) }

func round(f *big.Float) float32 {
	v, _ := f.Float32()
	return v
}
