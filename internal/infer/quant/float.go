package quant

import (
	"encoding/binary"
	"math"
)

// F16to32 widens an IEEE 754 binary16 number; exact for every input, NaN payloads kept.
func F16to32(h uint16) float32 {
	sign, em := uint32(h&0x8000)<<16, uint32(h&0x7fff)<<13
	if em >= 0x7c00<<13 { // infinity, NaN: all exponent bits stay set
		return math.Float32frombits(sign | 0x7f800000 | em)
	}
	// Read as a float32 the bits are the number times 2^(15−127), subnormals too; the product is exact.
	return math.Float32frombits(sign | math.Float32bits(math.Float32frombits(em)*0x1p112))
}

// F32to16 rounds to the nearest binary16, ties to even; too large becomes infinity, NaN stays a quiet NaN.
func F32to16(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 16 & 0x8000)
	abs := bits & 0x7fffffff
	switch {
	case abs > 0x7f800000: // NaN: quiet, upper payload kept
		return sign | 0x7e00 | uint16(abs>>13&0x1ff)
	case abs >= 0x477ff000: // 65520 and above round to infinity
		return sign | 0x7c00
	case abs < 0x38800000: // below 2^-14: subnormal or zero
		// Adding 0.5 leaves units of 2^-24 in the last mantissa bits, rounded to even by the addition itself.
		return sign | uint16(math.Float32bits(math.Float32frombits(abs)+0.5)-0x3f000000)
	}
	round := uint32(0xfff) + abs>>13&1 // half of the lowest kept bit, less one when it is even
	return sign | uint16((abs+round-(127-15)<<23)>>13)
}

// BF16to32 widens a bfloat16 number; exact.
func BF16to32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// F32toBF16 rounds to the nearest bfloat16, ties to even; NaN stays a quiet NaN.
func F32toBF16(f float32) uint16 {
	bits := math.Float32bits(f)
	if bits&0x7fffffff > 0x7f800000 {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// lane is the elements of a step of the plain formats' loops: an array of known length needs no bounds checks.
const lane = 32

func unpackF32(dst []float32, src []byte) {
	for ; len(src) >= 4*lane; src, dst = src[4*lane:], dst[lane:] {
		b, y := (*[4 * lane]byte)(src), (*[lane]float32)(dst)
		for i := range y {
			y[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func packF32(dst []byte, src []float32) {
	for i, x := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
	}
}

func unpackF16(dst []float32, src []byte) {
	for ; len(src) >= 2*lane; src, dst = src[2*lane:], dst[lane:] {
		b, y := (*[2 * lane]byte)(src), (*[lane]float32)(dst)
		for i := range y {
			y[i] = F16to32(binary.LittleEndian.Uint16(b[2*i:]))
		}
	}
	for i := range dst {
		dst[i] = F16to32(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

func packF16(dst []byte, src []float32) {
	for i, x := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], F32to16(x))
	}
}

func unpackBF16(dst []float32, src []byte) {
	for ; len(src) >= 2*lane; src, dst = src[2*lane:], dst[lane:] {
		b, y := (*[2 * lane]byte)(src), (*[lane]float32)(dst)
		for i := range y {
			y[i] = BF16to32(binary.LittleEndian.Uint16(b[2*i:]))
		}
	}
	for i := range dst {
		dst[i] = BF16to32(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

func packBF16(dst []byte, src []float32) {
	for i, x := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], F32toBF16(x))
	}
}
