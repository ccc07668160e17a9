package kernel

import (
	"fmt"
	"os"
)

// tiers, lowest first. Every tier above generic is a set of assembly twins of the generic functions.
const (
	tierGeneric = iota
	tierAVX2
	tierAVX512
)

var tierNames = [...]string{tierGeneric: "generic", tierAVX2: "avx2", tierAVX512: "avx512"}

// active is the tier in use. It is set at start-up, and by tests through ForceTier.
var active = startTier(os.Getenv("MIXTRAL_CPU_TIER"))

// startTier is the best tier of this machine, or the one asked for if the machine has it. A name that is unknown or
// beyond this machine falls back to generic, never to a crash on an illegal instruction.
func startTier(name string) int {
	if name == "" {
		return bestTier()
	}
	for t, n := range tierNames {
		if n == name && t <= bestTier() {
			return t
		}
	}
	return tierGeneric
}

// Tier names the instruction set in use: "generic", "avx2" or "avx512".
func Tier() string { return tierNames[active] }

// Tiers lists what this machine can run, lowest first.
func Tiers() []string { return append([]string(nil), tierNames[:bestTier()+1]...) }

// ForceTier switches to the named tier until restore is called. It is for tests and measurements: nothing may be
// computing meanwhile.
func ForceTier(name string) (restore func(), err error) {
	for t, n := range tierNames {
		if n == name {
			if t > bestTier() {
				return nil, fmt.Errorf("kernel: this machine cannot run tier %q; it can run %v", name, Tiers())
			}
			old := active
			active = t
			return func() { active = old }, nil
		}
	}
	return nil, fmt.Errorf("kernel: unknown tier %q", name)
}
