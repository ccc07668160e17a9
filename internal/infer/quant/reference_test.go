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

func sub(a, b float32) float32 { return round(new(big.Float).Sub(exact(a), exact(b))) }

func exact(f float32) *big.Float { return new(big.Float).SetPrec(200).SetFloat64(float64(f)) }

func round(f *big.Float) float32 {
	v, _ := f.Float32()
	return v
}
