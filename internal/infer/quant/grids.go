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

// The grids: a vector of eight (or four) bytes for each code, the first element in the lowest byte, 128 added to each.
var (
	gridIQ2XXS [256]uint64
	gridIQ2XS  [512]uint64
	gridIQ2S   [1024]uint64
	gridIQ3XXS [256]uint32
	gridIQ3S   [512]uint32
	gridIQ1    [2048]uint64
)

func init() {
	bits := bitReader{data: gridData}
	two, three := []byte{8, 25, 43}, []byte{4, 12, 20, 28, 36, 44, 52, 62}
	bits.vectors(gridIQ2XXS[:], 2, two)
	bits.vectors(gridIQ2XS[:], 2, two)
	bits.vectors(gridIQ2S[:], 2, two)
	bits.halves(gridIQ3XXS[:], 3, three)
	bits.halves(gridIQ3S[:], 3, []byte{1, 3, 5, 7, 9, 11, 13, 15})
	bits.vectors(gridIQ1[:], 2, []byte{0xf8, 0, 8})
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

func (r *bitReader) vectors(all []uint64, width int, values []byte) {
	for i := range all {
		for j := range 8 {
			all[i] |= uint64(values[r.next(width)]+128) << (8 * j)
		}
	}
}

func (r *bitReader) halves(all []uint32, width int, values []byte) {
	for i := range all {
		for j := range 4 {
			all[i] |= uint32(values[r.next(width)]+128) << (8 * j)
		}
	}
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

// Grid gives the vectors that the weights of an IQ3, IQ2 or IQ1 format are chosen from, as integers under the
// format's scales; nil for the other formats. Those of IQ1 are eight times as large as the format's, so that its
// addend of an eighth is one.
func Grid(t Type) [][]int8 {
	var all [][]int8
	switch t {
	case IQ3_XXS:
		all = entries(gridIQ3XXS[:], 4)
	case IQ3_S:
		all = entries(gridIQ3S[:], 4)
	case IQ2_XXS:
		all = entries(gridIQ2XXS[:], 8)
	case IQ2_XS:
		all = entries(gridIQ2XS[:], 8)
	case IQ2_S:
		all = entries(gridIQ2S[:], 8)
	case IQ1_S, IQ1_M:
		all = entries(gridIQ1[:], 8)
	}
	return all
}

func entries[T uint32 | uint64](grid []T, n int) [][]int8 {
	all := make([][]int8, len(grid))
	for i, v := range grid {
		for j := range n {
			all[i] = append(all[i], int8(uint8(v>>(8*j))^0x80))
		}
	}
	return all
}
