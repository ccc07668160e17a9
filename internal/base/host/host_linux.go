package host

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

func readLimits(l *Limits) {
	if fs, err := procfs.NewDefaultFS(); err == nil {
		if m, err := fs.Meminfo(); err == nil {
			if m.MemTotalBytes != nil {
				l.Memory = int64(*m.MemTotalBytes)
			}
			if m.MemAvailableBytes != nil {
				l.Available = int64(*m.MemAvailableBytes)
			}
		}
	}
	readGroup("/", l)
}

// CPUTime is the processor time of the process so far, user and system. It costs a system call.
func CPUTime() time.Duration {
	var used unix.Rusage                                            // finer than the ticks of /proc/self/stat
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil { // it fails only for invalid arguments
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// Self measures the process.
func Self() (Usage, error) {
	p, err := procfs.Self()
	if err != nil {
		return Usage{}, fmt.Errorf("measure the process: %w", err)
	}
	s, err := p.NewStatus()
	if err != nil {
		return Usage{}, fmt.Errorf("measure the process: %w", err)
	}
	return Usage{
		RSS: int64(s.VmRSS), Anon: int64(s.RssAnon), File: int64(s.RssFile), Peak: int64(s.VmHWM), CPU: CPUTime(),
	}, nil
}

// DiskFree returns the bytes that the process can still write on the file system of path.
func DiskFree(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("disk of %s: %w", path, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

// OpenFiles returns the number of files and connections that the process may have open.
func OpenFiles() (uint64, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	return r.Cur, nil
}

// HugePages returns the mode of transparent huge pages: "always", "madvise" or "never".
func HugePages() (string, error) {
	data, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil {
		return "", fmt.Errorf("transparent huge pages: %w", err)
	}
	_, rest, _ := bytes.Cut(data, []byte("[")) // always [madvise] never
	mode, _, ok := bytes.Cut(rest, []byte("]"))
	if !ok {
		return "", fmt.Errorf("transparent huge pages: cannot read %q", data)
	}
	return string(mode), nil
}
