//go:build !linux

package host

import (
	"errors"
	"runtime"
	"runtime/metrics"
	"time"
)

// errUnknown says that this system is asked in another way, which nobody has written.
var errUnknown = errors.New("not known on " + runtime.GOOS)

func readLimits(*Limits) {}

// Self measures the process by what the Go runtime knows: memory got from the system, and the time that it accounts
// to Go code and the collector. Mapped files and other threads are not among it.
func Self() (Usage, error) {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	held := int64(s[0].Value.Uint64() - s[1].Value.Uint64())
	return Usage{RSS: held, Anon: held, CPU: CPUTime()}, nil
}

// CPUTime is the processor time that the Go runtime accounts to the process so far; it is brought up to date by the
// garbage collector.
func CPUTime() time.Duration {
	s := []metrics.Sample{{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}}
	metrics.Read(s)
	return time.Duration((s[0].Value.Float64() - s[1].Value.Float64()) * float64(time.Second))
}

// DiskFree is not known here.
func DiskFree(string) (int64, error) { return 0, errUnknown }

// OpenFiles is not known here.
func OpenFiles() (uint64, error) { return 0, errUnknown }

// HugePages is not known here.
func HugePages() (string, error) { return "", errUnknown }
