package kernel

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Resident is how many of b's bytes are in memory. It asks the kernel, which looks at every
// page: 20 ns each on the machines this was made on.
func Resident(b []byte) int64 {
	if len(b) == 0 {
		return 0
	}
	page := os.Getpagesize()
	at := int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) & uintptr(page-1)) // of b's first byte in its page
	first := unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), -at)
	var state [512]byte // one byte a page
	var n int64
	for from, end := 0, at+len(b); from < end; from += len(state) * page {
		part := min(end-from, len(state)*page)
		if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Add(first, from)), uintptr(part),
			uintptr(unsafe.Pointer(&state[0]))); errno != 0 {
			return n
		}
		for i, s := range state[:(part+page-1)/page] {
			low, high := max(from+i*page, at), min(from+(i+1)*page, end)
			n += int64(s&1) * int64(high-low)
		}
	}
	return n
}
