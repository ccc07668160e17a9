package quant

import (
	"encoding/binary"
	"math"
)

// The classic formats: 32 elements under one binary16 scale d.
//
//	Q8_0: d, 32 × int8 q                      x = d·q
//	Q5_0: d, 32 fifth bits, 16 × two nibbles  x = d·(q−16)
//	Q4_0: d, 16 × two nibbles                 x = d·(q−8)
//
// The low nibble of byte j is element j, the high nibble element j+16.
const classicLen = 32

func unpackQ8_0(dst []float32, src []byte) {
	for ; len(src) >= 34; src, dst = src[34:], dst[classicLen:] {
		b := (*[34]byte)(src)
		y := (*[classicLen]float32)(dst)
		d := F16to32(binary.LittleEndian.Uint16(b[:2]))
		for i := range y {
			y[i] = d * float32(int8(b[2+i]))
		}
	}
}

func packQ8_0(dst []byte, src []float32) {
	for ; len(dst) >= 34; src, dst = src[classicLen:], dst[34:] {
		b := (*[34]byte)(dst)
		x := (*[classicLen]float32)(src)
		d := putScale(b[:2], maxAbs(x[:])/127)
		inv := invert(d)
		for i, v := range x {
			b[2+i] = byte(nearest(v*inv, -127, 127))
		}
	}
}

func unpackQ4_0(dst []float32, src []byte) {
	for ; len(src) >= 18; src, dst = src[18:], dst[classicLen:] {
		b := (*[18]byte)(src)
		y := (*[classicLen]float32)(dst)
		d := F16to32(binary.LittleEndian.Uint16(b[:2]))
		for i := range 16 {
			q := b[2+i]
			y[i] = d * float32(int(q&15)-8)
			y[i+16] = d * float32(int(q>>4)-8)
		}
	}
}

func packQ4_0(dst []byte, src []float32) {
	for ; len(dst) >= 18; src, dst = src[classicLen:], dst[18:] {
		b := (*[18]byte)(dst)
		x := (*[classicLen]float32)(src)
		inv := invert(putScale(b[:2], symmetricScale(x[:], 8)))
		for i := range 16 {
			lo, hi := nearest(x[i]*inv, -8, 7)+8, nearest(x[i+16]*inv, -8, 7)+8
			b[2+i] = byte(lo | hi<<4)
		}
	}
}

func unpackQ5_0(dst []float32, src []byte) {
	for ; len(src) >= 22; src, dst = src[22:], dst[classicLen:] {
		b := (*[22]byte)(src)
		y := (*[classicLen]float32)(dst)
		d := F16to32(binary.LittleEndian.Uint16(b[:2]))
		high := binary.LittleEndian.Uint32(b[2:6])
		for i := range 16 {
			q := b[6+i]
			y[i] = d * float32(int(q&15|byte(high>>i)<<4&16)-16)
			y[i+16] = d * float32(int(q>>4|byte(high>>(i+16))<<4&16)-16)
		}
	}
}

func packQ5_0(dst []byte, src []float32) {
	for ; len(dst) >= 22; src, dst = src[classicLen:], dst[22:] {
		b := (*[22]byte)(dst)
		x := (*[classicLen]float32)(src)
		inv := invert(putScale(b[:2], symmetricScale(x[:], 16)))
		high := uint32(0)
		for i := range 16 {
			lo, hi := nearest(x[i]*inv, -16, 15)+16, nearest(x[i+16]*inv, -16, 15)+16
			b[6+i] = byte(lo&15 | hi&15<<4)
			high |= uint32(lo>>4)<<i | uint32(hi>>4)<<(i+16)
		}
		binary.LittleEndian.PutUint32(b[2:6], high)
	}
}

// putScale stores d as binary16, saturated at its largest finite number, and gives back what was stored.
func putScale(dst []byte, d float32) float32 {
	const maxF16 = 65504
	h := F32to16(min(max(d, -maxF16), maxF16))
	binary.LittleEndian.PutUint16(dst, h)
	return F16to32(h)
}

// invert gives 1/d, and 0 for 0: a zero scale makes every code the code of zero.
func invert(d float32) float32 {
	if d == 0 {
		return 0
	}
	inv := 1 / d
	return min(max(inv, -math.MaxFloat32), math.MaxFloat32) // 1/d of a subnormal float32 would be infinite
}

// nearest rounds x to the nearest integer, ties to even, within [lo, hi].
func nearest(x float32, lo, hi int32) int32 {
	return roundSmall(min(max(x, float32(lo)), float32(hi)))
}

// roundSmall rounds |x| < 2²² to the nearest integer, ties to even.
func roundSmall(x float32) int32 {
	// 1.5·2²³: the sum's last mantissa bit is worth one, so the addition rounds.
	const magic = 12582912
	return int32(math.Float32bits(x+magic)) - 0x4b400000
}

func clampCode(q, lo, hi int32) int32 { return min(max(q, lo), hi) }

func maxAbs(x []float32) float32 {
	m := float32(0)
	for _, v := range x {
		m = max(m, float32(math.Abs(float64(v))))
	}
	return m
}
