// Package whole writes files that appear under their name only when they are complete and on the disk, and clears away
// what writers that were killed have left.
//
// whole.go has Write; lock_unix.go and lock_other.go tell whether a writer is still there.
package whole
