package filelock

import (
	"errors"
	"os"
	"time"
)

// Hold locks an open file itself until it is closed, so that Held tells others that its writer lives. f must have been
// made by its holder. Somebody who looks has the file for a moment, so it tries for a second.
func Hold(f *os.File) error {
	for end := time.Now().Add(time.Second); ; time.Sleep(5 * time.Millisecond) {
		if err := flock(f); !errors.Is(err, ErrBusy) || time.Now().After(end) {
			return err
		}
	}
}

// Held says whether somebody holds the file at path. It is false where the file system knows no locks.
func Held(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(share(f), ErrBusy)
}
