package probe

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// Machine describes the computer on which the certifier runs: os, arch, go and cores, and if they are known kernel,
// cpu and memory_gb.
func Machine() map[string]string {
	m := map[string]string{"os": runtime.GOOS, "arch": runtime.GOARCH, "go": runtime.Version(),
		"cores": strconv.Itoa(runtime.NumCPU())}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m["kernel"] = strings.TrimSpace(string(kernel))
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if name := cpuName(string(info)); name != "" {
			m["cpu"] = name
		}
	}
	if gb, ok := Memory(); ok {
		m["memory_gb"] = strconv.FormatFloat(gb, 'f', 1, 64)
	}
	return m
}

// cpuName finds the processor's name in /proc/cpuinfo; "" for ARM, which has none there.
func cpuName(info string) string {
	for line := range strings.Lines(info) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Memory is the machine's memory in units of 2³⁰ bytes. ok is false if the system does not report it.
func Memory() (gb float64, ok bool) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, false
	}
	info, err := fs.Meminfo()
	if err != nil || info.MemTotalBytes == nil {
		return 0, false
	}
	return float64(*info.MemTotalBytes) / (1 << 30), true
}
