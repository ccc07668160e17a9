package kernel

import (
	"cmp"
	"encoding/binary"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// This file is the specification of the integer kernels: one block of 32 rows at a time, its weights spread out into
// unsigned bytes, times each column. Integer sums are exact in every tier; the assembly differs only in how it sums
// the blocks' float32 products.

// spread is a packed block taken apart: 64 quads for super-blocks, 8 for blocks of 32.
type spread struct {
	q     [64][panelRows][4]uint8 // quad, row, element of the quad
	scale [16][panelRows]float32  // one for each run of k that shares a scale
	least [16][panelRows]float32  // the runs' minima: dmin · min

	signed, magnitude [64][panelRows][4]int8 // of the AVX2 tier: q − 128, for many columns
}

type words []byte // planes

func (w words) at(i, r int) uint32 { return binary.LittleEndian.Uint32(w[plane*i+4*r:]) }

// quadsGeneric spreads the weights.
func (s *spread) quadsGeneric(fields []field, b []byte) {
	for i := range fields {
		f := &fields[i]
		for j := range 4 {
			low, high, shift := words(b[f.low+cmp.Or(f.lowStep, plane)*j:]), words(b[f.high+f.highStep*j:]),
				f.highShift+uint(f.shiftStep*j)
			for r := range panelRows {
				v := low.at(0, r)>>f.lowShift&f.lowMask | high.at(0, r)>>shift&f.highMask<<f.up
				binary.LittleEndian.PutUint32(s.q[4*i+j][r][:], v)
			}
		}
	}
}

// curveGeneric puts the curve's points, 128 added, for their numbers.
func (s *spread) curveGeneric(quads int) {
	for j := range quads {
		for r := range panelRows {
			q := &s.q[j][r]
			for i := range q {
				q[i] = uint8(quant.Curve[q[i]&15]) ^ 0x80
			}
		}
	}
}

// scales expands a block's scales and minima.
func (s *spread) scales(t quant.Type, b []byte) {
	w := words(b)
	for r := range panelRows {
		switch t {
		case quant.Q8_0, quant.Q4_0, quant.Q5_0, quant.IQ4_NL:
			s.scale[0][r] = quant.F16to32(getHalf(b, r))
		case quant.Q4_1, quant.Q5_1:
			d, m := super(w.at(0, r))
			s.scale[0][r], s.least[0][r] = d, -m
		case quant.IQ4_XS:
			d, high, low := quant.F16to32(uint16(w.at(0, r))), w.at(0, r)>>16, w.at(1, r)
			for g := range 8 {
				s.scale[g][r] = d * float32(int32(low>>(4*g)&15|high>>(2*g)&3<<4)-32)
			}
		case quant.Q2_K:
			d, dmin := super(w.at(0, r))
			for p := range 4 {
				v := w.at(1+p, r)
				for i := range 4 {
					s.scale[4*p+i][r], s.least[4*p+i][r] = d*float32(v&15), dmin*float32(v>>4&15)
					v >>= 8
				}
			}
		case quant.Q3_K:
			d, w := quant.F16to32(getHalf(b, r)), w[halfPlane:]
			low, high := uint64(w.at(0, r))|uint64(w.at(1, r))<<32, w.at(2, r)
			for g := range 16 {
				v := uint32(low>>(g%8*8+g/8*4)&15) | high>>(g%4*8+g/4*2)&3<<4
				s.scale[g][r] = d * float32(int32(v)-32)
			}
		case quant.Q4_K, quant.Q5_K:
			s.scales6(w, r)
		case quant.Q6_K:
			d, w := quant.F16to32(getHalf(b, r)), w[halfPlane:]
			for p := range 4 {
				v := w.at(p, r)
				for i := range 4 {
					s.scale[4*p+i][r] = d * float32(int8(v))
					v >>= 8
				}
			}
		}
	}
}

// super splits a word (d, dmin).
func super(v uint32) (d, dmin float32) {
	return quant.F16to32(uint16(v)), quant.F16to32(uint16(v >> 16))
}

// scales6 reads the 6-bit scales and minima of Q4_K and Q5_K: planes 1–3, eight runs of 32.
func (s *spread) scales6(w words, r int) {
	d, dmin := super(w.at(0, r))
	for b := range 8 {
		shift := b % 4 * 8
		scale, least := w.at(1, r)>>shift, w.at(2, r)>>shift
		if b >= 4 {
			v := w.at(3, r) >> shift
			scale, least = v&15|scale>>6&3<<4, v>>4&15|least>>6&3<<4
		}
		s.scale[b][r], s.least[b][r] = d*float32(scale&63), dmin*float32(least&63)
	}
}

// shape is what a format's blocks look like beside their fields.
type shape struct {
	runs, length  int  // runs of k that share a scale, and their length in quads
	minima        bool // there are minima, else the integers have an offset
	x             int  // bytes of a block of activations
	start, factor int  // offsets in it: what sums start from, the scale
	sums          int  // and the runs' sums; 0: −1/128 of what sums start from
	starts        int  // how many of these a run has
}

func shapeOf(t quant.Type) shape {
	k := shape{runs: 16, length: 4, x: act256Block, start: act256Init, factor: act256Scale, sums: act256Sum16,
		starts: 1}
	switch t {
	case quant.Q2_K:
		k.minima = true
	case quant.Q4_K, quant.Q5_K:
		k.runs, k.length, k.minima, k.sums = 8, 8, true, act256Sum32
	case quant.IQ4_XS, quant.IQ3_S, quant.IQ3_XXS, quant.IQ2_XXS, quant.IQ1_S:
		k.runs, k.length, k.starts = 8, 8, 2
	case quant.Q3_K, quant.Q6_K, quant.IQ2_S, quant.IQ2_XS, quant.IQ1_M:
	default:
		return shape{runs: 1, length: 8, x: act32Block, start: act32Init, factor: act32Scale, starts: 1,
			minima: t == quant.Q4_1 || t == quant.Q5_1}
	}
	return k
}

// startOf gives −128·Σ of the activations of run g.
func (k *shape) startOf(x []byte, g int) (start int32) {
	for i := range k.starts {
		start += int32(binary.LittleEndian.Uint32(x[k.start+4*(g*k.starts+i):]))
	}
	return start
}

// total gives the sum of the activations of run g.
func (k *shape) total(x []byte, g int) float32 {
	if k.sums == 0 {
		return float32(-k.startOf(x, g) / actOffset)
	}
	return float32(int16(getHalf(x[k.sums:], g)))
}

// addGeneric adds a block times its activations.
func (s *spread) addGeneric(acc *[panelRows]float32, x []byte, k *shape, shift uint) {
	factor := getFloat(x[k.factor:])
	for g := range k.runs {
		var start int32
		if !k.minima {
			start = k.startOf(x, g) >> shift
		}
		var sum [panelRows]int32
		s.sum(&sum, x, g*k.length, k.length, start)
		for r := range acc {
			acc[r] += float32(sum[r]) * (s.scale[g][r] * factor)
		}
		if k.minima {
			total := k.total(x, g) * factor
			for r := range acc {
				acc[r] -= s.least[g][r] * total
			}
		}
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
