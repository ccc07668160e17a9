package kernel

import "golang.org/x/sys/cpu"

const firstTier = tierNEON

// bestTier is what this machine can run. Every arm64 processor has NEON. The products of four bytes (SDOT, the
// feature dotprod) came with Cortex-A76, Neoverse N1 and Apple's A11, those of two rows by two columns (SMMLA, i8mm)
// with Neoverse V1 and N2, Cortex-A710 and Apple's M2.
func bestTier() int {
	a := &cpu.ARM64
	switch {
	case a.HasASIMDDP && a.HasI8MM:
		return tierI8MM
	case a.HasASIMDDP:
		return tierDotProd
	}
	return tierNEON
}

// fetch asks for the lines of b, but for a rest below 256 bytes.
//
//go:noescape
func fetch(b []byte)

// pause waits n times about ten nanoseconds.
//
//go:noescape
func pause(n int32)
