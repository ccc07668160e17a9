package kernel

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mapBytes reserves n zeroed bytes outside the Go heap: weights there neither raise the collector's goal (which would
// let garbage grow to the weights' size) nor get scanned. Huge pages are asked for: with 4 KiB pages a linear read is
// about 20 % slower.
func mapBytes(n int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("kernel: reserve %d bytes: %w", n, err)
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // a hint: without it all is correct, only slower
	return b, nil
}

func unmapBytes(b []byte) error { return unix.Munmap(b) }
