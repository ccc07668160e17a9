package host

import (
	"fmt"
	"runtime"
	"time"
)

// Usage is what the process uses now.
type Usage struct {
	RSS  int64         // bytes resident: Anon + File + shared
	Anon int64         // of these, the process's own: heap, weights, KV cache; 0 if unknown
	File int64         // of these, pages of mapped files, which the system can take back; 0 if unknown
	Peak int64         // highest RSS so far; 0 if unknown
	CPU  time.Duration // processor time since the start, user and system
}

// Limits is what the machine and the control group allow.
type Limits struct {
	Cores       int     // logical processors that the process may run on
	Quota       float64 // cores that the control group allows; 0: no limit
	Memory      int64   // bytes of the machine; 0 if unknown
	Available   int64   // bytes that could be used now without swapping; 0 if unknown
	GroupMemory int64   // bytes that the control group allows; 0: no limit
	Group       string  // "cgroup v2", "cgroup v1" or empty
}

// Usable gives the number of cores that can be kept busy and says what bounds it.
func (l Limits) Usable() (cores int, why string) {
	if l.Quota > 0 && l.Quota < float64(l.Cores) {
		return max(1, int(l.Quota)), fmt.Sprintf("%s allows %.4g", l.Group, l.Quota)
	}
	return l.Cores, fmt.Sprintf("the machine has %d", l.Cores)
}

// MemoryBound gives the memory that the process can have and says what bounds it; 0 if nothing is known.
func (l Limits) MemoryBound() (bytes int64, why string) {
	if l.GroupMemory > 0 && (l.Memory == 0 || l.GroupMemory < l.Memory) {
		return l.GroupMemory, l.Group
	}
	return l.Memory, "the machine"
}

// Read gives the limits. What cannot be found out is 0.
func Read() Limits {
	l := Limits{Cores: runtime.NumCPU()}
	readLimits(&l)
	return l
}
