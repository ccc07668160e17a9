// Package filelock lets one process at a time write a file: others wait for it, or report that the file is being
// written.
//
// filelock.go has the lock: start there. open.go has a lock on the written file itself, and lock_*.go the operating
// system's part. The lock is a file of its own beside the one that is written. The system releases the lock when its
// holder ends, in whatever way; the next holder takes over the file that was left.
package filelock
