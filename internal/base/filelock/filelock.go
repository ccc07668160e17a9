package filelock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// ErrBusy is matched when another process holds the lock.
var ErrBusy = errors.New("another process is writing it")

// Lock is a lock that this process holds. Release it.
type Lock struct {
	file *os.File
	path string
}

// Try takes the lock at path, whose directory must exist. It does not wait: the error matches ErrBusy if another
// process holds the lock. On a file system without locks it always succeeds.
func Try(path string) (*Lock, error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, err
		}
		if err := flock(f); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
		}
		// Between opening and locking, the previous holder may have removed the file: then this lock protects nothing.
		mine, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		now, err := os.Stat(path)
		if err == nil && os.SameFile(mine, now) {
			return &Lock{f, path}, nil
		}
		f.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// pollEvery is how long a waiting process sleeps between attempts.
const pollEvery = 100 * time.Millisecond

// Acquire takes the lock at path, and waits for it until ctx ends. waiting, if not nil, is called once if another
// process holds the lock.
func Acquire(ctx context.Context, path string, waiting func()) (*Lock, error) {
	for first := true; ; first = false {
		l, err := Try(path)
		if !errors.Is(err, ErrBusy) {
			return l, err
		}
		if first && waiting != nil {
			waiting()
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Clear removes the lock's file if a killed process left it. It does nothing while a process holds the lock.
func Clear(path string) {
	if _, err := os.Lstat(path); err != nil {
		return
	}
	if l, err := Try(path); err == nil {
		_ = l.Release() // a file that is left over does no harm
	}
}

// Release releases the lock and removes its file.
func (l *Lock) Release() error {
	return errors.Join(os.Remove(l.path), l.file.Close()) // in this order: no other process can take it in between
}
