package compare

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/models/demo"
)

// The demo model is 192 wide with 6 heads of 32, three for each of 2 keys: too narrow for rows of 256, which most
// formats need. With zeros it is made 256 wide, with 8 heads and a key for each, and computes the same: norms see the
// same vector with zeros behind it, their weights and epsilon make up for the mean over 256, the heads' keys and
// values are copies, and the last two heads add nothing. The zeros are the last columns of every row, because
// llama-quantize misplaces what is behind 32 zeros of a row in IQ3_S.
const (
	narrow, wide = 192, 256
	headDim      = 32
	group        = 3 // heads with one key
)

// wideDemo writes the widened demo model in F32.
func wideDemo(t *testing.T) string {
	t.Helper()
	data, ok := demo.Model()
	if !ok {
		t.Fatal("no model in this build")
	}
	f, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "wide.gguf")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	do := func(err error) { failed = cmp.Or(failed, err) }
	eps, err := f.Float32("llama.attention.layer_norm_rms_epsilon")
	do(err)
	changes := map[string]any{"llama.embedding_length": uint32(wide),
		"llama.attention.head_count":             uint32(wide / headDim),
		"llama.attention.head_count_kv":          uint32(wide / headDim),
		"llama.attention.layer_norm_rms_epsilon": eps * narrow / wide, "general.file_type": uint32(0)}
	w := gguf.NewWriter(out)
	for _, key := range f.Keys() {
		if _, ok := changes[key]; !ok {
			do(w.Copy(f, key))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		do(w.Set(key, changes[key]))
	}
	values := map[string][]float32{}
	for _, x := range f.Tensors() {
		v := make([]float32, x.Elems())
		do(quant.Unpack(x.Type, v, x.Data))
		dims := []int{}
		for _, d := range x.Dims {
			dims = append(dims, int(d))
		}
		values[x.Name], dims = widen(x.Name, v, dims)
		do(w.Add(x.Name, quant.F32, dims...))
	}
	do(w.WriteHeader())
	for _, x := range f.Tensors() {
		b := make([]byte, 4*len(values[x.Name]))
		for i, v := range values[x.Name] {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
		}
		do(w.WriteTensor(x.Name, b))
	}
	do(w.Close())
	do(out.Close())
	if failed != nil {
		t.Fatal(failed)
	}
	return path
}

// widen gives a tensor's values and dimensions in the wider model.
func widen(name string, v []float32, dims []int) ([]float32, []int) {
	stem := strings.TrimSuffix(name[strings.LastIndex(strings.TrimSuffix(name, ".weight"), ".")+1:], ".weight")
	if strings.HasSuffix(stem, "_norm") {
		for i := range v {
			v[i] *= float32(math.Sqrt(float64(narrow) / wide))
		}
	}
	from := slices.Clone(dims)
	for len(from) < 3 {
		from = append(from, 1)
	}
	to := slices.Clone(from)
	to[0] = wide // all rows are 192 or 256 long
	row := func(r int) int { return r }
	switch stem {
	case "attn_q", "attn_output", "ffn_down_exps":
		to[1] = wide
	case "attn_k", "attn_v":
		to[1] = wide
		row = func(r int) int { return r/headDim/group*headDim + r%headDim }
	}
	rows := to[1]
	if to[1] != from[1] {
		rows = narrow
	}
	out := make([]float32, to[0]*to[1]*to[2])
	for part := range from[2] {
		for r := range rows {
			copy(out[(part*to[1]+r)*to[0]:], v[(part*from[1]+row(r))*from[0]:][:from[0]])
		}
	}
	return out, to[:len(dims)]
}
