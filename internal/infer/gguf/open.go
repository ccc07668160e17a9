package gguf

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"
)

// source is where a File's bytes come from.
type source struct {
	path    string
	size    int64
	modTime time.Time
	info    os.FileInfo // which file it is
	bytes   *holding
	release func(data []byte, all int64) // nil where nothing is mapped
}

// holding counts who needs a file's bytes: the File, until it is closed, and its Holds.
type holding struct {
	users atomic.Int32
	unmap func() error
}

func (h *holding) drop() error {
	if h.users.Add(-1) > 0 {
		return nil
	}
	return h.unmap()
}

// Open maps the file at path and reads its directory. The weights stay on disk until touched. If the file is the
// first part of a split model (NAME-00001-of-00003.gguf), the other parts are opened with it, and the File is all of
// them.
//
// Reading a mapping whose file was cut meanwhile kills the process (SIGBUS), unless the goroutine makes an error of
// it: see Catch. Rewriting a file in place changes weights under a running model. Replace model files by renaming a
// new one over the old; CheckUnchanged tells whether a file was touched, and OpenCopy holds a private copy where files
// cannot be trusted to stay.
func Open(path string) (*File, error) { return openAll(path, mapFile, releasePages) }

// OpenCopy is Open with the whole file read into memory instead of mapped.
func OpenCopy(path string) (*File, error) {
	return openAll(path, func(file *os.File, size int64) ([]byte, func() error, error) {
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

var partName = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.gguf$`)

const keyParts = "split.count"

type loader func(*os.File, int64) ([]byte, func() error, error)

// openAll opens a file and the parts that belong to it.
func openAll(path string, load loader, release func([]byte, int64)) (*File, error) {
	f, err := open(path, load, release)
	if err != nil {
		return nil, err
	}
	if err := f.join(path, load, release); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// join adds the tensors of a split model's other parts.
func (f *File) join(path string, load loader, release func([]byte, int64)) error {
	n := f.Uint32Or(keyParts, 1)
	if n <= 1 {
		return nil
	}
	m := partName.FindStringSubmatch(path)
	if m == nil || m[2] != "00001" || m[3] != fmt.Sprintf("%05d", n) {
		return fmt.Errorf("%s: %w: one of %d parts: open the first, NAME-00001-of-%05d.gguf, with the others "+
			"beside it", path, ErrUnsupported, n, n)
	}
	for i := 2; i <= int(n); i++ {
		part, err := open(fmt.Sprintf("%s-%05d-of-%s.gguf", m[1], i, m[3]), load, release)
		if err != nil {
			return err
		}
		f.sources, f.size = append(f.sources, part.sources...), f.size+part.size // closed with f from here on
		for _, t := range part.tensors {
			if _, dup := f.byName[t.Name]; dup {
				return fmt.Errorf("%s: %w: tensor %q is in another part, too", part.sources[0].path, ErrFormat, t.Name)
			}
			f.byName[t.Name] = len(f.tensors)
			f.tensors = append(f.tensors, t)
		}
	}
	return nil
}

func open(path string, load loader, release func([]byte, int64)) (opened *File, err error) {
	defer Catch(&err)()
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
	bytes := &holding{unmap: unmap}
	bytes.users.Store(1)
	f.sources = []source{{path: path, size: info.Size(), modTime: info.ModTime(), info: info, bytes: bytes,
		release: release}}
	return f, nil
}

// Hold keeps the bytes behind the tensors' Data beyond the File's Close, until its own.
type Hold struct {
	sources []source
	size    int64
}

// Hold is for code that reads tensors after the File is closed. Close it when nothing is read any more.
func (f *File) Hold() *Hold {
	h := &Hold{sources: slices.Clone(f.sources), size: f.size}
	for _, s := range h.sources {
		s.bytes.users.Add(1)
	}
	return h
}

// CheckUnchanged is the File's for what is held: a file that was removed, or replaced by another one of its name, is
// as it was.
func (h *Hold) CheckUnchanged() error {
	return unchanged(slices.DeleteFunc(slices.Clone(h.sources), func(s source) bool {
		info, err := os.Stat(s.path)
		return err != nil || !os.SameFile(info, s.info) // the name no longer leads to the file
	}))
}

// Release is the File's.
func (h *Hold) Release(data []byte) { release(h.sources, h.size, data) }

// Close gives up the bytes. A second Close does nothing.
func (h *Hold) Close() error {
	var errs []error
	for _, s := range h.sources {
		errs = append(errs, s.bytes.drop())
	}
	h.sources = nil
	return errors.Join(errs...)
}

// Paths lists the files behind f: one, or all parts of a split model; none for what Parse was given.
func (f *File) Paths() []string {
	var paths []string
	for _, s := range f.sources {
		paths = append(paths, s.path)
	}
	return paths
}

// CheckUnchanged returns ErrChanged if a file's size or modification time differ from when it was opened. Files
// from Parse never change.
func (f *File) CheckUnchanged() error { return unchanged(f.sources) }

func unchanged(sources []source) error {
	for _, s := range sources {
		info, err := os.Stat(s.path)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrChanged, err)
		}
		if info.Size() != s.size || !info.ModTime().Equal(s.modTime) {
			return fmt.Errorf("%w: %s had %d bytes of %s, has %d of %s", ErrChanged, s.path,
				s.size, s.modTime.Format(time.RFC3339Nano), info.Size(), info.ModTime().Format(time.RFC3339Nano))
		}
	}
	return nil
}

// Release lets go of the memory behind data, a part of the file: the process no longer holds these pages, and reading
// them again brings them back from the page cache or the disk. It is a hint, for weights that were copied elsewhere;
// where the file is not mapped it does nothing.
func (f *File) Release(data []byte) { release(f.sources, f.size, data) }

func release(sources []source, size int64, data []byte) {
	if len(sources) > 0 && sources[0].release != nil && len(data) > 0 {
		sources[0].release(data, size)
	}
}

// CanBeHeld tells whether the file is mapped, and small enough for the machine's memory to have room for it and a copy
// of it at the same time.
func (f *File) CanBeHeld() bool {
	return len(f.sources) > 0 && f.sources[0].release != nil && !tooLargeToCache(f.size)
}

// Populate brings the pages of data, a part of the file, into this process's memory, so that who reads them later
// does not wait. It fails with ErrChanged if the file no longer has them; where the file is not mapped it does
// nothing.
func (f *File) Populate(data []byte) error {
	if len(f.sources) == 0 || f.sources[0].release == nil || len(data) == 0 {
		return nil
	}
	if err := populatePages(data); err != nil {
		if lost := unreadable(uintptr(unsafe.Pointer(unsafe.SliceData(data)))); lost != nil {
			return lost
		}
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return nil
}

// Close releases the mapping, unless it is held. Tensor data must not be touched afterwards; metadata stays valid
// only where the getter copied it, so use no method but Close after Close. A second Close does nothing.
func (f *File) Close() error {
	var errs []error
	for _, s := range f.sources {
		errs = append(errs, s.bytes.drop())
	}
	f.sources, f.tensors, f.byName, f.values, f.keys = nil, nil, nil, nil, nil
	return errors.Join(errs...)
}
