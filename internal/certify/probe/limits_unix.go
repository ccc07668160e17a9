//go:build unix

package probe

import "syscall"

// OpenFiles is the number of files that this process may have open. ok is false if there is no limit, or if it is not
// known.
func OpenFiles() (n int, ok bool) {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil || uint64(r.Cur) > 1<<31 {
		return 0, false
	}
	return int(r.Cur), true
}
