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

// The demo model is 192 wide with 6 heads of 32: too narrow for rows of 256, which most formats need. With zeros it is
// made 256 wide, with 8 heads, and computes the same: norms see the same vector with zeros behind it, each of its two
// groups of heads gets one more that adds nothing, and the norms' weights and epsilon make up for the mean over 256.
const (
	narrow, wide         = 192, 256
	narrowHeads, headDim = 3, 32 // heads that share a key
	wideHeads            = 4
)

// wideDemo writes the widened demo model in F32 or, with half, its matrices in F16.
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
	behind := func(i int) int { return i }
	heads := func(i int) int { // the new place of a row or column of one of the heads
		return i/(narrowHeads*headDim)*(wideHeads*headDim) + i%(narrowHeads*headDim)
	}
	col, row := behind, behind
	switch stem {
	case "attn_q":
		row = heads
	case "attn_output":
		col = heads
	}
	to := slices.Clone(dims)
	to[0] = wide // all rows are 192 or 256 long
	if len(dims) > 1 && dims[1] == narrow && (stem == "attn_q" || stem == "attn_output" || stem == "ffn_down_exps") {
		to[1] = wide
	}
	for len(dims) < 3 {
		dims, to = append(dims, 1), append(to, 1)
	}
	out := make([]float32, to[0]*to[1]*to[2])
	for part := range dims[2] {
		for r := range dims[1] {
			for c := range dims[0] {
				out[(part*to[1]+row(r))*to[0]+col(c)] = v[(part*dims[1]+r)*dims[0]+c]
			}
		}
	}
	for len(to) > 1 && to[len(to)-1] == 1 {
		to = to[:len(to)-1]
	}
	return out, to
}
