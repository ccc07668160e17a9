package main

import (
	"fmt"
	"slices"
)

// zset says how the AVX-512 tier multiplies a super-block with a single column: runs that follow one another and share
// planes go together, so that memory is read once and in its order. Then planes move bytes on belong to the next runs.
// Floats are added in the order of runs, as for more columns.
//
// The fields of a format of two fields are at lowMask and highMask when the planes have been shifted by lowShift and
// highShift (to the right; negative: to the left), both so many bits further up as place says.
type zset struct {
	runs, move          int
	lowMask, highMask   uint32
	lowShift, highShift func(t int) int
}

// single is the code for one column. Registers: Z0 … Z17 sums of integers by run, scale and half, with the float sums
// Z12 and Z13 among them; from Z18 on masks; then a shifted plane, weights, and planes; Z28 … Z31 activations, if
// there is room.
type single struct {
	*file
	*super
	masks map[uint32]string
	free  int // the first register behind the masks
}

// single multiplies a super-block with a single column. CX walks the planes, R11 what sums start from, AX the
// activations, BX the scales, DX what is fetched, R14 counts.
func (f *file) single(s *super) {
	z := &single{file: f, super: s, masks: map[uint32]string{}, free: 18}
	for t := range 8 {
		for _, m := range []uint32{z.lowMask(t), z.highMask(t)} {
			if m != 0 && z.masks[m] == "" {
				z.masks[m] = fmt.Sprint("Z", z.free)
				f.p("VPBROADCASTD %s, Z%d", f.constant(repeat(m)), z.free)
				z.free++
			}
		}
	}
	runs, times := s.set.runs, 8/s.set.runs
	lines := (s.size/64 + times - 1) / times
	f.p("MOVQ DI, CX")
	f.p("MOVQ AX, R11")
	f.p("MOVQ DI, DX")
	f.p("MOVQ %d(SI), R9", argAhead)
	loop := f.label("set")
	if times > 1 {
		f.p("MOVQ $%d, R14", times)
		f.l(loop)
	}
	step := 0
	z.multiply(func() { f.fetchOne("DX", lines*step/16, lines*(step+1)/16); step++ })
	f.p("ADDQ $%d, BX", 128*s.groups()*runs)
	f.p("ADDQ $%d, AX", 32*runs)
	if times > 1 {
		f.p("ADDQ $%d, CX", s.set.move)
		f.p("ADDQ $%d, R11", 8*runs)
		f.p("ADDQ $%d, DX", 64*lines)
		f.p("DECQ R14")
		f.p("JNZ  %s", loop)
	}
	f.p("SUBQ $%d, BX", 8*128*s.groups())
}

func (z *single) lowMask(t int) uint32 {
	if z.high == nil {
		return z.mask(t)
	}
	return z.set.lowMask << z.place(t)
}

func (z *single) highMask(t int) uint32 { return z.set.highMask << z.place(t) }

// parks tells whether the sums of runs' first scales wait in the buffer, since all together have no registers.
func (z *single) parks() bool { return z.set.runs*z.groups()*halves > 16 }

// sum is the register of the sums of a set's run, its scale g and half h.
func (z *single) sum(run, g, h int) string {
	i := (run*z.groups()+g)*halves + h
	if z.parks() {
		i = run*halves + h
	}
	if i >= acc(0, 0) { // beside the float sums
		i += halves
	}
	return fmt.Sprint("Z", i)
}

// multiply does the runs of a set.
func (z *single) multiply(fetch func()) {
	groups := z.groups()
	each := func(from, to int, do func(t, g, h int, sum, parked string)) {
		for t := range z.set.runs {
			for g := from; g < to; g++ {
				for h := range halves {
					do(t, g, h, z.sum(t, g, h), fmt.Sprintf("%d(BX)", bufParked+64*(t*halves+h)))
				}
			}
		}
	}
	first := groups // scales whose sums begin together
	if z.parks() {
		first = 1
	}
	each(0, first, func(t, g, h int, sum, _ string) { z.begin(t, g, h, sum) })
	for q := range 8 {
		if q == 4 && z.parks() {
			each(0, 1, func(_, _, _ int, sum, parked string) { z.p("VMOVDQU32 %s, %s", sum, parked) })
			each(1, 2, func(t, g, h int, sum, _ string) { z.begin(t, g, h, sum) })
		}
		z.quad(q, fetch)
	}
	each(0, groups, func(t, g, h int, sum, parked string) {
		float := sum
		if z.parks() && g == 0 {
			sum, float = parked, fmt.Sprint("Z", z.free)
		}
		z.p("VCVTDQ2PS %s, %s", sum, float)
		z.p("VFMADD231PS %d(BX), %s, Z%d", bufScale+128*(groups*t+g)+64*h, float, acc(0, h))
	})
}

// begin sets what a sum starts from: −128·Σx, which belongs to integers up bits up, for a format with an offset.
func (z *single) begin(t, g, h int, sum string) {
	start := fmt.Sprintf("%d(R8)(R11*1)", 256+8*t+4*g)
	switch shift := z.up - z.place(t); {
	case z.super.minima:
		z.p("VPXORD %s, %s, %s", sum, sum, sum)
	case shift > 0:
		z.p("VPSRAD.BCST $%d, %s, %s", shift, start, sum)
	default:
		z.p("VPBROADCASTD %s, %s", start, sum)
	}
}

// planes lists where a quad's planes are, in the order of memory: so they are loaded.
func (z *single) planes() (all []int) {
	if z.high != nil {
		all = append(all, z.high(0))
	}
	for t := range z.set.runs {
		all = append(all, z.low(t))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// quad multiplies quad q of a set's runs.
func (z *single) quad(q int, fetch func()) {
	s := z.super
	activations := func(t int) string { return fmt.Sprintf("%d(R8)(AX*1)", 32*t+4*q) }
	keep := z.set.runs <= 4 // there is room for activations
	for t := 0; t < z.set.runs && keep; t++ {
		z.p("VPBROADCASTD %s, Z%d", activations(t), 28+t)
	}
	for h := range halves {
		fetch()
		at := s.step*q + 64*h
		next := z.free
		take := func() string { next++; return fmt.Sprint("Z", next-1) }
		moved, weights := take(), take()
		planes, shifted := map[int]string{}, map[int]string{}
		for _, plane := range z.planes() {
			planes[plane] = take()
			z.p("VMOVDQU32 %d(CX), %s", plane+at, planes[plane])
		}
		high := ""
		if s.high != nil {
			high = planes[s.high(0)]
			shifted[0] = high
		}
		for t := range z.set.runs {
			reg := planes[s.low(t)]
			if s.high != nil {
				reg = z.shifted(reg, s.set.lowShift(t), weights)
			}
			z.p("VPANDD %s, %s, %s", reg, z.masks[z.lowMask(t)], weights)
			if s.high != nil {
				by := s.set.highShift(t)
				if shifted[by] == "" {
					shifted = map[int]string{0: high, by: moved}
					z.shifted(high, by, moved)
				}
				z.p("VPTERNLOGD $0xf8, %s, %s, %s", shifted[by], z.masks[z.highMask(t)], weights)
			}
			if keep {
				z.p("VPDPBUSD Z%d, %s, %s", 28+t, weights, z.sum(t, q*s.groups()/8, h))
			} else {
				z.p("VPDPBUSD.BCST %s, %s, %s", activations(t), weights, z.sum(t, q*s.groups()/8, h))
			}
		}
	}
}
