//go:build !linux

package host

import (
	"errors"
	"runtime"
	"runtime/metrics"
	"time"
)

// errUnknown says that nothing is implemented for this system.
var errUnknown = errors.New("not known on " + runtime.GOOS)

func readLimits(*Limits) {}

// Self measures the process with what the Go runtime knows: memory obtained from the system, and the time of Go code
// and of the garbage collector. Mapped files and other threads are not included.
func Self() (Usage, error) {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	held := int64(s[0].Value.Uint64() - s[1].Value.Uint64())
	return Usage{RSS: held, Anon: held, CPU: CPUTime()}, nil
}

// CPUTime is the processor time of the process as the Go runtime counts it; the garbage collector updates it.
func CPUTime() time.Duration {
	s := []metrics.Sample{{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}}
	metrics.Read(s)
	return time.Duration((s[0].Value.Float64() - s[1].Value.Float64()) * float64(time.Second))
}

// DiskFree is not implemented here.
func DiskFree(string) (int64, error) { return 0, errUnknown }

// OpenFiles is not implemented here.
func OpenFiles() (uint64, error) { return 0, errUnknown }

// HugePages is not implemented here.
func HugePages() (string, error) { return "", errUnknown }
