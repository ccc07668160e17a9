package convert

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/convert/hftest"
	"github.com/hxp-enterprise/mixtral/internal/model/safetensors"
)

// published writes a small model as a repository has it.
func published(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := small(quant.F16)
	s.Dim, s.FFN, s.Layers, s.Experts = 32, 32, 1, 4
	if err := hftest.Write(dir, build(t, s), hftest.Options{DType: "BF16", Shards: 1, JSON: true}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// edit changes members of a JSON file of the directory, which may not be there yet.
func edit(t *testing.T, dir, name string, change func(m map[string]any)) {
	t.Helper()
	path, m := filepath.Join(dir, name), map[string]any{}
	if data, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
	}
	change(m)
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// rename gives the arrays of the directory other names.
func rename(t *testing.T, dir string, to func(name string) string) {
	t.Helper()
	m, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var arrays []safetensors.Array
	for _, x := range m.Tensors() {
		data := make([]byte, x.Size())
		if _, err := x.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		arrays = append(arrays, safetensors.Array{Name: to(x.Name), DType: x.DType, Shape: x.Shape, Data: data})
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := safetensors.Write(f, arrays); err != nil {
		t.Fatal(err)
	}
}

// TestNamesOfExperts: merges name the matrices of experts in several ways, and mean the same.
func TestNamesOfExperts(t *testing.T) {
	o := Options{Mix: mix(t, "bf16")}
	dir := published(t)
	want, _ := convert(t, dir, o)
	for name, to := range map[string]*strings.Replacer{
		"mlp":         strings.NewReplacer("block_sparse_moe", "mlp"),
		"dense names": strings.NewReplacer(".w1.", ".gate_proj.", ".w2.", ".down_proj.", ".w3.", ".up_proj."),
		"both": strings.NewReplacer("block_sparse_moe", "mlp", ".w1.", ".gate_proj.", ".w2.", ".down_proj.", ".w3.",
			".up_proj."),
	} {
		dir := published(t)
		rename(t, dir, to.Replace)
		got, _ := convert(t, dir, o)
		for _, x := range want.Tensors() {
			if y, ok := got.Tensor(x.Name); !ok || string(y.Data) != string(x.Data) {
				t.Errorf("%s: tensor %s differs", name, x.Name)
			}
		}
	}
}

// TestWindowOfAttention: where attention sees only so many tokens, the context ends there, and nothing is computed
// that the model was not made for.
func TestWindowOfAttention(t *testing.T) {
	for _, tt := range []struct {
		window any
		want   uint32
	}{{nil, 512}, {100, 100}, {512, 512}, {4096, 512}} {
		dir := published(t)
		edit(t, dir, "config.json", func(m map[string]any) { m["sliding_window"] = tt.window })
		f, _ := convert(t, dir, Options{Mix: mix(t, "f16")})
		if got := f.Uint32Or("llama.context_length", 0); got != tt.want {
			t.Errorf("sliding_window %v: context %d, want %d", tt.window, got, tt.want)
		}
	}
}

// TestSeveralEnds: config.json and generation_config.json may list several ids that end an answer.
func TestSeveralEnds(t *testing.T) {
	for _, tt := range []struct {
		config, generation any
		want               []int32
	}{
		{2, nil, nil}, {[]int{2, 7}, nil, []int32{7}}, {2, 9, []int32{9}},
		{[]int{2, 7}, []int{2, 9, 7}, []int32{7, 9}},
		{nil, []int{5, 100000, -1}, []int32{5}},
	} {
		dir := published(t)
		edit(t, dir, "config.json", func(m map[string]any) { m["eos_token_id"] = tt.config })
		if tt.generation != nil {
			edit(t, dir, "generation_config.json", func(m map[string]any) { m["eos_token_id"] = tt.generation })
		}
		f, _ := convert(t, dir, Options{Mix: mix(t, "f16")})
		s, err := moe.TokenSpec(f)
		got := slices.DeleteFunc(s.Ends, func(id int32) bool { return id == s.EOS })
		if err != nil || s.EOS != 2 || !slices.Equal(got, tt.want) {
			t.Errorf("%v, %v: EOS %d and %v, %v; want %v", tt.config, tt.generation, s.EOS, got, err, tt.want)
		}
	}
}

// TestPaddingBeyondRows: fine-tunes add a padding token for which the embedding has no row. It is left out; any other
// token without a row is an error that names it.
func TestPaddingBeyondRows(t *testing.T) {
	added := func(content string) func(m map[string]any) {
		return func(m map[string]any) {
			m["added_tokens"] = append(m["added_tokens"].([]any), map[string]any{"id": 512, "content": content,
				"special": true})
		}
	}
	pad := func(m map[string]any) { m["pad_token"] = map[string]any{"content": "[PAD]"} }
	decoder := func(m map[string]any) {
		m["pad_token"] = "[PAD]"
		m["added_tokens_decoder"] = map[string]any{"512": map[string]any{"content": "[PAD]", "special": true}}
	}
	for name, tt := range map[string]struct {
		change map[string]func(m map[string]any)
		want   string // of the error
	}{
		"tokenizer.json": {map[string]func(map[string]any){"tokenizer.json": added("[PAD]"),
			"tokenizer_config.json": pad}, ""},
		"named elsewhere": {map[string]func(map[string]any){"tokenizer.json": added("[PAD]"),
			"special_tokens_map.json": pad}, ""},
		"decoder": {map[string]func(map[string]any){"tokenizer_config.json": decoder}, ""},
		"added_tokens.json": {map[string]func(map[string]any){"tokenizer_config.json": pad,
			"added_tokens.json": func(m map[string]any) { m["[PAD]"] = 512 }}, ""},
		"a mark": {map[string]func(map[string]any){"tokenizer.json": added("<|im_end|>"),
			"tokenizer_config.json": pad}, "513 pieces, but config.json has vocab_size 512"},
		"not called padding": {map[string]func(map[string]any){"tokenizer.json": added("[PAD]")}, "513 pieces"},
	} {
		dir := published(t)
		for file, change := range tt.change {
			edit(t, dir, file, change)
		}
		s, err := Open(dir)
		if err == nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
