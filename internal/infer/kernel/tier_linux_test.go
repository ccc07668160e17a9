package kernel

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestTiersOfMachine: what the kernel says the processor has must be there as a tier, so that no test run on such a
// machine passes without having been through the assembly.
func TestTiersOfMachine(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		if got := Tiers(); len(got) != 1 {
			t.Errorf("tiers %v without assembly", got)
		}
		return
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	var flags []string
	for line := range strings.Lines(string(info)) {
		if name, list, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "flags" {
			flags = strings.Fields(list)
			break
		}
	}
	has := func(all ...string) bool {
		return !slices.ContainsFunc(all, func(f string) bool { return !slices.Contains(flags, f) })
	}
	for tier, want := range map[string]bool{
		"avx2":    has("avx2", "fma", "f16c"),
		"avxvnni": has("avx2", "fma", "f16c", "avx_vnni"),
		"avx512":  has("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"),
	} {
		if got := slices.Contains(Tiers(), tier); got != want {
			t.Errorf("tier %s: %v, the processor's flags say %v", tier, got, want)
		}
	}
}
