package grammar

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/hxp-enterprise/mixtral/internal/infer/grammar/grammartest"
)

// corpus gives the files of testdata with an extension.
func corpus(tb testing.TB, ext string) map[string]string {
	tb.Helper()
	paths, err := filepath.Glob("testdata/*" + ext)
	if err != nil || len(paths) == 0 {
		tb.Fatalf("testdata/*%s: %v, %v", ext, paths, err)
	}
	out := map[string]string{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		out[path] = string(b)
	}
	return out
}

// TestCorpus: answers to schemas and grammars as people write them are valid, with a vocabulary of the usual size.
func TestCorpus(t *testing.T) {
	v, _ := vocabulary(t, 32000)
	for path, source := range corpus(t, ".json") {
		g, r := compile(t, v, JSONSchema, source), validator(t, source)
		ended := 0
		for seed := range uint64(25) {
			text, ok := answer(t, g, rand.New(rand.NewPCG(seed, 3)), 3000)
			if !ok {
				continue
			}
			ended++
			if err := isValid(r, text); err != nil {
				t.Errorf("%s: %s: %v", path, text, err)
			}
		}
		if ended < 12 {
			t.Errorf("%s: only %d answers ended", path, ended)
		}
	}
	for _, ext := range []string{".gbnf", ".lark"} {
		for path, source := range corpus(t, ext) {
			g := compile(t, v, EBNF, source)
			text, _ := answer(t, g, rand.New(rand.NewPCG(1, 3)), 500)
			if !utf8.ValidString(text) || text == "" {
				t.Errorf("%s: %q", path, text)
			}
		}
	}
}

// follows checks what holds of every grammar: each allowed token may be accepted, and an answer is valid UTF-8.
func follows(t *testing.T, v *Vocabulary, spec Spec, seed uint64) (text string, ended bool) {
	g, err := Compile(spec, v)
	if err != nil {
		if Check(spec) == nil && !isCostly(err) {
			t.Fatalf("compiles without a vocabulary only: %v", err)
		}
		return "", false
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	m := g.Start(false)
	var out []byte
	for range 200 {
		if m.Ended() {
			ended = true
			break
		}
		mask, err := m.Allowed()
		if err != nil {
			if !isCostly(err) {
				t.Fatal(err)
			}
			return "", false
		}
		id := pick(mask, rng)
		if id == v.ends[0] {
			ended = true
			break
		}
		if id < 0 {
			t.Fatalf("no token may follow %q", out)
		}
		if err := m.Accept(id); err != nil {
			if isCostly(err) {
				return "", false
			}
			t.Fatalf("%q, then token %d: %v", out, id, err)
		}
		out = append(out, v.texts[id]...)
	}
	if ended && !utf8.Valid(out) {
		t.Fatalf("%q is not valid UTF-8", out)
	}
	return string(out), ended
}

func FuzzJSONSchema(f *testing.F) {
	for _, source := range corpus(f, ".json") {
		f.Add(source, uint64(1))
	}
	for seed := range uint64(20) {
		f.Add(grammartest.Schema(rand.New(rand.NewPCG(seed, 9))), seed)
	}
	v, _ := vocabulary(f, 400)
	f.Fuzz(func(t *testing.T, source string, seed uint64) {
		text, ended := follows(t, v, Spec{Kind: JSONSchema, Source: source}, seed)
		if !ended || strings.Contains(source, "nullable") {
			return
		}
		r := resolved(source)
		if r == nil {
			return
		}
		if err := isValid(r, text); err != nil {
			t.Fatalf("%s\nmade %s: %v", source, text, err)
		}
	})
}

// resolved gives a validator; nil where it does not take the schema.
func resolved(source string) *jsonschema.Resolved {
	var s jsonschema.Schema
	if s.UnmarshalJSON([]byte(source)) != nil {
		return nil
	}
	r, err := s.Resolve(nil)
	if err != nil {
		return nil
	}
	return r
}

func FuzzRegex(f *testing.F) {
	for _, source := range []string{`a*`, `^(a|b)+c?$`, `[^a-z]{2,5}|\p{Lu}\d`, `(a?){20}`, `x$|^y`, `(?i)straße`, `\x{1F600}.`} {
		f.Add(source, uint64(1))
	}
	v, _ := vocabulary(f, 400)
	f.Fuzz(func(t *testing.T, source string, seed uint64) {
		text, ended := follows(t, v, Spec{Kind: Regex, Source: source}, seed)
		if !ended {
			return
		}
		tree, err := syntax.Parse(goSyntax(source), syntax.Perl)
		if err != nil {
			return // look-ahead, which RE2 does not have
		}
		if re, err := regexp.Compile(`\A(?:` + tree.String() + `)\z`); err != nil || !re.MatchString(text) {
			t.Fatalf("%q made %q, %v", source, text, err)
		}
	})
}

func FuzzGBNF(f *testing.F) {
	for _, source := range corpus(f, ".gbnf") {
		f.Add(source, uint64(1))
	}
	v, _ := vocabulary(f, 400)
	f.Fuzz(func(t *testing.T, source string, seed uint64) {
		follows(t, v, Spec{Kind: GBNF, Source: source}, seed)
	})
}

func FuzzLark(f *testing.F) {
	for _, source := range corpus(f, ".lark") {
		f.Add(source, uint64(1))
	}
	v, _ := vocabulary(f, 400)
	f.Fuzz(func(t *testing.T, source string, seed uint64) {
		follows(t, v, Spec{Kind: Lark, Source: source}, seed)
	})
}
