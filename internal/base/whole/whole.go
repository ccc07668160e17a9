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

// left matches the names of files that are being written, or whose writer was killed: ".NAME.mixtral-RANDOM".
var left = regexp.MustCompile(`^\..+\.mixtral-[0-9]+$`)

// Write calls write to make a file's content in a temporary file beside path. The file takes path's name when all of
// it is on the disk. If write fails, nothing is left. Files that killed writers left in the same directory are removed
// first.
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
			f.Close() // a second time if the first close failed
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

// Rename gives a file that this process holds, and that is on the disk, its final name, and closes it.
func Rename(f *os.File, path string) error {
	if renamesOpen { // while it is still held
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
		_ = d.Sync() // not every file system supports it: the name is then written with its next write
		_ = d.Close()
	}
	return nil
}

// create makes a temporary file that this process holds, so that no other process removes it.
func create(dir, pattern string) (*os.File, error) {
	for range 100 {
		f, err := os.CreateTemp(dir, pattern)
		if err != nil {
			return nil, err
		}
		if Hold(f) == nil { // another process may just have taken it for the file of a dead writer
			return f, nil
		}
		f.Close()
		os.Remove(f.Name())
	}
	return nil, fmt.Errorf("%s: no temporary file can be held", dir)
}

// Sweep removes the files in a directory that killed writers left, and returns their number. Files that a process
// still writes stay.
func Sweep(dir string) (removed int) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0 // the writer reports why it cannot use the directory
	}
	for _, e := range entries {
		if e.Type().IsRegular() && left.MatchString(e.Name()) && sweep(filepath.Join(dir, e.Name())) {
			removed++
		}
	}
	return removed
}

// sweep removes a file that no process holds.
func sweep(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return Hold(f) == nil && os.Remove(path) == nil
}

// same says whether a file is still the one under its name.
func same(f *os.File) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(f.Name())
	return err == nil && os.SameFile(open, named)
}
