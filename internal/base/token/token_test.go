package token

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// base returns a vocabulary of the special pieces, all bytes, and the given pieces with falling scores, from id 259
// on.
func base(pieces ...string) Spec {
	s := Spec{BOS: 1, EOS: 2, UNK: 0, AddBOS: true, AddSpacePrefix: true}
	add := func(piece string, score float32, typ int32) {
		s.Pieces = append(s.Pieces, piece)
		s.Scores = append(s.Scores, score)
		s.Types = append(s.Types, typ)
	}
	add("<unk>", 0, TypeUnknown)
	add("<s>", 0, TypeControl)
	add("</s>", 0, TypeControl)
	for b := range 256 {
		add(fmt.Sprintf("<0x%02X>", b), 0, TypeByte)
	}
	for i, p := range pieces {
		add(p, -float32(i), TypeNormal)
	}
	return s
}

func mustNew(t testing.TB, s Spec) *Tokenizer {
	t.Helper()
	tok, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// spell returns the pieces of ids, which are easier to read than numbers.
func spell(tok *Tokenizer, ids []int32) []string {
	out := []string{}
	for _, id := range ids {
		out = append(out, tok.spec.Pieces[id])
	}
	return out
}

func TestEncode(t *testing.T) {
	abc := []string{"▁", "a", "b", "c"}
	with := func(more ...string) []string { return append(slices.Clone(abc), more...) }
	tests := []struct {
		name   string
		pieces []string
		text   string
		want   string // pieces joined by blanks
	}{
		{"empty", abc, "", ""},
		{"space prefix", abc, "a", "▁ a"},
		{"own space stays", abc, " a", "▁ ▁ a"},
		{"higher score first", with("bc", "ab"), "abc", "▁ a bc"},
		{"leftmost of equals", with("aa"), "aaa", "▁ aa a"},
		{"merge of merges", with("ab", "abc", "▁abc"), "abc abc", "▁abc ▁abc"},
		{"no path, no piece", with("abc"), "abc", "▁ a b c"},
		{"bytes of a character", abc, "aé", "▁ a <0xC3> <0xA9>"},
		{"newline is a byte", abc, "a\nb", "▁ a <0x0A> b"},
		{"NUL", abc, "a\x00", "▁ a <0x00>"},
		{"invalid UTF-8", abc, "a\xff\xe2\x96b", "▁ a <0xFF> <0xE2> <0x96> b"},
		{"literal space mark is not a space", with("▁a"), "▁a", "▁ <0xE2> <0x96> <0x81> a"},
		{"runs of spaces merge", with("▁▁", "▁▁▁▁"), "a     b", "▁ a ▁▁▁▁ ▁ b"},
		{"piece across words", with("a▁", "a▁b"), "a b", "▁ a▁b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tok := mustNew(t, base(test.pieces...))
			got := strings.Join(spell(tok, tok.Encode(test.text, false)), " ")
			if got != test.want {
				t.Errorf("Encode(%q) = %s, want %s", test.text, got, test.want)
			}
		})
	}
}

func TestEncodeBOS(t *testing.T) {
	spec := base("▁", "a")
	for _, test := range []struct {
		add, ask bool
		want     []int32
	}{{true, true, []int32{1, 259, 260}}, {true, false, []int32{259, 260}}, {false, true, []int32{259, 260}}} {
		spec.AddBOS = test.add
		if got := mustNew(t, spec).Encode("a", test.ask); !slices.Equal(got, test.want) {
			t.Errorf("AddBOS %v, Encode(a, %v) = %v, want %v", test.add, test.ask, got, test.want)
		}
	}
	spec.AddBOS, spec.AddSpacePrefix = true, false
	if got := mustNew(t, spec).Encode("a", true); !slices.Equal(got, []int32{1, 260}) {
		t.Errorf("without space prefix: %v", got)
	}
}

// TestPrompt: EOS is behind everything, and only where the vocabulary adds it.
func TestPrompt(t *testing.T) {
	spec := base("▁", "a")
	for _, test := range []struct {
		bos, eos, special bool
		text              string
		want              []int32
	}{
		{true, false, false, "a", []int32{1, 259, 260}},
		{true, true, false, "a", []int32{1, 259, 260, 2}},
		{false, true, false, "a", []int32{259, 260, 2}},
		{true, true, true, "</s>", []int32{1, 2, 2}},
		{true, true, true, "", []int32{1, 2}},
	} {
		spec.AddBOS, spec.AddEOS = test.bos, test.eos
		tok := mustNew(t, spec)
		if got := tok.Prompt(test.text, test.special); !slices.Equal(got, test.want) {
			t.Errorf("%+v: Prompt gives %v", test, got)
		}
		if got := tok.Encode(test.text, true); slices.Contains(got, spec.EOS) {
			t.Errorf("%+v: Encode gives %v", test, got)
		}
	}
	spec.EOS = -1
	if got := mustNew(t, spec).Prompt("a", false); !slices.Equal(got, []int32{1, 259, 260}) {
		t.Errorf("without EOS: %v", got)
	}
}

// TestSpecialsNeverFromText writes special pieces as text, with merges that lead to them.
func TestSpecialsNeverFromText(t *testing.T) {
	spec := base("▁", "<", "s", ">", "/", "<s", "</", "s>", "</s", "▁<s>", "0x41>", "<0x4")
	tok := mustNew(t, spec)
	for _, text := range []string{"<s>", "</s>", "<unk>", "<0x41>", "a<s></s>b", "<s>\x00</s>"} {
		for _, id := range tok.Encode(text, false) {
			if typ := tok.spec.Types[id]; typ == TypeControl || typ == TypeUnknown {
				t.Errorf("Encode(%q) has special %d %q", text, id, tok.spec.Pieces[id])
			}
			if id == 3+0x41 {
				t.Errorf("Encode(%q) has the byte piece it spells", text)
			}
		}
		if got := tok.Decode(tok.Encode(text, true)); got != text {
			t.Errorf("decode(encode(%q)) = %q", text, got)
		}
	}
}

// TestUserDefined: such pieces are found in text before merging, whether merges lead to them or not.
func TestUserDefined(t *testing.T) {
	spec := base("▁", "<", "x", ">", "<x>", "<x")
	spec.Types[263] = TypeUserDefined
	tok := mustNew(t, spec)
	if got := tok.Encode("<x>", false); !slices.Equal(got, []int32{259, 263}) {
		t.Errorf("with a path of merges: %v", got)
	}
	spec.Types[264] = TypeControl // no merges lead there any more
	tok = mustNew(t, spec)
	if got := tok.Encode("<x>", false); !slices.Equal(got, []int32{259, 263}) {
		t.Errorf("without a path: %v", got)
	}
}

// TestUnused: an unused piece is a step towards longer pieces, but never a result.
func TestUnused(t *testing.T) {
	spec := base("▁", "a", "b", "c", "ab", "abc")
	spec.Types[263] = TypeUnused
	tok := mustNew(t, spec)
	if got := spell(tok, tok.Encode("abc ab", false)); !slices.Equal(got, []string{"▁", "abc", "▁", "a", "b"}) {
		t.Errorf("got %q", got)
	}
}

func TestNewErrors(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Spec)
		want   string
	}{
		{"empty", func(s *Spec) { *s = Spec{} }, "no pieces"},
		{"scores", func(s *Spec) { s.Scores = s.Scores[1:] }, "260 pieces, but 259 scores and 260 types"},
		{"types", func(s *Spec) { s.Types = nil }, "260 pieces, but 260 scores and 0 types"},
		{"bos", func(s *Spec) { s.BOS = 260 }, "bos id 260 of 260 pieces"},
		{"eos", func(s *Spec) { s.EOS = -2 }, "eos id -2 of 260 pieces"},
		{"NaN", func(s *Spec) { s.Scores[259] = float32(math.NaN()) }, `score of piece 259 "a" is not a number`},
		{"byte", func(s *Spec) { s.Pieces[3] = "<0xG0>" }, `byte piece 3 must be one of <0x00>…<0xFF>, got "<0xG0>"`},
		{"type", func(s *Spec) { s.Types[259] = 7 }, `the type of piece 259 "a" must be 1 to 6, got 7`},
		{"no way out", func(s *Spec) { s.UNK = -1; s.Types[3] = TypeNormal },
			"neither a piece for byte 0x00 nor one for the unknown"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spec := base("a")
			test.change(&spec)
			_, err := New(spec)
			if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want ErrSpec with %q", err, test.want)
			}
		})
	}
}

func TestUnknownWithoutBytes(t *testing.T) {
	spec := Spec{Pieces: []string{"<unk>", "▁", "a"}, Scores: make([]float32, 3), Types: []int32{2, 1, 1}, BOS: -1,
		EOS: -1}
	tok := mustNew(t, spec)
	ids := tok.Encode("aé", true)
	if !slices.Equal(ids, []int32{2, 0, 0}) {
		t.Errorf("got %v", ids)
	}
	if got := tok.Decode([]int32{2, 0}); got != "a ⁇ " {
		t.Errorf("got %q", got)
	}
}

func TestPieceAndControl(t *testing.T) {
	tok := mustNew(t, base("▁the"))
	for _, test := range []struct {
		id      int32
		want    string
		control bool
	}{{0, " ⁇ ", false}, {1, "", true}, {2, "", true}, {3 + 0xff, "\xff", false}, {259, " the", false},
		{260, "", false}, {-1, "", false}} {
		if got := string(tok.Piece(test.id)); got != test.want {
			t.Errorf("Piece(%d) = %q, want %q", test.id, got, test.want)
		}
		if got := tok.IsControl(test.id); got != test.control {
			t.Errorf("IsControl(%d) = %v", test.id, got)
		}
	}
	if tok.Vocab() != 260 || tok.BOS() != 1 || tok.EOS() != 2 {
		t.Error("vocabulary, BOS or EOS wrong")
	}
}

func TestDecode(t *testing.T) {
	tok := mustNew(t, base("▁", "▁a", "b"))
	b := func(c byte) int32 { return 3 + int32(c) }
	tests := []struct {
		name string
		ids  []int32
		want string
	}{
		{"prefix goes", []int32{260, 261}, "ab"},
		{"after BOS too", []int32{1, 260, 260}, "a a"},
		{"only one space", []int32{259, 259, 261}, " b"},
		{"no space to take", []int32{261, 260}, "b a"},
		{"control and unknown ids are silent", []int32{1, 261, 2, -5, 999, 261}, "bb"},
		{"character from bytes", []int32{b(0xe2), b(0x82), b(0xac)}, "€"},
		{"cut short", []int32{b(0xe2), b(0x82), 261}, "\ufffd\ufffdb"},
		{"cut by the end", []int32{261, b(0xf0), b(0x9f)}, "b\ufffd\ufffd"},
		{"never valid", []int32{b(0xff), b('x')}, "\ufffdx"},
		{"NUL", []int32{b(0)}, "\x00"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := tok.Decode(test.ids); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestDecoderSteps(t *testing.T) {
	tok := mustNew(t, base("▁a"))
	b := func(c byte) int32 { return 3 + int32(c) }
	var got []string
	d := tok.NewDecoder()
	for _, id := range []int32{1, 259, b(0xe2), b(0x82), b(0xac), b(0xc3), 259} {
		got = append(got, d.Write(id))
	}
	got = append(got, d.Flush(), d.Flush())
	if diff := cmp.Diff([]string{"", "a", "", "", "€", "", "\ufffd a", "", ""}, got); diff != "" {
		t.Error(diff)
	}
	if c := tok.NewContinuation(); c.Write(259) != " a" {
		t.Error("a continuation lost its space")
	}
}

// TestEncodeInside: text behind other text has the ids that it has there, where a word begins with it.
func TestEncodeInside(t *testing.T) {
	tok := mustNew(t, Synthetic(600, 1))
	for _, text := range []string{"", " the world", "é", "  two", "\n1", " <s>"} {
		whole := tok.Encode("word"+text, false)
		head := len(tok.Encode("word", false))
		if got := tok.EncodeInside(text); text == "" && got != nil || text != "" && text[0] == ' ' &&
			!slices.Equal(got, whole[head:]) {
			t.Errorf("%q: %v, want %v", text, got, whole[head:])
		}
		var back []byte
		for _, id := range tok.EncodeInside(text) {
			if !tok.IsText(id) {
				t.Errorf("%q: id %d is not text", text, id)
			}
			back = append(back, tok.Piece(id)...)
		}
		if string(back) != text {
			t.Errorf("%q became %q", text, back)
		}
	}
	for id, want := range map[int32]bool{0: false, 1: false, 2: false, 3: true, 300: true, -1: false, 600: false} {
		if tok.IsText(id) != want {
			t.Errorf("id %d is text: %v", id, !want)
		}
	}
	if d := tok.NewDecoder(); !d.DropsSpace() || d.Write(300) == "" || d.DropsSpace() ||
		tok.NewContinuation().DropsSpace() {
		t.Error("the first space of an answer is dropped, and no other")
	}
}
