package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// kind is GGUF's metadata value type.
type kind uint32

const (
	kindUint8 kind = iota
	kindInt8
	kindUint16
	kindInt16
	kindUint32
	kindInt32
	kindFloat32
	kindBool
	kindString
	kindArray
	kindUint64
	kindInt64
	kindFloat64
)

var kinds = [...]struct {
	name string
	size uint64 // bytes of a fixed-size value; 0 for strings and arrays
}{
	{"uint8", 1}, {"int8", 1}, {"uint16", 2}, {"int16", 2}, {"uint32", 4}, {"int32", 4}, {"float32", 4}, {"bool", 1},
	{"string", 0}, {"array", 0}, {"uint64", 8}, {"int64", 8}, {"float64", 8},
}

func (k kind) String() string {
	if int64(k) < int64(len(kinds)) {
		return kinds[k].name
	}
	return fmt.Sprintf("type %d", uint32(k))
}

// value is an undecoded metadata value: its bytes in the file. Arrays are decoded when asked for, so a hostile file
// cannot make the reader allocate for values nobody wants.
type value struct {
	kind  kind
	elem  kind   // of arrays
	count int    // of arrays
	raw   []byte // fixed-size: the bytes; string: its bytes; array: its elements
}

func (v value) String() string {
	if v.kind == kindArray {
		return fmt.Sprintf("array of %d %v", v.count, v.elem)
	}
	return v.kind.String()
}

func (f *File) readPairs(c *cursor, n int) error {
	f.values = make(map[string]value, n)
	f.keys = make([]string, 0, n)
	for i := range n {
		key := c.str()
		if c.err != nil {
			return fmt.Errorf("metadata key %d of %d: %w", i, n, c.err)
		}
		if key == "" {
			return fmt.Errorf("%w: metadata key %d of %d is empty", ErrFormat, i, n)
		}
		if _, dup := f.values[key]; dup {
			return fmt.Errorf("%w: metadata key %q appears twice", ErrFormat, key)
		}
		v, err := c.value()
		if err != nil {
			return fmt.Errorf("metadata key %q: %w", key, err)
		}
		f.keys, f.values[key] = append(f.keys, key), v
	}
	return nil
}

// value skips over one value and remembers where it lies.
func (c *cursor) value() (value, error) {
	v := value{kind: kind(c.u32())}
	if c.err != nil {
		return v, c.err
	}
	switch {
	case v.kind == kindString:
		v.raw = c.take(c.u64())
		return v, c.err
	case v.kind == kindArray:
		return c.array()
	case int64(v.kind) < int64(len(kinds)):
		v.raw = c.take(kinds[v.kind].size)
		return v, c.err
	}
	return v, fmt.Errorf("%w: unknown value type %d", ErrFormat, uint32(v.kind))
}

func (c *cursor) array() (value, error) {
	v := value{kind: kindArray, elem: kind(c.u32())}
	n := c.u64()
	if c.err != nil {
		return v, c.err
	}
	if int64(v.elem) >= int64(len(kinds)) {
		return v, fmt.Errorf("%w: array of unknown value type %d", ErrFormat, uint32(v.elem))
	}
	if v.elem == kindArray {
		return v, fmt.Errorf("%w: array of arrays", ErrUnsupported)
	}
	size := max(kinds[v.elem].size, 1)
	if v.elem == kindString {
		size = 8 // at least a length each
	}
	if left := uint64(len(c.data) - c.off); n > left/size {
		return v, fmt.Errorf("%w: array of %d %v in the %d bytes left", ErrFormat, n, v.elem, left)
	}
	v.count = int(n)
	start := c.off
	if v.elem != kindString {
		v.raw = c.take(n * size)
		return v, c.err
	}
	for i := range v.count {
		if c.take(c.u64()); c.err != nil {
			return v, fmt.Errorf("string %d of %d: %w", i, v.count, c.err)
		}
	}
	v.raw = c.data[start:c.off]
	return v, nil
}

func (f *File) find(key string, want string, ok func(value) bool) (value, error) {
	v, found := f.values[key]
	if !found {
		return v, fmt.Errorf("%w: %s", ErrMissing, key)
	}
	if !ok(v) {
		return v, fmt.Errorf("%w: %s must be %s, got %v", ErrType, key, want, v)
	}
	return v, nil
}

// Has reports whether key is present.
func (f *File) Has(key string) bool {
	_, ok := f.values[key]
	return ok
}

// Uint32 gives an integer of any width that fits uint32: writers differ in the width they choose.
func (f *File) Uint32(key string) (uint32, error) {
	v, err := f.find(key, "an integer", func(v value) bool { _, ok := v.integer(); return ok })
	if err != nil {
		return 0, err
	}
	n, _ := v.integer()
	if n < 0 || n > math.MaxUint32 {
		return 0, fmt.Errorf("%w: %s must be within uint32, got %d", ErrType, key, n)
	}
	return uint32(n), nil
}

// UniformUint32 is Uint32 for a key that may instead have an array, of the same number for each layer.
func (f *File) UniformUint32(key string) (uint32, error) {
	if v, ok := f.values[key]; !ok || v.kind != kindArray {
		return f.Uint32(key)
	}
	all, err := f.Int32s(key)
	if err != nil {
		return 0, err
	}
	for i, n := range all {
		if n != all[0] || n < 0 {
			return 0, fmt.Errorf("%w: %s is %d for layer 0 and %d for layer %d: layers that differ are not supported",
				ErrType, key, all[0], n, i)
		}
	}
	if len(all) == 0 {
		return 0, fmt.Errorf("%w: %s is an empty array", ErrType, key)
	}
	return uint32(all[0]), nil
}

// integer widens any integer value; ok is false for other kinds and for uint64 beyond int64.
func (v value) integer() (int64, bool) {
	switch v.kind {
	case kindUint8:
		return int64(v.raw[0]), true
	case kindInt8:
		return int64(int8(v.raw[0])), true
	case kindUint16:
		return int64(binary.LittleEndian.Uint16(v.raw)), true
	case kindInt16:
		return int64(int16(binary.LittleEndian.Uint16(v.raw))), true
	case kindUint32:
		return int64(binary.LittleEndian.Uint32(v.raw)), true
	case kindInt32:
		return int64(int32(binary.LittleEndian.Uint32(v.raw))), true
	case kindUint64, kindInt64:
		n := int64(binary.LittleEndian.Uint64(v.raw))
		return n, v.kind == kindInt64 || n >= 0
	}
	return 0, false
}

// Float32 gives a float32 or float64 value.
func (f *File) Float32(key string) (float32, error) {
	v, err := f.find(key, "a float", func(v value) bool { return v.kind == kindFloat32 || v.kind == kindFloat64 })
	if err != nil {
		return 0, err
	}
	if v.kind == kindFloat64 {
		return float32(math.Float64frombits(binary.LittleEndian.Uint64(v.raw))), nil
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(v.raw)), nil
}

// Bool gives a bool value.
func (f *File) Bool(key string) (bool, error) {
	v, err := f.find(key, "a bool", func(v value) bool { return v.kind == kindBool })
	return err == nil && v.raw[0] != 0, err
}

// String gives a string value.
func (f *File) String(key string) (string, error) {
	v, err := f.find(key, "a string", func(v value) bool { return v.kind == kindString })
	return string(v.raw), err
}

// Strings gives an array of strings.
func (f *File) Strings(key string) ([]string, error) {
	v, err := f.find(key, "an array of strings", func(v value) bool {
		return v.kind == kindArray &&
			v.elem == kindString
	})
	if err != nil {
		return nil, err
	}
	all := string(v.raw) // a vocabulary is tens of thousands of strings: copied at once
	c := &cursor{data: v.raw}
	out := make([]string, v.count)
	for i := range out {
		n := len(c.take(c.u64()))
		out[i] = all[c.off-n : c.off]
	}
	return out, nil
}

// Float32s gives an array of float32.
func (f *File) Float32s(key string) ([]float32, error) {
	v, err := f.find(key, "an array of float32", func(v value) bool {
		return v.kind == kindArray &&
			v.elem == kindFloat32
	})
	if err != nil {
		return nil, err
	}
	out := make([]float32, v.count)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(v.raw[4*i:]))
	}
	return out, nil
}

// Int32s gives an array of int32 or of uint32 that fit.
func (f *File) Int32s(key string) ([]int32, error) {
	v, err := f.find(key, "an array of int32", func(v value) bool {
		return v.kind == kindArray && (v.elem == kindInt32 || v.elem == kindUint32)
	})
	if err != nil {
		return nil, err
	}
	out := make([]int32, v.count)
	for i := range out {
		n := binary.LittleEndian.Uint32(v.raw[4*i:])
		if v.elem == kindUint32 && n > math.MaxInt32 {
			return nil, fmt.Errorf("%w: %s[%d] must be within int32, got %d", ErrType, key, i, n)
		}
		out[i] = int32(n)
	}
	return out, nil
}

// Uint32Or gives def where the key is absent or no such integer.
func (f *File) Uint32Or(key string, def uint32) uint32 { return or(f.Uint32, key, def) }

// Float32Or gives def where the key is absent or no float.
func (f *File) Float32Or(key string, def float32) float32 { return or(f.Float32, key, def) }

// BoolOr gives def where the key is absent or no bool.
func (f *File) BoolOr(key string, def bool) bool { return or(f.Bool, key, def) }

// StringOr gives def where the key is absent or no string.
func (f *File) StringOr(key string, def string) string { return or(f.String, key, def) }

func or[T any](get func(string) (T, error), key string, def T) T {
	if v, err := get(key); err == nil {
		return v
	}
	return def
}
