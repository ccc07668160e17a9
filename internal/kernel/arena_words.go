package kernel

import "unsafe"

// Words is Alloc for n 16-bit words: keys and values of the KV cache.
func (a *Arena) Words(n int) []uint16 {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(a.Alloc(2*n)))), n)
}
