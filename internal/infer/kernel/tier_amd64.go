package kernel

import "golang.org/x/sys/cpu"

// machineTiers lists the tiers above generic that this machine can run. The AVX-512 tier uses F, BW, DQ, VL and VNNI
// (Ice Lake 2019, Zen 4 2022 and later). The AVX2 tier also uses FMA and F16C. x/sys/cpu has no F16C flag; every
// processor with both AVX2 and FMA has F16C (Haswell 2013, Excavator 2015 and later), since it came with the
// generation before. The AVX-VNNI tier is for processors that have its VPDPBUSD (Alder Lake 2021, Zen 5 2024 and
// later).
func machineTiers() []*tier {
	var all []*tier
	x := &cpu.X86
	if x.HasAVX2 && x.HasFMA {
		all = append(all, &avx2)
		if hasAVXVNNI {
			all = append(all, &avxvnni)
		}
		if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX512VNNI {
			all = append(all, &avx512)
		}
	}
	return all
}

var avx2 = func() tier {
	t := generic
	t.name = "avx2"
	t.mul, t.pack = tiles2.mul, packing2.panel
	t.spreading = &spreading{multiply: multiplySpread2, block: spreadBlock2, curve: curve2, grid: gridSingle2}
	t.quantise32, t.quantise256 = quantise32Vector2, quantise256Vector2
	t.dot, t.scaleBy, t.addScaled, t.times, t.rope = dot2, scaleBy2, addScaled2, times2, rope2
	t.swiglu, t.expSum, t.expScaled, t.highest = swiglu2, expSum2, expScaled2, highest2
	t.gather, t.blockSums = gather2, blockSums2
	t.put, t.widen, t.scores, t.values = put2, widen2, scores2, values2
	t.direct, t.scoresDirect, t.valuesDirect = direct2, scoresDirect2, valuesDirect2
	t.fromF16, t.difference, t.search = fromF16Vector, differenceVector, scalesAVX2{}
	t.touch, t.multiply, t.multiplyOps = touch2, multiply2, multiplyOps2
	return t
}()

// avxvnni is the AVX2 tier with VPDPBUSD in its VEX form.
var avxvnni = func() tier {
	t := avx2
	t.name = "avxvnni"
	t.mul, t.multiply = tilesVNNI.mul, multiplyVNNI
	return t
}()

var avx512 = func() tier {
	t := avx2
	t.name = "avx512"
	t.mul, t.pack = tiles512.mul, packing512.panel
	t.spreading = &spreading{multiply: multiplySpread512, block: spreadBlock2, curve: curve512, grid: gridSingle2}
	if hasVBMI {
		t.spreading = &spreading{multiply: multiplySpread512, block: spreadBlock512, curve: curveVBMI,
			grid: gridSingle512}
	}
	t.quantise32, t.quantise256 = quantise32Vector512, quantise256Vector512
	t.dot, t.scaleBy, t.addScaled, t.times, t.rope = dot512, scaleBy512, addScaled512, times512, rope512
	t.swiglu, t.expSum, t.expScaled, t.highest = swiglu512, expSum512, expScaled512, highest512
	t.gather, t.blockSums = gather512, blockSums512
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

// processor gives the processor's family and model, as CPUID has them.
func processor() uint32

// fetchAhead is how many bytes ahead single columns on AVX-512 fetch where weights are read in one direction; 0: they
// do not. Zen 5 needs it (Q4_K is 40 % slower without). Zen 4 fetches better by itself: Q4_K reads at 95 % of the
// bandwidth so, and at 87 % with 9 KiB.
var fetchAhead = func() int64 {
	const zen4 = 0x00a00f00 // family 0x19, whose processors with AVX-512 are of this kind
	if processor()&0x0ff00f00 == zen4 {
		return 0
	}
	return 9 << 10
}()
