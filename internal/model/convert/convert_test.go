package convert

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/convert/hftest"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// small is a model whose matrices fit every format.
func small(typ quant.Type) synth.Shape {
	return synth.Shape{Dim: 256, FFN: 256, Layers: 2, Heads: 8, KVHeads: 2, Experts: 8, Vocab: 512, Context: 512,
		Type: typ, Seed: 7, Calm: true}
}

func build(t *testing.T, s synth.Shape) *gguf.File {
	t.Helper()
	b, err := synth.Bytes(s)
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mix(t *testing.T, name string) Mix {
	t.Helper()
	m, err := ParseMix(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// convert runs a conversion to a new file and opens it.
func convert(t *testing.T, in string, o Options) (*gguf.File, Result) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.gguf")
	s, err := Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := Run(t.Context(), s, out, o)
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.OpenCopy(out)
	if err != nil {
		t.Fatal(err)
	}
	if f.Size() != r.Bytes {
		t.Errorf("the file has %d bytes, Run said %d", f.Size(), r.Bytes)
	}
	if left, _ := filepath.Glob(out + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return f, r
}

// logits are those of a short text.
func logits(t *testing.T, f *gguf.File) [][]float32 {
	t.Helper()
	m, err := moe.Load(f, moe.Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	rows, err := m.Forward(m.NewStorage(1), []moe.Span{{Tokens: []int32{1, 300, 40, 270, 33, 410, 290, 7},
		Blocks: []int32{0}, Logits: 8}})
	if err != nil {
		t.Fatal(err)
	}
	out := make([][]float32, len(rows))
	for i := range rows {
		out[i] = slices.Clone(rows[i])
	}
	return out
}

func sameTensors(t *testing.T, got, want *gguf.File) {
	t.Helper()
	if len(got.Tensors()) != len(want.Tensors()) {
		t.Errorf("%d tensors, want %d", len(got.Tensors()), len(want.Tensors()))
	}
	for _, x := range want.Tensors() {
		y, ok := got.Tensor(x.Name)
		if !ok || y.Type != x.Type || !slices.Equal(y.Dims, x.Dims) || !bytes.Equal(y.Data, x.Data) {
			t.Errorf("tensor %s: %v %v, want %v %v, or its bytes differ", x.Name, y.Type, y.Dims, x.Type, x.Dims)
		}
	}
}

// TestThereAndBack: a GGUF model written as a Hugging Face directory and converted again is the same model, bit for
// bit: names, the order of rows in attn_q and attn_k, experts, vocabulary and logits.
func TestThereAndBack(t *testing.T) {
	want := build(t, small(quant.F32))
	for _, o := range []hftest.Options{{DType: "F32", Shards: 1}, {DType: "F32", Shards: 3, JSON: true},
		{DType: "F32", Shards: 2, Packed: true}} {
		t.Run(fmt.Sprint(o), func(t *testing.T) {
			dir := t.TempDir()
			if err := hftest.Write(dir, want, o); err != nil {
				t.Fatal(err)
			}
			got, r := convert(t, dir, Options{Mix: mix(t, "f32")})
			sameTensors(t, got, want)
			for _, x := range r.Tensors {
				if x.Squares != 0 || x.Max != 0 {
					t.Errorf("%s: errors %+v", x.Name, x.Errors)
				}
			}
			if a, b := logits(t, got), logits(t, want); fmt.Sprint(a) != fmt.Sprint(b) {
				t.Error("logits differ")
			}
			sameVocabulary(t, got, want)
			for _, key := range []string{"llama.expert_count", "llama.expert_used_count", "llama.context_length",
				"llama.vocab_size", "llama.attention.head_count_kv", "llama.rope.dimension_count"} {
				a, _ := got.Uint32(key)
				b, _ := want.Uint32(key)
				if a != b || a == 0 {
					t.Errorf("%s is %d, want %d", key, a, b)
				}
			}
			if a, b := got.Float32Or("llama.rope.freq_base", 0), want.Float32Or("llama.rope.freq_base", 1); a != b {
				t.Errorf("rope base %v, want %v", a, b)
			}
		})
	}
}

// sameVocabulary holds the tokenizers to each other by what they do.
func sameVocabulary(t *testing.T, got, want *gguf.File) {
	t.Helper()
	load := func(f *gguf.File) (*token.Tokenizer, token.Spec) {
		spec, err := moe.TokenSpec(f)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := token.New(spec)
		if err != nil {
			t.Fatal(err)
		}
		return tok, spec
	}
	a, as := load(got)
	b, bs := load(want)
	if as.BOS != bs.BOS || as.EOS != bs.EOS || as.UNK != bs.UNK || as.AddBOS != bs.AddBOS ||
		as.AddSpacePrefix != bs.AddSpacePrefix || as.Template != bs.Template {
		t.Errorf("special tokens or template differ: %d %d %d %v %v %q", as.BOS, as.EOS, as.UNK, as.AddBOS,
			as.AddSpacePrefix, as.Template)
	}
	for _, text := range []string{"", "The cat and the other world", "  two spaces, naïve 猫\n<s> [INST]",
		strings.Repeat("something between ", 20)} {
		if x, y := a.Encode(text, true), b.Encode(text, true); !slices.Equal(x, y) {
			t.Errorf("%q: %v, want %v", text, x, y)
		}
	}
}

// TestHalfPrecision: BF16 weights become what the packer makes of them; errors reported are those of the file.
func TestHalfPrecision(t *testing.T) {
	source := build(t, small(quant.BF16))
	dir := t.TempDir()
	if err := hftest.Write(dir, source, hftest.Options{DType: "BF16", Shards: 2}); err != nil {
		t.Fatal(err)
	}
	got, r := convert(t, dir, Options{Mix: mix(t, "q4_k"), Workers: 3})
	for _, x := range r.Tensors {
		a, _ := source.Tensor(x.Name)
		b, _ := got.Tensor(x.Name)
		if b.Type != x.To || x.From != quant.BF16 || int(x.Elems) != a.Elems() || int(x.Bytes) != len(b.Data) {
			t.Errorf("%s: reported %+v, the file has %v of %d bytes", x.Name, x, b.Type, len(b.Data))
		}
		u, v := make([]float32, a.Elems()), make([]float32, a.Elems())
		if err := errors.Join(quant.Unpack(a.Type, u, a.Data), quant.Unpack(b.Type, v, b.Data)); err != nil {
			t.Fatal(err)
		}
		var want Errors
		for i := range u {
			if a.Type == quant.F32 { // norms and the router are F32 in the synthetic file and BF16 in the directory
				u[i] = quant.BF16to32(quant.F32toBF16(u[i]))
			}
			d := float64(u[i]) - float64(v[i])
			want = want.Add(Errors{d * d, float64(u[i]) * float64(u[i]), math.Abs(d)})
		}
		if math.Abs(x.Squares-want.Squares) > 1e-4*want.Squares || math.Abs(x.Max-want.Max) > 1e-5*want.Max ||
			x.To != quant.F32 && x.Relative() == 0 {
			t.Errorf("%s: errors %+v, want %+v", x.Name, x.Errors, want)
		}
	}
	// The model is still the same one, about: this is what 4.5 bits cost a calm one.
	var diff, norm float64
	a, b := logits(t, got), logits(t, source)
	for i := range a {
		for k := range a[i] {
			d := float64(a[i][k]) - float64(b[i][k])
			diff, norm = diff+d*d, norm+float64(b[i][k])*float64(b[i][k])
		}
	}
	if rms := math.Sqrt(diff / norm); !(rms < 0.12) {
		t.Errorf("logits are off by %.3f of their norm", rms)
	}
}

// TestOldExperts: files with one tensor for each expert become files with stacked ones.
func TestOldExperts(t *testing.T) {
	s := small(quant.F16)
	want := build(t, s)
	s.OldExpertLayout = true
	b, err := synth.Bytes(s)
	if err != nil {
		t.Fatal(err)
	}
	in := filepath.Join(t.TempDir(), "old.gguf")
	if err := os.WriteFile(in, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"f16", "keep"} {
		got, _ := convert(t, in, Options{Mix: mix(t, name)})
		sameTensors(t, got, want)
		if n := got.Uint32Or("general.file_type", 99); n != 1 {
			t.Errorf("%s: file type %d", name, n)
		}
	}
}

// TestEveryMix: each name makes a file that loads, no larger than the one before it.
func TestEveryMix(t *testing.T) {
	if testing.Short() {
		t.Skip("TestThereAndBack has the same goroutines")
	}
	s := small(quant.F32)
	s.Layers, s.Experts = 1, 2
	b, err := synth.Bytes(s)
	if err != nil {
		t.Fatal(err)
	}
	in := filepath.Join(t.TempDir(), "in.gguf")
	if err := os.WriteFile(in, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range Mixes() {
		m := mix(t, name)
		m.Pure = name == "q4_0"
		f, r := convert(t, in, Options{Mix: m})
		if info, err := moe.Describe(f); err != nil || info.Params == 0 {
			t.Errorf("%s: %v", name, err)
		}
		for _, x := range r.Tensors {
			router := strings.Contains(x.Name, "gate_inp") || strings.Contains(x.Name, "norm")
			if router != (x.To == quant.F32) && name != "f32" {
				t.Errorf("%s: %s is %v", name, x.Name, x.To)
			}
			if m.Pure && !router && x.To != quant.Q4_0 {
				t.Errorf("pure %s: %s is %v", name, x.Name, x.To)
			}
		}
		if got := f.Uint32Or("general.file_type", 99); got != m.fileType {
			t.Errorf("%s: file type %d", name, got)
		}
	}
}

func TestBadSources(t *testing.T) {
	shape := synth.Tiny()
	shape.Type = quant.F32
	good := build(t, shape)
	dir := func(change func(dir string)) string {
		d := t.TempDir()
		if err := hftest.Write(d, good, hftest.Options{DType: "BF16", Shards: 2}); err != nil {
			t.Fatal(err)
		}
		change(d)
		return d
	}
	edit := func(d, name, old, new string) {
		path := filepath.Join(d, name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte(old)) {
			t.Fatalf("%s does not hold %q", name, old)
		}
		if err := os.WriteFile(path, bytes.Replace(b, []byte(old), []byte(new), 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const second = "model-00002-of-00002.safetensors"
	for name, c := range map[string]struct {
		change func(d string)
		want   string
	}{
		"no config":   {func(d string) { os.Remove(filepath.Join(d, "config.json")) }, "config.json is missing"},
		"other model": {func(d string) { edit(d, "config.json", `"mixtral"`, `"llama"`) }, `model_type must be "mixtral", got "llama"`},
		"no tokenizer": {func(d string) { os.Remove(filepath.Join(d, "tokenizer.model")) },
			"neither tokenizer.model nor"},
		"bad tokenizer": {func(d string) { os.Truncate(filepath.Join(d, "tokenizer.model"), 5000) },
			"tokenizer.model: "},
		"missing shard": {func(d string) { os.Remove(filepath.Join(d, second)) }, second + " is named in"},
		"cut shard":     {func(d string) { os.Truncate(filepath.Join(d, second), 9000) }, second},
		"wrong shape": {func(d string) { edit(d, "config.json", `"hidden_size":64`, `"hidden_size":128`) },
			"by config.json"},
		"experts": {func(d string) {
			edit(d, "config.json", `"num_local_experts":8`,
				`"num_local_experts":9`)
		}, "must be [9 64] by config.json"},
		"fewer layers": {func(d string) {
			edit(d, "config.json", `"num_hidden_layers":2`,
				`"num_hidden_layers":1`)
		}, "layer 1 of 1"},
		"more layers": {func(d string) {
			edit(d, "config.json", `"num_hidden_layers":2`,
				`"num_hidden_layers":3`)
		}, "no weights for blk.2"},
		"rope": {func(d string) {
			edit(d, "config.json", `"rope_scaling":null`,
				`"rope_scaling":{"type":"dynamic","factor":2}`)
		}, `"dynamic" is not supported`},
		"no number": {func(d string) {
			edit(d, "config.json", `"num_attention_heads":4`,
				`"num_attention_heads":0`)
		}, "num_attention_heads must be 1 to 1024, got 0"},
		"dtype":          {func(d string) { edit(d, second, `"BF16"`, `"I16" `) }, "dtype I16 is not supported"},
		"unknown tensor": {func(d string) { edit(d, second, "lm_head.weight", "lm_head.wxight") }, ""},
	} {
		s, err := Open(dir(c.change))
		if err == nil {
			err = s.Close()
			t.Errorf("%s: opened, %v", name, err)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNotFinite: a weight that is not a number is an error that says where it is.
func TestNotFinite(t *testing.T) {
	shape := synth.Tiny()
	shape.Type = quant.F32
	d := t.TempDir()
	if err := hftest.Write(d, build(t, shape), hftest.Options{DType: "BF16", Shards: 1}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(d, "model.safetensors")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(d)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b[len(b)-1], b[len(b)-2] = 0x7f, 0xc0 // the last weight of the last array
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Run(t.Context(), s, filepath.Join(t.TempDir(), "o.gguf"), Options{Mix: mix(t, "q8_0")})
	if !errors.Is(err, ErrSource) || !errors.Is(err, quant.ErrNotFinite) ||
		!strings.Contains(err.Error(), "model.safetensors: tensor lm_head.weight: rows") {
		t.Errorf("%v", err)
	}
}

// TestRequantize: narrow weights are not made worse by accident.
func TestRequantize(t *testing.T) {
	b, err := synth.Bytes(small(quant.Q4_0))
	if err != nil {
		t.Fatal(err)
	}
	in := filepath.Join(t.TempDir(), "in.gguf")
	if err := os.WriteFile(in, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	o := Options{Mix: mix(t, "q2_k")}
	if _, err := Run(t.Context(), s, filepath.Join(t.TempDir(), "o.gguf"), o); !errors.Is(err, ErrRequantize) {
		t.Errorf("%v", err)
	}
	o.Requantize = true
	if _, err := Run(t.Context(), s, filepath.Join(t.TempDir(), "o.gguf"), o); err != nil {
		t.Errorf("%v", err)
	}
}
