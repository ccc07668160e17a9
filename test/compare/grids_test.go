package compare

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// TestGridsLikeLlamaCpp: of the formats that can only be read, files with random codes mean the same in both: every
// expert's matrices are in the format. The bound is that of TestLogitsLikeLlamaCpp.
func TestGridsLikeLlamaCpp(t *testing.T) {
	plain := writeModel(t, nano(quant.F32, true))
	for _, typ := range quant.Types() {
		if typ.Writable() {
			continue
		}
		t.Run(typ.String(), func(t *testing.T) {
			path := withExperts(t, plain, typ)
			tok, llama, engine := readTokenizer(t, path), startOracle(t, path), openOurs(t, path)
			rms := 0.0
			for _, text := range prompts {
				tokens := tok.Encode(text, true)
				l := compareRows(t, llama.logits(t, tokens), engine.forward(t, tokens, 0, len(tokens)))
				rms = max(rms, l.rms)
			}
			t.Logf("calm nano, experts in %v, against llama.cpp: relative rms ≤ %.2g", typ, rms)
			if rms > 3e-2 {
				t.Errorf("relative rms %.3g, want ≤ 3e-2", rms)
			}
		})
	}
}

// TestRopeLikeLlamaCpp: positions that a file wants stretched are stretched as there.
func TestRopeLikeLlamaCpp(t *testing.T) {
	plain := writeModel(t, nano(quant.F32, true))
	half := make([]float32, 16)
	for i := range half {
		half[i] = 1 + float32(i)/4
	}
	for name, c := range map[string]struct {
		keys    map[string]any
		factors []float32
	}{
		"linear": {map[string]any{"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": float32(4)}, nil},
		"older":  {map[string]any{"llama.rope.scale_linear": float32(2)}, nil},
		"yarn": {map[string]any{"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": float32(8),
			"llama.rope.scaling.original_context_length": uint32(64)}, nil},
		"factors": {nil, half},
	} {
		t.Run(name, func(t *testing.T) {
			same := func(x gguf.Tensor) (quant.Type, []byte) { return x.Type, x.Data }
			path := changed(t, plain, c.keys, same, c.factors)
			tok, llama, engine := readTokenizer(t, path), startOracle(t, path), openOurs(t, path)
			for _, text := range prompts {
				tokens := tok.Encode(text, true)
				ours := engine.forward(t, tokens, 0, len(tokens))
				if l := compareRows(t, llama.logits(t, tokens), ours); l.rms > 3e-3 {
					t.Errorf("%q: relative rms %.3g, want ≤ 3e-3", text, l.rms)
				}
				unscaled := openOurs(t, plain).forward(t, tokens, 0, len(tokens))
				if len(tokens) > 4 && compareRows(t, unscaled, ours).rms < 1e-4 {
					t.Errorf("%q: the same as without scaling", text)
				}
			}
		})
	}
}

// withExperts copies a file with random codes of a format for its experts' weights, of about the same size.
func withExperts(t *testing.T, path string, typ quant.Type) string {
	t.Helper()
	r := rand.New(rand.NewPCG(15, uint64(typ)))
	return changed(t, path, nil, func(x gguf.Tensor) (quant.Type, []byte) {
		if !strings.Contains(x.Name, "_exps") {
			return x.Type, x.Data
		}
		return typ, randomCodes(t, r, typ, x)
	}, nil)
}

// changed copies a file with other keys, or without those that are nil, with other tensors, without those that change
// gives no data, and with factors for the frequencies of RoPE.
func changed(t *testing.T, path string, keys map[string]any, change func(x gguf.Tensor) (quant.Type, []byte),
	factors []float32) string {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	to := filepath.Join(t.TempDir(), "changed.gguf")
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	do := func(err error) {
		if failed == nil {
			failed = err
		}
	}
	w := gguf.NewWriter(out)
	for _, k := range f.Keys() {
		if _, ok := keys[k]; !ok {
			do(w.Copy(f, k))
		}
	}
	for k, v := range keys {
		if v != nil {
			do(w.Set(k, v))
		}
	}
	data := map[string][]byte{}
	for _, x := range f.Tensors() {
		if typ, b := change(x); b != nil {
			data[x.Name] = b
			do(w.Add(x.Name, typ, x.Dims...))
		}
	}
	if factors != nil {
		do(w.Add("rope_freqs.weight", quant.F32, len(factors)))
	}
	do(w.WriteHeader())
	for _, x := range f.Tensors() {
		if data[x.Name] != nil {
			do(w.WriteTensor(x.Name, data[x.Name]))
		}
	}
	if factors != nil {
		b := make([]byte, 4*len(factors))
		do(quant.Pack(quant.F32, b, factors))
		do(w.WriteTensor("rope_freqs.weight", b))
	}
	do(w.Close())
	do(out.Close())
	if failed != nil {
		t.Fatal(failed)
	}
	return to
}

// randomCodes makes blocks of random bits, whose scales give the weights the mean square of x.
func randomCodes(t *testing.T, r *rand.Rand, typ quant.Type, x gguf.Tensor) []byte {
	t.Helper()
	size, err := typ.RowBytes(x.Elems())
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	setScales(typ, b, 1)
	setScales(typ, b, norm(t, x.Type, x.Data, x.Elems())/norm(t, typ, b, x.Elems()))
	return b
}

// setScales stores every block's binary16 super-scale; IQ1_M has it in the top nibbles of its last four words.
func setScales(typ quant.Type, b []byte, scale float64) {
	h := quant.F32to16(float32(scale))
	for ; len(b) > 0; b = b[typ.BlockBytes():] {
		if typ != quant.IQ1_M {
			binary.LittleEndian.PutUint16(b, h)
			continue
		}
		for i := range 4 {
			b[49+2*i] = b[49+2*i]&15 | byte(h>>(4*i)&15)<<4
		}
	}
}

func norm(t *testing.T, typ quant.Type, b []byte, n int) float64 {
	t.Helper()
	v := make([]float32, n)
	if err := quant.Unpack(typ, v, b); err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}
