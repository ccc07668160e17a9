package synth

import (
	"fmt"
	"io"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// expertsUsed is Mixtral's number of experts for each token (arXiv:2401.04088, section 2.1).
const expertsUsed = 2

// ropeTheta is Mixtral's base of RoPE's frequencies.
const ropeTheta = 1e6

// Shape is a model to make.
type Shape struct {
	Dim     int // width of the residual stream
	FFN     int // hidden width of one expert
	Layers  int
	Heads   int // query heads; Dim/Heads is the head size
	KVHeads int
	Experts int
	Vocab   int
	Context int // trained context length, tokens

	Type            quant.Type // of all matrices but the router, which is F32 as in every Mixtral file
	Seed            uint64
	Calm            bool // damp the residual branches: rounding noise is not amplified from layer to layer
	Needle          bool // weights made by hand, see Needle; then Seed decides the vocabulary alone
	OldExpertLayout bool // one tensor for each expert, as files made before April 2024 have
}

// Tiny is for tests: about 0.6 MB, and every count differs from the others where it can.
func Tiny() Shape {
	return Shape{Dim: 64, FFN: 128, Layers: 2, Heads: 4, KVHeads: 2, Experts: 8, Vocab: 512, Context: 1024,
		Type: quant.Q8_0, Seed: 1}
}

// Nano has 36 million parameters: overheads decide its speed.
func Nano() Shape {
	return Shape{Dim: 256, FFN: 896, Layers: 6, Heads: 8, KVHeads: 2, Experts: 8, Vocab: 4096, Context: 4096,
		Type: quant.Q8_0, Seed: 1}
}

// Mid has 1.15 billion parameters: larger than any cache, so memory bandwidth and kernels decide.
func Mid() Shape {
	return Shape{Dim: 1024, FFN: 3584, Layers: 12, Heads: 16, KVHeads: 4, Experts: 8, Vocab: 32000, Context: 4096,
		Type: quant.Q8_0, Seed: 1}
}

// Full is the shape of Mixtral 8x7B: 46.7 billion parameters, 26 GB in Q4_0.
func Full() Shape {
	return Shape{Dim: 4096, FFN: 14336, Layers: 32, Heads: 32, KVHeads: 8, Experts: 8, Vocab: 32000, Context: 32768,
		Type: quant.Q4_0, Seed: 1}
}

// presets by name.
var presets = []struct {
	name  string
	shape func() Shape
}{{"tiny", Tiny}, {"nano", Nano}, {"mid", Mid}, {"8x7b", Full}, {"needle", Needle}}

// Presets lists the names that Preset knows.
func Presets() []string {
	names := make([]string, len(presets))
	for i, p := range presets {
		names[i] = p.name
	}
	return names
}

// Preset finds a shape by name: tiny, nano, mid, 8x7b or needle.
func Preset(name string) (Shape, bool) {
	for _, p := range presets {
		if p.name == name {
			return p.shape(), true
		}
	}
	return Shape{}, false
}

// FieldError says which field of a Shape cannot be. Field is in the form of the command line's flags, such as
// "kv-heads".
type FieldError struct {
	Field   string
	Problem string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// Validate checks that the shape is one that a file can hold and an engine can run. Its errors are *FieldError.
func (s Shape) Validate() error {
	fields := []struct {
		name          string
		value, lo, hi int
	}{
		{"dim", s.Dim, 1, 1 << 17}, {"ffn", s.FFN, 1, 1 << 18}, {"layers", s.Layers, 1, 1024},
		{"heads", s.Heads, 1, 1024}, {"kv-heads", s.KVHeads, 1, 1024}, {"experts", s.Experts, expertsUsed, 256},
		{"vocab", s.Vocab, token.MinSynthetic, 1 << 20}, {"context", s.Context, 1, 1 << 24},
	}
	for _, f := range fields {
		if f.value < f.lo || f.value > f.hi {
			return &FieldError{f.name, fmt.Sprintf("must be between %d and %d, got %d", f.lo, f.hi, f.value)}
		}
	}
	if s.Dim%s.Heads != 0 || s.Dim/s.Heads%2 != 0 {
		return &FieldError{"heads", fmt.Sprintf("must divide dim %d into heads of even size, got %d", s.Dim, s.Heads)}
	}
	if s.Heads%s.KVHeads != 0 {
		return &FieldError{"kv-heads", fmt.Sprintf("must divide the %d heads, got %d", s.Heads, s.KVHeads)}
	}
	if !s.Type.Writable() {
		return &FieldError{"type", fmt.Sprintf("must be a format that can be written, got %v", s.Type)}
	}
	block := s.Type.BlockLen()
	for _, f := range fields[:2] {
		if f.value%block != 0 {
			return &FieldError{f.name, fmt.Sprintf("must be a multiple of %d for rows in %v, got %d", block,
				s.Type, f.value)}
		}
	}
	if s.Needle {
		return s.checkNeedle()
	}
	return nil
}

// Write streams the model's file to w. It holds a few MB whatever the model's size.
func Write(w io.Writer, s Shape) error {
	if err := s.Validate(); err != nil {
		return err
	}
	gw := gguf.NewWriter(w)
	tensors := s.tensors()
	if err := s.declare(gw, tensors); err != nil {
		return err
	}
	if err := gw.WriteHeader(); err != nil {
		return err
	}
	src := newSource(s.Seed)
	for _, t := range tensors {
		if err := gw.WriteTensor(t.name, src.reader(t)); err != nil {
			return fmt.Errorf("write %s: %w", t.name, err)
		}
	}
	return gw.Close()
}

// Size gives the bytes that Write will write.
func Size(s Shape) (int64, error) {
	if err := s.Validate(); err != nil {
		return 0, err
	}
	gw := gguf.NewWriter(io.Discard)
	if err := s.declare(gw, s.tensors()); err != nil {
		return 0, err
	}
	return gw.Size(), nil
}

// maxBytes bounds Bytes: a larger model belongs in a file.
const maxBytes = 8 << 30

// Bytes makes the file in memory.
func Bytes(s Shape) ([]byte, error) {
	n, err := Size(s)
	if err != nil {
		return nil, err
	}
	if n > maxBytes {
		return nil, fmt.Errorf("synthetic model of %.1f GiB is too large to hold in memory: write it to a file",
			float64(n)/(1<<30))
	}
	b := make(sink, 0, n)
	if err := Write(&b, s); err != nil {
		return nil, err
	}
	return b, nil
}

// sink appends; unlike bytes.Buffer it never grows beyond the exact size that it was made with.
type sink []byte

func (b *sink) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// declare sets the metadata that llama.cpp's "llama" architecture needs and names the tensors.
func (s Shape) declare(w *gguf.Writer, tensors []tensor) error {
	spec := token.Synthetic(s.Vocab, s.Seed)
	for _, kv := range []struct {
		key   string
		value any
	}{
		{"general.architecture", "llama"},
		{"general.name", fmt.Sprintf("synthetic Mixtral %dx%d seed %d", s.Dim, s.Layers, s.Seed)},
		{"general.file_type", fileType[s.Type]},
		{"general.quantization_version", uint32(2)}, // ggml's block layouts since May 2023
		{"llama.block_count", uint32(s.Layers)},
		{"llama.context_length", uint32(s.Context)},
		{"llama.embedding_length", uint32(s.Dim)},
		{"llama.feed_forward_length", uint32(s.FFN)},
		{"llama.attention.head_count", uint32(s.Heads)},
		{"llama.attention.head_count_kv", uint32(s.KVHeads)},
		{"llama.attention.layer_norm_rms_epsilon", float32(1e-5)},
		{"llama.rope.freq_base", float32(ropeTheta)},
		{"llama.rope.dimension_count", uint32(s.Dim / s.Heads)},
		{"llama.expert_count", uint32(s.Experts)},
		{"llama.expert_used_count", uint32(expertsUsed)},
		{"llama.vocab_size", uint32(s.Vocab)},
		{"tokenizer.ggml.model", "llama"},
		{"tokenizer.ggml.tokens", spec.Pieces},
		{"tokenizer.ggml.scores", spec.Scores},
		{"tokenizer.ggml.token_type", spec.Types},
		{"tokenizer.ggml.bos_token_id", uint32(spec.BOS)},
		{"tokenizer.ggml.eos_token_id", uint32(spec.EOS)},
		{"tokenizer.ggml.unknown_token_id", uint32(spec.UNK)},
		{"tokenizer.ggml.add_bos_token", spec.AddBOS},
		{"tokenizer.ggml.add_space_prefix", spec.AddSpacePrefix},
		{"tokenizer.chat_template", spec.Template},
	} {
		if err := w.Set(kv.key, kv.value); err != nil {
			return err
		}
	}
	for _, t := range tensors {
		if err := w.Add(t.name, t.typ, t.dims...); err != nil {
			return err
		}
	}
	return nil
}

// fileType is llama.cpp's llama_ftype for a file that is mostly of the type: information for people.
var fileType = map[quant.Type]uint32{
	quant.F32: 0, quant.F16: 1, quant.Q4_0: 2, quant.Q8_0: 7, quant.Q5_0: 8, quant.Q2_K: 10, quant.Q3_K: 11,
	quant.Q4_K: 14, quant.Q5_K: 16, quant.Q6_K: 18, quant.BF16: 32,
}
