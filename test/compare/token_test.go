package compare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// texts hold what tokenizers disagree about. (A literal "▁" is left out on purpose: package token says why.)
var texts = []string{
	"", " ", "  ", "     ", "a", " a", "a ", "Hello", "Hello, world!", "  two  spaces  between  ",
	"The quick brown fox jumps over the lazy dog. 0123456789",
	"one\ntwo\n\nthree\r\n\tfour\n", "\n", " \n ", "\t\tindent", "trailing   ",
	"<s>", "</s>", "<unk>", "a</s>b", "<0x41>", "[INST] x [/INST]", "<s>[INST] a [/INST]</s>",
	"naïve café façade Ångström ß ﬁ", "Привет, мир", "日本語のテキスト", "中文没有空格", "مرحبا بالعالم", "नमस्ते दुनिया",
	"😀", "👩‍👩‍👧‍👦 family", "🇫🇷🇩🇪", "e\u0301 combining", "zero\u200bwidth", "nbsp\u00a0here", "\u3000ideographic",
	"func main() { fmt.Println(\"hi\") } // x := a[i] << 2", `{"k": [1, 2.5e-3, null], "s": "\u00e9\\n"}`,
	"https://example.org/a_b-c?d=e&f=%20#g", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ababababab",
	"don't won't can't I'll", "MiXeD CaSe WoRdS", "supercalifragilisticexpialidocious",
	"\x01\x02\x7f control", "x\u2028y\u2029z", "𝕬𝖑𝖕𝖍𝖆", "한국어 텍스트", "ไทย",
}

// TestTokenizerLikeLlamaCpp encodes texts with synthetic vocabularies in both.
func TestTokenizerLikeLlamaCpp(t *testing.T) {
	for _, vocab := range []int{512, 32000} {
		t.Run(fmt.Sprint(vocab), func(t *testing.T) {
			shape := synth.Tiny()
			shape.Vocab = vocab
			path := writeModel(t, shape)
			tok, llama := readTokenizer(t, path), startOracle(t, path)
			agree := 0
			for _, text := range texts {
				got, want := tok.Encode(text, false), llama.tokenize(t, text)
				if !slices.Equal(got, want) {
					t.Errorf("%q:\n  ours      %v\n  llama.cpp %v", text, got, want)
					continue
				}
				agree++
			}
			t.Logf("tokenizer, %d pieces: %d of %d texts have the same ids", vocab, agree, len(texts))
		})
	}
}

// mistral gives Mistral's vocabulary as package token takes it, and the ids of an independent implementation.
func mistral(t *testing.T, texts []string) (*token.Tokenizer, [][]int32) {
	t.Helper()
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "mistral.mjs")
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Pieces []string
		Ranks  []int
		IDs    [][]int32
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	spec := token.Spec{Pieces: answer.Pieces, BOS: 1, EOS: 2, UNK: 0, AddBOS: true, AddSpacePrefix: true}
	for id := range answer.Pieces {
		// The package knows the order of merges, not the scores behind it; any falling numbers mean the same.
		score, typ := -float32(answer.Ranks[id]), token.TypeNormal
		switch {
		case id == 0:
			score, typ = 0, token.TypeUnknown
		case id < 3:
			score, typ = 0, token.TypeControl
		case id < 259:
			score, typ = 0, token.TypeByte
		}
		spec.Scores, spec.Types = append(spec.Scores, score), append(spec.Types, typ)
	}
	tok, err := token.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	return tok, answer.IDs
}

// TestMistralVocabulary encodes texts with Mixtral's real vocabulary (Mixtral-8x7B has Mistral-7B-v0.1's).
func TestMistralVocabulary(t *testing.T) {
	plain := slices.DeleteFunc(slices.Clone(texts), func(s string) bool {
		return s == "" || strings.ContainsAny(s, "<") // the other implementation reads specials in text
	})
	tok, want := mistral(t, plain)
	agree := 0
	for i, text := range plain {
		got := tok.Encode(text, false)
		if !slices.Equal(got, want[i]) {
			t.Errorf("%q:\n  ours  %v\n  other %v", text, got, want[i])
			continue
		}
		agree++
		if back := tok.Decode(got); back != text {
			t.Errorf("%q comes back as %q", text, back)
		}
	}
	t.Logf("tokenizer, Mistral's %d pieces: %d of %d texts have the same ids", tok.Vocab(), agree, len(plain))
}

// TestMistralChat: the marks of an instruction are "▁[", "INST", "]" and "▁[", "/", "INST", "]".
func TestMistralChat(t *testing.T) {
	tok, runs := mistral(t, []string{"[INST] Hello [/INST]", "Hi there", "[INST] Bye [/INST]"})
	want := slices.Concat([]int32{1}, runs[0], runs[1], []int32{2}, runs[2])
	got, err := tok.Chat([]token.Message{{Role: "user", Content: "Hello"}, {Role: "assistant", Content: "Hi there"},
		{Role: "user", Content: "Bye"}})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v\nwant %v", got, err, want)
	}
	if begin := []int32{1, 733, 16289, 28793}; !slices.Equal(got[:4], begin) {
		t.Errorf("starts with %v, want %v", got[:4], begin)
	}
	if end := []int32{733, 28748, 16289, 28793}; !slices.Equal(got[len(got)-4:], end) {
		t.Errorf("ends with %v, want %v", got[len(got)-4:], end)
	}
}

// TestPromptLikeLlamaCpp: a raw prompt begins with BOS and ends with EOS as the file says, also where the spelling of
// control pieces counts.
func TestPromptLikeLlamaCpp(t *testing.T) {
	shape := synth.Tiny()
	shape.Vocab = 512
	plain, llama := writeModel(t, shape), startLibrary(t)
	same := func(x gguf.Tensor) (quant.Type, []byte) { return x.Type, x.Data }
	for _, keys := range []map[string]any{
		{"tokenizer.ggml.add_bos_token": nil, "tokenizer.ggml.add_eos_token": nil},
		{"tokenizer.ggml.add_bos_token": true, "tokenizer.ggml.add_eos_token": true},
		{"tokenizer.ggml.add_bos_token": false, "tokenizer.ggml.add_eos_token": true},
		{"tokenizer.ggml.add_bos_token": false, "tokenizer.ggml.add_eos_token": false},
	} {
		path := changed(t, plain, keys, same, nil)
		f, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		spec, err := moe.TokenSpec(f)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := token.New(spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"", "Hello, world!", "a</s>", "<s>a", "</s>", " a </s> b "} {
			for _, special := range []bool{false, true} {
				got := tok.Prompt(text, special)
				want := llama.ask(t, libraryCall{Op: "prompt", From: path, Text: text, Special: special}).IDs
				if !slices.Equal(got, want) {
					t.Errorf("%v, %q, special %v: %v, llama.cpp has %v", keys, text, special, got, want)
				}
			}
		}
	}
}
