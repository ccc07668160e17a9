package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// altered is the tiny model with another value for a key, without the key if value is nil, and with one more tensor.
func altered(t *testing.T, key string, value any, tensor string, x []float32) string {
	t.Helper()
	data, err := synth.Bytes(synth.Tiny())
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	for _, k := range f.Keys() {
		if k != key {
			err = errors.Join(err, w.Copy(f, k))
		}
	}
	if value != nil {
		err = errors.Join(err, w.Set(key, value))
	}
	for _, x := range f.Tensors() {
		err = errors.Join(err, w.Add(x.Name, x.Type, x.Dims...))
	}
	if tensor != "" {
		err = errors.Join(err, w.Add(tensor, quant.F32, len(x)))
	}
	err = errors.Join(err, w.WriteHeader())
	for _, x := range f.Tensors() {
		err = errors.Join(err, w.WriteTensor(x.Name, x.Data))
	}
	if tensor != "" {
		raw := make([]byte, 4*len(x))
		err = errors.Join(err, quant.Pack(quant.F32, raw, x), w.WriteTensor(tensor, raw))
	}
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err = errors.Join(err, os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCommandsAgreeOnFiles: if one command refuses a file because of a feature, no other command converts it or shows
// it as a good model, and a file that one accepts is accepted by all.
func TestCommandsAgreeOnFiles(t *testing.T) {
	ones := []float32{1, 1, 1, 1, 1, 1, 1, 1} // one for each pair of a head of the tiny model
	for name, tt := range map[string]struct {
		key    string
		value  any
		tensor string
		x      []float32
		want   string // "": every command accepts it
	}{
		"an unknown key":           {"llama.new_idea", uint32(1), "", nil, "llama.new_idea"},
		"scaled logits":            {"llama.logit_scale", float32(0.5), "", nil, "llama.logit_scale"},
		"another scaling":          {"llama.rope.scaling.type", "longrope", "", nil, "longrope"},
		"a bias":                   {"", nil, "blk.0.attn_q.bias", make([]float32, 64), "blk.0.attn_q.bias"},
		"a normalizer":             {"tokenizer.ggml.remove_extra_whitespaces", true, "", nil, "extra_whitespaces"},
		"linear scaling":           {"llama.rope.scaling.factor", float32(2), "", nil, ""},
		"as many keys as heads":    {"llama.attention.head_count_kv", []int32{2, 2}, "", nil, ""},
		"factors of positions":     {"", nil, "rope_freqs.weight", ones, ""},
		"a neutral scale":          {"llama.logit_scale", float32(1), "", nil, ""},
		"no base of the positions": {"llama.rope.freq_base", nil, "", nil, ""},
	} {
		path := altered(t, tt.key, tt.value, tt.tensor, tt.x)
		out := filepath.Join(t.TempDir(), "out.gguf")
		for _, args := range [][]string{{"model", "inspect", path}, {"model", "verify", path},
			{"model", "pack", path, out}, {"model", "quantize", path, "--type", "q8_0", "--out", out + "2"}} {
			var stdout, stderr bytes.Buffer
			code := run(&app{ctx: t.Context(), stdout: &stdout, stderr: &stderr, getenv: os.Getenv}, args)
			if (code == exitOK) != (tt.want == "") || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("%s: %s: exit code %d, want an error that names %q: %s", name, args[1], code, tt.want,
					stderr.String())
			}
		}
	}
}
