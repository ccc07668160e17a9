package gguf

import (
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// raw builds a file byte by byte, lies included.
type raw []byte

func (b raw) u32(v uint32) raw { return binary.LittleEndian.AppendUint32(b, v) }
func (b raw) u64(v uint64) raw { return binary.LittleEndian.AppendUint64(b, v) }
func (b raw) str(s string) raw { return append(b.u64(uint64(len(s))), s...) }
func (b raw) pad(to int) raw   { return append(b, make([]byte, align(len(b), to)-len(b))...) }

func head(tensors, pairs uint64) raw { return raw(magic).u32(version).u64(tensors).u64(pairs) }

// pair writes a key and its value's type.
func (b raw) pair(key string, k kind) raw { return b.str(key).u32(uint32(k)) }

// list writes an array's element type and length.
func (b raw) list(key string, elem kind, n uint64) raw {
	return b.pair(key, kindArray).u32(uint32(elem)).u64(n)
}

// entry writes a tensor's place in the directory.
func (b raw) entry(name string, typ quant.Type, offset uint64, dims ...uint64) raw {
	b = b.str(name).u32(uint32(len(dims)))
	for _, d := range dims {
		b = b.u64(d)
	}
	return b.u32(uint32(typ)).u64(offset)
}

// nested is arrays within arrays: what a reader that follows them by recursion dies of.
func nested(depth int) raw {
	b := head(0, 1).pair("deep", kindArray)
	for range depth {
		b = b.u32(uint32(kindArray)).u64(1)
	}
	return b.u32(uint32(kindUint8)).u64(1)
}

func TestHostile(t *testing.T) {
	const most = math.MaxUint64
	const f32 = quant.F32
	room := make([]byte, 4096)
	for name, c := range map[string]struct {
		data raw
		want error
		text string
	}{
		"2⁶⁴ tensors":           {append(head(most, 0), room...), ErrFormat, "tensors in"},
		"2⁶⁴ keys":              {append(head(0, most), room...), ErrFormat, "metadata keys in"},
		"2⁶³ keys":              {append(head(0, 1<<63), room...), ErrFormat, "metadata keys in"},
		"more tensors than fit": {append(head(200, 0), room...), ErrFormat, "tensors in"},
		"key of 2⁶⁴ bytes": {append(head(0, 1).u64(most), room...), ErrFormat,
			"needs 18446744073709551615 bytes"},
		"key of 2⁶³ bytes": {append(head(0, 1).u64(1<<63), room...), ErrFormat, "needs"},
		"empty key":        {append(head(0, 1).pair("", kindBool), room...), ErrFormat, "is empty"},
		"same key": {append(head(0, 2).pair("a", kindUint8), 1).pair("a", kindUint8).pad(64),
			ErrFormat, `"a" appears twice`},
		"unknown type":  {head(0, 1).pair("a", 13).pad(64), ErrFormat, "unknown value type 13"},
		"type 2³²−1":    {head(0, 1).pair("a", math.MaxUint32).pad(64), ErrFormat, "unknown value type"},
		"string of 2⁶⁴": {append(head(0, 1).pair("a", kindString).u64(most), room...), ErrFormat, "needs"},
		"array of 2⁶⁴ bytes": {append(head(0, 1).list("a", kindUint8, most), room...), ErrFormat,
			"array of 18446744073709551615"},
		"array whose size wraps": {append(head(0, 1).list("a", kindUint64, 1<<61+1), room...), ErrFormat,
			"array of"},
		"array of 2⁶¹ strings": {append(head(0, 1).list("a", kindString, 1<<61), room...), ErrFormat, "array of"},
		"array of a string too far": {append(head(0, 1).list("a", kindString, 2).str("x").u64(1<<40), room...),
			ErrFormat, "string 1 of 2"},
		"array of unknown":      {append(head(0, 1).list("a", 99, 1), room...), ErrFormat, "array of unknown"},
		"array of arrays":       {nested(1), ErrUnsupported, "array of arrays"},
		"a million arrays deep": {nested(1 << 20), ErrUnsupported, "array of arrays"},
		"cut in a value":        {head(0, 1).pair("a", kindUint64).u32(1), ErrFormat, `"a"`},
		"alignment of 0": {head(0, 1).pair(keyAlignment, kindUint32).u32(0).pad(64), ErrFormat,
			keyAlignment},
		"alignment of 3": {head(0, 1).pair(keyAlignment, kindUint32).u32(3).pad(64), ErrFormat,
			keyAlignment},
		"alignment of 2³¹": {head(0, 1).pair(keyAlignment, kindUint32).u32(1 << 31).pad(64), ErrFormat,
			keyAlignment},
		"alignment as text": {head(0, 1).pair(keyAlignment, kindString).str("32").pad(64), ErrFormat,
			keyAlignment},
		"tensor without a name": {append(head(1, 0).entry("", f32, 0, 1), room...), ErrFormat, "empty name"},
		"no dimensions":         {append(head(1, 0).entry("t", f32, 0), room...), ErrFormat, "dimensions, got 0"},
		"2³² dimensions": {append(head(1, 0).str("t").u32(math.MaxUint32), room...), ErrFormat,
			"dimensions"},
		"dimension of 0": {append(head(1, 0).entry("t", f32, 0, 4, 0), room...), ErrFormat,
			"dimension 1 of size 0"},
		"dimension of 2⁶⁴": {append(head(1, 0).entry("t", f32, 0, most), room...), ErrFormat, "dimension 0"},
		"product that wraps": {append(head(1, 0).entry("t", f32, 0, 1<<32, 1<<32), room...), ErrFormat,
			"larger than the file"},
		"product that wraps to 16": {append(head(1, 0).entry("t", f32, 0, 1<<40, 1<<22, 4), room...), ErrFormat,
			"larger than the file"},
		"part of a block":        {append(head(1, 0).entry("t", quant.Q4_K, 0, 255), room...), ErrFormat, "t"},
		"type without a decoder": {append(head(1, 0).entry("t", 34, 0, 256), room...), ErrUnsupported, "TQ1_0"},
		"type nobody knows":      {append(head(1, 0).entry("t", 1<<30, 0, 256), room...), ErrUnsupported, `"t"`},
		"offset of 2⁶⁴": {append(head(1, 0).entry("t", f32, most&^31, 4), room...), ErrFormat,
			"cut short"},
		"offset that wraps": {append(head(1, 0).entry("t", f32, (1<<64)-32, 16), room...), ErrFormat,
			"cut short"},
		"offset between": {append(head(1, 0).entry("t", f32, 4, 4), room...), ErrFormat,
			"multiple of the alignment"},
		"data that is not there": {head(1, 0).entry("t", f32, 0, 4), ErrFormat, "ends before the tensor data"},
		"one float too many": {append(head(1, 0).entry("t", f32, 0, 1025).pad(32), room...), ErrFormat,
			"cut short"},
		"same name": {append(head(2, 0).entry("t", f32, 0, 4).entry("t", f32, 32, 4), room...),
			ErrFormat, "appears twice"},
		"the same bytes twice": {append(head(2, 0).entry("a", f32, 32, 4).entry("b", f32, 32, 4), room...),
			ErrFormat, "overlap"},
		"one inside another": {append(head(3, 0).entry("a", f32, 0, 64).entry("b", f32, 512, 4).entry("c", f32,
			96, 1), room...), ErrFormat, `"a" and "c" overlap`},
		"big-endian": {append(raw(magic).u32(3<<24), room...), ErrUnsupported, "big-endian"},
		"version 1":  {append(raw(magic).u32(1), room...), ErrUnsupported, "must be 2 or 3, got 1"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse(c.data)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v with %q", name, err, c.want, c.text)
		}
		// The directory of a file of n bytes has at most n/32 tensors and n/13 keys, of some 200 bytes each here.
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(16*len(c.data)+64<<10); got > most {
			t.Errorf("%s: %d bytes allocated for a file of %d", name, got, len(c.data))
		}
	}
}

// TestWrongTypes: a key that has another type than its reader expects is an error that names it, from every getter.
func TestWrongTypes(t *testing.T) {
	values := map[string]func(raw) raw{
		"bool":    func(b raw) raw { return append(b.pair("k", kindBool), 1) },
		"uint8":   func(b raw) raw { return append(b.pair("k", kindUint8), 1) },
		"int64":   func(b raw) raw { return b.pair("k", kindInt64).u64(1 << 63) },
		"uint64":  func(b raw) raw { return b.pair("k", kindUint64).u64(math.MaxUint64) },
		"float64": func(b raw) raw { return b.pair("k", kindFloat64).u64(math.Float64bits(math.NaN())) },
		"string":  func(b raw) raw { return b.pair("k", kindString).str("\xff\x00") },
		"bools":   func(b raw) raw { return append(b.list("k", kindBool, 3), 0, 1, 2) },
		"strings": func(b raw) raw { return b.list("k", kindString, 2).str("").str("x") },
		"nothing": func(b raw) raw { return b.list("k", kindFloat32, 0) },
	}
	for name, write := range values {
		f, err := Parse(write(head(0, 1)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, e1 := f.Uint32("k")
		_, e2 := f.Float32("k")
		_, e3 := f.Bool("k")
		_, e4 := f.String("k")
		_, e5 := f.Strings("k")
		_, e6 := f.Float32s("k")
		_, e7 := f.Int32s("k")
		good := 0
		for _, err := range []error{e1, e2, e3, e4, e5, e6, e7} {
			switch {
			case err == nil:
				good++
			case !errors.Is(err, ErrType) || !strings.HasPrefix(err.Error(), ErrType.Error()+": k "):
				t.Errorf("%s: %v", name, err)
			}
		}
		want := 1
		if name == "int64" || name == "uint64" || name == "bools" { // out of range, and a type that no getter wants
			want = 0
		}
		if good != want {
			t.Errorf("%s: %d getters take it, want %d", name, good, want)
		}
	}
}
