// Package whole writes files that appear under their name only when they are complete and on the disk, and removes the
// temporary files of writers that were killed.
//
// whole.go has Write: start there. lock_unix.go and lock_other.go tell whether a writer is still running.
package whole
