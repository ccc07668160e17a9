package grammar

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// differingSchemas are schemas whose items must differ, many of them of languages so small that answers use them up.
var differingSchemas = []string{
	`{"uniqueItems":true,"items":{"type":"integer"}}`,
	`{"uniqueItems":true,"items":{"type":"number"},"minItems":3,"maxItems":6}`,
	`{"uniqueItems":true,"items":{"type":"number","minimum":0,"maximum":1,"multipleOf":0.25},"minItems":5}`,
	`{"uniqueItems":true,"items":{"type":"number","minimum":-0.5,"exclusiveMaximum":0.5},"minItems":3,"maxItems":4}`,
	`{"uniqueItems":true,"items":{"type":"integer","multipleOf":7,"minimum":-21,"maximum":21}}`,
	`{"uniqueItems":true,"items":{"enum":[1,2,3,4,5,6,7,8,9,10,11,1.0,"1"]},"minItems":10}`,
	`{"uniqueItems":true,"items":{"type":"string","pattern":"^[ab]{1,2}$"},"minItems":6}`,
	`{"uniqueItems":true,"items":{"type":"string","maxLength":1},"maxItems":5}`,
	`{"uniqueItems":true,"items":{"type":"string","format":"uuid"},"minItems":2,"maxItems":3}`,
	`{"uniqueItems":true,"items":{"type":"boolean"},"prefixItems":[{"type":"boolean"}],"minItems":2}`,
	`{"uniqueItems":true,"prefixItems":[{"enum":["a","b"]},{"enum":["a","b"]},{"enum":["a","b","c"]}],"minItems":3}`,
	`{"uniqueItems":true,"items":{"enum":[1,2,3,4]},"contains":{"const":3},"minItems":3}`,
	`{"uniqueItems":true,"items":{"properties":{"a":{"type":"boolean"},"b":{"enum":[1,2]}},"required":["a"],
		"additionalProperties":false},"minItems":6}`,
	`{"uniqueItems":true,"items":{"properties":{"id":{"type":"integer","minimum":0},"n":{"type":"string"}},
		"required":["id"]},"minItems":2,"maxItems":4}`,
	`{"uniqueItems":true,"items":{"items":{"enum":[0,1]},"minItems":1,"maxItems":2},"minItems":6}`,
	`{"uniqueItems":true,"items":{"prefixItems":[{"type":"integer"},{"type":"number"}],"items":false,"minItems":2}}`,
	`{"uniqueItems":true,"items":{"anyOf":[{"const":1},{"const":1.0},{"type":"integer","minimum":1,"maximum":9},
		{"type":"null"}]},"minItems":10}`,
	`{"uniqueItems":true,"items":{"anyOf":[{"properties":{"a":{"enum":[1,2]},"b":{"enum":[1,2]}},"required":["a","b"]},
		{"properties":{"b":{"enum":[1,2]},"a":{"enum":[1,2]}},"required":["b","a"]}]},"minItems":4}`,
	`{"uniqueItems":true,"items":{"enum":[[1,2],[1, 2.0],{"a":1,"b":{}},{"b":{},"a":1},null,true,[],"a",2,2.0,3]},"minItems":8}`,
	`{"uniqueItems":true,"items":{"anyOf":[{"enum":[{"b":1,"a":2},[1,2]]},{"properties":{"b":{"enum":[1,2]},
		"a":{"enum":[1,2]}},"required":["a","b"]},{"items":{"enum":[1,2]},"minItems":2,"maxItems":2}]},"minItems":8}`,
	`{"uniqueItems":true,"minItems":2,"maxItems":4}`,
	`{"uniqueItems":true,"items":{"uniqueItems":true,"items":{"enum":["a","b"]}},"minItems":5}`,
	`{"anyOf":[{"uniqueItems":true,"items":{"type":"integer","minimum":0,"maximum":11}},
		{"items":{"type":"integer","minimum":0,"maximum":11},"minItems":3,"maxItems":3}]}`,
	// arrays that alternatives have at different depths
	`{"anyOf":[{"uniqueItems":true,"items":{"items":{"type":"integer","maximum":15}},"minItems":1},
		{"items":{"uniqueItems":true,"items":{"type":"integer","maximum":15}},"minItems":1}]}`,
	`{"items":{"uniqueItems":true,"items":{"type":"integer"},"maxItems":3},"maxItems":3}`,
	`{"type":"object","properties":{"s":{"uniqueItems":true,"items":{"type":"string","pattern":"^x{1,3}$"}},
		"t":{"type":["array","null"],"uniqueItems":true,"items":{"type":"integer"},"maxItems":3}},"required":["s","t"]}`,
}

// manyItems has tokens that end an item, or have several of them.
var manyItems = []string{`1,1`, `1,1]`, `,1,`, `[1,1`, `[1,1]`, `[1,`, `[[`, `[[1`, `],[`, `1],[1]`, `1]`, `0,0`, `, 1`, `true`,
	`false`, `true,`, `,true`, `"a"`, `"a",`, `,"a"`, `"a","a"`, `["a","a"`, `","`, `", "`, `"x","x"`, `xx`, `aa"`, `{"a":`,
	`{"a": true}`, `{"a": true},`, `}, {`, `0.5`, `.5,`, `.25`, `0.50`, `-0`, `1.0`, `-7`, `14,`, `null,`, `[]`, `[],[]`, ` 1`, "\n 1",
	`:[1,1`, `":[1,1]`, `:["x","x"`, `{"s":["x","x"],`}

// TestItemsThatDiffer: no two items are equal, whatever they are; an answer that wants to repeat itself never comes to
// where nothing can follow; and the mask is what may be accepted, token by token.
func TestItemsThatDiffer(t *testing.T) {
	_, tok := vocabulary(t, 600)
	texts := textsOf(tok)
	for _, s := range manyItems {
		texts = append(texts, []byte(s))
	}
	v, err := NewVocabulary(texts, []int32{tok.EOS()})
	if err != nil {
		t.Fatal(err)
	}
	for _, schema := range differingSchemas {
		g, r := compile(t, v, JSONSchema, schema), validator(t, schema)
		ended := 0
		for seed := range uint64(30) {
			text, ok := repetitive(t, g, rand.New(rand.NewPCG(seed, 8)), seed%3 == 0)
			if !ok {
				continue
			}
			ended++
			if err := isValid(r, text); err != nil {
				t.Errorf("%s: %s: %v", schema, text, err)
			}
		}
		if ended < 10 {
			t.Errorf("%s: %d answers ended", schema, ended)
		}
	}
}

// TestAlternativeOfItemsThatDiffer: what need not differ in another alternative may be equal there.
func TestAlternativeOfItemsThatDiffer(t *testing.T) {
	v, tok := vocabulary(t, 400)
	g := compile(t, v, JSONSchema, `{"anyOf":[{"uniqueItems":true,"items":{"type":"string","pattern":"^a{1,9}$"}},
		{"items":{"type":"string","pattern":"^a{1,9}$"},"minItems":3,"maxItems":3}]}`)
	for text, want := range map[string]bool{`[]`: true, `["a","aa"]`: true, `["a","a"]`: false, `["a","a","a"]`: true,
		`["aa","a", "aa"]`: true, `["a","aa","aaa","aaaa"]`: true, `["a","aa","aaa","a"]`: false} {
		m, got := g.Start(false), true
		for _, id := range tok.EncodeInside(text) {
			got = got && m.Accept(id) == nil
		}
		if got = got && m.Accepting(); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// TestArgumentsThatDiffer: a call's arguments are remembered as an answer's values are, each call's apart.
func TestArgumentsThatDiffer(t *testing.T) {
	v, tok := vocabulary(t, 600)
	tags := hermes(func(t *Tags) {
		t.Free = true
		t.List[0].Schema = `{"type":"object","properties":{"x":{"uniqueItems":true,"items":{"type":"integer"}}}}`
	})
	g, err := Compile(Spec{Kind: Tagged, Tags: tags}, v)
	if err != nil {
		t.Fatal(err)
	}
	call := func(x string) string {
		return "<tool_call>\n" + `{"name": "a", "arguments": {"x":` + x + "}}\n</tool_call>"
	}
	for text, want := range map[string]bool{call(`[1,2]`) + "\n" + call(`[1,2]`): true, call(`[1,2, 1]`): false,
		"so: " + call(`[12,1,2]`) + "\n" + call(`[3, 3]`): false, "[1,1] " + call(`[]`): true} {
		m, got := g.Start(false), true
		for _, id := range tok.EncodeInside(text) {
			got = got && m.Accept(id) == nil
		}
		if got = got && m.Accepting(); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// repetitive follows random allowed tokens, and by preference those that were taken before or have a comma.
func repetitive(t *testing.T, g *Grammar, rng *rand.Rand, exact bool) (text string, ended bool) {
	t.Helper()
	m := g.Start(false)
	var out []byte
	taken := map[int32]bool{}
	for step := range 120 {
		mask, err := m.Allowed()
		if err != nil {
			t.Fatal(err)
		}
		if exact && step < 25 {
			for id, piece := range g.w.v.texts {
				next := m
				if ok := next.Accept(int32(id)) == nil; ok != mask.Has(int32(id)) && len(piece) > 0 {
					t.Fatalf("%q: token %q is in the mask: %v, accepted: %v", out, piece, !ok, ok)
				}
			}
		}
		var ids, liked []int32
		for id := range int32(len(g.w.v.texts)) {
			if mask.Has(id) {
				ids = append(ids, id)
				if taken[id] || int(id) >= len(g.w.v.texts)-len(manyItems) {
					liked = append(liked, id)
				}
			}
		}
		if len(ids) == 0 {
			t.Fatalf("no token may follow %q", out)
		}
		if len(liked) > 0 && rng.IntN(8) > 0 {
			ids = liked
		}
		id := ids[rng.IntN(len(ids))]
		if step > 60 && mask.Has(g.w.v.ends[0]) {
			id = g.w.v.ends[0]
		}
		if id == g.w.v.ends[0] {
			return string(out), true
		}
		if err := m.Accept(id); err != nil {
			t.Fatalf("%q, then %q: %v", out, g.w.v.texts[id], err)
		}
		taken[id] = true
		out = append(out, g.w.v.texts[id]...)
		if m.Ended() {
			return string(out), true
		}
	}
	return fmt.Sprintf("%s…", out), false
}
