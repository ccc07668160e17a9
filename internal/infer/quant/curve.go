package quant

import (
	"encoding/binary"
	"math"
)

// The packers of IQ4_NL and IQ4_XS look for the scale whose nearest points of the curve leave the least squared error.

// curveSteps is how many scales are tried for each sign: twice as many win less than 0.3 % on Gaussian groups.
const curveSteps = 9

// curveNearest gives the index of the curve's nearest point to h/2 + 1/4, for h = −256 … 255: the curve's midpoints
// are multiples of a half, so that no point between h/2 and (h+1)/2 is nearer to another.
var curveNearest = func() (n [512]byte) {
	for h := range n {
		y := float64(h-256)/2 + 0.25
		for i, v := range Curve {
			if math.Abs(float64(v)-y) < math.Abs(float64(Curve[n[h]])-y) {
				n[h] = byte(i)
			}
		}
	}
	return n
}()

// onCurve gives the index of the point nearest to y.
func onCurve(y float32) byte {
	if !(y > -128) { // a NaN, too: zero times a scale too large for float32
		return 0
	}
	return curveNearest[int(min(y, 127.5)*2+256)] // truncation is floor, as nothing is below 0
}

// alongCurve gives Σ w·c·x and Σ w·c² with the curve's points nearest to x·inv.
func alongCurve(x, w []float32, inv float32) (cx, cc float32) {
	if w == nil {
		w = ones[:]
	}
	w = w[:len(x)]
	for i, v := range x {
		c := float32(Curve[onCurve(v*inv)])
		wc := w[i] * c
		cx += float32(wc * v)
		cc += float32(wc * c)
	}
	return cx, cc
}

// curveScale finds the scale d that leaves the least Σ w·(x − d·c)². top is x's element of largest magnitude.
func (p *Packer) curveScale(x, w []float32, top float32) float32 {
	if top == 0 {
		return 0
	}
	unit := invert(top)
	var d, most float32
	for _, end := range [...]float32{-127, 113} { // the point that the largest element becomes
		for k := range curveSteps {
			cx, cc := alongCurve(x, w, (end+3*float32(k-curveSteps/2))*unit)
			if gain := cx * cx / (cc + leastSum); gain > most {
				d, most = cx/(cc+leastSum), gain
			}
		}
	}
	return d
}

// curveBytes stores the 32 nibbles of x under scale d.
func curveBytes(dst []byte, x []float32, d float32) {
	inv := invert(d)
	dst = dst[:16]
	for i := range dst {
		dst[i] = onCurve(x[i]*inv) | onCurve(x[i+16]*inv)<<4
	}
}

func packIQ4_NL(p *Packer, dst []byte, src []float32) {
	b := (*[18]byte)(dst)
	top := p.magnitude(src)
	p.normalise(src, top)
	x := p.x[:classicLen]
	d := p.curveScale(x, p.weight(0, classicLen), p.arithmetic.Extreme(x))
	curveBytes(b[2:], x, putScale(b[:2], d*top)*invert(top))
}

func packIQ4_XS(p *Packer, dst []byte, src []float32) {
	b := (*[136]byte)(dst)
	top, g := p.magnitude(src), &p.grid
	p.normalise(src, top)
	for i := range 8 {
		x := p.x[32*i : 32*i+32]
		g.scale[i] = p.curveScale(x, p.weight(32*i, 32), p.arithmetic.Extreme(x))
	}
	du := putScale(b[:2], extreme(g.scale[:8])/-32*top) * invert(top) // the largest becomes −32: that end has one more
	du1 := invert(du)
	clear(b[2:8])
	high := uint16(0)
	for i := range 8 {
		x, w := p.x[32*i:32*i+32], p.weight(32*i, 32)
		first := nearest(g.scale[i]*du1, -32, 31)
		best, most := first, float32(math.Inf(-1))
		for k := int32(-2); k <= 2; k++ {
			s := clampCode(first+k, -32, 31)
			ds := du * float32(s)
			cx, cc := alongCurve(x, w, invert(ds))
			if gain := ds * (2*cx - ds*cc); gain > most {
				best, most = s, gain
			}
		}
		curveBytes(b[8+16*i:], x, du*float32(best))
		s := byte(best + 32)
		b[4+i/2] |= s & 15 << (4 * (i % 2))
		high |= uint16(s>>4) << (2 * i)
	}
	binary.LittleEndian.PutUint16(b[2:4], high)
}
