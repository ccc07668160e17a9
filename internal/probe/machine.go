package probe

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// Machine describes the computer that the certifier runs on, as far as the system tells.
func Machine() map[string]string {
	m := map[string]string{"os": runtime.GOOS, "arch": runtime.GOARCH, "go": runtime.Version(), "cores": strconv.Itoa(runtime.NumCPU())}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m["kernel"] = strings.TrimSpace(string(kernel))
	}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return m
	}
	if info, err := fs.CPUInfo(); err == nil && len(info) > 0 && info[0].ModelName != "" {
		m["cpu"] = info[0].ModelName
	}
	if gb, ok := memoryGB(fs); ok {
		m["memory_gb"] = strconv.FormatFloat(gb, 'f', 1, 64)
	}
	return m
}

// memoryGB is the machine's memory in units of 2³⁰ bytes.
func memoryGB(fs procfs.FS) (float64, bool) {
	info, err := fs.Meminfo()
	if err != nil || info.MemTotalBytes == nil {
		return 0, false
	}
	return float64(*info.MemTotalBytes) / (1 << 30), true
}

// Memory is the machine's memory in units of 2³⁰ bytes; ok is false where the system does not tell.
func Memory() (gb float64, ok bool) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, false
	}
	return memoryGB(fs)
}
