//go:build unix && !solaris && !illumos && !aix

package whole

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// renamesOpen tells that a file can be renamed while it is open.
const renamesOpen = true

// Hold makes this process the only one that writes an open file, until it is closed or the process ends, however that
// is. The error matches ErrBusy where another process has it, or has just renamed or removed it.
func Hold(f *os.File) error {
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case err == unix.EWOULDBLOCK:
		return fmt.Errorf("%s: %w", f.Name(), ErrBusy)
	case err != nil: // a file system without locks: then nothing is known of other processes
	case !same(f):
		return fmt.Errorf("%s: %w", f.Name(), ErrBusy)
	}
	return nil
}
