package whole

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// ErrBusy is matched when another process is writing the same file.
var ErrBusy = errors.New("another process is writing this file")

// left are the names of files that are being written, or were when their writer was killed: ".NAME.mixtral-RANDOM".
var left = regexp.MustCompile(`^\..+\.mixtral-[0-9]+$`)

// Write has write make a file's content in a temporary file beside path, which takes path's name when all of it is on
// the disk. If write fails, nothing is left. What killed writers have left in the same directory goes first.
func Write(path string, mode fs.FileMode, write func(f *os.File) error) (err error) {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	Sweep(dir)
	f, err := create(dir, "."+name+".mixtral-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close() // a second time, where that was what failed
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(mode), f.Sync()); err != nil {
		return err
	}
	return Rename(f, path)
}

// Rename gives a file that this process holds, and that is on the disk, its name, and closes it.
func Rename(f *os.File, path string) error {
	if renamesOpen { // while it is held
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	if !renamesOpen {
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync() // not every file system can: the name then comes with its next write
		_ = d.Close()
	}
	return nil
}

// create makes a temporary file that this process holds, so that nobody sweeps it away.
func create(dir, pattern string) (*os.File, error) {
	for range 100 {
		f, err := os.CreateTemp(dir, pattern)
		if err != nil {
			return nil, err
		}
		if Hold(f) == nil { // somebody else may have taken it for a dead one's just now
			return f, nil
		}
		f.Close()
		os.Remove(f.Name())
	}
	return nil, fmt.Errorf("%s: no temporary file can be held", dir)
}

// Sweep removes the files in a directory that killed writers have left, and gives how many. Those that a process still
// writes stay.
func Sweep(dir string) (removed int) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0 // whoever writes there says why it cannot
	}
	for _, e := range entries {
		if e.Type().IsRegular() && left.MatchString(e.Name()) && sweep(filepath.Join(dir, e.Name())) {
			removed++
		}
	}
	return removed
}

// sweep removes a file that nobody holds.
func sweep(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return Hold(f) == nil && os.Remove(path) == nil
}

// same tells whether a file is still the one under its name.
func same(f *os.File) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(f.Name())
	return err == nil && os.SameFile(open, named)
}
