package main

import (
	"fmt"
	"math"
)

// The functions here expand a super-block's scales, in planes from DI, into the buffer: scale[g] = d · scale, and
// pairs of minima as int16. The sums and the float registers of more columns than one are free meanwhile. A scale's
// byte goes to the top of its word, so that it is 2²⁴ times as large, and d is so much smaller: both are exact.
//
// Registers: Z0 temporary, Z1 d, Z2 … Z5 planes, Z6 and Z7 what takes pairs of bytes apart, Z8 and Z9 results,
// Z10 … Z13 factors, Z14 … Z17 what brings bytes to the top, Z18 minima.

// expand starts an expansion: it loads what takes bytes out of words.
func (f *file) expand(s *super) {
	for i := range 4 {
		f.p("VBROADCASTI32X4 %s, Z%d", f.shuffle(zero, zero, zero, i), 14+i)
	}
	for i := 0; i < 2 && s.minima; i++ {
		f.p("VBROADCASTI32X4 %s, Z%d", f.shuffle(2*i, zero, 2*i+1, zero), 6+i)
	}
}

// dmin splits the plane at off: d to Z1, dmin to the buffer.
func (f *file) dmin(off, h int) {
	f.p("VMOVDQU32 %d(DI), Z0", off+64*h)
	f.p("VPMOVDW Z0, Y1")
	f.p("VCVTPH2PS Y1, Z1")
	f.p("VPSRLD $16, Z0, Z0")
	f.p("VPMOVDW Z0, Y0")
	f.p("VCVTPH2PS Y0, Z0")
	f.p("VMOVUPS Z0, %d(BX)", bufDmin+64*h)
}

// factors multiplies d with the powers of two that runs need, and gives the register for each run.
func (f *file) factors(s *super, n int) (regs [8]string) {
	made := map[int]string{}
	for t := range regs {
		e := s.exponent(n, t)
		if made[e] == "" {
			made[e] = fmt.Sprint("Z", 10+len(made))
			f.p("VMULPS.BCST %s, Z1, %s", f.constant(math.Float32bits(float32(math.Ldexp(1, e-24)))), made[e])
		}
		regs[t] = made[e]
	}
	return regs
}

// scales stores d times the bytes of the words of a register, which are the scales from g on.
func (f *file) scales(s *super, reg string, factors [8]string, g, h int) {
	for i := range 4 {
		r := fmt.Sprint("Z", 8+i%2)
		f.p("VPSHUFB Z%d, %s, %s", 14+i, reg, r)
		f.p("VCVTDQ2PS %s, %s", r, r)
		f.p("VMULPS %s, %s, %s", factors[(g+i)/s.groups()], r, r)
		f.p("VMOVUPS %s, %d(BX)", r, bufScale+128*(g+i)+64*h)
	}
}

// pairs stores the bytes of the words of a register as pairs 2p and 2p+1 of int16. With a single column it multiplies
// them with its sums instead, and the last one stores the result.
func (f *file) pairs(s *super, n int, reg string, p, h int) {
	for i := range 2 {
		r := fmt.Sprint("Z", 8+i)
		f.p("VPSHUFB Z%d, %s, %s", 6+i, reg, r)
		if n > 1 {
			f.p("VMOVDQU32 %s, %d(BX)", r, bufMin+128*(2*p+i)+64*h)
			continue
		}
		if p+i == 0 {
			f.p("VPXORD Z18, Z18, Z18")
		}
		f.p("VPDPWSSD.BCST %d(R8)(AX*1), %s, Z18", s.sums()+4*(2*p+i), r)
		if 2*p+i == 4*s.groups()-1 {
			f.p("VMOVDQU32 Z18, %d(BX)", bufMin+64*h)
		}
	}
}

// and leaves the bits v of a register in another.
func (f *file) and(v uint32, reg, to string) { f.p("VPANDD.BCST %s, %s, %s", f.constant(v), reg, to) }

// nibbles leaves four bits of each byte of low, shifted to the right, and above these two bits of each byte of high,
// shifted so that they are in their place, in to.
func (f *file) nibbles(low string, lowShift int, high string, highShift int, to string) {
	f.and(0x0f0f0f0f, f.shifted(low, lowShift, to), to)
	high = f.shifted(high, highShift, "Z0")
	f.p("VPTERNLOGD.BCST $0xf8, %s, %s, %s", f.constant(0x30303030), high, to) // to | high & 0x30
}

// shifted leaves a register's words, shifted to the right or, if by is negative, to the left, in another, and gives
// the register that has them.
func (f *file) shifted(reg string, by int, to string) string {
	switch {
	case by > 0:
		f.p("VPSRLD $%d, %s, %s", by, reg, to)
	case by < 0:
		f.p("VPSLLD $%d, %s, %s", -by, reg, to)
	default:
		return reg
	}
	return to
}

// scales6 is for Q4_K and Q5_K: plane 0 (d, dmin), planes 1–3 bytes 0–3, 4–7 and 8–11 of the packed 6-bit numbers.
func (f *file) scales6(s *super, n int) {
	f.expand(s)
	for h := range halves {
		f.dmin(0, h)
		factors := f.factors(s, n)
		for p := range 3 {
			f.p("VMOVDQU32 %d(DI), Z%d", 128*(p+1)+64*h, 2+p)
		}
		f.nibbles("Z4", 0, "Z2", 2, "Z5")
		f.and(0x3f3f3f3f, "Z2", "Z2")
		f.scales(s, "Z2", factors, 0, h)
		f.scales(s, "Z5", factors, 4, h)
		f.nibbles("Z4", 4, "Z3", 2, "Z5")
		f.and(0x3f3f3f3f, "Z3", "Z3")
		f.pairs(s, n, "Z3", 0, h)
		f.pairs(s, n, "Z5", 1, h)
	}
}

// scalesQ2: plane 0 (d, dmin), planes 1–4 hold a scale in each byte's low and a minimum in its high nibble.
func (f *file) scalesQ2(s *super, n int) {
	f.expand(s)
	for h := range halves {
		f.dmin(0, h)
		factors := f.factors(s, n)
		for p := range 4 {
			f.p("VMOVDQU32 %d(DI), Z2", 128*(1+p)+64*h)
			f.p("VPSRLD $4, Z2, Z3")
			f.and(0x0f0f0f0f, "Z2", "Z2")
			f.and(0x0f0f0f0f, "Z3", "Z3")
			f.scales(s, "Z2", factors, 4*p, h)
			f.pairs(s, n, "Z3", p, h)
		}
	}
}

// scalesQ6: a half-plane d, then planes 0–3 of int8 scales.
func (f *file) scalesQ6(s *super, n int) {
	f.expand(s)
	for h := range halves {
		f.p("VCVTPH2PS %d(DI), Z1", 32*h)
		factors := f.factors(s, n)
		for p := range 4 {
			f.p("VMOVDQU32 %d(DI), Z2", 64+128*p+64*h)
			f.scales(s, "Z2", factors, 4*p, h)
		}
	}
}

// scalesQ3: a half-plane d, then planes 0 and 1 with the low four bits of 16 scales and plane 2 with the upper two; 32
// is subtracted.
func (f *file) scalesQ3(s *super, n int) {
	f.expand(s)
	f.p("VPBROADCASTD %s, Z6", f.constant(0x20202020))
	for h := range halves {
		f.p("VCVTPH2PS %d(DI), Z1", 32*h)
		factors := f.factors(s, n)
		for p := range 3 {
			f.p("VMOVDQU32 %d(DI), Z%d", 64+128*p+64*h, 2+p)
		}
		for p := range 4 {
			f.nibbles(fmt.Sprint("Z", 2+p%2), p/2*4, "Z4", 2*p-4, "Z5")
			f.p("VPSUBB Z6, Z5, Z5")
			f.scales(s, "Z5", factors, 4*p, h)
		}
	}
}
