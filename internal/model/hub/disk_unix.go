//go:build unix

package hub

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// freeSpace is what an ordinary user may still write to the disk of a directory.
func freeSpace(path string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}

// allocated is what a file takes on disk: a file with holes takes less than its size.
func allocated(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Blocks) * 512
	}
	return info.Size()
}
