package main

import "math"

// The functions here expand a super-block's scales, in planes from DI, into the buffer: scale[g] = d · scale, and
// pairs of minima as int16. The sums and the float registers are free meanwhile.

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

// divided puts d · 2⁻ˢʰⁱᶠᵗ into a register: the scale of fields that are multiplied where they stand.
func (f *file) divided(shift int, reg string) {
	f.p("MOVL $0x%08x, DX", math.Float32bits(float32(math.Ldexp(1, -shift))))
	f.p("VPBROADCASTD DX, %s", reg)
	f.p("VMULPS Z1, %s, %s", reg, reg)
}

// scale stores d times the integers in reg.
func (f *file) scale(reg, d string, g, h int) {
	f.p("VCVTDQ2PS %s, %s", reg, reg)
	f.p("VMULPS %s, %s, %s", d, reg, reg)
	f.p("VMOVUPS %s, %d(BX)", reg, bufScale+128*g+64*h)
}

// pair stores the low two bytes of each word of reg as two int16. Z22 = 0xff, Z21 = 0xff0000.
func (f *file) pair(reg string, p, h int) {
	f.p("VPANDD Z22, %s, Z9", reg)
	f.p("VPSLLD $8, %s, %s", reg, reg)
	f.p("VPANDD Z21, %s, %s", reg, reg)
	f.p("VPORD Z9, %s, %s", reg, reg)
	f.p("VMOVDQU32 %s, %d(BX)", reg, bufMin+128*p+64*h)
}

func (f *file) scalesQ4() { f.scales6(4) }
func (f *file) scalesQ5() { f.scales6(0) }

// scales6 is for Q4_K and Q5_K: plane 0 (d, dmin), planes 1–3 bytes 0–3, 4–7 and 8–11 of the packed 6-bit numbers. The
// integers of odd runs are shifted.
func (f *file) scales6(shift int) {
	f.broadcast(0x3f, "Z20")
	f.broadcast(0x0f, "Z19")
	f.broadcast(0x30, "Z18")
	f.broadcast(0x3f3f, "Z17")
	f.broadcast(0x0f0f, "Z16")
	f.broadcast(0x3030, "Z15")
	f.broadcast(0xff, "Z22")
	f.broadcast(0xff0000, "Z21")
	for h := range halves {
		f.dmin(0, h)
		ds := [2]string{"Z1", "Z1"}
		if shift > 0 {
			ds[1] = "Z10"
			f.divided(shift, ds[1])
		}
		f.p("VMOVDQU32 %d(DI), Z2", 128+64*h)
		f.p("VMOVDQU32 %d(DI), Z3", 256+64*h)
		f.p("VMOVDQU32 %d(DI), Z4", 384+64*h)
		for b := range 4 {
			f.p("VPSRLD $%d, Z2, Z8", 8*b)
			f.p("VPANDD Z20, Z8, Z8")
			f.scale("Z8", ds[b%2], b, h)
		}
		for b := range 4 {
			f.p("VPSRLD $%d, Z4, Z8", 8*b)
			f.p("VPANDD Z19, Z8, Z8")
			f.p("VPSRLD $%d, Z2, Z9", 8*b+2)
			f.p("VPANDD Z18, Z9, Z9")
			f.p("VPORD Z9, Z8, Z8")
			f.scale("Z8", ds[b%2], 4+b, h)
		}
		for p := range 2 {
			f.p("VPSRLD $%d, Z3, Z8", 16*p)
			f.p("VPANDD Z17, Z8, Z8")
			f.pair("Z8", p, h)
		}
		for p := range 2 {
			f.p("VPSRLD $%d, Z4, Z8", 16*p+4)
			f.p("VPANDD Z16, Z8, Z8")
			f.p("VPSRLD $%d, Z3, Z9", 16*p+2)
			f.p("VPANDD Z15, Z9, Z9")
			f.p("VPORD Z9, Z8, Z8")
			f.pair("Z8", 2+p, h)
		}
	}
}

// scalesQ2: planes 0–3 hold a scale in each byte's low and a minimum in its high nibble, plane 20 (d, dmin).
func (f *file) scalesQ2() {
	f.broadcast(0x0f, "Z19")
	f.broadcast(0x0f0f, "Z16")
	f.broadcast(0xff, "Z22")
	f.broadcast(0xff0000, "Z21")
	for h := range halves {
		f.dmin(20*128, h)
		ds := [4]string{"Z1", "Z10", "Z11", "Z12"} // run t: bits 2·(t mod 4) up
		for i := 1; i < 4; i++ {
			f.divided(2*i, ds[i])
		}
		for p := range 4 {
			f.p("VMOVDQU32 %d(DI), Z2", 128*p+64*h)
			for i := range 4 {
				f.p("VPSRLD $%d, Z2, Z8", 8*i)
				f.p("VPANDD Z19, Z8, Z8")
				f.scale("Z8", ds[(4*p+i)/2%4], 4*p+i, h)
			}
			for i := range 2 {
				f.p("VPSRLD $%d, Z2, Z8", 16*i+4)
				f.p("VPANDD Z16, Z8, Z8")
				f.pair("Z8", 2*p+i, h)
			}
		}
	}
}

// scalesQ6: planes 48–51 hold int8 scales, then a half-plane d.
func (f *file) scalesQ6() {
	for h := range halves {
		f.p("VCVTPH2PS %d(DI), Z1", 52*128+32*h)
		for p := range 4 {
			f.p("VMOVDQU32 %d(DI), Z2", (48+p)*128+64*h)
			for i := range 4 {
				f.p("VPSLLD $%d, Z2, Z8", 24-8*i)
				f.p("VPSRAD $24, Z8, Z8")
				f.scale("Z8", "Z1", 4*p+i, h)
			}
		}
	}
}

// scalesQ3: planes 24 and 25 hold the low four bits of 16 scales, plane 26 the upper two, then a half-plane d; 32 is
// subtracted.
func (f *file) scalesQ3() {
	f.broadcast(0x0f, "Z19")
	f.broadcast(0x30, "Z18")
	f.broadcast(32, "Z20")
	for h := range halves {
		f.p("VCVTPH2PS %d(DI), Z1", 27*128+32*h)
		for p := range 3 {
			f.p("VMOVDQU32 %d(DI), Z%d", (24+p)*128+64*h, 2+p)
		}
		for g := range 16 {
			f.p("VPSRLD $%d, Z%d, Z8", g%4*8+g/8*4, 2+g%8/4)
			f.p("VPANDD Z19, Z8, Z8")
			if shift := g%4*8 + g/4*2 - 4; shift >= 0 {
				f.p("VPSRLD $%d, Z4, Z9", shift)
			} else {
				f.p("VPSLLD $%d, Z4, Z9", -shift)
			}
			f.p("VPANDD Z18, Z9, Z9")
			f.p("VPORD Z9, Z8, Z8")
			f.p("VPSUBD Z20, Z8, Z8")
			f.scale("Z8", "Z1", g, h)
		}
	}
}
