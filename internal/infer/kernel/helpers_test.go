package kernel

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// eachTier runs f on the tier in use, and names it: TestMain runs all tests on every tier.
func eachTier(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Run(Tier(), f)
}

// onBest tells whether the tier in use is the best of the machine: tests of all tiers, or of none, are done
// there alone.
func onBest() bool { return Tier() == bestTier().name }

func useTier(t testing.TB, name string) {
	t.Helper()
	restore, err := ForceTier(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(restore)
}

// halfScales are the positions of binary16 numbers in each format's block.
var halfScales = map[quant.Type][]int{
	quant.Q8_0: {0}, quant.Q4_0: {0}, quant.Q5_0: {0}, quant.Q2_K: {80, 82}, quant.Q3_K: {108},
	quant.Q4_K: {0, 2}, quant.Q5_K: {0, 2}, quant.Q6_K: {208}, quant.Q4_1: {0, 2}, quant.Q5_1: {0, 2},
	quant.IQ4_NL: {0}, quant.IQ4_XS: {0}, quant.IQ3_S: {0}, quant.IQ3_XXS: {0}, quant.IQ2_S: {0}, quant.IQ2_XS: {0},
	quant.IQ2_XXS: {0}, quant.IQ1_S: {0},
}

// setScale stores a binary16 number where a block has its first: in IQ1_M that is in four pieces.
func setScale(t quant.Type, block []byte, h uint16) {
	if t != quant.IQ1_M {
		binary.LittleEndian.PutUint16(block[halfScales[t][0]:], h)
		return
	}
	for i := range 4 {
		b := &block[49+2*i]
		*b = *b&15 | byte(h>>(4*i)&15)<<4
	}
}

// randomRows makes format-t bytes of rows × cols weights: any bit pattern for the integers, so that every extreme
// (−128, 63, all ones) occurs, and scales of both signs around 2⁻⁸.
func randomRows(r *rand.Rand, t quant.Type, rows, cols int) []byte {
	n, err := t.RowBytes(cols)
	if err != nil {
		panic(err)
	}
	b := make([]byte, rows*n)
	switch t {
	case quant.F32, quant.F16, quant.BF16:
		x := make([]float32, rows*cols)
		for i := range x {
			x[i] = float32(r.NormFloat64()) / 16
		}
		if err := quant.Pack(t, b, x); err != nil {
			panic(err)
		}
		return b
	}
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	for at := 0; at < len(b); at += t.BlockBytes() {
		for _, o := range halfScales[t] {
			binary.LittleEndian.PutUint16(b[at+o:], quant.F32to16(float32(r.NormFloat64())/256))
		}
		if t == quant.IQ1_M {
			setScale(t, b[at:], quant.F32to16(float32(r.NormFloat64())/256))
		}
	}
	return b
}

// packed makes a matrix of the rows in src.
func packed(tb testing.TB, t quant.Type, rows, cols int, src []byte) *Matrix {
	tb.Helper()
	n, err := PackedSize(t, rows, cols)
	if err != nil {
		tb.Fatal(err)
	}
	m, err := NewMatrix(t, rows, cols, alignedBytes(int(n)))
	if err != nil {
		tb.Fatal(err)
	}
	if err := m.Pack(t, 0, rows, src); err != nil {
		tb.Fatal(err)
	}
	return m
}

// exactColumn makes activations that quantise without error: integers of −127 … 127 times a power of two, with 127 in
// every block of 32.
func exactColumn(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.IntN(255)-127) / 64
		if i%32 == 5 {
			x[i] = 127. / 64
		}
	}
	return x
}

func randomFloats(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// dot64 is Σ w·x in float64, and Σ |w·x|.
func dot64(w, x []float32) (sum, size float64) {
	for i, v := range w {
		p := float64(v) * float64(x[i])
		sum += p
		size += math.Abs(p)
	}
	return sum, size
}

func allCols(n int) []int32 {
	cols := make([]int32, n)
	for i := range cols {
		cols[i] = int32(i)
	}
	return cols
}

func sameBits(a, b []float32) (int, bool) {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return i, false
		}
	}
	return 0, true
}
