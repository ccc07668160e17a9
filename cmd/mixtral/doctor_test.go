package main

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// goodFacts describes a machine without any problem.
func goodFacts() facts {
	return facts{
		OS: "linux", Arch: "amd64", Tier: "avx512",
		Peaks:    []kernel.Peak{{Tier: "generic", GOPs: 3}, {Tier: "avx2", GOPs: 450}, {Tier: "avx512", GOPs: 900}},
		Wants:    testcases.Environment{CPUCores: 8, MemoryGB: 90, StorageGB: 10},
		Limits:   host.Limits{Cores: 16, Memory: 128 << 30, Available: 120 << 30},
		DiskFree: 100 << 30, OpenFiles: 65536, HugePages: "madvise", Port: 11400,
	}
}

func TestDiagnose(t *testing.T) {
	for _, f := range diagnose(goodFacts()) {
		if f.Level != "ok" || f.Hint != "" || f.Value == "" {
			t.Errorf("%+v", f)
		}
	}
	for _, test := range []struct {
		change            func(*facts)
		name, level, hint string
	}{
		{func(f *facts) { f.Tier = "generic" }, "cpu", "note", "MIXTRAL_CPU_TIER"},
		{func(f *facts) { f.Refused = errors.New("must be one of these") }, "cpu", "note", "must be one of these"},
		{func(f *facts) { f.Tier = "avx2" }, "cpu", "note", "avx512, 2.0 times"},
		{func(f *facts) { f.Tier, f.Peaks = "generic", f.Peaks[:1] }, "cpu", "note", "avx2"},
		{func(f *facts) { f.Tier, f.Peaks = "avx2", f.Peaks[:2] }, "cpu", "ok", "next tier, avxvnni"},
		{func(f *facts) {
			f.Arch, f.Tier, f.Peaks = "arm64", "neon", []kernel.Peak{{Tier: "generic"}, {Tier: "neon", GOPs: 90}}
		}, "cpu", "ok", "neon-dotprod"},
		{func(f *facts) { f.Arch, f.Tier, f.Peaks = "riscv64", "generic", f.Peaks[:1] }, "cpu", "note",
			"no optimised kernels"},
		{func(f *facts) { f.Limits.Cores = 2 }, "cores", "note", "asks for 8"},
		{func(f *facts) { f.Limits.Quota, f.Limits.Group = 1.5, "cgroup v2" }, "cores", "note", "asks for 8"},
		{func(f *facts) { f.Limits.Memory, f.Limits.Available = 64<<30, 60<<30 }, "memory", "note", "90 GiB"},
		{func(f *facts) { f.Limits.Available = 10 << 30 }, "memory", "note", "other programs"},
		{func(f *facts) { f.Limits = host.Limits{Cores: 8} }, "memory", "note", "memory_limit_gb"},
		{func(f *facts) { f.Limits.GroupMemory, f.Limits.Group = 4<<30, "cgroup v1" }, "mixtral-8x7b", "note", "Q2_K"},
		{func(f *facts) { f.DiskFree = 1 << 30 }, "disk", "note", "10 GiB"},
		{func(f *facts) { f.DiskErr = errors.New("no") }, "disk", "note", ""},
		{func(f *facts) { f.HugePages = "never" }, "huge pages", "note", "madvise"},
		{func(f *facts) { f.PagesErr = errors.New("no") }, "huge pages", "note", ""},
		{func(f *facts) { f.OpenFiles = 256 }, "open files", "note", "ulimit"},
		{func(f *facts) { f.FilesErr = errors.New("no") }, "open files", "note", ""},
		{func(f *facts) { f.PortErr = fmt.Errorf("listen: %w", syscall.EADDRINUSE) }, "port 11400", "bad", "--port"},
		{func(f *facts) { f.PortErr = syscall.EACCES }, "port 11400", "bad", "--port"},
	} {
		f := goodFacts()
		test.change(&f)
		found := false
		for _, got := range diagnose(f) {
			if got.Name == test.name {
				found = true
				if got.Level != test.level || !strings.Contains(got.Hint, test.hint) {
					t.Errorf("%+v, want %s with %q", got, test.level, test.hint)
				}
			}
		}
		if !found {
			t.Errorf("no finding %q", test.name)
		}
	}
}

// TestServed: the sizes of the formats fall, and the largest and smallest are near the known files: 93.4 GB of 16-bit
// weights, and about 2.6 bits for each of 46.7 billion weights.
func TestServed(t *testing.T) {
	for i, typ := range formats[1:] {
		if served(typ) >= served(formats[i]) {
			t.Errorf("%v is not smaller than %v", typ, formats[i])
		}
	}
	if f16 := float64(served(quant.F16)) / 1e9; f16 < 93.4 || f16 > 95 {
		t.Errorf("F16 takes %.1f GB", f16)
	}
	if q2 := float64(served(quant.Q2_K)) / 1e9; q2 < 15 || q2 > 17 {
		t.Errorf("Q2_K takes %.1f GB", q2)
	}
}

// TestUntimedGains: doctor promises no measured gain on processors on which nothing was timed.
func TestUntimedGains(t *testing.T) {
	for _, tier := range cpuTiers["arm64"][1:] {
		f := goodFacts()
		f.Arch, f.Tier, f.Peaks = "arm64", "neon", []kernel.Peak{{Tier: "neon", GOPs: 90}}
		if tier.name == "neon-i8mm" {
			f.Tier, f.Peaks = "neon-dotprod", []kernel.Peak{{Tier: "neon-dotprod", GOPs: 90}}
		}
		if got := diagnoseCPU(f); !strings.Contains(got.Hint, tier.name) || !strings.Contains(got.Hint, "not timed") {
			t.Errorf("%s: %q", tier.name, got.Hint)
		}
	}
}
