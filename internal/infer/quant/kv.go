package quant

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// KVType is a format in which attention's keys and values are kept. They are vectors of the head's size, several in a
// run: KVF16 holds their elements one after the other; KVQ8 holds Q8_0's numbers, but first all the vectors' bytes
// and then the scales, those of all vectors' first 32 elements first: whole vectors and whole columns of scales are
// loaded at once.
type KVType uint8

const (
	KVF16 KVType = iota // binary16: 11 bits are far above the noise of 8-bit weights
	KVQ8                // signed bytes, and for each 32 of a vector (the last may be fewer) a binary16 scale
)

// kvGroup is how many elements share a scale.
const kvGroup = 32

// ParseKVType reads "f16" or "q8_0", in any case. Its error matches ErrType.
func ParseKVType(s string) (KVType, error) {
	for _, t := range []KVType{KVF16, KVQ8} {
		if strings.EqualFold(s, t.String()) {
			return t, nil
		}
	}
	return 0, fmt.Errorf("%w: keys and values must be f16 or q8_0, got %q", ErrType, s)
}

func (t KVType) String() string {
	if t == KVQ8 {
		return "q8_0"
	}
	return "f16"
}

// UnmarshalText is ParseKVType.
func (t *KVType) UnmarshalText(b []byte) (err error) {
	*t, err = ParseKVType(string(b))
	return err
}

// VectorBytes is what each vector of dim elements takes of a run.
func (t KVType) VectorBytes(dim int) int {
	if t == KVQ8 {
		return dim + 2*kvGroups(dim)
	}
	return 2 * dim
}

func kvGroups(dim int) int { return (dim + kvGroup - 1) / kvGroup }

// Split gives vector i of a run: its elements, and for KVQ8 its first scale; the next ones follow every stride bytes.
func (t KVType) Split(run []byte, i, dim int) (elements, scales []byte, stride int) {
	if t == KVF16 {
		return run[2*i*dim:][:2*dim], nil, 0
	}
	n := len(run) / t.VectorBytes(dim)
	return run[i*dim:][:dim], run[n*dim+2*i:], 2 * n
}

// Put rounds x to vector i of a run. NaN, infinity and what is too large come back as NaN or infinity: in KVQ8 with
// all that share their scale.
func (t KVType) Put(run []byte, i int, x []float32) {
	elements, scales, stride := t.Split(run, i, len(x))
	if t == KVF16 {
		for d, v := range x {
			binary.LittleEndian.PutUint16(elements[2*d:], F32to16(v))
		}
		return
	}
	for g := range kvGroups(len(x)) {
		part := x[g*kvGroup : min((g+1)*kvGroup, len(x))]
		scale := kvScale(part)
		binary.LittleEndian.PutUint16(scales[g*stride:], scale)
		kvRound(elements[g*kvGroup:], part, F16to32(scale))
	}
}

// kvScale is the largest magnitude over 127, as binary16. Where that is a subnormal, which may be far below, it is
// the next larger one, so that the largest magnitude still fits.
func kvScale(x []float32) uint16 {
	var top uint32
	for _, v := range x {
		top = max(top, math.Float32bits(v)&0x7fffffff) // without the sign, order as integers is order as floats
	}
	if top >= 0x7f800000 {
		return 0x7e00 // NaN
	}
	largest := math.Float32frombits(top)
	scale := F32to16(largest / 127)
	if largest > 0 && largest >= 127.5*F16to32(scale) {
		scale++
	}
	return scale
}

// kvRound divides by a scale and rounds to the nearest byte, ties to even.
func kvRound(dst []byte, x []float32, scale float32) {
	if !(scale > 0) { // 0: there is nothing but zeros; NaN: it stands in the scale
		clear(dst[:len(x)])
		return
	}
	inverse := 1 / scale // 0 for an infinite scale
	for d, v := range x {
		dst[d] = byte(int8(max(-128, min(127, math.RoundToEven(float64(v*inverse))))))
	}
}

// Get widens vector i of a run to len(dst) elements, exactly: a byte times a scale has 19 bits.
func (t KVType) Get(dst []float32, run []byte, i int) {
	elements, scales, stride := t.Split(run, i, len(dst))
	if t == KVF16 {
		for d := range dst {
			dst[d] = F16to32(binary.LittleEndian.Uint16(elements[2*d:]))
		}
		return
	}
	for d := range dst {
		dst[d] = float32(int8(elements[d])) * F16to32(binary.LittleEndian.Uint16(scales[d/kvGroup*stride:]))
	}
}
