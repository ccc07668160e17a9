package host

import (
	"fmt"
	"runtime"
	"time"
)

// Usage is what the process uses at present.
type Usage struct {
	RSS  int64         // resident bytes: Anon + File + shared
	Anon int64         // the process's own part: heap, weights, KV cache; 0 if unknown
	File int64         // the pages of mapped files, which the system can take back; 0 if unknown
	Peak int64         // highest RSS so far; 0 if unknown
	CPU  time.Duration // processor time since the start, user and system
}

// Limits are the limits of the machine and of the control group.
type Limits struct {
	Cores       int     // logical processors that the process may run on
	Quota       float64 // cores that the control group allows; 0: no limit
	Memory      int64   // bytes of the machine; 0 if unknown
	Available   int64   // bytes that could be used now without swapping; 0 if unknown
	GroupMemory int64   // bytes that the control group allows; 0: no limit
	Group       string  // "cgroup v2", "cgroup v1" or empty
}

// Usable returns the number of cores that can be kept busy, and what limits it.
func (l Limits) Usable() (cores int, why string) {
	if l.Quota > 0 && l.Quota < float64(l.Cores) {
		return max(1, int(l.Quota)), fmt.Sprintf("%s allows %.4g", l.Group, l.Quota)
	}
	return l.Cores, fmt.Sprintf("the machine has %d", l.Cores)
}

// MemoryBound returns the memory that the process can have, and what limits it; 0 if nothing is known.
func (l Limits) MemoryBound() (bytes int64, why string) {
	if l.GroupMemory > 0 && (l.Memory == 0 || l.GroupMemory < l.Memory) {
		return l.GroupMemory, l.Group
	}
	return l.Memory, "the machine"
}

// Read reads the limits. Unknown ones are 0.
func Read() Limits {
	l := Limits{Cores: runtime.NumCPU()}
	readLimits(&l)
	return l
}
