package convert

import (
	"os"

	"golang.org/x/sys/unix"
)

// writeBack asks the kernel to begin writing n bytes to the disk, so that Sync has less to wait for. It is a hint.
func writeBack(f *os.File, at, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), at, n, unix.SYNC_FILE_RANGE_WRITE)
}
