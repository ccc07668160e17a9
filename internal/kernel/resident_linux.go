package kernel

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Resident is how many of b's bytes are in memory, in whole pages that begin in b. It asks the kernel, which looks at every
// page: 20 ns each on the machines this was made on.
func Resident(b []byte) int64 {
	page := os.Getpagesize()
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (page - 1)
	if skip >= len(b) {
		return 0
	}
	b = b[skip:]
	var state [512]byte // one byte a page
	var n int64
	for len(b) > 0 {
		part := b[:min(len(b), len(state)*page)]
		b = b[len(part):]
		pages := (len(part) + page - 1) / page
		if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&part[0])), uintptr(len(part)), uintptr(unsafe.Pointer(&state[0]))); errno != 0 {
			return n
		}
		for _, s := range state[:pages] {
			n += int64(s&1) * int64(page)
		}
	}
	return n
}
