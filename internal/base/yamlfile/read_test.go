package yamlfile

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

type inner struct {
	A int     `yaml:"a"`
	B float64 `yaml:"b,omitempty"`
	S string  `yaml:"s"`
	T *bool   `yaml:"t"`
}

type outer struct {
	N string             `yaml:"n"`
	L []inner            `yaml:"l"`
	M map[string]string  `yaml:"m"`
	I inner              `yaml:"i"`
	P *inner             `yaml:"p"`
	X map[string]any     `yaml:"x"`
	F []float64          `yaml:"f"`
	D map[string][]inner `yaml:"d"`
	Z func()             `yaml:"-"`
}

// texts are all notations of YAML that configuration files use, right and wrong.
var texts = []string{"i: {a: 1.5}", "i: {a: 1e3}", "i: {a: 0x10}", "i: {a: '5'}", "i: {b: '5'}", "i: {s: 5}",
	"i: {s: true}", "i: {s: null}", "i: {s: 1.50}", "n: !!str 5", "i: {a: 1_000}", "i: {a: null}", "i: null",
	"p: null",
	"l: [null]", "l: null", "m: {1: 2, b: null}", "x: {a: [1, {b: c}], d: ~}", "f: [1, 2.5]", "f: [1, null]", "f: []",
	"l: [&a {a: 1}, {<<: *a, b: 2}]", "l: [&a {a: 1}, &b {<<: *a, b: 2}, {<<: *b}]", "d: {q: &q [{a: 1}], r: *q}",
	"l: [&a {a: 1}, &b {b: 2}, {<<: [*a, *b]}]", "i: {t: yes}", "i: {t: 'true'}", "i: {b: .inf}", "i: {a: .inf}",
	"i: {a: 99999999999999999999}", "i: {a: 1e300}", "n: 2020-01-01", "n: |\n  x\n  y\n", "n: !!binary aGk=",
	"i: {a: +5, b: -0}", "i: !!map {a: 1}", "f: 3", "l: {a: 1}", "d: {q: {a: 1}}", "i: [1]", "i: 7", "m: 7", "n: [1]",
	"x: {a: &z 1, b: *z}", "m: {<<: {a: b}, c: d}", "n: ''", "n:", "m: {a: {b: c}}", "? n\n: x", "? [n]\n: x",
	"'n': x",
	"{}", "i: {a: 5, a: 6}", "l:\n- a: 1\n  b: 2\n- s: x\n", "p: {a: 1, t: false}", "a: &a [*a]", "n: *no",
	"<<: &m {<<: *m}", "&a *a: 1", "n: &x *x", "\x00", "--- |\n", "d: {l: &d [{a: 1}, {a: 2}], i: 3}\nl: *d\n",
	"x: {a: &a [1, 1], b: &b [*a, *a], c: [*b, *b]}", "", "# nothing\n---\n", "n: a\n---\nn: b\n", "n: [1\n", "7"}

// goWords are words that only somebody who knows the source or its libraries understands.
var goWords = regexp.MustCompile(`(?i)\bgo\b|unmarshal|struct|float64|\bint\b|interface|panic|runtime|\bnil\b|json:`)

// same says whether Read and the YAML library, in its strict mode, read a text alike. Only where Read has no problem
// must they: it also refuses what the library drops or turns into 0.
func same(text string) error {
	var want, got outer
	lines, problems, err := Read(&got, "f", []byte(text))
	last := 1 + strings.Count(text, "\n")
	for _, p := range problems {
		said := fmt.Sprint(p.Allowed)
		if p.Line < 1 || p.Line > last || (p.Key == "") == (p.Allowed == "") || goWords.MatchString(said) {
			return fmt.Errorf("%q: %+v", text, p)
		}
	}
	for path, line := range lines {
		if line < 1 || line > last {
			return fmt.Errorf("%q: %s is on line %d", text, path, line)
		}
	}
	if err != nil || len(problems) > 0 {
		if err != nil && !errors.Is(err, ErrSyntax) {
			return err
		}
		return nil
	}
	if err := yaml.UnmarshalWithOptions([]byte(text), &want, yaml.Strict()); err != nil {
		return fmt.Errorf("%q: no problem was found, but: %w", text, err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); diff != "" {
		return fmt.Errorf("%q: %s", text, diff)
	}
	return nil
}

// TestReadsAsTheLibraryDoes: Read is no other dialect of YAML than the library's strict mode, which shows only the
// first mistake.
func TestReadsAsTheLibraryDoes(t *testing.T) {
	for _, text := range texts {
		if err := same(text); err != nil {
			t.Error(err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var o outer
		lines, problems, err := Read(&o, "f", []byte(text))
		if err != nil && !errors.Is(err, ErrSyntax) {
			t.Error(err)
		}
		last := 1 + strings.Count(text, "\n")
		for _, p := range problems {
			if p.Line < 1 || p.Line > last {
				t.Errorf("%+v", p)
			}
		}
		for path, line := range lines {
			if line < 1 || line > last {
				t.Errorf("%s is on line %d", path, line)
			}
		}
	})
}

// TestEveryProblemAtOnce: each has its line and its path, and what can be set is set.
func TestEveryProblemAtOnce(t *testing.T) {
	var got outer
	lines, problems, err := Read(&got, "f", []byte("n: [x]\ni:\n  a: fast\n  b: 2\n  aa: 1\nd:\n  quick:\n"+
		"    - a: 1\n    - 7\n    - {a: 1.5, s: x, s: y}\nm: {a: [1]}\nf: [1, x]\np: {t: perhaps}\n"+
		"other: 1\nx: 3\nl: {a: 1}\nn: again\n"))
	if err != nil {
		t.Fatal(err)
	}
	mapping := "must be a mapping: KEY: VALUE on each line"
	want := []Problem{
		{Line: 1, Path: "n", Value: "a list", Allowed: "must be text"},
		{Line: 3, Path: "i.a", Value: `"fast"`, Allowed: "must be an integer"},
		{Line: 5, Path: "i.aa", Key: "aa", Known: []string{"a", "b", "s", "t"}},
		{Line: 9, Path: "d.quick[1]", Value: `"7"`, Allowed: mapping},
		{Line: 10, Path: "d.quick[2].a", Value: "1.5", Allowed: "must be an integer"},
		{Line: 10, Path: "d.quick[2].s", Value: "a second value", Allowed: "must be given once"},
		{Line: 11, Path: "m.a", Value: "a list", Allowed: "must be text"},
		{Line: 12, Path: "f[1]", Value: `"x"`, Allowed: "must be a number"},
		{Line: 13, Path: "p.t", Value: `"perhaps"`, Allowed: "must be true or false"},
		{Line: 14, Path: "other", Key: "other", Known: []string{"n", "l", "m", "i", "p", "x", "f", "d"}},
		{Line: 15, Path: "x", Value: `"3"`, Allowed: mapping},
		{Line: 16, Path: "l", Value: "a mapping", Allowed: "must be a list of mappings"},
		{Line: 17, Path: "n", Value: "a second value", Allowed: "must be given once"},
	}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Error(diff)
	}
	if got.I.B != 2 || len(got.D["quick"]) != 3 || got.D["quick"][2].S != "x" || len(got.F) != 2 || got.P == nil {
		t.Errorf("%+v", got)
	}
	for path, line := range map[string]int{"": 1, "i.b": 4, "d.quick[0]": 8, "d.quick[0].a": 8, "d.quick[2].s": 10} {
		if lines[path] != line {
			t.Errorf("%s is on line %d, got %d", path, line, lines[path])
		}
	}
}

// TestAliasesHaveAnEnd: a few lines of aliases cannot make more values than memory holds.
func TestAliasesHaveAnEnd(t *testing.T) {
	var b strings.Builder
	b.WriteString("x:\n  a0: &a0 [1]\n")
	for i := range 40 {
		fmt.Fprintf(&b, "  a%d: &a%d [*a%d, *a%d, *a%d]\n", i+1, i+1, i, i, i)
	}
	if _, _, err := Read(&outer{}, "f", []byte(b.String())); !errors.Is(err, ErrSyntax) ||
		!strings.Contains(err.Error(), "aliases make more than") {
		t.Error(err)
	}
}

// TestPlaces: a text without a name has lines, too.
func TestPlaces(t *testing.T) {
	for name, want := range map[string]string{"f.yaml": "not valid YAML: f.yaml:2: ", "": "not valid YAML: line 2: "} {
		if _, _, err := Read(&outer{}, name, []byte("n: a\nl: [1\n")); err == nil ||
			!strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), ">  2 | l: [1") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if keys := Keys(reflect.TypeFor[inner]()); !reflect.DeepEqual(keys, []string{"a", "b", "s", "t"}) {
		t.Errorf("%q", keys)
	}
}
