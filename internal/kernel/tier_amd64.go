package kernel

import "golang.org/x/sys/cpu"

// bestTier is what this machine can run. The AVX-512 tier uses F, BW, DQ, VL and VNNI (Ice Lake 2019, Zen 4 2022 and later).
func bestTier() int {
	x := &cpu.X86
	if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX512VNNI {
		return tierAVX512
	}
	return tierGeneric
}

// pause runs n PAUSE instructions: a polite busy-wait.
//
//go:noescape
func pause(n int32)
