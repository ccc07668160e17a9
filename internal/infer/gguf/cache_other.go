//go:build unix && !linux

package gguf

import "golang.org/x/sys/unix"

func tooLargeToCache(int64) bool { return false }

func forgetPages([]byte) {}

func wantHugePages([]byte) {}

// populatePages has the file read ahead.
func populatePages(data []byte) error {
	_ = unix.Madvise(whole(data), unix.MADV_WILLNEED) // a hint
	return nil
}
