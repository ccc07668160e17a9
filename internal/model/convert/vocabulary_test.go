package convert

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/convert/hftest"
)

// files writes a directory's small files.
func files(t *testing.T, all map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range all {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestNormalizersOfTokenizerJSON: what a SentencePiece tokenizer does is followed, anything else is named.
func TestNormalizersOfTokenizerJSON(t *testing.T) {
	const replace = `{"type":"Replace","pattern":{"String":" "},"content":"▁"}`
	for _, tt := range []struct {
		normalizer, pre string
		prefix          bool
		want            string // "": it is followed
	}{
		{`null`, `null`, false, ""},
		{``, ``, false, ""},
		{`{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},` + replace + `]}`, `null`, true, ""},
		{replace, `null`, false, ""},
		{`null`, `{"type":"Metaspace","replacement":"▁","add_prefix_space":true}`, true, ""},
		{`null`, `{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false}`, true, ""},
		{`null`, `{"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":false}`, false, ""},
		{`{"type":"NFKC"}`, `null`, false, `"NFKC"`},
		{`{"type":"Sequence","normalizers":[{"type":"Lowercase"}]}`, `null`, false, `"Lowercase"`},
		{`{"type":"Precompiled","precompiled_charsmap":"AA=="}`, `null`, false, `"Precompiled"`},
		{`{"type":"Strip","strip_left":true}`, `null`, false, `"Strip"`},
		{`{"type":"Replace","pattern":{"Regex":" +"},"content":"▁"}`, `null`, false, "Replace"},
		{`{"type":"Prepend","prepend":"_"}`, `null`, false, "Prepend"},
		{`null`, `{"type":"ByteLevel","add_prefix_space":false}`, false, `"ByteLevel"`},
		{`null`, `{"type":"Metaspace","replacement":"_"}`, false, "Metaspace"},
		{`null`, `{"type":"Sequence","pretokenizers":[{"type":"Digits"}]}`, false, `"Digits"`},
		{strings.Repeat(`{"type":"Sequence","normalizers":[`, 20) + strings.Repeat(`]}`, 20), `null`, false, "sequences"},
		{`7`, `null`, false, "normalizer"},
	} {
		got, err := stepsOf(json.RawMessage(tt.normalizer), json.RawMessage(tt.pre))
		switch {
		case tt.want == "" && (err != nil || got.prefix != tt.prefix):
			t.Errorf("%s, %s: %+v, %v; want prefix %t", tt.normalizer, tt.pre, got, err, tt.prefix)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s, %s: %v, want an error that names %s", tt.normalizer, tt.pre, err, tt.want)
		}
	}
}

// TestSchemesOfSpaces: where spaces go is what transformers makes of the files: tokenizer.json counts before
// "legacy" of tokenizer_config.json, and a directory that says nothing is as SentencePiece is.
func TestSchemesOfSpaces(t *testing.T) {
	const first = `{"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false}}`
	const always = `{"pre_tokenizer":{"type":"Metaspace","replacement":"▁","add_prefix_space":true}}`
	const prepend = `{"normalizer":{"type":"Prepend","prepend":"▁"},"pre_tokenizer":null}`
	for _, tt := range []struct {
		tokenizer, config string
		scheme            string
		prefix            bool
	}{
		{"", `{}`, "", true},
		{"", `{"legacy":true}`, "", true},
		{"", `{"legacy":false}`, token.MetaspaceFirst, true},
		{"", `{"legacy":false,"add_prefix_space":false}`, token.MetaspaceNever, false},
		{first, `{"legacy":true}`, token.MetaspaceFirst, true},
		{always, `{"legacy":false}`, token.MetaspaceAlways, true},
		{prepend, `{"legacy":false}`, "", true},
		{`{"normalizer":null,"pre_tokenizer":null}`, `{}`, "", false},
		{`{"added_tokens":[]}`, `{"legacy":false}`, "", true},
	} {
		v := &vocabulary{}
		v.AddSpacePrefix = true
		given := map[string]string{"tokenizer_config.json": tt.config}
		if tt.tokenizer != "" {
			given["tokenizer.json"] = tt.tokenizer
		}
		dir := files(t, given)
		found, err := v.addFromJSON(dir, 8)
		if err == nil {
			err = v.readConfig(dir, &hfConfig{Vocab: 8}, found)
		}
		if err != nil || v.Metaspace != tt.scheme || v.AddSpacePrefix != tt.prefix {
			t.Errorf("%s, %s: %q, prefix %t, %v; want %q, %t", tt.tokenizer, tt.config, v.Metaspace, v.AddSpacePrefix,
				err, tt.scheme, tt.prefix)
		}
	}
	if _, err := stepsOf(nil, json.RawMessage(`{"type":"Metaspace","prepend_scheme":"last"}`)); err == nil ||
		!strings.Contains(err.Error(), `prepend_scheme "last"`) {
		t.Errorf("an unknown scheme: %v", err)
	}
}

// TestNormalizersOfSentencePiece: rules that change characters, and other treatments of spaces, are named.
func TestNormalizersOfSentencePiece(t *testing.T) {
	field := func(number int, v uint64) []byte {
		return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number)<<3), v)
	}
	text := func(number int, s string) []byte {
		b := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number)<<3|2), uint64(len(s)))
		return append(b, s...)
	}
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	plain := field(4, 0) // remove_extra_whitespaces is set unless it is said otherwise
	for _, tt := range []struct {
		name string
		spec []byte
		want string
	}{
		{"Mixtral's", join(text(1, "identity"), text(2, ""), field(3, 1), plain, text(6, "")), ""},
		{"a rule without rules", join(text(1, "nfkc"), plain), ""},
		{"nmt_nfkc", join(text(1, "nmt_nfkc"), text(2, "rules"), plain), "nmt_nfkc"},
		{"extra spaces", text(1, "identity"), "remove_extra_whitespaces"},
		{"spaces as they are", join(plain, field(5, 0)), "escape_whitespaces"},
	} {
		model := join(text(1, string(text(1, "a"))), text(2, string(field(3, modelBPE))), text(3, string(tt.spec)))
		_, err := parseSentencePiece(model)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	model := join(text(1, string(text(1, "a"))), text(2, string(join(field(3, modelBPE), field(24, 1)))),
		text(3, string(plain)))
	if _, err := parseSentencePiece(model); err == nil || !strings.Contains(err.Error(), "whitespace_as_suffix") {
		t.Errorf("spaces behind words: %v", err)
	}
}

// TestAddedTokens: wherever a directory names them, the last word is tokenizer_config.json's.
func TestAddedTokens(t *testing.T) {
	base := func() *vocabulary {
		return &vocabulary{Spec: token.Spec{Pieces: []string{"<unk>", "<s>", "</s>", "▁a", "b"},
			Scores: make([]float32, 5), Types: []int32{2, 3, 3, 1, 1}}}
	}
	const control, user, normal = token.TypeControl, token.TypeUserDefined, token.TypeNormal
	type piece struct {
		text string
		typ  int32
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  map[int]piece
		err   string
	}{
		{"old form", map[string]string{"added_tokens.json": `{"<|im_end|>":5,"word":6}`,
			"special_tokens_map.json": `{"eos_token":{"content":"<|im_end|>"},"additional_special_tokens":["x"]}`},
			map[int]piece{5: {"<|im_end|>", control}, 6: {"word", user}, 3: {"▁a", normal}}, ""},
		{"special by the map alone", map[string]string{"added_tokens.json": `{"[END]":5,"[NOTE]":6}`,
			"special_tokens_map.json": `{"additional_special_tokens":["[END]"],"pad_token":null}`},
			map[int]piece{5: {"[END]", control}, 6: {"[NOTE]", user}}, ""},
		{"renamed", map[string]string{"tokenizer_config.json": `{"added_tokens_decoder":
			{"2":{"content":"<|im_end|>","special":true},"4":{"content":"<note>","special":false}}}`},
			map[int]piece{2: {"<|im_end|>", control}, 4: {"<note>", user}, 1: {"<s>", control}}, ""},
		{"the same again", map[string]string{"tokenizer_config.json": `{"added_tokens_decoder":
			{"0":{"content":"<unk>","special":true},"2":{"content":"</s>","special":true},"3":{"content":"▁a"}}}`},
			map[int]piece{0: {"<unk>", 2}, 2: {"</s>", control}, 3: {"▁a", user}}, ""},
		{"both, which differ", map[string]string{"added_tokens.json": `{"old":5}`,
			"tokenizer_config.json": `{"added_tokens_decoder":{"5":{"content":"new","special":true}}}`},
			map[int]piece{5: {"new", control}}, ""},
		{"a mark that is not called special", map[string]string{"tokenizer_config.json": `{"added_tokens_decoder":
			{"5":{"content":"<|im_start|>","special":false}}}`}, map[int]piece{5: {"<|im_start|>", control}}, ""},
		{"tokenizer.json beside", map[string]string{"tokenizer.json": `{"added_tokens":
			[{"id":2,"content":"</s>","special":true},{"id":6,"content":"<tool>","special":false}]}`},
			map[int]piece{2: {"</s>", control}, 5: {"", 0}, 6: {"<tool>", user}}, ""},
		{"beyond", map[string]string{"added_tokens.json": `{"x":8}`}, nil, `id 8 of "x" is not below vocab_size 8`},
		{"below", map[string]string{"added_tokens.json": `{"x":-1}`}, nil, "id -1"},
		{"no text", map[string]string{"added_tokens.json": `{"":5}`}, nil, "no text"},
		{"not ids", map[string]string{"added_tokens.json": `["x"]`}, nil, "added_tokens.json"},
		{"no map", map[string]string{"added_tokens.json": `{"x":5}`, "special_tokens_map.json": `[]`}, nil,
			"special_tokens_map.json"},
	} {
		dir, v := files(t, tt.files), base()
		found, err := v.addFromJSON(dir, 8)
		if err == nil {
			err = v.readConfig(dir, &hfConfig{Vocab: 8}, found)
		}
		if tt.err != "" || err != nil {
			if tt.err == "" || err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
			}
			continue
		}
		for id, want := range tt.want {
			if id >= len(v.Pieces) || v.Pieces[id] != want.text || v.Types[id] != want.typ {
				t.Errorf("%s: id %d of %q, types %v; want %+v", tt.name, id, v.Pieces, v.Types, want)
			}
		}
	}
}

// TestTemplatesOfADirectory: files of their own come before the configuration, as in transformers.
func TestTemplatesOfADirectory(t *testing.T) {
	const config = "tokenizer_config.json"
	for name, tt := range map[string]struct {
		files       map[string]string
		chat, tools string
	}{
		"none":          {map[string]string{config: `{}`}, "", ""},
		"configuration": {map[string]string{config: `{"chat_template":"c"}`}, "c", ""},
		"old file":      {map[string]string{config: `{"chat_template":"c"}`, "chat_template.json": `{"chat_template":"j"}`}, "j", ""},
		"file": {map[string]string{config: `{"chat_template":"c"}`, "chat_template.json": `{"chat_template":"j"}`,
			"chat_template.jinja": "f"}, "f", ""},
		"for tools": {map[string]string{config: `{"chat_template":[{"name":"default","template":"c"},
			{"name":"tool_use","template":"t"}]}`, toolTemplate: "g"}, "c", "g"},
	} {
		v := &vocabulary{}
		if err := v.readConfig(files(t, tt.files), &hfConfig{}, false); err != nil || v.Template != tt.chat ||
			v.ToolTemplate != tt.tools {
			t.Errorf("%s: %q and %q, %v", name, v.Template, v.ToolTemplate, err)
		}
	}
}

// TestScalingOfPositions: linear and YaRN scaling come into the new file; what is not computed is named.
func TestScalingOfPositions(t *testing.T) {
	for _, tt := range []struct {
		rope string
		want string // the keys, or what the error holds
	}{
		{`null`, ""},
		{`{"type":"default"}`, ""},
		{`{"type":"linear","factor":2}`, "type=linear factor=2"},
		{`{"rope_type":"linear","factor":2.5}`, "type=linear factor=2.5"},
		{`{"type":"yarn","factor":4,"original_max_position_embeddings":8192}`,
			"type=yarn factor=4 original_context_length=8192"},
		{`{"type":"yarn","factor":4,"beta_fast":16,"beta_slow":2,"truncate":true}`,
			"type=yarn factor=4 yarn_beta_fast=16 yarn_beta_slow=2"},
		{`{"rope_type":"yarn","factor":4,"attention_factor":1.1386294361119891}`, "type=yarn factor=4 attn_factor=1"},
		{`{"type":"yarn","factor":4,"mscale":1}`, "!mscale"},
		{`{"type":"yarn","factor":4,"truncate":false}`, "!truncate"},
		{`{"type":"linear"}`, "!factor must be at least 1 and below 1e6, got 0"},
		{`{"type":"dynamic","factor":2}`, `!"dynamic" is not supported`},
		{`{"rope_type":"llama3","factor":8}`, `!"llama3" is not supported`},
	} {
		c, err := parseConfig(fmt.Appendf(nil, `{"model_type":"mixtral","hidden_size":64,"intermediate_size":64,
			"num_hidden_layers":2,"num_attention_heads":4,"num_local_experts":8,"num_experts_per_tok":2,
			"max_position_embeddings":32768,"vocab_size":100,"rope_scaling":%s}`, tt.rope))
		if want, bad := strings.CutPrefix(tt.want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), "rope_scaling: "+want) {
				t.Errorf("%s: %v, want %q", tt.rope, err, want)
			}
			continue
		}
		var got []string
		for _, k := range c.scaling().keys() {
			got = append(got, fmt.Sprintf("%s=%v", strings.TrimPrefix(k.key, "llama.rope.scaling."), k.value))
		}
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v, %v; want %s", tt.rope, got, err, tt.want)
		}
	}
}

// TestScaledModelIsConverted: what a directory's configuration says is in the new file.
func TestScaledModelIsConverted(t *testing.T) {
	dir := t.TempDir()
	if err := hftest.Write(dir, build(t, small(quant.F32)), hftest.Options{DType: "BF16", Shards: 1}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), `"rope_scaling":null`, `"rope_scaling":{"type":"linear","factor":2}`, 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, _ := convert(t, dir, Options{Mix: mix(t, "f16")})
	kind, factor := f.StringOr("llama.rope.scaling.type", ""), f.Float32Or("llama.rope.scaling.factor", 0)
	if kind != "linear" || factor != 2 {
		t.Errorf("%q by %v", kind, factor)
	}
}
