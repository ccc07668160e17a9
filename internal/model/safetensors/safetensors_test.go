package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"pgregory.net/rapid"
)

// file makes a file of a header and n bytes of data.
func file(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for i := range n {
		b = append(b, byte(i))
	}
	return b
}

func parse(b []byte) ([]Tensor, error) { return read(bytes.NewReader(b), int64(len(b)), "f") }

func TestRoundTrip(t *testing.T) {
	property.Check(t, func(r *rapid.T) {
		var arrays []Array
		for i := range rapid.IntRange(0, 6).Draw(r, "tensors") {
			shape := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 3).Draw(r, "shape")
			dtype := rapid.SampledFrom([]string{"F32", "F16", "BF16", "I8", "F64"}).Draw(r, "dtype")
			n := int(dtypes[dtype].size)
			for _, d := range shape {
				n *= d
			}
			arrays = append(arrays, Array{fmt.Sprintf("t%d.weight", i), dtype, shape,
				rapid.SliceOfN(rapid.Byte(), n, n).Draw(r, "data")})
		}
		var b bytes.Buffer
		if err := Write(&b, arrays); err != nil {
			r.Fatal(err)
		}
		got, err := parse(b.Bytes())
		if err != nil || len(got) != len(arrays) {
			r.Fatalf("%d tensors of %d: %v", len(got), len(arrays), err)
		}
		for _, x := range got {
			var i int
			fmt.Sscanf(x.Name, "t%d.weight", &i)
			data := make([]byte, x.Size())
			if _, err := x.ReadAt(data, 0); err != nil || !bytes.Equal(data, arrays[i].Data) ||
				fmt.Sprint(x.Shape) != fmt.Sprint(arrays[i].Shape) {
				r.Fatalf("tensor %d differs: %v", i, err)
			}
			if _, err := x.ReadAt(make([]byte, 1), x.Size()); !errors.Is(err, ErrRead) {
				r.Fatalf("read past the end: %v", err)
			}
		}
	})
}

func TestTypes(t *testing.T) {
	for dtype, want := range map[string]quant.Type{"F32": quant.F32, "F16": quant.F16, "BF16": quant.BF16} {
		if got, ok := (Tensor{DType: dtype}).Type(); !ok || got != want {
			t.Errorf("%s is %v, %v", dtype, got, ok)
		}
	}
	if _, ok := (Tensor{DType: "F8_E4M3"}).Type(); ok {
		t.Error("F8_E4M3 has no decoder")
	}
}

// TestHostileHeaders: each is an error that says what is wrong.
func TestHostileHeaders(t *testing.T) {
	one := func(s string) []byte { return file(`{"a":`+s+`}`, 8) }
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":          {nil, "8-byte prefix"},
		"huge header":    {binary.LittleEndian.AppendUint64(nil, 1<<63), "a header of"},
		"beyond file":    {binary.LittleEndian.AppendUint64(nil, 50), "a header of"},
		"no JSON":        {file("hello", 0), "not a JSON object"},
		"a list":         {file("[]", 0), "not a JSON object"},
		"cut":            {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`, 8), "header"},
		"more":           {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} x`, 8), "follow"},
		"twice":          {file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}`, 8), "twice"},
		"dtype":          {one(`{"dtype":"Q4","shape":[2],"data_offsets":[0,8]}`), `unknown dtype "Q4"`},
		"one offset":     {one(`{"dtype":"F32","shape":[2],"data_offsets":[8]}`), "must have 2 numbers, got 1"},
		"past the end":   {one(`{"dtype":"F32","shape":[3],"data_offsets":[0,12]}`), "cut short"},
		"backwards":      {one(`{"dtype":"F32","shape":[2],"data_offsets":[8,0]}`), "data_offsets 8 to 0"},
		"negative":       {one(`{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}`), "data_offsets -8 to 0"},
		"negative shape": {one(`{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}`), "impossible"},
		"overflow": {one(`{"dtype":"F32","shape":[2147483647,2147483647,2147483647],"data_offsets":[0,8]}`),
			"impossible"},
		"size":     {one(`{"dtype":"F32","shape":[1],"data_offsets":[0,8]}`), "takes 4 bytes"},
		"fraction": {one(`{"dtype":"F32","shape":[0.5],"data_offsets":[0,8]}`), "shape"},
		"hole":     {file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}`, 8), "begins at byte 4"},
		"rest":     {file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 8), "tensors cover 4"},
		"overlap":  {file(`{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}`, 8), "begins at byte 4"},
		"metadata": {file(`{"__metadata__":{"format":1}}`, 0), "__metadata__"},
		"no name":  {file(`{"":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}`, 8), "empty name"},
		"dimensions": {one(`{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}`),
			"17 dimensions"},
	} {
		if _, err := parse(c.data); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// directory makes files of the given contents.
func directory(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpen(t *testing.T) {
	a := file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 4)
	bc := file(`{"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"c":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}`, 8)
	index := func(s string) []byte { return []byte(`{"metadata":{},"weight_map":` + s + `}`) }
	for name, c := range map[string]struct {
		files map[string][]byte
		names string // of the tensors
		want  error
		text  string
	}{
		"one file": {map[string][]byte{"model.safetensors": bc}, "b c", nil, ""},
		"no index": {map[string][]byte{"x2.safetensors": bc, "x1.safetensors": a,
			"consolidated.safetensors": a}, "a b c", nil, ""},
		"index": {map[string][]byte{"1.safetensors": a, "2.safetensors": bc,
			IndexName: index(`{"a":"1.safetensors","c":"2.safetensors"}`)}, "a c", nil, ""},
		"missing file": {map[string][]byte{"1.safetensors": a,
			IndexName: index(`{"a":"1.safetensors","c":"2.safetensors"}`)}, "", ErrRead, "2.safetensors is named in"},
		"missing tensor": {map[string][]byte{"1.safetensors": a, IndexName: index(`{"z":"1.safetensors"}`)}, "",
			ErrFormat, `does not hold tensor "z"`},
		"outside": {map[string][]byte{"1.safetensors": a, IndexName: index(`{"a":"../1.safetensors"}`)}, "",
			ErrFormat, "not a file name"},
		"empty index": {map[string][]byte{"1.safetensors": a, IndexName: index(`{}`)}, "", ErrFormat, "weight_map"},
		"bad index":   {map[string][]byte{IndexName: []byte("{")}, "", ErrFormat, IndexName},
		"twice": {map[string][]byte{"1.safetensors": a, "2.safetensors": a}, "", ErrFormat,
			`tensor "a" is in`},
		"nothing": {nil, "", ErrFormat, "holds no .safetensors"},
		"damaged": {map[string][]byte{"1.safetensors": a[:20]}, "", ErrFormat, "1.safetensors"},
	} {
		m, err := Open(directory(t, c.files))
		if c.want != nil {
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var names []string
		for _, x := range m.Tensors() {
			names = append(names, x.Name)
		}
		if got := strings.Join(names, " "); got != c.names {
			t.Errorf("%s: tensors %q, want %q", name, got, c.names)
		}
		if err := m.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such path: %v", err)
	}
}

// TestCutWhileOpen: a file that shrinks is an error that names file and tensor.
func TestCutWhileOpen(t *testing.T) {
	dir := directory(t, map[string][]byte{"m.safetensors": file(`{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}`, 8)})
	path := filepath.Join(dir, "m.safetensors")
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := os.Truncate(path, 60); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Tensors()[0].ReadAt(make([]byte, 8), 0); !errors.Is(err, ErrRead) ||
		!strings.Contains(err.Error(), "m.safetensors: tensor a") {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"__metadata__":{"format":"pt"}}`, 8))
	f.Add(file(`{"a":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}}`, 4))
	f.Add(file(`{}`, 0))
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 127})
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := parse(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		var sum int64
		for _, x := range all {
			if _, err := x.ReadAt(make([]byte, x.Size()), 0); err != nil {
				t.Fatalf("tensor %q cannot be read: %v", x.Name, err)
			}
			sum += x.Size()
		}
		if sum > int64(len(data)) {
			t.Fatalf("%d bytes of tensors in %d", sum, len(data))
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"weight_map":{"a":"model-00001-of-00002.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"../x"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := parseIndex(data)
		if err != nil {
			return
		}
		for name := range files {
			if filepath.Dir(filepath.Join("d", name)) != "d" {
				t.Fatalf("%q leaves its directory", name)
			}
		}
	})
}
