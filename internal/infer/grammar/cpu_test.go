package grammar

import (
	"syscall"
	"testing"
)

// cpu gives the processor time of this process in nanoseconds, which is what a busy machine does not change.
func cpu() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func reportCPU(b *testing.B, from int64) {
	b.ReportMetric(float64(cpu()-from)/float64(b.N), "cpu-ns/op")
}
