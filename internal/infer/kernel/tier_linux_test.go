package kernel

import (
	"encoding/binary"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestTiersOfMachine: what the kernel says the processor has must be there as a tier, so that no test run on such a
// machine passes without having been through the assembly.
func TestTiersOfMachine(t *testing.T) {
	var want map[string]bool
	switch runtime.GOARCH {
	case "amd64":
		has := flagsOf(t)
		want = map[string]bool{
			"avx2":    has("avx2", "fma", "f16c"),
			"avxvnni": has("avx2", "fma", "f16c", "avx_vnni"),
			"avx512":  has("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"),
		}
	case "arm64":
		const asimdDP, i8mm = 1 << 20, 1 << 13 // asm/hwcap.h
		first, second := capabilities(t)
		want = map[string]bool{
			"neon":         true,
			"neon-dotprod": first&asimdDP != 0,
			"neon-i8mm":    first&asimdDP != 0 && second&i8mm != 0,
		}
	default:
		if got := Tiers(); len(got) != 1 {
			t.Errorf("tiers %v without assembly", got)
		}
	}
	for tier, want := range want {
		if got := slices.Contains(Tiers(), tier); got != want {
			t.Errorf("tier %s: %v, the system says %v", tier, got, want)
		}
	}
}

// flagsOf reads the processor's flags as x86 Linux lists them.
func flagsOf(t *testing.T) (has func(all ...string) bool) {
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
	return func(all ...string) bool {
		return !slices.ContainsFunc(all, func(f string) bool { return !slices.Contains(flags, f) })
	}
}

// capabilities reads both words of processor features that the kernel hands to a program (getauxval(3)): under an
// emulator /proc/cpuinfo may be the host's.
func capabilities(t *testing.T) (first, second uint64) {
	const hwcap, hwcap2 = 16, 26
	b, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		t.Fatal(err)
	}
	for ; len(b) >= 16; b = b[16:] {
		switch v := binary.LittleEndian.Uint64(b[8:]); binary.LittleEndian.Uint64(b) {
		case hwcap:
			first = v
		case hwcap2:
			second = v
		}
	}
	return first, second
}
