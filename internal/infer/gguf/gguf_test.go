package gguf

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// sample is a small file with every value type and tensors of odd sizes.
func sample(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	for _, kv := range []struct {
		key string
		v   any
	}{
		{"u8", uint8(200)}, {"i8", int8(-3)}, {"u16", uint16(65535)}, {"i16", int16(-7)}, {"u32", uint32(1 << 31)},
		{"i32", int32(-9)},
		{"u64", uint64(1 << 40)}, {"i64", int64(12)}, {"f32", float32(1e-5)}, {"f64", 0.5}, {"yes", true},
		{"no", false}, {"s", "llama"},
		{"strings", []string{"a", "", "▁the"}}, {"floats", []float32{0, -1.5}}, {"ints", []int32{1, -2}},
		{"uints", []uint32{7}}, {"longs", []int64{1}},
	} {
		check(t, w.Set(kv.key, kv.v))
	}
	check(t, w.Add("one", quant.F32, 3))
	check(t, w.Add("two", quant.Q8_0, 32, 2))
	check(t, w.Add("three", quant.F16, 2, 3, 4))
	size := w.Size()
	check(t, w.WriteHeader())
	check(t, w.WriteTensor("one", []byte("abcdefghijkl")))
	check(t, w.WriteTensor("two", bytes.NewReader(bytes.Repeat([]byte{1}, 68))))
	check(t, w.WriteTensor("three", iotest{strings.NewReader(strings.Repeat("z", 48))}))
	check(t, w.Close())
	if int64(b.Len()) != size {
		t.Fatalf("wrote %d bytes, Size said %d", b.Len(), size)
	}
	return b.Bytes()
}

// iotest is a reader that gives one byte at a time.
type iotest struct{ r io.Reader }

func (r iotest) Read(p []byte) (int, error) { return r.r.Read(p[:min(1, len(p))]) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRoundTrip(t *testing.T) {
	f, err := Parse(sample(t))
	check(t, err)
	if f.Version != 3 || f.Alignment != 32 || len(f.Keys()) != 18 || f.Keys()[0] != "u8" {
		t.Errorf("version %d, alignment %d, keys %v", f.Version, f.Alignment, f.Keys())
	}
	for key, want := range map[string]uint32{"u8": 200, "u16": 65535, "u32": 1 << 31, "i64": 12} {
		if got, err := f.Uint32(key); err != nil || got != want {
			t.Errorf("Uint32(%s) = %d, %v", key, got, err)
		}
	}
	f32, err1 := f.Float32("f32")
	f64, err2 := f.Float32("f64")
	s, err3 := f.String("s")
	yes, err4 := f.Bool("yes")
	no, err5 := f.Bool("no")
	list, err6 := f.Strings("strings")
	floats, err7 := f.Float32s("floats")
	ints, err8 := f.Int32s("ints")
	uints, err9 := f.Int32s("uints")
	check(t, errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9))
	got := []any{f32, f64, s, yes, no, list, floats, ints, uints}
	want := []any{float32(1e-5), float32(0.5), "llama", true, false, []string{"a", "", "▁the"}, []float32{0, -1.5},
		[]int32{1, -2}, []int32{7}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	tensors := []Tensor{
		{"one", quant.F32, []int{3}, []byte("abcdefghijkl")},
		{"two", quant.Q8_0, []int{32, 2}, bytes.Repeat([]byte{1}, 68)},
		{"three", quant.F16, []int{2, 3, 4}, []byte(strings.Repeat("z", 48))},
	}
	if d := cmp.Diff(tensors, f.Tensors()); d != "" {
		t.Error(d)
	}
	if three, ok := f.Tensor("three"); !ok || three.Elems() != 24 {
		t.Errorf("Tensor(three) = %v, %v", three, ok)
	}
	if _, ok := f.Tensor("four"); ok {
		t.Error("found a tensor that is not there")
	}
}

func TestGetterErrors(t *testing.T) {
	f, err := Parse(sample(t))
	check(t, err)
	get := func(_ any, err error) error { return err }
	for i, c := range []struct {
		err  error
		want error
		text string
	}{
		{get(f.Uint32("nope")), ErrMissing, "nope"},
		{get(f.Uint32("s")), ErrType, "s must be an integer, got string"},
		{get(f.Uint32("i32")), ErrType, "i32 must be within uint32, got -9"},
		{get(f.Uint32("u64")), ErrType, "within uint32"},
		{get(f.Float32("u8")), ErrType, "u8 must be a float, got uint8"},
		{get(f.Bool("u8")), ErrType, "must be a bool"},
		{get(f.String("strings")), ErrType, "array of 3 string"},
		{get(f.Strings("ints")), ErrType, "array of 2 int32"},
		{get(f.Float32s("f32")), ErrType, "f32 must be an array of float32, got float32"},
		{get(f.Int32s("longs")), ErrType, "array of 1 int64"},
	} {
		if !errors.Is(c.err, c.want) || !strings.Contains(c.err.Error(), c.text) {
			t.Errorf("%d: got %v, want %v with %q", i, c.err, c.want, c.text)
		}
	}
	if f.Uint32Or("nope", 5) != 5 || f.Uint32Or("u8", 5) != 200 || f.Float32Or("s", 2) != 2 ||
		!f.BoolOr("nope", true) || f.StringOr("s", "x") != "llama" {
		t.Error("the Or getters are wrong")
	}
}

func TestWriterMisuse(t *testing.T) {
	fresh := func() *Writer { return NewWriter(io.Discard) }
	ready := func() *Writer {
		w := fresh()
		check(t, w.Add("a", quant.F32, 4))
		check(t, w.WriteHeader())
		return w
	}
	twice := fresh()
	check(t, twice.Set("k", true))
	for name, c := range map[string]struct {
		err  error
		text string
	}{
		"same key":       {twice.Set("k", true), `"k" set twice`},
		"odd type":       {fresh().Set("k", struct{}{}), "no GGUF type for struct {}"},
		"int":            {fresh().Set("k", 1), "no GGUF type for int"},
		"alignment":      {fresh().Set("general.alignment", uint32(64)), "set by Align"},
		"align by 4":     {fresh().Align(4), "multiple of 8"},
		"align by 2 MiB": {fresh().Align(2 << 20), "multiple of 8"},
		"late Align":     {ready().Align(64), "after Add"},
		"empty key":      {fresh().Set("", true), "key of 0 bytes"},
		"late Set":       {ready().Set("k", true), "after WriteHeader"},
		"late Add":       {ready().Add("b", quant.F32, 1), "after WriteHeader"},
		"no dimensions":  {fresh().Add("a", quant.F32), "0 dimensions"},
		"five":           {fresh().Add("a", quant.F32, 1, 1, 1, 1, 1), "5 dimensions"},
		"zero":           {fresh().Add("a", quant.F32, 4, 0), "[4 0]"},
		"huge":           {fresh().Add("a", quant.F32, 1<<40, 1<<40), "too large"},
		"no header":      {fresh().WriteTensor("a", nil), "before WriteHeader"},
		"wrong name":     {ready().WriteTensor("b", make([]byte, 16)), `"a" is next`},
		"short":          {ready().WriteTensor("a", make([]byte, 15)), "got 15 bytes and needs 16"},
		"long":           {ready().WriteTensor("a", bytes.NewReader(make([]byte, 99))), "got 17 bytes and needs 16"},
		"not data":       {ready().WriteTensor("a", "text"), "data is string"},
		"closed early":   {ready().Close(), "0 of 1 tensors"},
		"second header":  {ready().WriteHeader(), "twice"},
		"closed unready": {fresh().Close(), "0 of 0"},
	} {
		if !errors.Is(c.err, ErrOrder) || !strings.Contains(c.err.Error(), c.text) {
			t.Errorf("%s: got %v, want %q", name, c.err, c.text)
		}
	}
	if err := fresh().Add("a", quant.Q4_K, 128); !errors.Is(err, quant.ErrLength) {
		t.Errorf("partial block: %v", err)
	}
	w := NewWriter(full{})
	check(t, w.Add("a", quant.F32, 4))
	if err := w.WriteHeader(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("full disk: %v", err)
	}
	if err := w.WriteTensor("a", make([]byte, 16)); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("after a full disk: %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// TestAnyFile: whatever is declared comes back, aligned.
func TestAnyFile(t *testing.T) {
	property.Check(t, func(r *rapid.T) {
		type declared struct {
			typ  quant.Type
			dims []int
			data []byte
		}
		n := rapid.IntRange(0, 6).Draw(r, "tensors")
		want := make([]declared, n)
		var b bytes.Buffer
		w := NewWriter(&b)
		text := rapid.String().Draw(r, "text")
		list := rapid.SliceOf(rapid.String()).Draw(r, "list")
		bits := rapid.Uint32().Draw(r, "float bits")
		if err := errors.Join(w.Set("text", text), w.Set("list", list),
			w.Set("float", math.Float32frombits(bits))); err != nil {
			r.Fatal(err)
		}
		for i := range want {
			d := &want[i]
			d.typ = rapid.SampledFrom(quant.Types()).Draw(r, "type")
			d.dims = rapid.SliceOfN(rapid.IntRange(1, 3), 1, 4).Draw(r, "dims")
			d.dims[0] *= d.typ.BlockLen()
			size, _ := d.typ.RowBytes(d.dims[0])
			for _, k := range d.dims[1:] {
				size *= k
			}
			d.data = bytes.Repeat([]byte{byte(i + 1)}, size)
			if err := w.Add(string(rune('a'+i)), d.typ, d.dims...); err != nil {
				r.Fatal(err)
			}
		}
		if err := w.WriteHeader(); err != nil {
			r.Fatal(err)
		}
		for i, d := range want {
			if err := w.WriteTensor(string(rune('a'+i)), d.data); err != nil {
				r.Fatal(err)
			}
		}
		f, err := Parse(b.Bytes())
		if err != nil {
			r.Fatal(err)
		}
		gotText, err1 := f.String("text")
		gotList, err2 := f.Strings("list")
		gotFloat, err3 := f.Float32("float")
		if errors.Join(err1, err2, err3) != nil || gotText != text || !slices.Equal(gotList, list) ||
			math.Float32bits(gotFloat) != bits {
			r.Fatalf("metadata came back as %q %q %v", gotText, gotList, gotFloat)
		}
		for i, d := range want {
			got := f.Tensors()[i]
			if got.Type != d.typ || !slices.Equal(got.Dims, d.dims) || !bytes.Equal(got.Data, d.data) {
				r.Fatalf("tensor %d came back as %v %v", i, got.Type, got.Dims)
			}
		}
	})
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, data, 0o644))
		return path
	}
	path := write("good.gguf", sample(t))
	for name, open := range map[string]func(string) (*File, error){"Open": Open, "OpenCopy": OpenCopy} {
		f, err := open(path)
		check(t, err)
		if one, _ := f.Tensor("one"); string(one.Data) != "abcdefghijkl" {
			t.Errorf("%s: tensor one is %q", name, one.Data)
		}
		check(t, f.CheckUnchanged())
		check(t, f.Close())
		check(t, f.Close())
	}
	for _, c := range []struct{ path, text string }{
		{dir, "is a directory"},
		{write("empty.gguf", nil), "is empty"},
		{write("text.gguf", []byte("hello, world: no model")), `does not start with "GGUF"`},
		{os.DevNull, "not a regular file"},
	} {
		if _, err := Open(c.path); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.text) ||
			!strings.Contains(err.Error(), c.path) {
			t.Errorf("Open(%s): %v, want %q", c.path, err, c.text)
		}
	}
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

func TestCheckUnchanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	check(t, os.WriteFile(path, sample(t), 0o644))
	for name, touch := range map[string]func() error{
		"time":    func() error { return os.Chtimes(path, time.Time{}, time.Unix(1, 0)) },
		"length":  func() error { return os.WriteFile(path, append(sample(t), 0), 0o644) },
		"removed": func() error { return os.Remove(path) },
	} {
		check(t, os.WriteFile(path, sample(t), 0o644))
		f, err := Open(path)
		check(t, err)
		check(t, touch())
		if err := f.CheckUnchanged(); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		check(t, f.Close())
	}
}

// TestRelease: what was let go reads the same afterwards.
func TestRelease(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	check(t, w.Add("big", quant.F32, 64<<10))
	check(t, w.WriteHeader())
	check(t, w.WriteTensor("big", bytes.Repeat([]byte{1, 2, 3, 4}, 64<<10)))
	check(t, w.Close())
	path := filepath.Join(t.TempDir(), "a.gguf")
	check(t, os.WriteFile(path, b.Bytes(), 0o600))
	for name, open := range map[string]func(string) (*File, error){"mapped": Open, "copied": OpenCopy} {
		f, err := open(path)
		check(t, err)
		x, _ := f.Tensor("big")
		sum := func() (n int) {
			for _, v := range x.Data {
				n += int(v)
			}
			return n
		}
		before := sum()
		f.Release(x.Data)
		f.Release(x.Data[5:9])
		f.Release(nil)
		if release := f.sources[0].release; release != nil {
			release(x.Data, math.MaxInt64) // as for a file that the page cache cannot keep
		}
		if after := sum(); after != before {
			t.Errorf("%s: sum %d, then %d", name, before, after)
		}
		check(t, f.Close())
	}
}

// TestCopyAndLayout: metadata of every kind copies as it is, and data written at Layout's offsets is where a reader
// finds it.
func TestCopyAndLayout(t *testing.T) {
	var first bytes.Buffer
	w := NewWriter(&first)
	values := map[string]any{
		"a": uint8(1), "b": int64(-2), "c": float32(1.5), "d": true, "e": "text", "f": []string{"x", ""},
		"g": []float32{1, 2}, "h": []int32{}, "i": float64(2.5),
	}
	for key, v := range values {
		if err := w.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteHeader(); err != nil {
		t.Fatal(err)
	}
	f, err := Parse(first.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	again := NewWriter(io.Discard)
	for _, key := range f.Keys() {
		if err := again.Copy(f, key); err != nil {
			t.Fatal(err)
		}
	}
	if err := again.Copy(f, "a"); !errors.Is(err, ErrOrder) {
		t.Errorf("copied twice: %v", err)
	}
	if err := again.Copy(f, "z"); !errors.Is(err, ErrMissing) {
		t.Errorf("copied what is not there: %v", err)
	}
	for _, name := range []string{"one", "two"} {
		if err := again.Add(name, quant.F32, 3); err != nil {
			t.Fatal(err)
		}
	}
	header, offsets := again.Layout()
	file := append(header, make([]byte, again.Size()-int64(len(header)))...)
	copy(file[offsets[1]:], "second value")
	copy(file[offsets[0]:], "first  value")
	g, err := Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	one, _ := g.Tensor("one")
	two, _ := g.Tensor("two")
	if string(one.Data) != "first  value" || string(two.Data) != "second value" {
		t.Errorf("%q, %q", one.Data, two.Data)
	}
	for key := range values {
		if a, b := f.values[key], g.values[key]; a.kind != b.kind || a.elem != b.elem || a.count != b.count ||
			!bytes.Equal(a.raw, b.raw) {
			t.Errorf("%s: %v, want %v", key, b, a)
		}
	}
}
