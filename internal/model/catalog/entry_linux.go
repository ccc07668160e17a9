package catalog

import (
	"os"
	"syscall"
)

// entryOf gives when a file's entry last changed, in nanoseconds, and its number: content cannot change without them,
// even where the time of the content was set back.
func entryOf(info os.FileInfo) (changed int64, inode uint64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ctim.Nano(), st.Ino
	}
	return 0, 0
}
