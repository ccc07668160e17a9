// Package filelock lets one process at a time write a file: others wait for it, or say that it is being written.
//
// filelock.go has the lock, open.go one on the written file itself, lock_*.go what the operating system gives for it.
// The lock is a file of its own beside the one that is written. The system drops the lock when its holder ends,
// however it ends; the next holder takes over what file was left.
package filelock
