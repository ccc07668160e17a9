//go:build !unix

package probe

// OpenFiles is the number of files that this process may have open; ok is false because this system does not report
// it.
func OpenFiles() (n int, ok bool) { return 0, false }
