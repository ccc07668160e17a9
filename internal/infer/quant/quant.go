package quant

import (
	"errors"
	"fmt"
	"strings"
)

// Type is a tensor's element format, numbered as in GGUF files (enum ggml_type).
type Type uint32

// The formats this service reads and writes.
const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2
	Q5_0 Type = 6
	Q8_0 Type = 8
	Q2_K Type = 10
	Q3_K Type = 11
	Q4_K Type = 12
	Q5_K Type = 13
	Q6_K Type = 14
	BF16 Type = 30
)

var (
	// ErrType is matched by errors about a format that is unknown or not supported.
	ErrType = errors.New("unsupported tensor type")
	// ErrLength is matched by errors about lengths that do not fit the format or each other.
	ErrLength = errors.New("wrong length")
	// ErrNotFinite is matched when Pack meets NaN or an infinity that the format cannot hold.
	ErrNotFinite = errors.New("value is not finite")
)

// format is what the package knows about one Type.
type format struct {
	name   string
	elems  int // elements a block
	bytes  int // bytes a block
	any    bool
	unpack func(dst []float32, src []byte)            // whole blocks; lengths checked
	pack   func(dst []byte, src []float32)            // the plain formats
	block  func(p *Packer, dst []byte, src []float32) // one block, searched for
}

// formats is indexed by Type; entries without a name are not supported. A function, not a variable with an
// initialiser, would cost a switch for every call.
var formats = [...]format{
	F32:  {name: "F32", elems: 1, bytes: 4, any: true, unpack: unpackF32, pack: packF32},
	F16:  {name: "F16", elems: 1, bytes: 2, any: true, unpack: unpackF16, pack: packF16},
	BF16: {name: "BF16", elems: 1, bytes: 2, any: true, unpack: unpackBF16, pack: packBF16},
	Q4_0: {name: "Q4_0", elems: 32, bytes: 18, unpack: unpackQ4_0, block: packQ4_0},
	Q5_0: {name: "Q5_0", elems: 32, bytes: 22, unpack: unpackQ5_0, block: packQ5_0},
	Q8_0: {name: "Q8_0", elems: 32, bytes: 34, unpack: unpackQ8_0, block: packQ8_0},
	Q2_K: {name: "Q2_K", elems: superLen, bytes: 84, unpack: unpackQ2_K, block: packQ2_K},
	Q3_K: {name: "Q3_K", elems: superLen, bytes: 110, unpack: unpackQ3_K, block: packQ3_K},
	Q4_K: {name: "Q4_K", elems: superLen, bytes: 144, unpack: unpackQ4_K, block: packQ4_K},
	Q5_K: {name: "Q5_K", elems: superLen, bytes: 176, unpack: unpackQ5_K, block: packQ5_K},
	Q6_K: {name: "Q6_K", elems: superLen, bytes: 210, unpack: unpackQ6_K, block: packQ6_K},
}

// Types lists the supported formats, widest first.
func Types() []Type {
	return []Type{F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q5_0, Q4_K, Q4_0, Q3_K, Q2_K}
}

func (t Type) format() *format {
	if int64(t) >= int64(len(formats)) || formats[t].name == "" {
		return nil
	}
	return &formats[t]
}

// Supported reports whether rows of t can be packed and unpacked.
func (t Type) Supported() bool { return t.format() != nil }

// String gives ggml's name in capitals, such as "Q4_K", or "type 23" for formats that are not supported.
func (t Type) String() string {
	if f := t.format(); f != nil {
		return f.name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// BlockLen gives the elements of a block; 0 for unsupported types.
func (t Type) BlockLen() int {
	if f := t.format(); f != nil {
		return f.elems
	}
	return 0
}

// BlockBytes gives the bytes of a block; 0 for unsupported types.
func (t Type) BlockBytes() int {
	if f := t.format(); f != nil {
		return f.bytes
	}
	return 0
}

// BitsPerWeight gives the stored bits for each element, scales included.
func (t Type) BitsPerWeight() float64 {
	f := t.format()
	if f == nil {
		return 0
	}
	return float64(8*f.bytes) / float64(f.elems)
}

// RowBytes gives the bytes of n elements, which must be whole blocks.
func (t Type) RowBytes(n int) (int, error) {
	f := t.format()
	if f == nil {
		return 0, fmt.Errorf("%w: %v", ErrType, t)
	}
	if n < 0 || n%f.elems != 0 {
		return 0, fmt.Errorf("%w: a row of %d elements is not whole blocks of %d (%s)", ErrLength, n, f.elems, f.name)
	}
	blocks := n / f.elems
	if const62 := 1 << 62; blocks > const62/f.bytes {
		return 0, fmt.Errorf("%w: a row of %d elements is too long", ErrLength, n)
	}
	return blocks * f.bytes, nil
}

// ParseType reads a format's name in any case, such as "q8_0" or "Q4_K".
func ParseType(s string) (Type, error) {
	for _, t := range Types() {
		if strings.EqualFold(t.String(), s) {
			return t, nil
		}
	}
	return 0, fmt.Errorf("%w: %q (one of %s)", ErrType, s, typeNames())
}

func typeNames() string {
	var names []string
	for _, t := range Types() {
		names = append(names, strings.ToLower(t.String()))
	}
	return strings.Join(names, ", ")
}

// Unpack decodes src, which holds len(dst) elements of format t, into dst.
func Unpack(t Type, dst []float32, src []byte) error {
	f, err := check(t, len(src), len(dst))
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	f.unpack(dst, src)
	return nil
}

// Pack encodes src into dst, which must be exactly as long as RowBytes(len(src)). The block formats hold finite
// numbers only: ErrNotFinite names the first that is not. Magnitudes beyond what a block's binary16 scale can reach
// saturate.
func Pack(t Type, dst []byte, src []float32) error {
	p := packers.Get().(*Packer)
	defer packers.Put(p)
	return p.Pack(t, dst, src, nil)
}

func check(t Type, bytes, elems int) (*format, error) {
	want, err := t.RowBytes(elems)
	if err != nil {
		return nil, err
	}
	if bytes != want {
		return nil, fmt.Errorf("%w: %d elements of %v take %d bytes, not %d", ErrLength, elems, t, want, bytes)
	}
	return t.format(), nil
}
