package quant

import "encoding/binary"

// The K formats: super-blocks of 256 elements in groups of 16 or 32, each with its own small integer scale (and, in
// Q2_K, Q4_K and Q5_K, minimum) under binary16 super-scales d and dmin.
//
//	Q2_K: 16 × (scale, min nibbles), 64 B of 2-bit q, d, dmin             x = d·scale·q − dmin·min
//	Q3_K: 32 B third bits, 64 B of 2-bit q, 12 B of 6-bit scales, d       x = d·(scale−32)·(q−4)
//	Q4_K: d, dmin, 12 B of 6-bit scales and mins, 128 B of nibbles        x = d·scale·q − dmin·min
//	Q5_K: as Q4_K with 32 B of fifth bits before the nibbles
//	Q6_K: 128 B low nibbles, 64 B of upper 2 bits, 16 × int8 scale, d     x = d·scale·(q−32)
const superLen = 256

func unpackQ2_K(dst []float32, src []byte) {
	for ; len(src) >= 84; src, dst = src[84:], dst[superLen:] {
		b := (*[84]byte)(src)
		d := F16to32(binary.LittleEndian.Uint16(b[80:]))
		dmin := F16to32(binary.LittleEndian.Uint16(b[82:]))
		for g := range 16 { // 16 elements each: half g/8, bit pair g/2%4, side g%2 of the 32 bytes
			dl, ml := d*float32(b[g]&15), dmin*float32(b[g]>>4)
			q := (*[16]byte)(b[16+g/8*32+g%2*16:])
			y := (*[16]float32)(dst[16*g:])
			shift := g / 2 % 4 * 2
			for l := range y {
				y[l] = float32(dl*float32(q[l]>>shift&3)) - ml
			}
		}
	}
}

func unpackQ3_K(dst []float32, src []byte) {
	var scales [16]int8
	for ; len(src) >= 110; src, dst = src[110:], dst[superLen:] {
		b := (*[110]byte)(src)
		d := F16to32(binary.LittleEndian.Uint16(b[108:]))
		scalesQ3(&scales, (*[12]byte)(b[96:]))
		for g := range 16 {
			dl := d * float32(scales[g])
			high := (*[16]byte)(b[g%2*16:])
			q := (*[16]byte)(b[32+g/8*32+g%2*16:])
			y := (*[16]float32)(dst[16*g:])
			shift, bit := g/2%4*2, g/2
			for l := range y {
				// A set third bit means +4 over the implied −4.
				y[l] = dl * float32(int(q[l]>>shift&3|high[l]>>bit&1<<2)-4)
			}
		}
	}
}

// scalesQ3 spreads Q3_K's sixteen 6-bit scales: four low bits from the first 8 bytes, two high bits from the last 4.
func scalesQ3(dst *[16]int8, s *[12]byte) {
	for j := range 8 {
		dst[j] = int8(s[j]&15|s[8+j%4]>>(j/4*2)&3<<4) - 32
		dst[j+8] = int8(s[j]>>4|s[8+j%4]>>(j/4*2+4)&3<<4) - 32
	}
}

// scaleMin gives group j's 6-bit scale and minimum of Q4_K and Q5_K: groups 0–3 lie in the low 6 bits of bytes 0–3 and
// 4–7, groups 4–7 in the nibbles of bytes 8–11 with their upper two bits on top of bytes 0–7.
func scaleMin(s *[12]byte, j int) (scale, minimum byte) {
	if j < 4 {
		return s[j] & 63, s[j+4] & 63
	}
	return s[j+4]&15 | s[j-4]>>6<<4, s[j+4]>>4 | s[j]>>6<<4
}

func unpackQ4_K(dst []float32, src []byte) {
	for ; len(src) >= 144; src, dst = src[144:], dst[superLen:] {
		b := (*[144]byte)(src)
		d := F16to32(binary.LittleEndian.Uint16(b[0:]))
		dmin := F16to32(binary.LittleEndian.Uint16(b[2:]))
		scales := (*[12]byte)(b[4:])
		for g := range 4 { // 64 elements: the low nibbles of 32 bytes, then the high ones
			s1, m1 := scaleMin(scales, 2*g)
			s2, m2 := scaleMin(scales, 2*g+1)
			d1, d2 := d*float32(s1), d*float32(s2)
			n1, n2 := dmin*float32(m1), dmin*float32(m2)
			q := (*[32]byte)(b[16+32*g:])
			y := (*[64]float32)(dst[64*g:])
			for l := range q {
				y[l] = float32(d1*float32(q[l]&15)) - n1
				y[l+32] = float32(d2*float32(q[l]>>4)) - n2
			}
		}
	}
}

func unpackQ5_K(dst []float32, src []byte) {
	for ; len(src) >= 176; src, dst = src[176:], dst[superLen:] {
		b := (*[176]byte)(src)
		d := F16to32(binary.LittleEndian.Uint16(b[0:]))
		dmin := F16to32(binary.LittleEndian.Uint16(b[2:]))
		scales := (*[12]byte)(b[4:])
		high := (*[32]byte)(b[16:])
		for g := range 4 {
			s1, m1 := scaleMin(scales, 2*g)
			s2, m2 := scaleMin(scales, 2*g+1)
			d1, d2 := d*float32(s1), d*float32(s2)
			n1, n2 := dmin*float32(m1), dmin*float32(m2)
			q := (*[32]byte)(b[48+32*g:])
			y := (*[64]float32)(dst[64*g:])
			for l := range q {
				h := high[l] >> (2 * g)
				y[l] = float32(d1*float32(q[l]&15|h&1<<4)) - n1
				y[l+32] = float32(d2*float32(q[l]>>4|h&2<<3)) - n2
			}
		}
	}
}

func unpackQ6_K(dst []float32, src []byte) {
	for ; len(src) >= 210; src, dst = src[210:], dst[superLen:] {
		b := (*[210]byte)(src)
		d := F16to32(binary.LittleEndian.Uint16(b[208:]))
		for half := range 2 {
			low := (*[64]byte)(b[64*half:])
			high := (*[32]byte)(b[128+32*half:])
			scales := (*[8]byte)(b[192+8*half:])
			y := (*[128]float32)(dst[128*half:])
			for side := range 2 { // each group of 16 has its own scale
				d1 := d * float32(int8(scales[side]))
				d2 := d * float32(int8(scales[side+2]))
				d3 := d * float32(int8(scales[side+4]))
				d4 := d * float32(int8(scales[side+6]))
				for l := 16 * side; l < 16*side+16; l++ {
					a, c, h := low[l&31], low[l&31+32], high[l&31]
					y[l] = d1 * float32(int(a&15|h&3<<4)-32)
					y[l+32] = d2 * float32(int(c&15|h>>2&3<<4)-32)
					y[l+64] = d3 * float32(int(a>>4|h>>4&3<<4)-32)
					y[l+96] = d4 * float32(int(c>>4|h>>6<<4)-32)
				}
			}
		}
	}
}
