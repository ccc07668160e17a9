//go:build unix && !solaris && !illumos && !aix

package whole

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// renamesOpen says that a file can be renamed while it is open.
const renamesOpen = true

// Hold makes this process the only writer of an open file, until the file is closed or the process ends in any way.
// The error matches ErrBusy if another process holds the file, or has just renamed or removed it.
func Hold(f *os.File) error {
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case err == unix.EWOULDBLOCK:
		return fmt.Errorf("%s: %w", f.Name(), ErrBusy)
	case err != nil: // a file system without locks: nothing is known about other processes
	case !same(f):
		return fmt.Errorf("%s: %w", f.Name(), ErrBusy)
	}
	return nil
}
