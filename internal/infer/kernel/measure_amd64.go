package kernel

import "unsafe"

// touch512 reads b, whose length is a multiple of 256.
func touch512(b []byte) { touchAVX512(unsafe.Pointer(unsafe.SliceData(b)), int64(len(b))) }

// multiplyOps512 is what one round of multiplyAVX512 does: 12 VPDPBUSD.
const multiplyOps512 = 12 * 128

func multiply512(rounds int) { multiplyAVX512(int64(rounds)) }

// touch2 is touch512 with vectors of half the length. Where kernels fetch into the L2 cache it does, too: with these
// vectors Golden Cove reads 7 to 10 % less by its own prefetching, and the limit would be too low.
func touch2(b []byte) {
	touch := touchAVX2
	if fetchAhead&1 != 0 {
		touch = touchAheadAVX2
	}
	touch(unsafe.Pointer(unsafe.SliceData(b)), int64(len(b)))
}

// multiplyOps2 is what one round of multiplyAVX2 does: 12 products of 32 bytes, each VPMADDUBSW, VPMADDWD and VPADDD.
// A round of multiplyAVXVNNI does as much in 12 VPDPBUSD.
const multiplyOps2 = 12 * 64

func multiply2(rounds int)    { multiplyAVX2(int64(rounds)) }
func multiplyVNNI(rounds int) { multiplyAVXVNNI(int64(rounds)) }

//go:noescape
func multiplyAVX2(n int64)

//go:noescape
func multiplyAVXVNNI(n int64)

//go:noescape
func touchAVX2(p unsafe.Pointer, n int64)

//go:noescape
func touchAheadAVX2(p unsafe.Pointer, n int64)

//go:noescape
func touchAVX512(p unsafe.Pointer, n int64)

// multiplyAVX512 does n rounds of VPDPBUSD.
//
//go:noescape
func multiplyAVX512(n int64)
