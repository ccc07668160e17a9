//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// flock locks an open file for this process alone, or returns ErrBusy.
func flock(f *os.File) error { return lockAs(f, unix.LOCK_EX) }

// share locks an open file together with others that share it, or returns ErrBusy.
func share(f *os.File) error { return lockAs(f, unix.LOCK_SH) }

func lockAs(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrBusy
		case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOSYS):
			return nil // a file system without locks
		default:
			return err
		}
	}
}
