package moe

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
)

var (
	// ErrModel is matched by every error about a file that is not a Mixtral-like model; the message names the key or
	// tensor.
	ErrModel = errors.New("not a usable Mixtral model")
	// ErrSpan is matched by errors about what Forward is asked to do.
	ErrSpan = errors.New("bad span")
)

// Config is the model's shape, with the paper's names in comments.
type Config struct {
	Vocab       int // vocab_size
	Dim         int // dim
	FFN         int // hidden_dim of one expert
	Layers      int // n_layers
	Heads       int // n_heads
	KVHeads     int // n_kv_heads
	HeadDim     int // head_dim
	Experts     int // num_experts
	ExpertsUsed int // top_k_experts
	Context     int // context_len
	Rope        Rope
	NormEps     float32
}

// Bounds far above any real model, so that a damaged file is an error and not a huge allocation.
const (
	maxDim     = 1 << 17
	maxCount   = 1 << 10 // layers, heads, experts
	maxVocab   = 1 << 21
	maxContext = 1 << 24
)

// readConfig reads and checks the metadata. The vocabulary's size comes from the embedding's shape.
func readConfig(f *gguf.File) (Config, error) {
	var c Config
	switch kind := f.StringOr("general.type", "model"); kind {
	case "imatrix":
		return c, fmt.Errorf("%w: it is an importance matrix (general.type is %q), which is for quantize --imatrix",
			ErrModel, kind)
	case "adapter":
		return c, fmt.Errorf("%w: it is an adapter (general.type is %q): merge it into its base model first", ErrModel,
			kind)
	}
	arch, err := f.String("general.architecture")
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrModel, err)
	}
	switch arch {
	case plainArchitecture:
	case kernel.FileLayout:
		if err := checkLayout(f); err != nil {
			return c, err
		}
	default:
		return c, fmt.Errorf("%w: general.architecture must be %q, got %q", ErrModel, plainArchitecture, arch)
	}
	for _, n := range []struct {
		key string
		to  *int
		max int
	}{
		{"llama.block_count", &c.Layers, maxCount},
		{"llama.embedding_length", &c.Dim, maxDim},
		{"llama.feed_forward_length", &c.FFN, 2 * maxDim},
		{"llama.attention.head_count", &c.Heads, maxCount},
		{"llama.attention.head_count_kv", &c.KVHeads, maxCount},
		{"llama.context_length", &c.Context, maxContext},
		{"llama.expert_count", &c.Experts, maxCount},
		{"llama.expert_used_count", &c.ExpertsUsed, maxCount},
	} {
		v, err := f.UniformUint32(n.key)
		if err != nil {
			if n.key == "llama.attention.head_count_kv" && !f.Has(n.key) {
				c.KVHeads = c.Heads // every head has its own
				continue
			}
			if n.key == "llama.expert_count" && !f.Has(n.key) {
				return c, fmt.Errorf("%w: key llama.expert_count is missing: a dense model, not a mixture of experts",
					ErrModel)
			}
			return c, fmt.Errorf("%w: %w", ErrModel, err)
		}
		if v < 1 || int64(v) > int64(n.max) {
			return c, fmt.Errorf("%w: %s must be 1 to %d, got %d", ErrModel, n.key, n.max, v)
		}
		*n.to = int(v)
	}
	if c.Rope, err = readRope(f, c.Context); err != nil {
		return c, err
	}
	if c.NormEps, err = f.Float32("llama.attention.layer_norm_rms_epsilon"); err != nil {
		return c, fmt.Errorf("%w: %w", ErrModel, err)
	}
	return c, c.check(f)
}

// check holds the numbers against each other and refuses variants that would be computed wrongly.
func (c *Config) check(f *gguf.File) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrModel, fmt.Sprintf(format, args...))
	}
	if !(c.NormEps > 0 && c.NormEps < 1) {
		return bad("llama.attention.layer_norm_rms_epsilon must be between 0 and 1, got %v", c.NormEps)
	}
	if c.ExpertsUsed > c.Experts {
		return bad("llama.expert_used_count must be at most expert_count %d, got %d", c.Experts, c.ExpertsUsed)
	}
	if c.Heads%c.KVHeads != 0 {
		return bad("llama.attention.head_count must be a multiple of head_count_kv %d, got %d", c.KVHeads, c.Heads)
	}
	headDim := f.Uint32Or("llama.attention.key_length", uint32(c.Dim/c.Heads))
	if headDim < 2 || headDim%2 != 0 || headDim > 1024 {
		return bad("llama.attention.key_length must be an even number of 2 to 1024, got %d", headDim)
	}
	c.HeadDim = int(headDim)
	if !f.Has("llama.attention.key_length") && c.Dim%c.Heads != 0 {
		return bad("llama.embedding_length must be a multiple of llama.attention.head_count %d, got %d", c.Heads,
			c.Dim)
	}
	if v := f.Uint32Or("llama.attention.value_length", headDim); v != headDim {
		return bad("llama.attention.value_length must be %d as the keys, got %d", headDim, v)
	}
	if d := f.Uint32Or("llama.rope.dimension_count", headDim); d != headDim {
		return bad("llama.rope.dimension_count must be the head size %d, got %d", headDim, d)
	}
	return checkKeys(f)
}

// TokenSpec reads the vocabulary (tokenizer.ggml.*) of a model file.
func TokenSpec(f *gguf.File) (token.Spec, error) {
	var s token.Spec
	kind, err := f.String("tokenizer.ggml.model")
	if err != nil {
		return s, fmt.Errorf("%w: %w", ErrModel, err)
	}
	if kind != "llama" { // SentencePiece
		return s, fmt.Errorf("%w: tokenizer.ggml.model must be \"llama\" (SentencePiece), got %q", ErrModel, kind)
	}
	if s.Pieces, err = f.Strings("tokenizer.ggml.tokens"); err != nil {
		return s, fmt.Errorf("%w: %w", ErrModel, err)
	}
	if s.Scores, err = f.Float32s("tokenizer.ggml.scores"); errors.Is(err, gguf.ErrMissing) {
		s.Scores, err = make([]float32, len(s.Pieces)), nil // all alike: the leftmost pair merges first
	}
	if err != nil {
		return s, fmt.Errorf("%w: %w", ErrModel, err)
	}
	types := f.Has("tokenizer.ggml.token_type")
	if types {
		if s.Types, err = f.Int32s("tokenizer.ggml.token_type"); err != nil {
			return s, fmt.Errorf("%w: %w", ErrModel, err)
		}
	}
	for _, id := range []struct {
		key string
		to  *int32
		def uint32
	}{
		{"tokenizer.ggml.bos_token_id", &s.BOS, 1}, // the defaults of SentencePiece and of every Llama vocabulary
		{"tokenizer.ggml.eos_token_id", &s.EOS, 2},
		{"tokenizer.ggml.unknown_token_id", &s.UNK, 0},
	} {
		v := f.Uint32Or(id.key, id.def)
		if int64(v) >= int64(len(s.Pieces)) {
			return s, fmt.Errorf("%w: %s is %d of %d tokens", ErrModel, id.key, v, len(s.Pieces))
		}
		*id.to = int32(v)
	}
	if !types {
		s.Types = token.GuessTypes(s)
	}
	for id, typ := range s.Types { // files of 2023 have the marks of ChatML so
		if typ == token.TypeUserDefined && id < len(s.Pieces) && token.Marks(s.Pieces[id]) {
			s.Types[id] = token.TypeControl
		}
	}
	s.Ends = endsOfTurn(f, s)
	s.AddBOS = f.BoolOr("tokenizer.ggml.add_bos_token", true)
	s.AddEOS = f.BoolOr("tokenizer.ggml.add_eos_token", false)
	s.AddSpacePrefix = f.BoolOr("tokenizer.ggml.add_space_prefix", true)
	s.Metaspace = f.StringOr(token.MetaspaceKey, "")
	if err := s.SetFlags(func(key string) ([]int32, error) {
		ids, err := f.Int32s(key)
		if errors.Is(err, gguf.ErrMissing) {
			return nil, nil
		}
		return ids, err
	}); err != nil {
		return s, fmt.Errorf("%w: %w", ErrModel, err)
	}
	flagsByName(f.StringOr("general.name", ""), &s)
	s.Template = f.StringOr("tokenizer.chat_template", "")
	s.ToolTemplate = f.StringOr("tokenizer.chat_template.tool_use", "")
	return s, nil
}

// flagsByName gives the pieces of Phi-3's vocabulary their flags. GGUF has no key for these; llama.cpp goes by the
// name of the model, too.
func flagsByName(name string, s *token.Spec) {
	name = strings.ToLower(name)
	if s.Flags != nil || !strings.Contains(name, "phi-3") && !strings.Contains(name, "phi3") {
		return
	}
	for id, typ := range s.Types {
		if (typ == token.TypeControl || typ == token.TypeUserDefined) && id < len(s.Pieces) &&
			!slices.Contains([]string{"<s>", "<unk>", "<|endoftext|>"}, s.Pieces[id]) {
			s.SetFlag(int32(id), token.Flags{RStrip: true})
		}
	}
}

// endsOfTurn gives what ends an answer beside EOS: the ids that the file names, and the control pieces that mean
// nothing else in any vocabulary.
func endsOfTurn(f *gguf.File, s token.Spec) (ids []int32) {
	for _, key := range []string{"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"} {
		if v, err := f.Uint32(key); err == nil && int64(v) < int64(len(s.Pieces)) {
			ids = append(ids, int32(v))
		}
	}
	if all, err := f.Int32s("tokenizer.ggml.eos_token_ids"); err == nil {
		for _, id := range all {
			if id >= 0 && int(id) < len(s.Pieces) {
				ids = append(ids, id)
			}
		}
	}
	for id, piece := range s.Pieces {
		if (piece == "<|im_end|>" || piece == "<|eot_id|>" || piece == "<|end_of_turn|>") && id < len(s.Types) &&
			(s.Types[id] == token.TypeControl || s.Types[id] == token.TypeUserDefined) {
			ids = append(ids, int32(id))
		}
	}
	return ids
}
