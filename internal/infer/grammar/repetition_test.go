package grammar

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestStringsThatDiffer: no string comes twice in an array, however tokens cut it, and other arrays are not concerned.
func TestStringsThatDiffer(t *testing.T) {
	v, tok := vocabulary(t, 600)
	g := compile(t, v, JSONSchema, `{"type":"object","properties":{"a":{"type":"array","items":{"type":"string"},
		"uniqueItems":true,"maxItems":9},"b":{"type":"array","items":{"type":"string","minLength":1},"uniqueItems":true},
		"c":{"type":"array","items":{"type":"string"}}},"required":["a","b","c"]}`)
	accept := func(text string) bool {
		m := g.Start(false)
		for _, id := range tok.EncodeInside(text) {
			mask, err := m.Allowed()
			if err != nil {
				t.Fatal(err)
			}
			if ok := m.Accept(id) == nil; ok != mask.Has(id) {
				t.Fatalf("%q: token %q is in the mask: %v, accepted: %v", text, v.texts[id], mask.Has(id), ok)
			} else if !ok {
				return false
			}
		}
		return m.Accepting()
	}
	for text, want := range map[string]bool{
		`{"a":["x","y", "xy"],"b":["x","y"],"c":["x","x"]}`: true,
		`{"a":["x","y","x"],"b":[],"c":[]}`:                 false,
		`{"a":["",""],"b":[],"c":[]}`:                       false,
		`{"a":["\"","\\","\n"],"b":["\"x"],"c":[]}`:         true,
		`{"a":["\"","\""],"b":[],"c":[]}`:                   false,
		`{"a":["\u0061"],"b":[],"c":[]}`:                    false, // another way to write a
		`{"a":["日","日本"],"b":["日"],"c":[]}`:                 true,
		`{"a":["日","日"],"b":[],"c":[]}`:                     false,
		`{"a":[],"b":["z","z"],"c":[]}`:                     false,
	} {
		if got := accept(text); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	// An answer that wants to repeat itself: of all tokens those of "x" alone are taken, where they may be.
	again := compile(t, v, JSONSchema,
		`{"type":"array","items":{"type":"string"},"uniqueItems":true,"minItems":4,"maxItems":4}`)
	likes := []byte(`x",[]`)
	ended := 0
	for seed := range uint64(60) {
		if out := likely(t, again, likes, rand.New(rand.NewPCG(seed, 5))); out != nil {
			ended++
			var list []string
			if err := json.Unmarshal(out, &list); err != nil || len(list) != 4 {
				t.Fatalf("%q: %v", out, err)
			}
			slices.Sort(list)
			if len(slices.Compact(list)) != 4 {
				t.Errorf("%q repeats a string", out)
			}
		}
	}
	if ended < 20 {
		t.Errorf("%d answers ended", ended)
	}
}

// likely follows random allowed tokens of some bytes to the end; nil where there is none within 200.
func likely(t *testing.T, g *Grammar, likes []byte, rng *rand.Rand) []byte {
	t.Helper()
	m := g.Start(false)
	var out []byte
	for range 200 {
		if m.Ended() {
			return out
		}
		mask, err := m.Allowed()
		if err != nil {
			t.Fatal(err)
		}
		var ids []int32
		for id, text := range g.w.v.texts {
			other := slices.ContainsFunc(text, func(c byte) bool { return !slices.Contains(likes, c) })
			if mask.Has(int32(id)) && len(text) > 0 && !other {
				ids = append(ids, int32(id))
			}
		}
		if len(ids) == 0 {
			t.Fatalf("no token may follow %q", out)
		}
		id := ids[rng.IntN(len(ids))]
		if err := m.Accept(id); err != nil {
			t.Fatalf("%q, then %q: %v", out, g.w.v.texts[id], err)
		}
		out = append(out, g.w.v.texts[id]...)
	}
	return nil
}
