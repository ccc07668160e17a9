package gguf

import (
	"math"

	"golang.org/x/sys/unix"
)

// tooLargeToCache tells whether a file is more than half of the machine's memory.
func tooLargeToCache(size int64) bool {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return false
	}
	memory := float64(info.Totalram) * math.Max(float64(info.Unit), 1)
	return float64(size) > memory/2
}

// forgetPages takes mapped pages out of the page cache, if others do not use them (Linux 5.4).
func forgetPages(data []byte) { _ = unix.Madvise(data, unix.MADV_PAGEOUT) }
