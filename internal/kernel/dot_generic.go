package kernel

import (
	"encoding/binary"

	"github.com/hxp-enterprise/mixtral/internal/quant"
)

// This file is the specification of the integer kernels: one block of 32 rows at a time, its weights spread out into
// unsigned bytes, times each column. Integer sums are exact in every tier; the assembly differs only in fusing the
// multiplications by scales with the additions.

// spread is a packed block taken apart: 64 quads for super-blocks, 8 for blocks of 32.
type spread struct {
	q     [64][panelRows][4]uint8 // quad, row, element of the quad
	scale [16][panelRows]float32  // one for each run of k that shares a scale
	min   [16][panelRows]int32    // small integer minima of the same runs
	dmin  [panelRows]float32
}

type words []byte // planes

func (w words) at(i, r int) uint32 { return binary.LittleEndian.Uint32(w[plane*i+4*r:]) }

// put stores a quad: byte i of v.
func (s *spread) put(quad, r int, v uint32) {
	s.q[quad][r] = [4]uint8{uint8(v), uint8(v >> 8), uint8(v >> 16), uint8(v >> 24)}
}

const ( // a field of each of a word's four bytes
	low1 = 0x01010101
	low2 = 0x03030303
	low4 = 0x0f0f0f0f
)

// unpack32 takes a block of Q8_0, Q4_0 or Q5_0 apart.
func (s *spread) unpack32(t quant.Type, b []byte) {
	w := words(b[halfPlane:])
	for r := range panelRows {
		s.scale[0][r] = quant.F16to32(getHalf(b, r))
		switch t {
		case quant.Q8_0:
			for j := range 8 {
				s.put(j, r, w.at(j, r))
			}
		case quant.Q4_0:
			for j := range 4 {
				s.put(j, r, w.at(j, r)&low4<<4)
				s.put(j+4, r, w.at(j, r)>>4&low4<<4)
			}
		case quant.Q5_0:
			high := w.at(0, r)
			for j := range 4 {
				s.put(j, r, w.at(1+j, r)&low4<<3|high>>j&low1<<7)
				s.put(j+4, r, w.at(1+j, r)>>4&low4<<3|high>>(j+4)&low1<<7)
			}
		}
	}
}

// unpack256 takes a super-block of a K format apart. internal/quant describes the formats.
func (s *spread) unpack256(t quant.Type, b []byte) {
	w := words(b)
	for r := range panelRows {
		switch t {
		case quant.Q2_K:
			d := s.super(w.at(20, r), r)
			for g := range 16 {
				v := w.at(g/4, r) >> (g % 4 * 8)
				s.scale[g][r], s.min[g][r] = d*float32(v&15), int32(v>>4&15)
			}
			for i := range 64 { // half i/32, bit pair i/8%4
				s.put(i, r, w.at(4+i/32*8+i%8, r)>>(i/8%4*2)&low2)
			}
		case quant.Q3_K:
			d := quant.F16to32(getHalf(b[27*plane:], r))
			for g := range 16 {
				low := w.at(24+g%8/4, r) >> (g%4*8 + g/8*4) & 15
				high := w.at(26, r) >> (g%4*8 + g/4*2) & 3
				s.scale[g][r] = d * float32(int32(low|high<<4)-32)
			}
			for i := range 64 {
				s.put(i, r, w.at(8+i/32*8+i%8, r)>>(i/8%4*2)&low2<<5|w.at(i%8, r)>>(i/8)&low1<<7)
			}
		case quant.Q4_K:
			s.scales6(w, r)
			for i := range 64 {
				s.put(i, r, w.at(4+i/16*8+i%8, r)>>(i/8%2*4)&low4)
			}
		case quant.Q5_K:
			s.scales6(w, r)
			for i := range 64 {
				s.put(i, r, w.at(12+i/16*8+i%8, r)>>(i/8%2*4)&low4|w.at(4+i%8, r)>>(i/8)&low1<<4)
			}
		case quant.Q6_K:
			d := quant.F16to32(getHalf(b[52*plane:], r))
			for g := range 16 {
				s.scale[g][r] = d * float32(int8(w.at(48+g/4, r)>>(g%4*8)))
			}
			for i := range 64 { // half i/32, quarter i/8%4
				low := w.at(i/32*16+i%16, r) >> (i / 16 % 2 * 4) & low4
				high := w.at(32+i/32*8+i%8, r) >> (i / 8 % 4 * 2) & low2
				s.put(i, r, low<<2|high<<6)
			}
		}
	}
}

// super splits a word (d, dmin).
func (s *spread) super(v uint32, r int) (d float32) {
	s.dmin[r] = quant.F16to32(uint16(v >> 16))
	return quant.F16to32(uint16(v))
}

// scales6 reads the 6-bit scales and minima of Q4_K and Q5_K: planes 1–3, eight runs of 32.
func (s *spread) scales6(w words, r int) {
	d := s.super(w.at(0, r), r)
	for b := range 8 {
		shift := b % 4 * 8
		scale, least := w.at(1, r)>>shift, w.at(2, r)>>shift
		if b >= 4 {
			v := w.at(3, r) >> shift
			scale, least = v&15|scale>>6&3<<4, v>>4&15|least>>6&3<<4
		}
		s.scale[b][r], s.min[b][r] = d*float32(scale&63), int32(least&63)
	}
}

// sum adds quads from … from+n−1 of the block in x to start.
func (s *spread) sum(to *[panelRows]int32, x []byte, from, n int, start int32) {
	for r := range to {
		to[r] = start
	}
	for j := from; j < from+n; j++ {
		x0, x1, x2, x3 := int32(int8(x[4*j])), int32(int8(x[4*j+1])), int32(int8(x[4*j+2])), int32(int8(x[4*j+3]))
		for r := range to {
			q := &s.q[j][r]
			to[r] += int32(q[0])*x0 + int32(q[1])*x1 + int32(q[2])*x2 + int32(q[3])*x3
		}
	}
}

// add32 adds a block of 32 times its activations.
func (s *spread) add32(acc *[panelRows]float32, x []byte) {
	var sum [panelRows]int32
	s.sum(&sum, x, 0, 8, int32(binary.LittleEndian.Uint32(x[act32Init:])))
	scale := getFloat(x[act32Scale:])
	for r := range acc {
		acc[r] += float32(sum[r]) * (s.scale[0][r] * scale)
	}
}

// add256 adds a super-block times its activations: runs of run quads share a scale; offset formats have 128 added to
// their integers, the others a minimum.
func (s *spread) add256(acc *[panelRows]float32, x []byte, run int, offset bool) {
	var inner [panelRows]float32
	var least, sum [panelRows]int32
	for g := range 64 / run {
		var start int32
		if offset {
			start = int32(binary.LittleEndian.Uint32(x[act256Init+4*g:]))
		}
		s.sum(&sum, x, g*run, run, start)
		total := int32(int16(getHalf(x[act256Sum16:], g)))
		if run == 8 {
			total = int32(int16(getHalf(x[act256Sum32:], g)))
		}
		for r := range inner {
			inner[r] += float32(sum[r]) * s.scale[g][r]
			least[r] += s.min[g][r] * total
		}
	}
	scale := getFloat(x[act256Scale:])
	for r := range acc {
		v := inner[r]
		if !offset {
			v -= s.dmin[r] * float32(least[r])
		}
		acc[r] += v * scale
	}
}
