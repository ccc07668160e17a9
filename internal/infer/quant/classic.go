package quant

import (
	"encoding/binary"
	"math"
	"slices"
)

// The classic formats: 32 elements under one binary16 scale d, and a binary16 minimum m in two of them.
//
//	Q8_0: d, 32 × int8 q                         x = d·q
//	Q5_1: d, m, 32 fifth bits, 16 × two nibbles  x = d·q + m
//	Q5_0: d, 32 fifth bits, 16 × two nibbles     x = d·(q−16)
//	Q4_1: d, m, 16 × two nibbles                 x = d·q + m
//	Q4_0: d, 16 × two nibbles                    x = d·(q−8)
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

func packQ8_0(p *Packer, dst []byte, src []float32) {
	b := (*[34]byte)(dst)
	top := p.magnitude(src)
	p.normalise(src, top)
	t := &p.trial
	t.Lo, t.Hi = -127, 127
	// with so many codes it is worth little to clip, and something to be lucky with the roundings
	for k := range Lanes {
		t.Inv[k] = 127.4 - 0.3*float32(k)
	}
	t.Off = [Lanes]float32{}
	p.arithmetic.Try(t, p.x[:classicLen], p.weight(0, classicLen))
	d := float32(1)
	if best := p.arithmetic.Best(t); t.QQ[best] > 0 {
		d = t.QX[best] / t.QQ[best]
	}
	p.code(0, classicLen, invert(putScale(b[:2], d*top)*invert(top)), 128, 255)
	for i, c := range (*[classicLen]byte)(p.codes[:]) {
		b[2+i] = c ^ 0x80
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

func packQ4_0(p *Packer, dst []byte, src []float32) {
	b := (*[18]byte)(dst)
	p.classic(b[:2], src, 8)
	q, c := (*[16]byte)(b[2:]), (*[classicLen]byte)(p.codes[:])
	for i := range q {
		q[i] = c[i] | c[i+16]<<4
	}
}

// classic finds a block's scale for codes −n … n−1, stores it and leaves the codes, counted from −n, in p.codes.
func (p *Packer) classic(d []byte, src []float32, n int32) {
	top := p.arithmetic.Extreme(src)
	p.normalise(src, top)
	scale := putScale(d, p.symmetric(p.x[:classicLen], p.weight(0, classicLen), 1, n)*top)
	p.code(0, classicLen, invert(scale*invert(top)), float32(n), 2*n-1)
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

func packQ5_0(p *Packer, dst []byte, src []float32) {
	b := (*[22]byte)(dst)
	p.classic(b[:2], src, 16)
	binary.LittleEndian.PutUint32(b[2:6], fifthBits(b[6:], (*[classicLen]byte)(p.codes[:])))
}

func unpackQ4_1(dst []float32, src []byte) {
	for ; len(src) >= 20; src, dst = src[20:], dst[classicLen:] {
		b := (*[20]byte)(src)
		y := (*[classicLen]float32)(dst)
		d, m := half16(b[:]), half16(b[2:])
		for i := range 16 {
			q := b[4+i]
			y[i] = float32(d*float32(q&15)) + m
			y[i+16] = float32(d*float32(q>>4)) + m
		}
	}
}

func packQ4_1(p *Packer, dst []byte, src []float32) {
	b := (*[20]byte)(dst)
	p.lifted(b[:4], src, 15)
	q, c := (*[16]byte)(b[4:]), (*[classicLen]byte)(p.codes[:])
	for i := range q {
		q[i] = c[i] | c[i+16]<<4
	}
}

func unpackQ5_1(dst []float32, src []byte) {
	for ; len(src) >= 24; src, dst = src[24:], dst[classicLen:] {
		b := (*[24]byte)(src)
		y := (*[classicLen]float32)(dst)
		d, m := half16(b[:]), half16(b[2:])
		high := binary.LittleEndian.Uint32(b[4:])
		for i := range 16 {
			q := b[8+i]
			y[i] = float32(d*float32(q&15|byte(high>>i)<<4&16)) + m
			y[i+16] = float32(d*float32(q>>4|byte(high>>(i+16))<<4&16)) + m
		}
	}
}

func packQ5_1(p *Packer, dst []byte, src []float32) {
	b := (*[24]byte)(dst)
	p.lifted(b[:4], src, 31)
	c := (*[classicLen]byte)(p.codes[:])
	binary.LittleEndian.PutUint32(b[4:8], fifthBits(b[8:], c))
}

// lifted finds a block's scale and minimum for codes 0 … n, stores them and leaves the codes in p.codes.
func (p *Packer) lifted(dm []byte, src []float32, n int32) {
	top := p.magnitude(src)
	p.normalise(src, top)
	x, w := p.x[:classicLen], p.weight(0, classicLen)
	// The line finder knows minima that lower codes, so the largest element becomes the zero.
	highest := slices.Max(x)
	for i := range x {
		x[i] -= highest
	}
	d, m := p.line(x, w, weigh(x, w), n)
	unit := invert(top)
	d = putScale(dm[:2], d*top) * unit
	m = putScale(dm[2:], (highest-m)*top) * unit
	p.normalise(src, top)
	inv := invert(d)
	p.code(0, classicLen, inv, -m*inv, n)
}

// fifthBits stores the low nibbles of codes, and gives their fifth bits.
func fifthBits(nibbles []byte, c *[classicLen]byte) (high uint32) {
	for i := range 16 {
		nibbles[i] = c[i]&15 | c[i+16]&15<<4
		high |= uint32(c[i]>>4)<<i | uint32(c[i+16]>>4)<<(i+16)
	}
	return high
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
