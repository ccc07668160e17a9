//go:build unix

package gguf

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapFile maps size bytes of file read-only. The mapping is shared with the page cache, so several processes on one
// model hold its weights once.
func mapFile(file *os.File, size int64) ([]byte, func() error, error) {
	if int64(int(size)) != size {
		return nil, nil, fmt.Errorf("%d bytes do not fit the address space", size)
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("mmap: %w", err)
	}
	wantHugePages(data)
	unregister := register(file.Name(), data)
	return data, func() error {
		unregister()
		return unix.Munmap(data)
	}, nil
}

// releasePages drops the whole pages of data, a part of a mapping. The file is not changed: the mapping is shared and
// read-only. The page cache keeps them for the next start, unless all of the file is more than half of the machine's
// memory: beside a copy of it there is no room then, and a cache that has filled the memory leaves no huge pages to
// the copy and makes it wait for each piece.
func releasePages(data []byte, all int64) {
	page := os.Getpagesize()
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(data))) & uintptr(page-1))
	n := (len(data) - skip) &^ (page - 1)
	if n <= 0 {
		return
	}
	data = data[skip : skip+n] // all that follows are hints
	if tooLargeToCache(all) {
		forgetPages(data)
	}
	_ = unix.Madvise(data, unix.MADV_DONTNEED)
}

// whole gives the pages that hold data, a part of a mapping: it begins before data, at a page, and a mapping begins
// at one.
func whole(data []byte) []byte {
	first := unsafe.Pointer(unsafe.SliceData(data))
	skip := int(uintptr(first) & uintptr(os.Getpagesize()-1))
	return unsafe.Slice((*byte)(unsafe.Add(first, -skip)), skip+len(data))
}
