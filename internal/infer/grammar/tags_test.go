package grammar

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

func hermes(change func(*Tags)) *Tags {
	t := &Tags{Begin: "<tool_call>\n", Between: "\n</tool_call>\n<tool_call>\n", End: "\n</tool_call>",
		Trigger: "<tool_call>", List: []Tag{
			{`{"name": "a", "arguments": `, "}", `{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]}`},
			{`{"name": "ab", "arguments": `, "}", ""}}}
	change(t)
	return t
}

// TestTags: which texts a grammar of tags has.
func TestTags(t *testing.T) {
	v, _ := vocabulary(t, 600)
	const a, ab = `{"name": "a", "arguments": {"x":1}}`, `{"name": "ab", "arguments": {}}`
	one, two := "<tool_call>\n"+a+"\n</tool_call>", "<tool_call>\n"+ab+"\n</tool_call>"
	must, auto := hermes(func(*Tags) {}), hermes(func(t *Tags) { t.Free = true })
	single := hermes(func(t *Tags) { t.Free, t.Single = true, true })
	form := hermes(func(t *Tags) { t.Text = &Spec{Kind: JSONSchema, Source: `{"type":"boolean"}`} })
	marked := hermes(func(t *Tags) {
		t.Begin, t.Between, t.End, t.Trigger, t.Free = Mark(0)+" [", ", ", "]", Mark(0), true
	})
	for name, c := range map[string]struct {
		tags      *Tags
		good, bad []string
	}{
		"must": {must, []string{one, two, one + "\n" + two, two + "\n" + two + "\n" + one},
			[]string{"", "hello", "x" + one, one + "\n", one + " ", one + two, "<tool_call>\n" + a,
				strings.Replace(one, "1", `"1"`, 1), strings.Replace(two, "{}", `{"y":1}`, 1)}},
		"auto": {auto, []string{"", "hello", one, "so: " + one, "<tool_call", "a <tool_ <b>\n日本", "<" + one,
			"<tool_<tool_call" + two,
			"x" + one + "\n" + two}, []string{"<tool_call>", "<tool_call> hello", one + "hello", "a<tool_call>\n{}",
			"<tool_call" + "><", one + "\n"}},
		"single": {single, []string{"", one, "a" + two}, []string{one + "\n" + two}},
		"form": {form, []string{"true", "false", one, two + "\n" + one}, []string{"", "true" + one, "hello",
			"true "}},
		"marked": {marked, []string{"", "hello [", Mark(0) + " [" + a + "]", "x" + Mark(0) + " [" + ab + ", " + a +
			"]",
			"[TOOL_CALLS] [", "日本 😀\x00"}, []string{Mark(0), Mark(1), " [" + a + "]" + Mark(0), Mark(0) + "[" + a +
			"]",
			Mark(0) + " [" + a + "] "}},
	} {
		g, err := Compile(Spec{Kind: Tagged, Tags: c.tags}, v)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, s := range c.good {
			if !accepts(t, g, s) {
				t.Errorf("%s: %q is refused", name, s)
			}
		}
		for _, s := range c.bad {
			if accepts(t, g, s) {
				t.Errorf("%s: %q is accepted", name, s)
			}
		}
	}
}

func TestTagsRefused(t *testing.T) {
	for want, tags := range map[string]*Tags{
		"must list at least one tag": {},
		"a trigger must be given":    {List: []Tag{{}}, Free: true, Begin: "a", Trigger: "b"},
		"#/type: must be object":     hermes(func(t *Tags) { t.List[1].Schema = `{"type":"string"}` }),
		"#: must be a schema":        hermes(func(t *Tags) { t.List[1].Schema = `false` }),
		"is not JSON":                hermes(func(t *Tags) { t.List[1].Schema = `{` }),
		"no text fits": hermes(func(t *Tags) {
			t.List = []Tag{{Schema: `{"required":["a"],"additionalProperties":false}`}}
		}),
		"#/properties/a: must be": hermes(func(t *Tags) { t.List[1].Schema = `{"properties":{"a":3}}` }),
	} {
		err := Check(Spec{Kind: Tagged, Tags: tags})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
			continue
		}
		if len(tags.List) == 2 && e.Tag != 2 {
			t.Errorf("%v is of tag %d, want 2", err, e.Tag)
		}
	}
	if err := Check(Spec{Kind: Tagged}); err == nil {
		t.Error("no tags, and no error")
	}
}

// TestTagsRandomly: random allowed tokens lead to calls that are valid, whatever stands before them, and what must
// come is forced with the tokenizer's own tokens.
func TestTagsRandomly(t *testing.T) {
	plain, tok := vocabulary(t, 600)
	texts := make([][]byte, len(plain.texts))
	for id := range texts {
		if tok.IsText(int32(id)) {
			texts[id] = tok.Piece(int32(id))
		}
	}
	const mark = 0 // <unk>, which no text has
	v, err := NewVocabulary(texts, []int32{tok.EOS()}, mark)
	if err != nil {
		t.Fatal(err)
	}
	tags := hermes(func(t *Tags) { t.Begin, t.Between, t.End, t.Trigger = Mark(0)+" [", ", ", "]", Mark(0) })
	g, err := Compile(Spec{Kind: Tagged, Tags: tags}, v)
	if err != nil {
		t.Fatal(err)
	}
	m := g.Start(true)
	forced, err := m.Forced(nil, tok.EncodeInside)
	if err != nil || len(forced) < 2 || forced[0] != mark {
		t.Fatalf("forced %v, %v", forced, err)
	}
	var said []byte
	for i, id := range forced {
		if i > 0 {
			said = append(said, tok.Piece(id)...)
		}
		if err := m.Accept(id); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.HasPrefix(` [{"name": "a`, string(said)) || len(said) < 8 {
		t.Errorf("forced %q", said)
	}
	tags.Free = true
	if g, err = Compile(Spec{Kind: Tagged, Tags: tags}, v); err != nil {
		t.Fatal(err)
	}
	m = g.Start(false)
	const sameByte = 3 + firstMark // a mark is a token, and not the byte that stands for it here
	if mask, err := m.Allowed(); err != nil || !mask.Has(mark) || mask.Has(sameByte) || m.Accept(sameByte) == nil {
		t.Errorf("%v: the byte of a mark may be said: %v", err, mask.Has(sameByte))
	}
	called, ended := 0, 0
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		text, over := answer(t, g, rng, 300)
		if !over {
			continue
		}
		ended++
		_, calls, found := strings.Cut(text, Mark(0))
		if !found {
			continue
		}
		called++
		var list []struct {
			Name      string
			Arguments map[string]any
		}
		if err := json.Unmarshal([]byte(calls), &list); err != nil || len(list) == 0 || list[0].Arguments == nil {
			t.Errorf("%q: %v", calls, err)
		}
	}
	if called < 5 || ended < 50 {
		t.Errorf("%d answers ended, %d with calls", ended, called)
	}
}
