package kernel

import "golang.org/x/sys/cpu"

const firstTier = tierAVX2

// bestTier is what this machine can run. The AVX-512 tier uses F, BW, DQ, VL and VNNI (Ice Lake 2019, Zen 4 2022 and
// later). The AVX2 tier also uses FMA and F16C. x/sys/cpu has no F16C flag; every processor with both AVX2 and FMA
// has F16C (Haswell 2013, Excavator 2015 and later), since it came with the generation before.
func bestTier() int {
	x := &cpu.X86
	if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX512VNNI {
		return tierAVX512
	}
	if x.HasAVX2 && x.HasFMA {
		return tierAVX2
	}
	return tierGeneric
}

// fetch asks for the lines of b, but for a rest below 256 bytes.
//
//go:noescape
func fetch(b []byte)

// pause runs n PAUSE instructions: a polite busy-wait.
//
//go:noescape
func pause(n int32)
