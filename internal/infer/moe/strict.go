package moe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
)

// What a file says and nobody asks for may change what the model means: to compute without it would be wrong in
// silence. So every key llama.* is read, known not to matter, or an error; and every tensor is used, or an error.

// readKeys are those that readConfig and readRope read.
var readKeys = []string{"block_count", "embedding_length", "feed_forward_length", "attention.head_count",
	"attention.head_count_kv", "context_length", "expert_count", "expert_used_count",
	"attention.layer_norm_rms_epsilon",
	"attention.key_length", "attention.value_length", "rope.dimension_count", "rope.freq_base", "rope.scale_linear",
	"rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length", "rope.scaling.attn_factor",
	"rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow"}

// idleKeys change nothing: of a vocabulary's size the tensors decide, attention's window is longer than what any
// engine for this format cuts at, and the rest says how the file came about.
var idleKeys = []string{"vocab_size", "tensor_data_layout", "attention.sliding_window", "rope.scaling.finetuned",
	"attention.layer_norm_epsilon", "features_length"}

// neutral are keys that may be there with the value that changes nothing.
var neutral = map[string]func(f *gguf.File, key string) bool{
	"logit_scale": isOne, "embedding_scale": isOne, "residual_scale": isOne, "expert_weights_scale": isOneOrZero,
	"attention.scale": isZero, "attention.clamp_kqv": isZero, "attention.max_alibi_bias": isZero,
	"attn_logit_softcapping": isZero, "final_logit_softcapping": isZero, "expert_shared_count": isZero,
	"leading_dense_block_count": isZero, "rope.scaling.yarn_log_multiplier": isZero,
	"attention.causal": isTrue, "expert_weights_norm": isTrue, "use_parallel_residual": isFalse,
	"expert_gating_func": func(f *gguf.File, key string) bool { return f.Uint32Or(key, 0) == 1 }, // softmax
	"expert_feed_forward_length": func(f *gguf.File, key string) bool {
		return f.Uint32Or(key, 0) == f.Uint32Or("llama.feed_forward_length", 1)
	},
	"rope.scaling.yarn_ext_factor": func(f *gguf.File, key string) bool {
		v := f.Float32Or(key, 0)
		return v < 0 || v == 1 && f.StringOr("llama.rope.scaling.type", "") == "yarn"
	},
	"rope.scaling.yarn_attn_factor": isOne,
}

func isOne(f *gguf.File, key string) bool       { return number(f, key) == 1 }
func isZero(f *gguf.File, key string) bool      { return number(f, key) == 0 }
func isOneOrZero(f *gguf.File, key string) bool { return isOne(f, key) || isZero(f, key) }
func isTrue(f *gguf.File, key string) bool      { return f.BoolOr(key, false) }
func isFalse(f *gguf.File, key string) bool     { return !f.BoolOr(key, true) }

// number reads an integer or a float; −1 for what is neither.
func number(f *gguf.File, key string) float64 {
	if v, err := f.Uint32(key); err == nil {
		return float64(v)
	}
	return float64(f.Float32Or(key, -1))
}

// checkKeys refuses keys that would change the result and are not read.
func checkKeys(f *gguf.File) error {
	for _, key := range f.Keys() {
		name, ok := strings.CutPrefix(key, "llama.")
		if !ok || slices.Contains(readKeys, name) || slices.Contains(idleKeys, name) {
			continue
		}
		if harmless, ok := neutral[name]; ok && harmless(f, key) {
			continue
		}
		return fmt.Errorf("%w: key %s may change what the model computes, and is not supported", ErrModel, key)
	}
	return checkNormalizer(f)
}

// checkTensors refuses tensors that loading did not use.
func (l *loader) checkTensors() error {
	var idle []string
	for _, t := range l.file.Tensors() {
		if !l.used[t.Name] {
			idle = append(idle, t.Name)
		}
	}
	switch {
	case len(idle) == 0:
		return nil
	case len(idle) > 3:
		return fmt.Errorf("%w: tensors %s and %d more are not part of a Mixtral model as it is computed here",
			ErrModel, strings.Join(idle[:3], ", "), len(idle)-3)
	}
	return fmt.Errorf("%w: tensor %s is not part of a Mixtral model as it is computed here", ErrModel,
		strings.Join(idle, ", "))
}

// checkNormalizer refuses vocabularies that change a text before it becomes pieces: the same text would get other ids.
func checkNormalizer(f *gguf.File) error {
	bad := func(key, is string) error {
		return fmt.Errorf("%w: tokenizer.ggml.%s %s: a normalizer that changes texts is not supported", ErrModel,
			key, is)
	}
	for key, plain := range map[string]bool{"remove_extra_whitespaces": false, "treat_whitespace_as_suffix": false,
		"escape_whitespaces": true} {
		if name := "tokenizer.ggml." + key; f.Has(name) && f.BoolOr(name, !plain) != plain {
			return bad(key, fmt.Sprintf("is %t", !plain))
		}
	}
	if f.Has("tokenizer.ggml.precompiled_charsmap") {
		return bad("precompiled_charsmap", "is there")
	}
	return nil
}
