package kernel

import "golang.org/x/sys/cpu"

// machineTiers lists the tiers above generic that this machine can run. Every arm64 processor has NEON. The products
// of four bytes (SDOT, the feature dotprod) came with Cortex-A76, Neoverse N1 and Apple's A13 and M1, those of two
// rows by two columns (SMMLA, the feature i8mm) with Neoverse V1 and N2, Cortex-A510 and Apple's M2. On macOS x/sys
// asks sysctl, on Linux the kernel's capabilities.
func machineTiers() []*tier {
	all := []*tier{&neon}
	if a := &cpu.ARM64; a.HasASIMDDP {
		all = append(all, &neonDotProd)
		if a.HasI8MM {
			all = append(all, &neonI8MM)
		}
	}
	return all
}

var neon = func() tier {
	t := generic
	t.name = "neon"
	t.mul = mulWith(&kernelsNEON)
	t.quantise32, t.quantise256 = quantise32Vectors, quantise256Vectors
	t.dot, t.scaleBy, t.addScaled, t.times, t.rope = dotVectors, scaleByVectors, addScaledVectors, timesVectors,
		ropeVectors
	t.swiglu, t.expSum, t.expScaled, t.highest = swigluVectors, expSumVectors, expScaledVectors, highestVectors
	t.put, t.widen, t.scores, t.values = putVectors, widenVectors, scoresVectors, valuesVectors
	t.fromF16 = fromF16Vectors
	t.touch, t.multiply, t.multiplyOps = touchVectors, func(n int) { multiplyNEON(int64(n)) }, 12*2*8
	return t
}()

var neonDotProd = func() tier {
	t := neon
	t.name = "neon-dotprod"
	t.mul = mulWith(&kernelsDotProd)
	t.multiply, t.multiplyOps = func(n int) { multiplyDotProd(int64(n)) }, 12*2*16
	return t
}()

var neonI8MM = func() tier {
	t := neonDotProd
	t.name = "neon-i8mm"
	t.mul = mulWith(&kernelsI8MM)
	t.multiply, t.multiplyOps = func(n int) { multiplyI8MM(int64(n)) }, 12*2*32
	return t
}()

// fetch asks for the lines of b, but for a rest below 256 bytes.
//
//go:noescape
func fetch(b []byte)

// pause waits n times some ten nanoseconds, politely.
//
//go:noescape
func pause(n int32)
