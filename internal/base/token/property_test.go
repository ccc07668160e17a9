package token

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// naive encodes by the definition: look at all neighbours, merge the best, start again; O(n²) and worse.
func naive(tok *Tokenizer, text string) []int32 {
	if text == "" {
		return nil
	}
	var symbols []string
	if tok.spec.AddSpacePrefix {
		symbols = append(symbols, "▁")
	}
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch r {
		case ' ':
			symbols = append(symbols, "▁")
		case '▁':
			symbols = append(symbols, text[:1], text[1:2], text[2:3])
		default:
			symbols = append(symbols, text[:size])
		}
		text = text[size:]
	}
	id := func(s string) int32 {
		for id, piece := range tok.spec.Pieces {
			if typ := tok.spec.Types[id]; piece == s && (typ == TypeNormal || typ == TypeUserDefined) {
				return int32(id)
			}
		}
		return -1
	}
	for {
		best, bestScore := -1, float32(0)
		for i := 0; i+1 < len(symbols); i++ {
			if m := id(symbols[i] + symbols[i+1]); m >= 0 && (best < 0 || tok.spec.Scores[m] > bestScore) {
				best, bestScore = i, tok.spec.Scores[m]
			}
		}
		if best < 0 {
			break
		}
		symbols[best] += symbols[best+1]
		symbols = slices.Delete(symbols, best+1, best+2)
	}
	var ids []int32
	for _, s := range symbols {
		if i := id(s); i >= 0 {
			ids = append(ids, i)
			continue
		}
		for _, b := range []byte(s) {
			ids = append(ids, 3+int32(b))
		}
	}
	return ids
}

// genSpec draws vocabularies of a small alphabet with many overlapping pieces, some with "▁" inside, and equal scores.
func genSpec(t *rapid.T) Spec {
	letter := rapid.SampledFrom([]string{"▁", "a", "b", "é", "😀"})
	pieces := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(letter, 1, 5).Draw(t, "letters"), "")
	}), 1, 60, rapid.ID[string]).Draw(t, "pieces")
	spec := base(pieces...)
	for i := range pieces {
		spec.Scores[259+i] = float32(rapid.IntRange(-8, 8).Draw(t, "score"))
		if rapid.IntRange(0, 9).Draw(t, "special") == 0 {
			spec.Types[259+i] = rapid.SampledFrom([]int32{TypeControl, TypeUserDefined}).Draw(t, "type")
		}
	}
	spec.AddSpacePrefix = rapid.Bool().Draw(t, "prefix")
	return spec
}

func TestEncodeMatchesNaive(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		tok, err := New(genSpec(t))
		if err != nil {
			t.Fatal(err)
		}
		part := rapid.SampledFrom([]string{" ", " ", "a", "b", "é", "😀", "▁", "\xc3", "\xa9", "x", "\x00"})
		text := strings.Join(rapid.SliceOfN(part, 0, 40).Draw(t, "text"), "")
		if got, want := tok.Encode(text, false), naive(tok, text); !slices.Equal(got, want) {
			t.Fatalf("Encode(%q) = %q, want %q", text, spell(tok, got), spell(tok, want))
		}
	})
}

// TestAtLeast: the result is a lower bound for any text and vocabulary, and close to the real number for the longest
// pieces.
func TestAtLeast(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		tok, err := New(genSpec(t))
		if err != nil {
			t.Fatal(err)
		}
		text := rapid.OneOf(rapid.StringOfN(rapid.RuneFrom([]rune(" ▁abé😀x")), 0, 60, -1),
			rapid.Custom(func(t *rapid.T) string {
				return string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes"))
			})).Draw(t, "text")
		if got, most := len(tok.Encode(text, false)), tok.AtLeast(len(text)); got < most {
			t.Fatalf("%q has %d tokens, and was said to have at least %d", text, got, most)
		}
	})
	tok, err := New(base("▁", "a", "aa", "aaaa"))
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.AtLeast(4000); got != 1000 {
		t.Errorf("%d", got)
	}
}

func TestRoundTrip(t *testing.T) {
	tok := mustNew(t, Synthetic(2000, 7))
	noPrefix := Synthetic(300, 7)
	noPrefix.AddSpacePrefix = false
	bare := mustNew(t, noPrefix)
	property.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ a-z▁<>/s]{0,80}`)).Draw(t, "text")
		for _, tok := range []*Tokenizer{tok, bare} {
			ids := tok.Encode(text, rapid.Bool().Draw(t, "bos"))
			if got := tok.Decode(ids); got != text {
				t.Fatalf("decode(encode(%q)) = %q", text, got)
			}
		}
	})
}

// TestRoundTripBytes: for any bytes, Piece returns every one of them.
func TestRoundTripBytes(t *testing.T) {
	tok := mustNew(t, Synthetic(1000, 7))
	property.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		var got []byte
		for _, id := range tok.Encode(text, false) {
			got = append(got, tok.Piece(id)...)
		}
		if want := " " + text; text != "" && string(got) != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

// TestWordsEncodeAlone: splitting the text into words first changes nothing.
func TestWordsEncodeAlone(t *testing.T) {
	tok := mustNew(t, Synthetic(2000, 3))
	if !tok.perWord {
		t.Fatal("the synthetic vocabulary should allow words by themselves")
	}
	whole := *tok
	whole.perWord = false
	property.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ a-zA-Z.]{0,200}`).Draw(t, "text")
		if got, want := tok.Encode(text, false), whole.Encode(text, false); !slices.Equal(got, want) {
			t.Fatalf("Encode(%q) = %q, want %q", text, spell(tok, got), spell(tok, want))
		}
	})
}

func TestSynthetic(t *testing.T) {
	for _, n := range []int{0, 300, 354, 512, 1000, 4096, 32000} {
		spec := Synthetic(n, 42)
		tok := mustNew(t, spec)
		if tok.Vocab() != max(n, MinSynthetic) {
			t.Errorf("Synthetic(%d) has %d pieces", n, tok.Vocab())
		}
		seen := map[string]int{}
		for id, piece := range spec.Pieces {
			if old, dup := seen[piece]; dup {
				t.Errorf("pieces %d and %d are both %q", old, id, piece)
			}
			seen[piece] = id
			if spec.Types[id] != TypeNormal {
				continue
			}
			m := merger{t: tok}
			for _, c := range piece {
				m.add(string(c))
			}
			if m.flush(); !slices.Equal(m.ids, []int32{int32(id)}) {
				t.Errorf("piece %d %q encodes to %q", id, piece, spell(tok, m.ids))
			}
			if !madeOfEarlier(spec, seen, piece) {
				t.Errorf("piece %d %q is not two earlier ones with higher scores", id, piece)
			}
		}
	}
	if slices.Equal(Synthetic(2000, 1).Pieces, Synthetic(2000, 2).Pieces) {
		t.Error("the seed makes no difference")
	}
	if !slices.Equal(Synthetic(2000, 1).Pieces, Synthetic(2000, 1).Pieces) {
		t.Error("the same seed gives different pieces")
	}
}

func madeOfEarlier(spec Spec, seen map[string]int, piece string) bool {
	if utf8.RuneCountInString(piece) == 1 {
		return true
	}
	score := spec.Scores[seen[piece]]
	for i := range piece {
		left, ok1 := seen[piece[:i]]
		right, ok2 := seen[piece[i:]]
		if ok1 && ok2 && spec.Scores[left] > score && spec.Scores[right] > score {
			return true
		}
	}
	return false
}
