//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package filelock

import "os"

// flock and share do nothing: the program is not released for this system.
func flock(*os.File) error { return nil }
func share(*os.File) error { return nil }
