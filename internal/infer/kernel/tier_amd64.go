package kernel

import "golang.org/x/sys/cpu"

// machineTiers lists the tiers above generic that this machine can run. The AVX-512 tier uses F, BW, DQ, VL and VNNI
// (Ice Lake 2019, Zen 4 2022 and later). The AVX2 tier also uses FMA and F16C. x/sys/cpu has no F16C flag; every
// processor with both AVX2 and FMA has F16C (Haswell 2013, Excavator 2015 and later), since it came with the
// generation before.
func machineTiers() []*tier {
	var all []*tier
	x := &cpu.X86
	if x.HasAVX2 && x.HasFMA {
		all = append(all, &avx2)
		if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX512VNNI {
			all = append(all, &avx512)
		}
	}
	return all
}

var avx2 = func() tier {
	t := generic
	t.name = "avx2"
	t.mul = tiles2.mul
	t.spreading = &spreading{multiply: multiplySpread2, block: spreadBlock2, quads: quadsOfRows2}
	t.dot, t.addScaled, t.swiglu, t.expSum = dot2, addScaled2, swiglu2, expSum2
	t.put, t.widen, t.scores, t.values = put2, widen2, scores2, values2
	t.fromF16, t.difference, t.search = fromF16Vector, differenceVector, scalesAVX2{}
	return t
}()

var avx512 = func() tier {
	t := avx2
	t.name = "avx512"
	t.mul, t.pack = tiles512.mul, (*Matrix).packPanelAVX512
	t.spreading = &spreading{multiply: multiplySpread512, block: spreadBlock2, quads: quadsOfRows2}
	t.quantise32, t.quantise256 = quantise32Vector512, quantise256Vector512
	t.dot, t.scaleBy, t.addScaled, t.times, t.rope = dot512, scaleBy512, addScaled512, times512, rope512
	t.swiglu, t.expSum, t.expScaled, t.highest = swiglu512, expSum512, expScaled512, highest512
	t.put, t.widen, t.scores, t.values = put512, widen512, scores512, values512
	t.direct, t.scoresDirect, t.valuesDirect = direct512, scoresDirect512, valuesDirect512
	t.touch, t.multiply, t.multiplyOps = touch512, multiply512, multiplyOps512
	return t
}()

// fetch asks for the lines of b, but for a rest below 256 bytes.
//
//go:noescape
func fetch(b []byte)

// pause runs n PAUSE instructions: a polite busy-wait.
//
//go:noescape
func pause(n int32)
