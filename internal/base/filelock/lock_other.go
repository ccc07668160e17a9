//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package filelock

import "os"

// flock and share do nothing: this system is not one that the program is released for.
func flock(*os.File) error { return nil }
func share(*os.File) error { return nil }
