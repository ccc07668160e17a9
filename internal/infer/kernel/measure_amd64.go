package kernel

import "unsafe"

// touch reads b, whose length is a multiple of 256.
func touch(b []byte) {
	if active < tierAVX512 {
		touchGeneric(b)
		return
	}
	touchAVX512(unsafe.Pointer(unsafe.SliceData(b)), int64(len(b)))
}

// multiplyOps is what one round of multiply does: 12 VPDPBUSD.
const multiplyOps = 12 * 128

//go:noescape
func touchAVX512(p unsafe.Pointer, n int64)

// multiply does n rounds of VPDPBUSD.
//
//go:noescape
func multiply(n int64)
