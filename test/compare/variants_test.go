package compare

import (
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// TestVariantsLikeLlamaCpp: files as merges and older converters make them mean the same in both programs.
func TestVariantsLikeLlamaCpp(t *testing.T) {
	shape := func(change func(s *synth.Shape)) synth.Shape {
		s := nano(quant.F32, true)
		s.FFN, s.Layers = 256, 2
		change(&s)
		return s
	}
	same := func(x gguf.Tensor) (quant.Type, []byte) { return x.Type, x.Data }
	as := func(part string, typ quant.Type) func(x gguf.Tensor) (quant.Type, []byte) {
		return func(x gguf.Tensor) (quant.Type, []byte) {
			if !strings.Contains(x.Name, part) {
				return x.Type, x.Data
			}
			v, size := make([]float32, x.Elems()), 0
			err := quant.Unpack(x.Type, v, x.Data)
			if err == nil {
				size, err = typ.RowBytes(x.Elems())
			}
			b := make([]byte, size)
			if err == nil {
				err = quant.Pack(typ, b, v)
			}
			if err != nil {
				t.Fatal(err)
			}
			return typ, b
		}
	}
	plain := shape(func(*synth.Shape) {})
	experts := func(n int) synth.Shape { return shape(func(s *synth.Shape) { s.Experts = n }) }
	keysOf := func(n int) synth.Shape { return shape(func(s *synth.Shape) { s.KVHeads = n }) }
	used := func(n uint32) map[string]any { return map[string]any{"llama.expert_used_count": n} }
	for name, c := range map[string]struct {
		shape  synth.Shape
		keys   map[string]any
		change func(x gguf.Tensor) (quant.Type, []byte)
	}{
		"two models merged": {experts(2), nil, same},
		"three of four":     {experts(4), used(3), same},
		"one of four":       {experts(4), used(1), same},
		"all of four":       {experts(4), used(4), same},
		"sixteen":           {experts(16), nil, same},
		"a key for each":    {keysOf(plain.Heads), nil, same},
		"one key":           {keysOf(1), nil, same},
		"no count of keys":  {keysOf(plain.Heads), map[string]any{"llama.attention.head_count_kv": nil}, same},
		"router in F16":     {plain, nil, as("gate_inp", quant.F16)},
		"embedding in BF16": {plain, nil, as("token_embd", quant.BF16)},
		"output in F16":     {plain, nil, as("output.weight", quant.F16)},
		"another theta":     {plain, map[string]any{"llama.rope.freq_base": float32(10000)}, same},
		"another epsilon":   {plain, map[string]any{"llama.attention.layer_norm_rms_epsilon": float32(1e-3)}, same},
		"of a public quantiser": {plain, map[string]any{"quantize.imatrix.file": "x.dat",
			"quantize.imatrix.entries_count": int32(224), "quantize.imatrix.chunks_count": int32(100),
			"general.quantized_by": "somebody", "general.tags": []string{"moe", "merge"}}, same},
		"one matrix": {plain, nil, func(x gguf.Tensor) (quant.Type, []byte) {
			if x.Name == "output.weight" {
				return x.Type, nil
			}
			return x.Type, x.Data
		}},
	} {
		t.Run(name, func(t *testing.T) {
			path := changed(t, writeModel(t, c.shape), c.keys, c.change, nil)
			tok, llama, engine := readTokenizer(t, path), startOracle(t, path), openOurs(t, path)
			tokens := tok.Encode(prompt, true)
			ours := engine.forward(t, tokens, 0, len(tokens))
			if l := compareRows(t, llama.logits(t, tokens), ours); l.rms > 3e-3 {
				t.Errorf("relative rms %.3g, want ≤ 3e-3", l.rms)
			}
		})
	}
}

// TestFlagsByNameLikeLlamaCpp: GGUF has no keys for the flags of added tokens. llama.cpp gives those of Phi-3's
// vocabulary theirs by the model's name.
func TestFlagsByNameLikeLlamaCpp(t *testing.T) {
	spec := token.Synthetic(512, 1)
	for i, piece := range []string{"<|endoftext|>", "<|user|>", "<tool>"} {
		id := 509 + i
		spec.Pieces[id], spec.Types[id], spec.Scores[id] = piece, token.TypeUserDefined, token.AddedScore
	}
	s := synth.Tiny()
	s.Type = quant.F32
	plain := writeModel(t, s)
	same := func(x gguf.Tensor) (quant.Type, []byte) { return x.Type, x.Data }
	for _, name := range []string{"Phi-3-mini 4x", "phi3moe", "Mixtral"} {
		path := changed(t, plain, map[string]any{"general.name": name, "tokenizer.ggml.tokens": spec.Pieces,
			"tokenizer.ggml.scores": spec.Scores, "tokenizer.ggml.token_type": spec.Types}, same, nil)
		f, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		got, err := moe.TokenSpec(f)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := token.New(got)
		if err != nil {
			t.Fatal(err)
		}
		llama := startOracle(t, path)
		for _, text := range []string{"a<tool>  b", "<tool>\n\nb <tool> ", "a <tool><tool> b", "<|endoftext|>  a",
			"  <tool>"} {
			if got, want := tok.Encode(text, false), llama.tokenize(t, text); !slices.Equal(got, want) {
				t.Errorf("%s: %q is %q, want %q", name, text, spelled(tok, got), spelled(tok, want))
			}
		}
	}
}
