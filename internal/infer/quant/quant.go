package quant

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Type is a tensor's element format, numbered as in GGUF files (enum ggml_type).
type Type uint32

// The formats this service reads and writes.
const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2
	Q4_1 Type = 3
	Q5_0 Type = 6
	Q5_1 Type = 7
	Q8_0 Type = 8
	Q2_K Type = 10
	Q3_K Type = 11
	Q4_K Type = 12
	Q5_K Type = 13
	Q6_K Type = 14
	BF16 Type = 30

	IQ2_XXS Type = 16
	IQ2_XS  Type = 17
	IQ3_XXS Type = 18
	IQ1_S   Type = 19
	IQ4_NL  Type = 20
	IQ3_S   Type = 21
	IQ2_S   Type = 22
	IQ4_XS  Type = 23
	IQ1_M   Type = 29
)

// others are ggml's formats that this service does not compute with: errors name them.
var others = map[Type]string{
	9: "Q8_1", 15: "Q8_K", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 34: "TQ1_0 (ternary)",
	35: "TQ2_0 (ternary)", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0", 42: "Q2_0",
	4: "Q4_2 (withdrawn)", 5: "Q4_3 (withdrawn)", 31: "Q4_0_4_4 (withdrawn: use Q4_0)",
	32: "Q4_0_4_8 (withdrawn: use Q4_0)", 33: "Q4_0_8_8 (withdrawn: use Q4_0)",
	36: "IQ4_NL_4_4 (withdrawn: use IQ4_NL)", 37: "IQ4_NL_4_8 (withdrawn: use IQ4_NL)",
	38: "IQ4_NL_8_8 (withdrawn: use IQ4_NL)",
}

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
	codes  func(c *Codes, block []byte)               // one block of an IQ format
}

// formats is indexed by Type; entries without a name are not supported. A function, not a variable with an
// initialiser, would cost a switch for every call.
var formats = [...]format{
	F32:  {name: "F32", elems: 1, bytes: 4, any: true, unpack: unpackF32, pack: packF32},
	F16:  {name: "F16", elems: 1, bytes: 2, any: true, unpack: unpackF16, pack: packF16},
	BF16: {name: "BF16", elems: 1, bytes: 2, any: true, unpack: unpackBF16, pack: packBF16},
	Q4_0: {name: "Q4_0", elems: 32, bytes: 18, unpack: unpackQ4_0, block: packQ4_0},
	Q4_1: {name: "Q4_1", elems: 32, bytes: 20, unpack: unpackQ4_1, block: packQ4_1},
	Q5_1: {name: "Q5_1", elems: 32, bytes: 24, unpack: unpackQ5_1, block: packQ5_1},
	Q5_0: {name: "Q5_0", elems: 32, bytes: 22, unpack: unpackQ5_0, block: packQ5_0},
	Q8_0: {name: "Q8_0", elems: 32, bytes: 34, unpack: unpackQ8_0, block: packQ8_0},
	Q2_K: {name: "Q2_K", elems: superLen, bytes: 84, unpack: unpackQ2_K, block: packQ2_K},
	Q3_K: {name: "Q3_K", elems: superLen, bytes: 110, unpack: unpackQ3_K, block: packQ3_K},
	Q4_K: {name: "Q4_K", elems: superLen, bytes: 144, unpack: unpackQ4_K, block: packQ4_K},
	Q5_K: {name: "Q5_K", elems: superLen, bytes: 176, unpack: unpackQ5_K, block: packQ5_K},
	Q6_K: {name: "Q6_K", elems: superLen, bytes: 210, unpack: unpackQ6_K, block: packQ6_K},

	IQ4_NL:  coded("IQ4_NL", 32, 18, codesIQ4_NL, packIQ4_NL),
	IQ4_XS:  coded("IQ4_XS", superLen, 136, codesIQ4_XS, packIQ4_XS),
	IQ3_S:   coded("IQ3_S", superLen, 110, codesIQ3_S, nil),
	IQ3_XXS: coded("IQ3_XXS", superLen, 98, codesIQ3_XXS, nil),
	IQ2_S:   coded("IQ2_S", superLen, 82, codesIQ2_S, nil),
	IQ2_XS:  coded("IQ2_XS", superLen, 74, codesIQ2_XS, nil),
	IQ2_XXS: coded("IQ2_XXS", superLen, 66, codesIQ2_XXS, nil),
	IQ1_M:   coded("IQ1_M", superLen, 56, codesIQ1_M, nil),
	IQ1_S:   coded("IQ1_S", superLen, 50, codesIQ1_S, nil),
}

func coded(name string, elems, bytes int, codes func(*Codes, []byte), pack func(*Packer, []byte, []float32)) format {
	return format{name: name, elems: elems, bytes: bytes, unpack: unpackCodes(elems, bytes, codes), block: pack,
		codes: codes}
}

// Types lists the supported formats, widest first.
func Types() []Type {
	return []Type{F32, F16, BF16, Q8_0, Q6_K, Q5_1, Q5_K, Q5_0, Q4_1, Q4_K, Q4_0, IQ4_NL, IQ4_XS, IQ3_S, Q3_K, IQ3_XXS,
		Q2_K, IQ2_S, IQ2_XS, IQ2_XXS, IQ1_M, IQ1_S}
}

// Writable lists the formats that Pack can make.
func Writable() []Type {
	return slices.DeleteFunc(Types(), func(t Type) bool { return !t.Writable() })
}

func (t Type) format() *format {
	if int64(t) >= int64(len(formats)) || formats[t].name == "" {
		return nil
	}
	return &formats[t]
}

// Supported reports whether rows of t can be unpacked and computed with.
func (t Type) Supported() bool { return t.format() != nil }

// Writable reports whether Pack can make rows of t.
func (t Type) Writable() bool {
	f := t.format()
	return f != nil && (f.pack != nil || f.block != nil)
}

// String gives ggml's name in capitals, such as "Q4_K", or "type 99" for a number that ggml has not given away.
func (t Type) String() string {
	if f := t.format(); f != nil {
		return f.name
	}
	if name, ok := others[t]; ok {
		return name
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
// saturate. Formats that are not Writable are an ErrType.
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
		return nil, fmt.Errorf("%w: %d elements of %v take %d bytes, got %d", ErrLength, elems, t, want, bytes)
	}
	return t.format(), nil
}
