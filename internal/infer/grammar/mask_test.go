package grammar

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/grammar/grammartest"
)

// exactly compares a mask with what comes of trying every token.
func exactly(t *testing.T, m Matcher) {
	t.Helper()
	mask, err := m.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	v := m.g.w.v
	count := 0
	for id := range int32(len(v.texts)) {
		try := m
		want := try.Accept(id) == nil
		if id == v.ends[0] {
			want = m.Accepting()
		}
		if m.strip && string(v.texts[id]) == " " {
			want = true // the text has not begun
		}
		if mask.Has(id) != want {
			t.Fatalf("token %d %q: allowed %v, want %v", id, v.texts[id], mask.Has(id), want)
		}
		if want {
			count++
		}
	}
	if mask.Count != count {
		t.Fatalf("%d tokens are allowed, the mask says %d", count, mask.Count)
	}
}

// TestMasksAreExact: no shortcut shows, wherever an answer stands, and when all that is remembered was forgotten.
func TestMasksAreExact(t *testing.T) {
	v, _ := vocabulary(t, 2000)
	specs := []Spec{{Kind: JSONObject}, {Kind: Regex, Source: `[^\n]*x?.{0,40}`}, {Kind: Regex, Source: `(é|ü|[a-z ]{3,70})+`},
		{Kind: JSONSchema, Source: `{"type":"string","minLength":3,"maxLength":40}`},
		{Kind: JSONSchema, Source: `{"type":"object","additionalProperties":{"maxLength":9},"properties":{"the":{"const":1}}}`}}
	for _, ext := range []string{".gbnf", ".lark"} {
		for _, source := range corpus(t, ext) {
			specs = append(specs, Spec{Kind: EBNF, Source: source})
		}
	}
	for _, source := range corpus(t, ".json") {
		specs = append(specs, Spec{Kind: JSONSchema, Source: source})
	}
	for seed := range uint64(12) {
		specs = append(specs, Spec{Kind: JSONSchema, Source: grammartest.Schema(rand.New(rand.NewPCG(seed, 5)))})
	}
	for i, spec := range specs {
		g, err := Compile(spec, v)
		if err != nil {
			continue
		}
		rng := rand.New(rand.NewPCG(uint64(i), 6))
		m := g.Start(i%2 == 0)
		for step := 0; step < 60 && !m.Ended(); step++ {
			exactly(t, m)
			if step%7 == 6 {
				g.m.kept = maxKept + 1
			}
			mask, _ := m.Allowed()
			id := pick(mask, rng)
			if id == v.ends[0] {
				break
			}
			if err := m.Accept(id); err != nil {
				t.Fatal(err)
			}
		}
		if i > 0 && g.m.age < 2 && g.m.kept > maxKept {
			t.Errorf("%s: nothing was forgotten", spec.Source)
		}
	}
}

// TestForcedTokens: tokens that are taken without a choice are those that the tokenizer makes of every text that can
// still come.
func TestForcedTokens(t *testing.T) {
	v, tok := vocabulary(t, 2000)
	rng := rand.New(rand.NewPCG(1, 1))
	words := strings.Fields(`the world country answer is was of a word words again against ing er
		{"name": "other" } [1,2]`)
	long := 0
	for range 300 {
		var texts []string
		prefix := ""
		for range 2 + rng.IntN(6) {
			prefix += words[rng.IntN(len(words))] + []string{" ", "", " ", "  "}[rng.IntN(4)]
		}
		for range 1 + rng.IntN(4) {
			texts = append(texts, prefix+words[rng.IntN(len(words))]+words[rng.IntN(len(words))])
		}
		g, err := Compile(Spec{Kind: Choice, Choices: texts}, v)
		if err != nil {
			t.Fatal(err)
		}
		m := g.Start(true)
		forced, err := m.Forced(nil, tok.EncodeInside)
		if err != nil {
			t.Fatal(err)
		}
		if len(forced) > 1 {
			long++
		}
		for _, text := range texts {
			if want := tok.Encode(text, false); len(want) < len(forced) || !slices.Equal(want[:len(forced)], forced) {
				t.Errorf("%q: forced %v, the tokenizer makes %v", texts, forced, want)
			}
		}
		// In the middle too, behind what the tokenizer made of the start.
		all := tok.Encode(texts[0], false)
		at := rng.IntN(len(all))
		for _, id := range all[:at] {
			if err := m.Accept(id); err != nil {
				t.Fatal(err)
			}
		}
		if forced, err = m.Forced(all[:at], tok.EncodeInside); err != nil || len(forced) > len(all)-at ||
			!slices.Equal(all[at:at+len(forced)], forced) {
			t.Errorf("%q behind %v: forced %v, %v, the tokenizer makes %v", texts, all[:at], forced, err, all[at:])
		}
	}
	if long < 200 {
		t.Errorf("only %d of 300 texts had a start that was forced", long)
	}
}

func TestVocabularyNeedsBytes(t *testing.T) {
	if _, err := NewVocabulary([][]byte{[]byte("a"), []byte("bc")}, nil); err == nil ||
		fmt.Sprint(err) != "the vocabulary has no token for the byte 0x00 alone" {
		t.Error(err)
	}
}
