package gguf

import (
	"errors"
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

// wantHugePages has what is not in the page cache be read in huge pages, where the file system can (ext4 since Linux
// 6.16, XFS).
func wantHugePages(data []byte) { _ = unix.Madvise(data, unix.MADV_HUGEPAGE) }

// populatePages maps the pages of data, which are read if they are not in the page cache: 1.2 GB in 1 ms if they are,
// in huge pages. Linux before 5.14 cannot: the pages then come one by one.
func populatePages(data []byte) error {
	data = whole(data)
	for {
		switch err := unix.Madvise(data, unix.MADV_POPULATE_READ); {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		case errors.Is(err, unix.EINVAL):
			_ = unix.Madvise(data, unix.MADV_WILLNEED)
			return nil
		default:
			return err // EFAULT where touching the page would kill the process
		}
	}
}
