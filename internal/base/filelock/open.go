package filelock

import (
	"errors"
	"os"
	"time"
)

// Hold locks an open file itself until it is closed, so that Held tells others that its writer is still running. The
// holder must have created f. It tries for a second, since Held also locks the file for a moment.
func Hold(f *os.File) error {
	for end := time.Now().Add(time.Second); ; time.Sleep(5 * time.Millisecond) {
		if err := flock(f); !errors.Is(err, ErrBusy) || time.Now().After(end) {
			return err
		}
	}
}

// Held says whether a process holds the file at path. It is false on a file system without locks.
func Held(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(share(f), ErrBusy)
}
