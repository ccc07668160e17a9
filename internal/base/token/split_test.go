package token

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// withFlags is a vocabulary with two added pieces and a control piece of the given flags.
func withFlags(t testing.TB, scheme string, flags [3]Flags) *Tokenizer {
	t.Helper()
	s := Synthetic(400, 1)
	for i, piece := range []string{"<x>", "cat", "<c>"} {
		id := 397 + i
		s.Pieces[id], s.Scores[id], s.Types[id] = piece, AddedScore, TypeUserDefined
		if piece == "<c>" {
			s.Scores[id], s.Types[id] = 0, TypeControl
		}
		s.SetFlag(int32(id), flags[i])
	}
	s.Metaspace, s.AddSpacePrefix = scheme, scheme != MetaspaceNever
	return mustNew(t, s)
}

// TestFlagsLoseNothing: whatever flags added pieces have, the ids of a text spell it, but for white space that a piece
// took and spaces that were put in; and a control piece comes from a template alone. How pieces are found is held
// against Hugging Face's tokenizers by package convert's tests.
func TestFlagsLoseNothing(t *testing.T) {
	property.Check(t, func(r *rapid.T) {
		var flags [3]Flags
		for i := range flags {
			flag := func(name string) bool { return rapid.Bool().Draw(r, name) }
			flags[i] = Flags{LStrip: flag("left"), RStrip: flag("right"), SingleWord: flag("word"),
				Normalized: i < 2 && flag("normalized")}
		}
		scheme := rapid.SampledFrom([]string{"", MetaspaceAlways, MetaspaceFirst, MetaspaceNever}).Draw(r, "scheme")
		tok := withFlags(t, scheme, flags)
		stuff := rapid.SampledFrom([]string{"<x>", "cat", "<c>", "<", " ", "\n", "a", "cats",
			"é", "\u00a0", "\xff", "▁"})
		var parts []Part
		var whole strings.Builder
		for range rapid.IntRange(0, 4).Draw(r, "parts") {
			p := Part{strings.Join(rapid.SliceOfN(stuff, 0, 6).Draw(r, "text"), ""), rapid.Bool().Draw(r, "content")}
			parts = append(parts, p)
			whole.WriteString(p.Text)
		}
		var spelled []byte
		controls := 0
		for _, id := range tok.EncodeParts(parts)[1:] { // without BOS
			if tok.IsControl(id) {
				controls++
				spelled = append(spelled, tok.Spelling(id)...)
			}
			spelled = append(spelled, tok.Piece(id)...)
		}
		bare := func(s string) string { return strings.Join(strings.Fields(s), "") }
		if got, want := bare(string(spelled)), bare(whole.String()); got != want {
			r.Fatalf("%+v: %+v are spelled %q", flags, parts, spelled)
		}
		most := 0
		for _, p := range parts {
			if !p.Content {
				most += strings.Count(p.Text, "<c>")
			}
		}
		if controls > most {
			r.Fatalf("%+v: %d control pieces", parts, controls)
		}
		if i := slices.IndexFunc(parts, func(p Part) bool { return p.Content }); i < 0 && !flags[2].SingleWord &&
			controls != most {
			r.Fatalf("%+v: %d control pieces of %d", parts, controls, most)
		}
	})
}

// TestBadFlags: flags are those of pieces that are there.
func TestBadFlags(t *testing.T) {
	s := Synthetic(400, 1)
	s.SetFlag(400, Flags{LStrip: true})
	if _, err := New(s); err == nil || !strings.Contains(err.Error(), "id 400 of 400") {
		t.Errorf("flags beyond the vocabulary: %v", err)
	}
	s.SetFlag(400, Flags{})
	if _, err := New(s); err != nil || len(s.Flags) != 0 {
		t.Errorf("no flags: %v, %v", s.Flags, err)
	}
}
