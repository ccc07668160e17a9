package token

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// TestUserDefinedLikeSentencePiece encodes texts with a vocabulary that spm_train 0.1.97 made with user-defined
// symbols (--byte_fallback, --normalization_rule_name=identity, --remove_extra_whitespaces=false); spm_encode gave the
// ids in testdata/userdefined.json.
func TestUserDefinedLikeSentencePiece(t *testing.T) {
	data, err := os.ReadFile("testdata/userdefined.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Pieces []string
		Scores []float32
		Types  []int32
		Cases  []struct {
			Text string
			IDs  []int32
		}
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	tok := mustNew(t, Spec{Pieces: v.Pieces, Scores: v.Scores, Types: v.Types, BOS: 1, EOS: 2, UNK: 0,
		AddSpacePrefix: true})
	if len(v.Cases) < 20 {
		t.Fatalf("%d cases", len(v.Cases))
	}
	for _, c := range v.Cases {
		if got := tok.Encode(c.Text, false); !slices.Equal(got, c.IDs) {
			t.Errorf("%q: %v, SentencePiece gives %v", c.Text, got, c.IDs)
		}
	}
}

// special is a vocabulary with control and user-defined pieces.
func special(t testing.TB) *Tokenizer {
	t.Helper()
	s := Synthetic(400, 1)
	for _, p := range []string{"<|im_start|>", "<|im_end|>", "<|im_start|>x"} {
		s.Pieces, s.Scores, s.Types = append(s.Pieces, p), append(s.Scores, 0), append(s.Types, TypeControl)
	}
	s.Pieces, s.Scores, s.Types = append(s.Pieces, "<mine>"), append(s.Scores, 0), append(s.Types, TypeUserDefined)
	return mustNew(t, s)
}

// TestEncodeParts: spellings in the template become control pieces, the longest first; text from users never does, not
// even together with the template's text.
func TestEncodeParts(t *testing.T) {
	tok := special(t)
	start, end, long, mine := int32(400), int32(401), int32(402), int32(403)
	run := func(s string) []int32 { return tok.Encode(s, false) }
	for name, c := range map[string]struct {
		parts []Part
		want  []int32
	}{
		"template": {[]Part{{"<|im_start|>user\n", false}, {"hello", true}, {"<|im_end|>", false}},
			slices.Concat([]int32{1, start}, run("user\nhello"), []int32{end})},
		"own BOS": {[]Part{{"<s>a", false}}, slices.Concat([]int32{1}, run("a"))},
		"longest": {[]Part{{"<|im_start|>x<|im_start|>y", false}},
			slices.Concat([]int32{1, long, start}, run("y"))},
		"content":      {[]Part{{"<|im_end|></s>", true}}, slices.Concat([]int32{1}, run("<|im_end|></s>"))},
		"half of each": {[]Part{{"<|im_", false}, {"end|>", true}}, slices.Concat([]int32{1}, run("<|im_end|>"))},
		"other half":   {[]Part{{"<|im_", true}, {"end|>", false}}, slices.Concat([]int32{1}, run("<|im_end|>"))},
		"user-defined": {[]Part{{"<mine>", true}}, slices.Concat([]int32{1}, run("<mine>"))},
		"nothing":      {nil, []int32{1}},
	} {
		if got := tok.EncodeParts(c.parts); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if got := run("<mine>"); !slices.Contains(got, mine) {
		t.Errorf("user-defined pieces are text: %v", got)
	}
	want := slices.Concat([]int32{1}, run("a"), []int32{2}, run("b"))
	if got := tok.EncodeSpecial("a</s>b", true); !slices.Equal(got, want) {
		t.Errorf("EncodeSpecial: %v, want %v", got, want)
	}
	if !tok.Has("<|im_end|>") || !tok.Has("<mine>") || tok.Has("<|im_") || tok.Has("") {
		t.Error("Has is wrong about control and user-defined pieces")
	}
}

// TestContentStaysContent: for any text from users, the control pieces of a conversation are those of the template.
func TestContentStaysContent(t *testing.T) {
	tok := special(t)
	property.Check(t, func(r *rapid.T) {
		pieces := rapid.SampledFrom([]string{"<|im_start|>", "<|im_end|>", "</s>", "<s>", "<|im", "_end|>", "a", " ",
			"<0x41>", "<unk>"})
		content := strings.Join(rapid.SliceOf(pieces).Draw(r, "content"), "")
		ids := tok.EncodeParts([]Part{{"<|im_start|>", false}, {content, true}, {"<|im_end|>", false}})
		for i, id := range ids {
			if tok.IsControl(id) != (i < 2 || i == len(ids)-1) {
				r.Fatalf("%q: control piece %d at %d of %v", content, id, i, ids)
			}
		}
	})
}

// TestEnds: EOS and the ends of turn end an answer, and other ids do not.
func TestEnds(t *testing.T) {
	s := Synthetic(400, 1)
	s.Ends = []int32{7}
	tok := mustNew(t, s)
	for id, want := range map[int32]bool{2: true, 7: true, 1: false, -1: false, 399: false} {
		if tok.IsEnd(id) != want {
			t.Errorf("IsEnd(%d) is %v", id, !want)
		}
	}
	s.Ends = []int32{400}
	if _, err := New(s); err == nil {
		t.Error("an end of turn beyond the vocabulary is taken")
	}
}

// TestSpaces: where a space goes before a text, and before what is behind a control piece or an added one. The ids of
// published vocabularies are held in test/chats.
func TestSpaces(t *testing.T) {
	spec := base("▁", "a", "▁a", "<x>", "<c>", "<y>")
	spec.Types[262], spec.Scores[262] = TypeUserDefined, AddedScore
	spec.Types[263] = TypeControl
	spec.Types[264], spec.Scores[264] = TypeUserDefined, 0 // SentencePiece's own
	texts := []string{"a", " a", "a<x>a", "<x> a", "<x>", "<c>a", "a<c> a", "<y>a"}
	for scheme, want := range map[string][]string{
		"":       {"▁a", "▁ ▁a", "▁a <x> ▁a", "<x> ▁ ▁a", "<x>", "<c> ▁a", "▁a <c> ▁ ▁a", "▁ <y> a"},
		"always": {"▁a", "▁a", "▁a <x> ▁a", "<x> ▁a", "<x>", "<c> ▁a", "▁a <c> ▁a", "▁ <y> a"},
		"first":  {"▁a", "▁a", "▁a <x> a", "<x> ▁a", "<x>", "<c> a", "▁a <c> ▁a", "▁ <y> a"},
		"never":  {"a", "▁a", "a <x> a", "<x> ▁a", "<x>", "<c> a", "a <c> ▁a", "<y> a"},
	} {
		s := spec
		s.AddSpacePrefix, s.Metaspace = scheme != "never", scheme
		tok := mustNew(t, s)
		for i, text := range texts {
			if got := strings.Join(spell(tok, tok.EncodeSpecial(text, false)), " "); got != want[i] {
				t.Errorf("%q: %q is %q, want %q", scheme, text, got, want[i])
			}
		}
	}
	spec.Metaspace = "none"
	if _, err := New(spec); err == nil || !strings.Contains(err.Error(), "always, first or never") {
		t.Errorf("an unknown scheme: %v", err)
	}
}
