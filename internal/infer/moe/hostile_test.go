package moe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// little is a model that loads in a millisecond.
func little(t testing.TB) []byte {
	t.Helper()
	b, err := synth.Bytes(synth.Shape{Dim: 32, FFN: 32, Layers: 2, Heads: 4, KVHeads: 2, Experts: 3, Vocab: 300,
		Context: 32, Type: quant.Q8_0, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// open loads a model and runs it, and so does what a service does with a file that somebody gave it.
func open(data []byte) error {
	f, err := gguf.Parse(data)
	if err != nil {
		return err
	}
	if _, err := TokenSpec(f); err != nil {
		return err
	}
	m, err := Load(f, Options{Workers: 1})
	if err != nil {
		return err
	}
	defer m.Close()
	_, err = m.Forward(m.NewStorage(1), []Span{{Tokens: []int32{0, 1, 2}, Blocks: []int32{0}, Logits: 1}})
	return err
}

// TestHostileFiles: each lie is found, and the error names the key or tensor.
func TestHostileFiles(t *testing.T) {
	good := little(t)
	if err := open(good); err != nil {
		t.Fatal(err)
	}
	at := func(b []byte, what string) []byte { // what comes behind the first mention of a name
		i := bytes.Index(b, []byte(what))
		if i < 0 {
			t.Fatalf("no %s in the file", what)
		}
		return b[i+len(what):]
	}
	rename := func(from, to string) func([]byte) {
		return func(b []byte) { copy(b[bytes.Index(b, []byte(from)):], to) }
	}
	number := func(key string, v uint32) func([]byte) { // behind the value's type
		return func(b []byte) { binary.LittleEndian.PutUint32(at(b, key)[4:], v) }
	}
	float := func(key string, v float64) func([]byte) { return number(key, math.Float32bits(float32(v))) }
	dim := func(tensor string, n int, v uint64) func([]byte) { // behind the number of dimensions
		return func(b []byte) { binary.LittleEndian.PutUint64(at(b, tensor)[4+8*n:], v) }
	}
	format := func(tensor string, dims int, typ quant.Type) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint32(at(b, tensor)[4+8*dims:], uint32(typ)) }
	}
	for name, test := range map[string]struct {
		spoil func([]byte)
		text  string
	}{
		"another architecture": {func(b []byte) { copy(at(b, "general.architecture")[12:], "qwena") },
			"general.architecture"},
		"no architecture":      {rename("general.architecture", "general.architectuXX"), "general.architecture"},
		"no layers":            {number("llama.block_count", 0), "llama.block_count must be 1 to"},
		"too many layers":      {number("llama.block_count", 3), "blk.2.attn_norm.weight"},
		"absurdly many layers": {number("llama.block_count", 1<<31), "llama.block_count"},
		"heads":                {number("attention.head_count_kv", 3), "head_count_kv 3"},
		"width":                {number("llama.embedding_length", 64), "must be the head size 16, got 8"},
		"width, absurd":        {number("llama.embedding_length", 1<<30), "llama.embedding_length"},
		"ffn":                  {number("llama.feed_forward_length", 64), "blk.0.ffn_gate_exps.weight"},
		"experts":              {number("llama.expert_count", 4), "blk.0.ffn_gate_inp.weight"},
		"experts used":         {number("llama.expert_used_count", 4), "must be at most expert_count 3, got 4"},
		"dense":                {rename("llama.expert_count", "llama.expert_couXX"), "a dense model"},
		"theta":                {float("llama.rope.freq_base", math.NaN()), "llama.rope.freq_base"},
		"theta, zero":          {float("llama.rope.freq_base", 0), "llama.rope.freq_base"},
		"epsilon":              {float("layer_norm_rms_epsilon", -1), "layer_norm_rms_epsilon"},
		"rope dimensions":      {number("llama.rope.dimension_count", 6), "got 6"},
		"context":              {number("llama.context_length", 0), "llama.context_length"},
		"embedding missing":    {rename("token_embd.weight", "token_embX.weight"), "token_embd.weight is missing"},
		"norm missing":         {rename("blk.1.ffn_norm.weight", "blk.1.ffn_norX.weight"), "blk.1.ffn_norm.weight"},
		"experts missing": {rename("blk.1.ffn_up_exps.weight", "blk.1.ffn_uX_exps.weight"),
			"blk.1.ffn_up_exps.weight"},
		"shape":               {dim("blk.0.attn_k.weight", 1, 8), "blk.0.attn_k.weight must have the shape"},
		"shape, huge":         {dim("blk.0.attn_k.weight", 1, 1<<39), "blk.0.attn_k.weight"},
		"shape, no block":     {dim("blk.0.attn_k.weight", 0, 31), "blk.0.attn_k.weight"},
		"format too large":    {format("output.weight", 2, quant.F32), "output.weight"},
		"format unknown":      {format("blk.0.attn_k.weight", 2, 99), "blk.0.attn_k.weight"},
		"format without code": {format("blk.0.attn_k.weight", 2, 15), "Q8_K"},
		"tokenizer": {func(b []byte) { copy(at(b, "tokenizer.ggml.model")[12:], "gpt2_") },
			"tokenizer.ggml.model"},
		"bos": {number("tokenizer.ggml.bos_token_id", 300),
			"tokenizer.ggml.bos_token_id is 300 of 300"},
	} {
		bad := bytes.Clone(good)
		test.spoil(bad)
		err := open(bad)
		if err == nil || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, want something about %q", name, err, test.text)
		} else if !errors.Is(err, ErrModel) && !errors.Is(err, gguf.ErrFormat) &&
			!errors.Is(err, gguf.ErrUnsupported) {
			t.Errorf("%s: %v matches no sentinel", name, err)
		}
	}
	for n := 0; n < len(good); n += 97 {
		if err := open(good[:n]); err == nil {
			t.Errorf("cut to %d of %d bytes: no error", n, len(good))
		}
	}
}

// FuzzLoad changes bytes of a good file, plain or packed, most of them in the directory: an error or a model that
// runs, never a crash.
func FuzzLoad(f *testing.F) {
	plain := little(f)
	packed := rewrite(f, parse(f, plain))
	for _, good := range [][]byte{plain, packed} {
		isPacked := &good[0] == &packed[0]
		f.Add(isPacked, uint16(0), []byte{})
		f.Add(isPacked, uint16(9), []byte{0, 0, 0, 255})
		for _, name := range []string{"llama.block_count", "head_count_kv", "expert_used_count", "blk.0.attn_q.",
			"output_norm.weight", "ggml.token_type", keyLayout} {
			at := max(bytes.Index(good, []byte(name)), 0)
			f.Add(isPacked, uint16(1), append(binary.LittleEndian.AppendUint16(nil, uint16(at+len(name))), 4, 0xff))
		}
	}
	f.Fuzz(func(t *testing.T, isPacked bool, cut uint16, changes []byte) {
		data := bytes.Clone(plain)
		if isPacked {
			data = bytes.Clone(packed)
		}
		for ; len(changes) >= 4; changes = changes[4:] { // two bytes of position, how far behind it, and what to write
			at := int(binary.LittleEndian.Uint16(changes)) + int(changes[2])
			data[at%len(data)] = changes[3]
		}
		_ = open(data[:len(data)-int(cut)%len(data)])
	})
}
