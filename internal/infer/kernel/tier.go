// Package kernel computes: packed weight matrices times batches of activation rows, attention over F16 keys and
// values, and the element-wise functions of a transformer, in portable Go and in assembly, over a persistent
// worker pool.
//
// It knows slices and block formats only. It must not import the model, the container or anything that does I/O.
//
// Two rules hold for every tier. The order in which one output value is summed is fixed: it does not depend on how
// many columns or rows are computed beside it, so a sequence's result does not depend on its batch. And NaN or Inf in
// an input reaches the output as NaN or Inf, so that a broken model is seen and not served.
package kernel

import (
	"fmt"
	"os"
)

// tiers of each architecture, lowest first. Every tier above generic is a set of assembly twins of the generic
// functions. An architecture's own tiers are neighbours, from its firstTier on.
const (
	tierGeneric = iota
	tierNEON
	tierDotProd
	tierI8MM
	tierAVX2
	tierAVX512
)

var tierNames = [...]string{
	tierGeneric: "generic",
	tierNEON:    "neon", tierDotProd: "neon-dotprod", tierI8MM: "neon-i8mm",
	tierAVX2: "avx2", tierAVX512: "avx512",
}

// runs says whether this machine has a tier.
func runs(tier int) bool {
	return tier == tierGeneric || firstTier <= tier && tier <= bestTier()
}

// noAssembly is what stands for the functions of other architectures' tiers says when it is called: never.
const noAssembly = "kernel: no assembly"

// isNEON says whether the tier is one of arm64's.
func isNEON(tier int) bool { return tierNEON <= tier && tier <= tierI8MM }

// active is the tier in use. It is set at start-up, and by tests through ForceTier.
var active = startTier(os.Getenv("MIXTRAL_CPU_TIER"))

// startTier is the best tier of this machine, or the one asked for if the machine has it. A name that is unknown or
// beyond this machine falls back to generic, never to a crash on an illegal instruction.
func startTier(name string) int {
	if name == "" {
		return bestTier()
	}
	for t, n := range tierNames {
		if n == name && runs(t) {
			return t
		}
	}
	return tierGeneric
}

// Tier names the instruction set in use: "generic"; "avx2" or "avx512"; "neon", "neon-dotprod" or "neon-i8mm".
func Tier() string { return tierNames[active] }

// Tiers lists what this machine can run, lowest first.
func Tiers() []string {
	var names []string
	for t, n := range tierNames {
		if runs(t) {
			names = append(names, n)
		}
	}
	return names
}

// ForceTier switches to the named tier until restore is called. It is for tests and measurements: nothing may be
// computing meanwhile.
func ForceTier(name string) (restore func(), err error) {
	for t, n := range tierNames {
		if n == name {
			if !runs(t) {
				return nil, fmt.Errorf("kernel: tier %q is beyond this machine (it has %v)", name, Tiers())
			}
			old := active
			active = t
			return func() { active = old }, nil
		}
	}
	return nil, fmt.Errorf("kernel: unknown tier %q", name)
}
