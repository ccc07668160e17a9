package hftest

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/safetensors"
)

// Options say how the directory looks.
type Options struct {
	DType  string // F32, F16 or BF16
	Shards int    // files; 1 means one without an index
	JSON   bool   // tokenizer.json instead of tokenizer.model
	Packed bool   // arrays of all experts, as Transformers 5 holds them

	Added  []AddedToken // put in place of the pieces with their ids; of tokenizer.json alone
	Spaces string       // one of Spaces; empty: "prepend"
}

// Write makes the directory from a model with stacked experts and a head size of dim/heads.
func Write(dir string, f *gguf.File, o Options) error {
	arrays, err := weights(f, o)
	if err != nil {
		return err
	}
	if err := shards(dir, arrays, o.Shards); err != nil {
		return err
	}
	u32 := func(key string) uint32 { return f.Uint32Or(key, 0) }
	files := map[string]any{
		"config.json": map[string]any{
			"architectures": []string{"MixtralForCausalLM"}, "model_type": "mixtral", "hidden_act": "silu",
			"rope_scaling": nil,
			"hidden_size":  u32("llama.embedding_length"), "intermediate_size": u32("llama.feed_forward_length"),
			"num_hidden_layers": u32("llama.block_count"), "num_attention_heads": u32("llama.attention.head_count"),
			"num_key_value_heads":     u32("llama.attention.head_count_kv"),
			"num_local_experts":       u32("llama.expert_count"),
			"num_experts_per_tok":     u32("llama.expert_used_count"),
			"max_position_embeddings": u32("llama.context_length"),
			"vocab_size":              u32("llama.vocab_size"),
			"rms_norm_eps":            f.Float32Or("llama.attention.layer_norm_rms_epsilon", 0),
			"rope_theta":              f.Float32Or("llama.rope.freq_base", 0), "bos_token_id": 1, "eos_token_id": 2,
		},
		"tokenizer_config.json": map[string]any{
			"bos_token": "<s>", "eos_token": map[string]any{"content": "</s>"}, "unk_token": "<unk>",
			"add_bos_token": true,
			"chat_template": f.StringOr("tokenizer.chat_template", ""),
		},
	}
	pieces, err := f.Strings("tokenizer.ggml.tokens")
	if err != nil {
		return err
	}
	scores, err := f.Float32s("tokenizer.ggml.scores")
	if err != nil {
		return err
	}
	types, err := f.Int32s("tokenizer.ggml.token_type")
	if err != nil {
		return err
	}
	if o.JSON {
		files["tokenizer.json"] = tokenizerJSON(pieces, scores, types, o)
	} else if err := os.WriteFile(filepath.Join(dir, "tokenizer.model"), sentencePiece(pieces, scores, types),
		0o644); err != nil {
		return err
	}
	for name, v := range files {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// shards spreads the arrays over files.
func shards(dir string, arrays []safetensors.Array, n int) error {
	index := map[string]string{}
	for i := range n {
		name := "model.safetensors"
		if n > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, n)
		}
		part := arrays[i*len(arrays)/n : (i+1)*len(arrays)/n]
		for _, a := range part {
			index[a.Name] = name
		}
		file, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := safetensors.Write(file, part); err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	if n == 1 {
		return nil
	}
	data, err := json.Marshal(map[string]any{"metadata": map[string]any{}, "weight_map": index})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, safetensors.IndexName), data, 0o644)
}

// weights renames every tensor; experts become arrays of their own, and rows of attn_q and attn_k go back to halves.
func weights(f *gguf.File, o Options) ([]safetensors.Array, error) {
	typ, err := quant.ParseType(o.DType)
	if err != nil {
		return nil, err
	}
	heads := map[string]int{"attn_q": int(f.Uint32Or("llama.attention.head_count", 1)),
		"attn_k": int(f.Uint32Or("llama.attention.head_count_kv", 1))}
	names := map[string]string{
		"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
		"ffn_gate_inp": "block_sparse_moe.gate", "attn_q": "self_attn.q_proj",
		"attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
		"ffn_gate_exps": "w1", "ffn_down_exps": "w2", "ffn_up_exps": "w3",
	}
	if o.Packed {
		names["ffn_gate_inp"] = "mlp.gate"
	}
	gates := map[int][]float32{} // by layer, until ffn_up comes
	var arrays []safetensors.Array
	for _, t := range f.Tensors() {
		x := make([]float32, t.Elems())
		if err := quant.Unpack(t.Type, x, t.Data); err != nil {
			return nil, err
		}
		shape := slices.Clone(t.Dims)
		slices.Reverse(shape)
		add := func(name string, shape []int, x []float32) error {
			n, err := typ.RowBytes(len(x))
			if err != nil {
				return err
			}
			if !strings.HasSuffix(name, "_proj") || !strings.Contains(name, "experts") {
				name += ".weight"
			}
			a := safetensors.Array{Name: name, DType: strings.ToUpper(o.DType), Shape: shape, Data: make([]byte, n)}
			arrays = append(arrays, a)
			return quant.Pack(typ, a.Data, x)
		}
		var layer int
		var stem string
		switch n, _ := fmt.Sscanf(t.Name, "blk.%d.%s", &layer, &stem); {
		case n == 2:
			stem = strings.TrimSuffix(stem, ".weight")
			prefix := fmt.Sprintf("model.layers.%d.", layer)
			if len(shape) == 3 && o.Packed {
				switch stem {
				case "ffn_gate_exps":
					gates[layer] = x
				case "ffn_up_exps":
					err = add(prefix+"mlp.experts.gate_up_proj", []int{shape[0], 2 * shape[1], shape[2]},
						interleave(gates[layer], x, shape[0]))
				default:
					err = add(prefix+"mlp.experts.down_proj", shape, x)
				}
				if err != nil {
					return nil, err
				}
				continue
			}
			if len(shape) == 3 {
				each := len(x) / shape[0]
				for e := range shape[0] {
					if err := add(fmt.Sprintf("%sblock_sparse_moe.experts.%d.%s", prefix, e, names[stem]), shape[1:],
						x[e*each:(e+1)*each]); err != nil {
						return nil, err
					}
				}
				continue
			}
			err = add(prefix+names[stem], shape, halves(x, heads[stem], t.Dims))
		default:
			err = add(map[string]string{"token_embd.weight": "model.embed_tokens", "output_norm.weight": "model.norm",
				"output.weight": "lm_head"}[t.Name], shape, x)
		}
		if err != nil {
			return nil, err
		}
	}
	return arrays, nil
}

// interleave puts n parts of a and b together in turn.
func interleave(a, b []float32, n int) []float32 {
	out, each := make([]float32, 0, 2*len(a)), len(a)/n
	for i := range n {
		out = append(append(out, a[i*each:(i+1)*each]...), b[i*each:(i+1)*each]...)
	}
	return out
}

// halves orders each head's rows as even ones, then odd ones.
func halves(x []float32, heads int, dims []int) []float32 {
	if heads == 0 {
		return x
	}
	cols, size := dims[0], dims[1]/heads
	out := make([]float32, 0, len(x))
	for h := range heads {
		for odd := range 2 {
			for i := odd; i < size; i += 2 {
				r := h*size + i
				out = append(out, x[r*cols:(r+1)*cols]...)
			}
		}
	}
	return out
}

// sentencePiece encodes a ModelProto.
func sentencePiece(pieces []string, scores []float32, types []int32) []byte {
	field := func(b []byte, number, wire uint64) []byte { return binary.AppendUvarint(b, number<<3|wire) }
	message := func(b []byte, number uint64, m []byte) []byte {
		return append(binary.AppendUvarint(field(b, number, 2), uint64(len(m))), m...)
	}
	var b []byte
	for i, p := range pieces {
		m := message(nil, 1, []byte(p))
		m = binary.LittleEndian.AppendUint32(field(m, 2, 5), math.Float32bits(scores[i]))
		if types[i] != 1 {
			m = binary.AppendUvarint(field(m, 3, 0), uint64(types[i]))
		}
		b = message(b, 1, m)
	}
	trainer := binary.AppendUvarint(field(nil, 3, 0), 2) // BPE
	trainer = message(trainer, 1, []byte("corpus.txt"))
	trainer = binary.AppendUvarint(field(trainer, 43, 0), math.MaxUint64) // no padding piece
	normalizer := message(nil, 1, []byte("identity"))
	normalizer = binary.AppendUvarint(field(normalizer, 3, 0), 1) // add_dummy_prefix
	normalizer = binary.AppendUvarint(field(normalizer, 4, 0), 0) // remove_extra_whitespaces
	return message(message(b, 2, trainer), 3, normalizer)
}

// tokenizerJSON describes the vocabulary by merges: every pair of pieces that makes a piece, the highest score first.
func tokenizerJSON(pieces []string, scores []float32, types []int32, o Options) any {
	vocab := map[string]int{}
	var added []AddedToken
	pieces, types = slices.Clone(pieces), slices.Clone(types)
	for _, a := range o.Added {
		pieces[a.ID], types[a.ID] = a.Content, 4
	}
	for id, p := range pieces {
		vocab[p] = id
		if types[id] == 2 || types[id] == 3 {
			added = append(added, AddedToken{ID: id, Content: p, Special: true})
		}
	}
	added = append(added, o.Added...)
	var order []int
	for id := range pieces {
		if types[id] == 1 {
			order = append(order, id)
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return scores[order[i]] > scores[order[j]] })
	var merges []string
	for _, id := range order {
		p := []rune(pieces[id])
		for k := 1; k < len(p); k++ {
			left, right := string(p[:k]), string(p[k:])
			if _, ok := vocab[left]; !ok {
				continue
			}
			if _, ok := vocab[right]; ok {
				merges = append(merges, left+" "+right)
			}
		}
	}
	t := map[string]any{"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "normalizer": nil,
		"pre_tokenizer": nil, "post_processor": nil, "decoder": nil,
		"model": map[string]any{"type": "BPE", "dropout": nil, "unk_token": "<unk>", "continuing_subword_prefix": nil,
			"end_of_word_suffix": nil, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false, "vocab": vocab,
			"merges": merges}}
	maps.Copy(t, Spaces[cmp.Or(o.Spaces, "prepend")])
	return t
}
