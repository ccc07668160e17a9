package kernel

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// actKind is how a row of activations is held for a matrix product.
type actKind uint8

const (
	actF32   actKind = iota // as they are, for float weights
	act32                   // 8-bit integers with a scale for each 32, for Q8_0, Q4_0, Q5_0
	act256                  // 8-bit integers with a scale for each 256, for the K formats
	act16                   // the integers of act32 as words, for Q8_0 where it is multiplied in words: see Matrix.act
	actKinds                // their number
)

// Integer activations are −127 … 127 times a scale. Blocks, little-endian:
//
//	act32:  32 × int8, f32 scale, i32 −128·Σq                                              40 bytes
//	act16:  32 × int16 (elements 0, 2, 1, 3 of each quad), f32 scale, i32 s = −128·Σq,
//	        i32 roundMagic + s − Σ q of an even element · q of the next                    76 bytes
//	act256: 256 × int8, 16 × i32 −128·Σ16 q, 16 × i16 Σ16 q, 8 × i16 Σ32 q, f32 scale, 0   384 bytes
//
// The kernels multiply weights as unsigned bytes with 128 added (see layouts), so a sum that starts from −128·Σq ends
// as the signed one at no cost. The plain sums serve the formats with minima: Σ(d·w−m)·x = d·Σw·x − m·Σx.
//
// The scales are as fine as each format's own blocks: a coarser one would round small activations beside a large one
// away, a finer one in the K formats would add two float32 operations to every eight VPDPBUSD.
const (
	act32Block = 40
	act32Scale = 32
	act32Init  = 36

	act16Block = 76
	act16Scale = 64
	act16Pairs = 72

	act256Block  = 384
	act256Init   = 256
	act256Sum16  = 320
	act256Sum32  = 352
	act256Scale  = 368
	actMax       = 127
	actOffset    = 128
	superLen     = 256
	smallestStep = 0x1p-100 // see blockScale
)

// Acts holds rows of k activations in every form that a set of matrices wants, on the tier that was in use when it was
// made.
type Acts struct {
	// Tap, if not nil, gets what Set gets, before it is rounded, for callers that collect the inputs of matrices.
	Tap func(row, at int, x []float32)

	k      int
	rows   int
	need   [actKinds]bool
	stride [actKinds]int
	data   [actKinds][]byte
}

// NewActs prepares for products with each of ms, which must have the same number of columns.
func NewActs(ms ...*Matrix) *Acts {
	a := &Acts{k: ms[0].Cols}
	for _, m := range ms {
		if m.Cols != a.k {
			panic("kernel: matrices of different widths share activations")
		}
		a.need[m.act()] = true
	}
	a.stride = [actKinds]int{
		actF32: 4 * a.k,
		act32:  (a.k + 31) / 32 * act32Block,
		act16:  ((a.k+31)/32*act16Block+63)/64*64 | 64, // an odd number of lines: columns in different sets of a cache
		act256: (a.k + superLen - 1) / superLen * act256Block,
	}
	return a
}

// Align is what the position and the length of a piece given to Set must be multiples of: 1, 32 or 256.
func (a *Acts) Align() int {
	switch {
	case a.need[act256]:
		return superLen
	case a.need[act32], a.need[act16]:
		return 32
	}
	return 1
}

// Cols is the length of a row.
func (a *Acts) Cols() int { return a.k }

// Reserve makes room for rows rows; what was there is lost if it has to grow.
func (a *Acts) Reserve(rows int) {
	if rows <= a.rows {
		return
	}
	a.rows = rows
	for kind := range a.data {
		if a.need[kind] {
			a.data[kind] = alignedBytes(rows * a.stride[kind])
		}
	}
}

// Set stores x as elements at … at+len(x)−1 of a row; both are multiples of Align. Different pieces may be stored at
// the same time.
func (a *Acts) Set(row, at int, x []float32) {
	if align := a.Align(); at%align != 0 || len(x)%align != 0 {
		panic("kernel: a piece of activations cuts a block: see Acts.Align")
	}
	if a.Tap != nil {
		a.Tap(row, at, x)
	}
	if a.need[actF32] {
		copy(a.floats(row)[at:], x)
	}
	if a.need[act32] {
		from := row*a.stride[act32] + at/32*act32Block
		active.quantise32(a.data[act32][from:from+len(x)/32*act32Block], x)
	}
	if a.need[act16] {
		from := row*a.stride[act16] + at/32*act16Block
		active.quantise16(a.data[act16][from:from+len(x)/32*act16Block], x)
	}
	if a.need[act256] {
		from := row*a.stride[act256] + at/superLen*act256Block
		active.quantise256(a.data[act256][from:from+len(x)/superLen*act256Block], x)
	}
}

// floats gives a row of actF32.
func (a *Acts) floats(row int) []float32 {
	b := a.data[actF32][row*a.stride[actF32]:]
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), a.k)
}

// row gives the bytes of a row in one form.
func (a *Acts) row(kind actKind, row int) []byte {
	return a.data[kind][row*a.stride[kind] : (row+1)*a.stride[kind]]
}

// quantise32Generic writes blocks of act32. A block with NaN or Inf gets a NaN scale, so that every product with it is
// NaN.
func quantise32Generic(dst []byte, x []float32) {
	for ; len(x) >= 32; x, dst = x[32:], dst[act32Block:] {
		b := (*[act32Block]byte)(dst)
		scale, inverse := blockScale(x[:32])
		sum := quantiseRun(b[:32], x[:32], inverse)
		putFloat(b[act32Scale:], scale)
		binary.LittleEndian.PutUint32(b[act32Init:], uint32(-actOffset*sum))
	}
}

// quantise16Generic writes blocks of act16, likewise.
func quantise16Generic(dst []byte, x []float32) {
	var b [act32Block]byte
	for ; len(x) >= 32; x, dst = x[32:], dst[act16Block:] {
		quantise32Generic(b[:], x[:32])
		for i := range 32 {
			v := int8(b[i&^3+[4]int{0, 2, 1, 3}[i%4]])
			binary.LittleEndian.PutUint16(dst[2*i:], uint16(v))
		}
		copy(dst[act16Scale:act16Pairs], b[act32Scale:])
		sum := int32(roundMagic + binary.LittleEndian.Uint32(b[act32Init:]))
		for i := 0; i < 32; i += 2 {
			sum -= int32(int8(b[i])) * int32(int8(b[i+1]))
		}
		binary.LittleEndian.PutUint32(dst[act16Pairs:], uint32(sum))
	}
}

// quantise256Generic writes blocks of act256, likewise.
func quantise256Generic(dst []byte, x []float32) {
	for ; len(x) >= superLen; x, dst = x[superLen:], dst[act256Block:] {
		b := (*[act256Block]byte)(dst)
		scale, inverse := blockScale(x[:superLen])
		var last int32
		for g := range 16 {
			sum := quantiseRun(b[16*g:16*g+16], x[16*g:], inverse)
			binary.LittleEndian.PutUint32(b[act256Init+4*g:], uint32(-actOffset*sum))
			binary.LittleEndian.PutUint16(b[act256Sum16+2*g:], uint16(sum))
			if g%2 == 1 {
				binary.LittleEndian.PutUint16(b[act256Sum32+g-1:], uint16(last+sum))
			}
			last = sum
		}
		putFloat(b[act256Scale:], scale)
	}
}

// quantiseRun rounds len(dst) activations and gives the sum of the integers.
func quantiseRun(dst []byte, x []float32, inverse float32) (sum int32) {
	for i := range dst {
		q := roundInt(float32(x[i] * inverse)) // rounded before it is added to: no fused multiplication
		sum += q
		dst[i] = byte(q)
	}
	return sum
}

// blockScale gives the step that maps the block's largest magnitude to actMax, and its inverse. The magnitudes are
// compared as integers, in which order NaN and Inf are above all numbers. A block of zeros has scale 0, and so has one
// below smallestStep, where the inverse would overflow: 2⁻¹⁰⁰ is far below anything that could change a result.
func blockScale(x []float32) (scale, inverse float32) {
	var top uint32
	for _, v := range x {
		top = max(top, math.Float32bits(v)&0x7fffffff)
	}
	if top >= 0x7f800000 {
		return float32(math.NaN()), 0
	}
	largest := math.Float32frombits(top)
	if largest < smallestStep {
		return 0, 0
	}
	return largest / actMax, actMax / largest
}

// roundInt rounds to nearest, ties to even; NaN (from Inf·0) gives 0. |v| < 2²².
func roundInt(v float32) int32 {
	if v != v {
		return 0
	}
	return int32(math.Float32bits(v+3<<22)) - roundMagic // pushes the fraction out of the mantissa
}

// roundMagic is 3 · 2²² as float32, in which whole numbers below 2²² in magnitude are added to the bits.
const roundMagic = 0x4b400000

func putFloat(b []byte, f float32)   { binary.LittleEndian.PutUint32(b, math.Float32bits(f)) }
func getFloat(b []byte) float32      { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }
func getHalf(b []byte, i int) uint16 { return binary.LittleEndian.Uint16(b[2*i:]) }

// alignedBytes allocates n zeroed bytes at a multiple of 64.
func alignedBytes(n int) []byte {
	b := make([]byte, n+64)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & 63)
	return b[skip : skip+n : skip+n]
}

// AlignedFloats allocates n zeroed floats at a multiple of 64 bytes.
func AlignedFloats(n int) []float32 {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(alignedBytes(4*n)))), n)
}
