package grammar

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
)

// vocabulary gives a synthetic one of n tokens, and its tokenizer.
func vocabulary(t testing.TB, n int) (*Vocabulary, *token.Tokenizer) {
	t.Helper()
	tok, err := token.New(token.Synthetic(n, 1))
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVocabulary(textsOf(tok), []int32{tok.EOS()})
	if err != nil {
		t.Fatal(err)
	}
	return v, tok
}

func textsOf(tok *token.Tokenizer) [][]byte {
	texts := make([][]byte, tok.Vocab())
	for id := range texts {
		if !tok.IsControl(int32(id)) && int32(id) != 0 {
			texts[id] = tok.Piece(int32(id))
		}
	}
	return texts
}

// accepts says whether a grammar has a text.
func accepts(t testing.TB, g *Grammar, text string) bool {
	t.Helper()
	s, _, err := g.remember(g.m.start, []byte(text), said{})
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return s.accept
}

// hasOnly checks that a grammar has the texts of yes and none of not.
func hasOnly(t testing.TB, g *Grammar, name string, yes, not []string) {
	t.Helper()
	for _, text := range yes {
		if !accepts(t, g, text) {
			t.Errorf("%s: %q is not accepted", name, text)
		}
	}
	for _, text := range not {
		if accepts(t, g, text) {
			t.Errorf("%s: %q is accepted", name, text)
		}
	}
}

// compile is Compile for a source that must be fine.
func compile(t testing.TB, v *Vocabulary, kind Kind, source string) *Grammar {
	t.Helper()
	g, err := Compile(Spec{Kind: kind, Source: source}, v)
	if err != nil {
		t.Fatalf("%s %.300s: %v", kind, source, err)
	}
	return g
}

// answer follows random allowed tokens to the end, at most n of them; ended says that there was one.
func answer(t testing.TB, g *Grammar, rng *rand.Rand, n int) (text string, ended bool) {
	t.Helper()
	m := g.Start(false)
	var out []byte
	for range n {
		if m.Ended() {
			if !m.Accepting() {
				t.Fatalf("%q leads nowhere", out)
			}
			return string(out), true
		}
		mask, err := m.Allowed()
		if err != nil {
			t.Fatal(err)
		}
		id := pick(mask, rng)
		if id < 0 {
			t.Fatalf("no token may follow %q", out)
		}
		if id == g.w.v.ends[0] {
			return string(out), true
		}
		if err := m.Accept(id); err != nil {
			t.Fatalf("%q, then token %d %q of the mask: %v", out, id, g.w.v.texts[id], err)
		}
		out = append(out, g.w.v.texts[id]...)
	}
	return string(out), false
}

// pick takes one of a mask's tokens: as often one that is short as one of the many.
func pick(mask *Mask, rng *rand.Rand) int32 {
	if mask.Count == 0 {
		return -1
	}
	k := rng.IntN(mask.Count)
	if rng.IntN(2) == 0 {
		k = rng.IntN(min(mask.Count, 260)) // the end, and bytes
	}
	for id := range int32(len(mask.Bits) * 64) {
		if mask.Has(id) {
			if k == 0 {
				return id
			}
			k--
		}
	}
	return -1
}

func isCostly(err error) bool { return errors.Is(err, ErrCostly) }
