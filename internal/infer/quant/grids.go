package quant

import (
	_ "embed"
	"encoding/binary"
)

// gridData holds the vectors that the IQ formats choose from, each element as an index into its grid's values. The
// vectors are part of the formats' definition (ggml-common.h of llama.cpp v0.5.0); a test holds their SHA-256 sums.
//
//go:embed grids.bin
var gridData []byte

// The grids: a vector of eight (or four) bytes for each code, the first element in the lowest byte.
var (
	gridIQ2XXS, gridIQ2XS, gridIQ2S, gridIQ1 []uint64
	gridIQ3XXS, gridIQ3S                     []uint32
)

func init() {
	bits := bitReader{data: gridData}
	two, three := []byte{8, 25, 43}, []byte{4, 12, 20, 28, 36, 44, 52, 62}
	gridIQ2XXS = bits.vectors(256, 2, two)
	gridIQ2XS = bits.vectors(512, 2, two)
	gridIQ2S = bits.vectors(1024, 2, two)
	gridIQ3XXS = bits.halves(256, 3, three)
	gridIQ3S = bits.halves(512, 3, []byte{1, 3, 5, 7, 9, 11, 13, 15})
	gridIQ1 = bits.vectors(2048, 2, []byte{128 - 8, 128, 128 + 8})
}

// bitReader reads indices of a few bits, least significant first.
type bitReader struct {
	data []byte
	at   int
}

func (r *bitReader) next(n int) byte {
	var word [2]byte
	copy(word[:], r.data[r.at/8:])
	v := binary.LittleEndian.Uint16(word[:]) >> (r.at % 8) & (1<<n - 1)
	r.at += n
	return byte(v)
}

func (r *bitReader) vectors(n, width int, values []byte) []uint64 {
	all := make([]uint64, n)
	for i := range all {
		for j := range 8 {
			all[i] |= uint64(values[r.next(width)]) << (8 * j)
		}
	}
	return all
}

func (r *bitReader) halves(n, width int, values []byte) []uint32 {
	all := make([]uint32, n)
	for i := range all {
		for j := range 4 {
			all[i] |= uint32(values[r.next(width)]) << (8 * j)
		}
	}
	return all
}

// signMasks spreads eight sign bits to eight bytes: 0xff where the element is negative.
var signMasks = func() (m [256]uint64) {
	for i := range m {
		for j := range 8 {
			m[i] |= uint64(i>>j&1) * 0xff << (8 * j)
		}
	}
	return m
}()

// evenSigns is signMasks of seven bits and an eighth that makes the number of negative elements even.
var evenSigns = func() (m [128]uint64) {
	for i := range m {
		parity := i ^ i>>4
		parity ^= parity >> 2
		parity ^= parity >> 1
		m[i] = signMasks[i|parity&1<<7]
	}
	return m
}()
