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

// withExperts copies a file with random codes of a format for its experts' weights, of about the same size.
func withExperts(t *testing.T, path string, typ quant.Type) string {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	to := filepath.Join(t.TempDir(), "grid.gguf")
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	w, r := gguf.NewWriter(out), rand.New(rand.NewPCG(15, uint64(typ)))
	for _, k := range f.Keys() {
		if err := w.Copy(f, k); err != nil {
			t.Fatal(err)
		}
	}
	format := func(x gguf.Tensor) quant.Type {
		if strings.Contains(x.Name, "_exps") {
			return typ
		}
		return x.Type
	}
	for _, x := range f.Tensors() {
		if err := w.Add(x.Name, format(x), x.Dims...); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteHeader(); err != nil {
		t.Fatal(err)
	}
	for _, x := range f.Tensors() {
		data := x.Data
		if format(x) == typ {
			data = randomCodes(t, r, typ, x)
		}
		if err := w.WriteTensor(x.Name, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
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
