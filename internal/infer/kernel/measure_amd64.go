package kernel

import "unsafe"

// touch512 reads b, whose length is a multiple of 256.
func touch512(b []byte) { touchAVX512(unsafe.Pointer(unsafe.SliceData(b)), int64(len(b))) }

// multiplyOps512 is what one round of multiplyAVX512 does: 12 VPDPBUSD.
const multiplyOps512 = 12 * 128

func multiply512(rounds int) { multiplyAVX512(int64(rounds)) }

//go:noescape
func touchAVX512(p unsafe.Pointer, n int64)

// multiplyAVX512 does n rounds of VPDPBUSD.
//
//go:noescape
func multiplyAVX512(n int64)
