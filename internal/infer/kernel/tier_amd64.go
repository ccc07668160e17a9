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
	t.actQ8 = act16
	t.quantise32, t.quantise16, t.quantise256 = quantise32Vector2, quantise16Vector2, quantise256Vector2
	t.dot, t.scaleBy, t.addScaled, t.times, t.rope = dot2, scaleBy2, addScaled2, times2, rope2
	t.swiglu, t.expSum, t.expScaled, t.highest = swiglu2, expSum2, expScaled2, highest2
	t.gather, t.blockSums = gather2, blockSums2
	t.put, t.widen, t.scores, t.values = put2, widen2, scores2, values2
	t.turns, t.turn, t.scoresTurned = func() bool { return true }, turn2, scoresTurned2
	t.direct, t.scoresDirect, t.valuesDirect = direct2, scoresDirect2, valuesDirect2
	t.fromF16, t.difference, t.search = fromF16Vector, differenceVector, scalesAVX2{}
	t.touch, t.multiply, t.multiplyOps = touch2, multiply2, multiplyOps2
	return t
}()

// avxvnni is the AVX2 tier with VPDPBUSD in its VEX form.
var avxvnni = func() tier {
	t := avx2
	t.name = "avxvnni"
	t.actQ8, t.mul, t.multiply = act32, tilesVNNI.mul, multiplyVNNI
	t.spreading = &spreading{multiply: multiplySpreadVNNI, block: spreadBlock2, curve: curveVNNI,
		minima: minimaVNNI, grid: gridSingle2}
	return t
}()

var avx512 = func() tier {
	t := avx2
	t.name = "avx512"
	t.actQ8, t.mul, t.pack = act32, tiles512.mul, packing512.panel
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
	t.scoresTurned = scoresTurned512
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

// fetchAhead is how many bytes ahead single columns fetch where weights are read in one direction; 0: they do not. If
// it is odd, they fetch into the L2 cache, and so do few columns, which always fetch. Zen 5 needs it (Q4_K is 40 %
// slower without). Zen 4 fetches better by itself: Q4_K reads at 95 % of the bandwidth so, and at 87 % with 9 KiB.
// Intel's Golden Cove needs it, and has more requests of the L2 cache under way than of the L1 cache: Q4_0 reads at 68
// % without, at 86 % with requests into the first cache, and at 93 % with those into the second one. Others have not
// been measured.
var fetchAhead = func() int64 {
	switch processor() & 0x0ff00f00 { // the family, and what is added to it
	case 0x00b00f00: // AMD 0x1a: Zen 5
		return 9 << 10
	case 0x00000600, 0x00300f00, 0x00400f00: // Intel 6, and the newer 18 and 19
		return 9<<10 | 1
	}
	return 0
}()

// unpackOnce tells whether kernels of K formats on AVX-512 unpack weights once for all groups of columns. Where that
// takes other ports than the products (Zen 4 and 5), each group does it beside them.
var unpackOnce = fetchAhead&1 != 0
