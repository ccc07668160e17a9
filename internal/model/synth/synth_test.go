package synth

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

func build(t *testing.T, s Shape) *gguf.File {
	t.Helper()
	b, err := Bytes(s)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := Size(s); err != nil || n != int64(len(b)) {
		t.Fatalf("Size says %d, %v; the file has %d bytes", n, err, len(b))
	}
	f, err := gguf.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func values(t *testing.T, f *gguf.File, name string) []float32 {
	t.Helper()
	x, ok := f.Tensor(name)
	if !ok {
		t.Fatalf("no tensor %s", name)
	}
	out := make([]float32, x.Elems())
	if err := quant.Unpack(x.Type, out, x.Data); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVocabularyWorks(t *testing.T) {
	f := build(t, Tiny())
	pieces, err := f.Strings("tokenizer.ggml.tokens")
	if err != nil || len(pieces) != Tiny().Vocab {
		t.Fatalf("%d pieces, %v", len(pieces), err)
	}
	scores, _ := f.Float32s("tokenizer.ggml.scores")
	types, _ := f.Int32s("tokenizer.ggml.token_type")
	tok, err := token.New(token.Spec{Pieces: pieces, Scores: scores, Types: types, BOS: 1, EOS: 2, AddBOS: true,
		AddSpacePrefix: true})
	if err != nil {
		t.Fatal(err)
	}
	const text = "The cat: naïve, 猫.\n"
	if got := tok.Decode(tok.Encode(text, false)); got != text {
		t.Errorf("round trip gives %q", got)
	}
}

func TestSameSeedSameBytes(t *testing.T) {
	a, _ := Bytes(Tiny())
	b, _ := Bytes(Tiny())
	other := Tiny()
	other.Seed++
	c, _ := Bytes(other)
	if !bytes.Equal(a, b) || bytes.Equal(a, c) {
		t.Error("the seed does not decide the bytes")
	}
}

// TestWeightsHaveTheirVariance: 1/fan-in for matrices, damped where calm, near one for norms.
func TestWeightsHaveTheirVariance(t *testing.T) {
	s := Tiny()
	s.Type, s.Calm = quant.F32, true
	f := build(t, s)
	for name, want := range map[string]struct{ mean, std float64 }{
		"token_embd.weight":          {0, 1},
		"blk.0.attn_q.weight":        {0, 1 / math.Sqrt(64)},
		"blk.1.attn_output.weight":   {0, calmFactor / math.Sqrt(64)},
		"blk.1.ffn_up_exps.weight":   {0, 1 / math.Sqrt(64)},
		"blk.0.ffn_down_exps.weight": {0, calmFactor / math.Sqrt(128)},
		"output_norm.weight":         {1, 0.1},
	} {
		v := values(t, f, name)
		var sum, squares float64
		for _, x := range v {
			sum += float64(x)
			squares += float64(x) * float64(x)
		}
		n := float64(len(v))
		mean := sum / n
		std := math.Sqrt(squares/n - mean*mean)
		if bound := 6 * want.std / math.Sqrt(n); math.Abs(mean-want.mean) > bound || math.Abs(std-want.std) > bound {
			t.Errorf("%s: mean %.4f, standard deviation %.4f, want %.4f and %.4f ± %.4f", name, mean, std, want.mean,
				want.std, bound)
		}
	}
}

// TestOneModelInManyFiles: format and expert layout change how a model is written, not which one it is.
func TestOneModelInManyFiles(t *testing.T) {
	s := Tiny()
	s.Type = quant.F32
	want := values(t, build(t, s), "blk.1.ffn_gate_exps.weight")
	s.OldExpertLayout = true
	old := build(t, s)
	each := len(want) / s.Experts
	for e := range s.Experts {
		if got := values(t, old, fmt.Sprintf("blk.1.ffn_gate.%d.weight", e)); !slices.Equal(got,
			want[e*each:(e+1)*each]) {
			t.Errorf("expert %d differs in the old layout", e)
		}
	}
	s.OldExpertLayout, s.Type = false, quant.Q8_0
	for i, v := range values(t, build(t, s), "blk.1.ffn_gate_exps.weight") {
		if math.Abs(float64(v-want[i])) > 0.01 { // half of the largest block's 4σ/127
			t.Fatalf("weight %d is %v in Q8_0, %v in F32", i, v, want[i])
		}
	}
}

// TestBank: large matrices are drawn from a bank of chunks; rows must still differ, and the format must not matter.
func TestBank(t *testing.T) {
	s := Shape{Dim: 256, FFN: 4352, Layers: 1, Heads: 4, KVHeads: 2, Experts: 2, Vocab: 300, Context: 64,
		Type: quant.F16, Seed: 3}
	a := values(t, build(t, s), "blk.0.ffn_gate_exps.weight")
	s.Type = quant.Q8_0
	b := values(t, build(t, s), "blk.0.ffn_gate_exps.weight")
	if len(a) < 2*bankFrom {
		t.Fatalf("%d weights are below the bank's limit of %d for a part", len(a), bankFrom)
	}
	seen := map[[4]float32]int{}
	for i := 0; i < len(a); i += s.Dim {
		seen[[4]float32(a[i:])]++
		if math.Abs(float64(a[i]-b[i])) > 0.01 {
			t.Fatalf("weight %d is %v in F16, %v in Q8_0", i, a[i], b[i])
		}
	}
	for k, n := range seen {
		if n > len(a)/s.Dim/100 {
			t.Errorf("%d rows begin with %v", n, k)
		}
	}
}

func TestValidate(t *testing.T) {
	for field, change := range map[string]func(*Shape){
		"dim": func(s *Shape) { s.Dim = 0 }, "ffn": func(s *Shape) { s.FFN = 100 },
		"layers": func(s *Shape) { s.Layers = 5000 },
		"heads":  func(s *Shape) { s.Heads = 3 }, "kv-heads": func(s *Shape) { s.KVHeads = 3 },
		"experts": func(s *Shape) { s.Experts = 1 },
		"vocab":   func(s *Shape) { s.Vocab = 10 }, "context": func(s *Shape) { s.Context = -1 },
		"type": func(s *Shape) { s.Type = 99 },
	} {
		s := Tiny()
		change(&s)
		var wrong *FieldError
		if _, err := Bytes(s); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, name := range Presets() {
		if s, ok := Preset(name); !ok || s.Validate() != nil {
			t.Errorf("preset %s: %v", name, s.Validate())
		}
	}
}

// TestFullIsMixtral: 46.7 billion parameters, as published (arXiv:2401.04088).
func TestFullIsMixtral(t *testing.T) {
	total := 0
	for _, x := range Full().tensors() {
		n := 1
		for _, d := range x.dims {
			n *= d
		}
		total += n
	}
	if total/1e8 != 467 {
		t.Errorf("%d parameters", total)
	}
}
