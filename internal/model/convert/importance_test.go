package convert

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// legacy writes an imatrix.dat of means.
func legacy(means map[string][]float32, calls uint32) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, uint32(len(means)))
	for _, name := range slices.Sorted(maps.Keys(means)) {
		b = append(le.AppendUint32(b, uint32(len(name))), name...)
		b = le.AppendUint32(le.AppendUint32(b, calls), uint32(len(means[name])))
		for _, v := range means[name] {
			b = le.AppendUint32(b, math.Float32bits(v*float32(calls)))
		}
	}
	b = le.AppendUint32(b, calls)
	return append(le.AppendUint32(b, 4), "text"...)
}

// modern writes the GGUF format: sums over as many tokens as counts say.
func modern(t *testing.T, means map[string][]float32, counts []float32) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	var all [][]byte
	add := func(name string, v []float32, dims ...int) {
		p := make([]byte, 4*len(v))
		if err := errors.Join(w.Add(name, quant.F32, dims...), quant.Pack(quant.F32, p, v)); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if err := errors.Join(w.Set("general.type", "imatrix"), w.Set("imatrix.chunk_count", uint32(3))); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(means)) {
		v := slices.Clone(means[name])
		cols := len(v) / len(counts)
		for i := range v {
			v[i] *= counts[i/cols]
		}
		add(name+sumSuffix, v, cols, len(counts))
		add(name+countSuffix, counts, 1, len(counts))
		names = append(names, name+sumSuffix, name+countSuffix)
	}
	if err := w.WriteHeader(); err != nil {
		t.Fatal(err)
	}
	for i, p := range all {
		if err := w.WriteTensor(names[i], p); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// TestImportanceHelps: both file formats give the same weights, and with them the columns that matter come out better.
func TestImportanceHelps(t *testing.T) {
	if testing.Short() {
		t.Skip("TestThereAndBack has the same goroutines")
	}
	s := synth.Tiny()
	s.Dim, s.FFN, s.Type = 256, 256, quant.F32
	b, err := synth.Bytes(s)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	in := filepath.Join(dir, "in.gguf")
	if err := os.WriteFile(in, b, 0o600); err != nil {
		t.Fatal(err)
	}
	const name = "blk.1.ffn_up_exps.weight"
	means := make([]float32, 256*s.Experts)
	for i := range means {
		means[i] = 0.25
		if i%256%5 == 0 {
			means[i] = 16
		}
	}
	counts := []float32{1, 2, 3, 4, 5, 6, 7, 8}
	files := map[string][]byte{"i.dat": legacy(map[string][]float32{name: means}, 7),
		"i.gguf": modern(t, map[string][]float32{name: means}, counts)}
	weighted := func(f *gguf.File) (e float64) {
		source, err := gguf.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		x, _ := source.Tensor(name)
		y, _ := f.Tensor(name)
		u, v := make([]float32, x.Elems()), make([]float32, x.Elems())
		if err := errors.Join(quant.Unpack(x.Type, u, x.Data), quant.Unpack(y.Type, v, y.Data)); err != nil {
			t.Fatal(err)
		}
		for i := range u {
			d := float64(u[i]) - float64(v[i])
			e += d * d * float64(means[i%256])
		}
		return e
	}
	plainFile, _ := convert(t, in, Options{Mix: mix(t, "q3_k_s")})
	plain := weighted(plainFile)
	var data [][]byte
	for file, content := range files {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := ReadImportance(path)
		if err != nil {
			t.Fatal(err)
		}
		f, _ := convert(t, in, Options{Mix: mix(t, "q3_k_s"), Importance: m})
		if e := weighted(f); e > 0.9*plain {
			t.Errorf("%s: weighted error %.4g, without %.4g", file, e, plain)
		}
		if got := f.StringOr("quantize.imatrix.file", ""); got != file {
			t.Errorf("the file says its matrix is %q", got)
		}
		x, _ := f.Tensor(name)
		data = append(data, x.Data)
	}
	if !bytes.Equal(data[0], data[1]) {
		t.Error("the two file formats give different weights")
	}
}

func TestBadImportance(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":    {nil, "neither GGUF nor"},
		"text":     {[]byte("hello, world"), "entry 0"},
		"cut":      {legacy(map[string][]float32{"a": {1, 2}}, 1)[:16], "entry 0 of 1"},
		"NaN":      {legacy(map[string][]float32{"a": {1, float32(math.NaN())}}, 1), "value 1 is NaN"},
		"negative": {legacy(map[string][]float32{"a": {-1}}, 1), "value 0 is -1"},
		"no GGUF":  {[]byte("GGUF____________"), "GGUF"},
	} {
		if _, err := parseImportance(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	tensors := []Tensor{{Name: "blk.0.attn_q.weight", Dims: []int{4, 2}, parts: make([]part, 1)}}
	for name, values := range map[string][]float32{"blk.0.attn_q.weight": {1, 2, 3},
		"blk.9.attn_q.weight": {1, 2, 3, 4}} {
		m, err := parseImportance(legacy(map[string][]float32{name: values}, 1))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.check(tensors); !errors.Is(err, ErrImportance) {
			t.Errorf("%s with %d values: %v", name, len(values), err)
		}
	}
}
