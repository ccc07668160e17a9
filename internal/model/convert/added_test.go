package convert

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/convert/hftest"
)

// TestAddedTokensLikeHuggingFace: testdata/added.json has what Hugging Face's tokenizers 0.23.2 makes of texts with
// added tokens of all flags, in all forms in which tokenizers are published. `make compare` asks it again.
func TestAddedTokensLikeHuggingFace(t *testing.T) {
	data, err := os.ReadFile("testdata/added.json")
	if err != nil {
		t.Fatal(err)
	}
	var answers map[string]json.RawMessage
	var texts []string
	if err := json.Unmarshal(data, &answers); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(answers["texts"], &texts); err != nil || len(texts) < 50 {
		t.Fatalf("%d texts, %v", len(texts), err)
	}
	for spaces := range hftest.Spaces {
		var want []struct {
			IDs  []int32 `json:"ids"`
			Text string  `json:"text"`
		}
		if err := json.Unmarshal(answers[spaces], &want); err != nil || len(want) != len(texts) {
			t.Fatalf("%s: %d answers, %v", spaces, len(want), err)
		}
		tok := flagged(t, spaces)
		for i, text := range texts {
			if got := tok.EncodeSpecial(text, false); !slices.Equal(got, want[i].IDs) {
				t.Errorf("%s: %q is %v, want %v", spaces, text, got, want[i].IDs)
			}
			if got := tok.Decode(want[i].IDs); got != want[i].Text {
				t.Errorf("%s: the ids of %q stand for %q, want %q", spaces, text, got, want[i].Text)
			}
		}
	}
}

// flagged gives the tokenizer of a converted model with the tokens of hftest.Flagged.
func flagged(t *testing.T, spaces string) *token.Tokenizer {
	t.Helper()
	s := small(quant.F16)
	s.Vocab, s.Seed = 600, 1 // as in test/compare
	dir := t.TempDir()
	if err := hftest.Write(dir, build(t, s), hftest.Options{DType: "F16", Shards: 1, JSON: true, Spaces: spaces,
		Added: hftest.Flagged(s.Vocab - len(hftest.Flagged(0)))}); err != nil {
		t.Fatal(err)
	}
	f, _ := convert(t, dir, Options{Mix: mix(t, "f16")})
	spec, err := moe.TokenSpec(f)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := token.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestWhoseFlagsCount: added_tokens_decoder's before tokenizer.json's, what a file does not say is as in
// Transformers, and control tokens are never normalized.
func TestWhoseFlagsCount(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  token.Flags
	}{
		{"tokenizer.json", map[string]string{"tokenizer.json": `{"added_tokens":[{"id":5,"content":"<x>","lstrip":true}]}`},
			token.Flags{LStrip: true}},
		{"both", map[string]string{
			"tokenizer.json":        `{"added_tokens":[{"id":5,"content":"<x>","lstrip":true,"normalized":false}]}`,
			"tokenizer_config.json": `{"added_tokens_decoder":{"5":{"content":"<x>","rstrip":true,"normalized":false}}}`},
			token.Flags{RStrip: true}},
		{"silent", map[string]string{"tokenizer_config.json": `{"added_tokens_decoder":{"5":{"content":"<x>"}}}`},
			token.Flags{Normalized: true}},
		{"old", map[string]string{"added_tokens.json": `{"<x>":5}`}, token.Flags{Normalized: true}},
		{"special", map[string]string{"tokenizer_config.json": `{"added_tokens_decoder":{"5":{"content":"<x>",` +
			`"special":true,"normalized":true,"single_word":true}}}`}, token.Flags{SingleWord: true}},
		{"mark", map[string]string{"tokenizer_config.json": `{"added_tokens_decoder":{"5":{"content":"<|x|>",` +
			`"normalized":true}}}`}, token.Flags{}},
	} {
		v := &vocabulary{}
		dir := files(t, tt.files)
		found, err := v.addFromJSON(dir, 8)
		if err == nil {
			err = v.readConfig(dir, &hfConfig{Vocab: 8}, found)
		}
		if err != nil || v.Flags[5] != tt.want {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, v.Flags[5], err, tt.want)
		}
	}
}
