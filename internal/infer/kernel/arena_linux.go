package kernel

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapBytes reserves n zeroed bytes outside the Go heap: weights there neither raise the collector's goal (which would
// let garbage grow to the weights' size) nor get scanned. Huge pages are asked for.
func mapBytes(n int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("kernel: reserve %d bytes: %w", n, err)
	}
	hugePages(b)
	return b, nil
}

func unmapBytes(b []byte) error { return unix.Munmap(b) }

// hugePages and smallPages say what is to come where there is no memory yet: hints, without which all is correct,
// only slower.
func hugePages(b []byte)  { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
func smallPages(b []byte) { _ = unix.Madvise(b, unix.MADV_NOHUGEPAGE) }

// populate gets memory for the pages of b (Linux 5.14); it tells whether the system can. Too little memory shows when
// b is written.
func populate(b []byte) bool {
	page := uintptr(os.Getpagesize())
	first := unsafe.Pointer(unsafe.SliceData(b))
	skip := int(uintptr(first) & (page - 1))
	err := unix.Madvise(unsafe.Slice((*byte)(unsafe.Add(first, -skip)), skip+len(b)), unix.MADV_POPULATE_WRITE)
	return !errors.Is(err, unix.EINVAL)
}

// collapse makes huge pages (Linux 6.1) of what is in small ones, or leaves some as they are: it tells whether all
// are huge.
func collapse(b []byte) bool { return unix.Madvise(b, unix.MADV_COLLAPSE) == nil }

// hugePagesIn gives the part of b that huge pages can fill.
func hugePagesIn(b []byte) []byte {
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (hugePage - 1))
	if skip >= len(b) {
		return nil
	}
	return b[skip : skip+(len(b)-skip)/hugePage*hugePage]
}
