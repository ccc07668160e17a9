package gguf

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// source is where a File's bytes come from.
type source struct {
	path    string
	size    int64
	modTime time.Time
	unmap   func() error
	release func([]byte) // nil where nothing is mapped
}

// Open maps the file at path and reads its directory. The weights stay on disk until touched.
//
// Reading a mapping whose file was truncated meanwhile kills the process (SIGBUS), and rewriting it in place changes
// weights under a running model. Replace model files by renaming a new one over the old; CheckUnchanged tells whether
// a file was touched, and OpenCopy holds a private copy where files cannot be trusted to stay.
func Open(path string) (*File, error) { return open(path, mapFile, releasePages) }

// OpenCopy is Open with the whole file read into memory instead of mapped.
func OpenCopy(path string) (*File, error) {
	return open(path, func(file *os.File, size int64) ([]byte, func() error, error) {
		data := make([]byte, size)
		for n := 0; n < len(data); {
			k, err := file.ReadAt(data[n:], int64(n))
			if n += k; err != nil && n < len(data) {
				return nil, nil, err
			}
		}
		return data, func() error { return nil }, nil
	}, nil)
}

func open(path string, load func(*os.File, int64) ([]byte, func() error, error), release func([]byte)) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err // names the path
	}
	defer file.Close() // a mapping outlives its descriptor
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir():
		return nil, fmt.Errorf("%s: %w: is a directory", path, ErrFormat)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w: not a regular file", path, ErrFormat)
	case info.Size() == 0:
		return nil, fmt.Errorf("%s: %w: is empty", path, ErrFormat)
	}
	data, unmap, err := load(file, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f, err := Parse(data)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), unmap())
	}
	f.source = source{path: path, size: info.Size(), modTime: info.ModTime(), unmap: unmap, release: release}
	return f, nil
}

// CheckUnchanged returns ErrChanged if the file's size or modification time differ from when it was opened. Files
// from Parse never change.
func (f *File) CheckUnchanged() error {
	s := f.source
	if s.path == "" {
		return nil
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	if info.Size() != s.size || !info.ModTime().Equal(s.modTime) {
		return fmt.Errorf("%w: %s had %d bytes of %s, has %d of %s", ErrChanged, s.path,
			s.size, s.modTime.Format(time.RFC3339Nano), info.Size(), info.ModTime().Format(time.RFC3339Nano))
	}
	return nil
}

// Release lets go of the memory behind data, a part of the file: the process no longer holds these pages, and reading
// them again brings them back from the page cache or the disk. It is a hint, for weights that were copied elsewhere;
// where the file is not mapped it does nothing.
func (f *File) Release(data []byte) {
	if f.source.release != nil && len(data) > 0 {
		f.source.release(data)
	}
}

// Close releases the mapping. Tensor data must not be touched afterwards; metadata stays valid only where the getter
// copied it, so use no method but Close after Close. A second Close does nothing.
func (f *File) Close() error {
	unmap := f.source.unmap
	if unmap == nil {
		return nil
	}
	f.source.unmap, f.source.release = nil, nil
	f.tensors, f.byName, f.values, f.keys = nil, nil, nil, nil
	return unmap()
}
