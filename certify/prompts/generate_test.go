package prompts

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

func drawOptions(t *rapid.T) Options {
	o := Options{
		Seed:   rapid.Uint64().Draw(t, "seed"),
		Tokens: rapid.SampledFrom([]int{0, 0, 40, 200, 800}).Draw(t, "tokens"),
		Count:  rapid.IntRange(0, 25).Draw(t, "count"),
	}
	if rapid.Bool().Draw(t, "one category") {
		c := rapid.SampledFrom(Categories).Draw(t, "category")
		o.Categories = []string{c}
		if rapid.Bool().Draw(t, "one level") {
			o.Levels = []string{rapid.SampledFrom(levelsOf[c]).Draw(t, "level")}
		}
	}
	return o
}

// Generated prompts can be written, read back and checked. The same options make the same prompts, and their lengths
// are as demanded.
func TestGeneratedPromptsLoad(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		o := drawOptions(t)
		s, err := Generate(o)
		if err != nil {
			t.Fatal(err)
		}
		data, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Load(data)
		if err != nil {
			t.Fatalf("%v in\n%s", err, data)
		}
		byKey := func(a, b Prompt) int { return strings.Compare(a.Key(), b.Key()) }
		want, got := slices.SortedFunc(slices.Values(s.Prompts), byKey),
			slices.SortedFunc(slices.Values(back.Prompts), byKey)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("changed on the way through the file:\n%s", d)
		}
		again, err := Generate(o)
		if err != nil || !cmp.Equal(s, again) {
			t.Errorf("the same options gave other prompts (%v)", err)
		}
		if o.Count > 0 && len(s.Prompts) != o.Count {
			t.Errorf("%d prompts, want %d", len(s.Prompts), o.Count)
		}
		for _, p := range s.Prompts {
			if r := p.Rubric; r == nil || len(r.Answers)+len(r.Points) == 0 {
				t.Errorf("%s has nothing to check", p.Key())
			}
			if n := EstimateTokens(p.Text); o.Tokens >= 200 && (n < o.Tokens*9/10 || n > o.Tokens*12/10) {
				t.Errorf("%s has about %d tokens, want %d", p.Key(), n, o.Tokens)
			}
		}
	})
}

// Without options the file has the specification's nine keys, so that it can replace performance_test_prompts.json.
func TestGenerateKeepsTheSeedsKeys(t *testing.T) {
	s, err := Generate(Options{Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(s.Keys(), " "), strings.Join(Default().Keys(), " "); got != want {
		t.Errorf("keys %s, want %s", got, want)
	}
}

func TestGenerateNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"category", Options{Categories: []string{"poetry"}}, `category "poetry"`},
		{"level", Options{Categories: []string{"generation"}, Levels: []string{"complex"}}, `level "complex"`},
		{"count", Options{Count: -1}, "count: must be between 0 and 100000, got -1"},
		{"tokens", Options{Tokens: 50_000}, "tokens: must be between 0 and 30000, got 50000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Generate(c.o); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// tokens.json has generated prompts and their number of tokens by an independent implementation of Mistral's
// tokenizer.
func TestEstimateTokens(t *testing.T) {
	data, err := os.ReadFile("testdata/tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Text   string
		Tokens int
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 20 {
		t.Fatalf("only %d texts", len(cases))
	}
	for _, c := range cases {
		n := EstimateTokens(c.Text)
		slack := 4 + c.Tokens*15/100 // the estimate is worse for names and numbers in short texts
		if n < c.Tokens-slack || n > c.Tokens+slack {
			t.Errorf("estimate %d, the tokenizer gives %d for %.60q", n, c.Tokens, c.Text)
		}
	}
	if n := EstimateTokens(""); n != 0 {
		t.Errorf("an empty text has %d tokens", n)
	}
}

func TestCheckNamesWeakRubrics(t *testing.T) {
	s, err := Load([]byte(`{"a":{"b":"What is the capital of Norway, Oslo?","c":"x","d":"x","e":"y"},"rubrics":{
		"a/b":{"form":"answer","answers":["Oslo"]},"a/c":{"form":"answer"},
		"a/e":{"points":[{"name":"","any":["p","p"]},{"name":"q","any":[" r"]},{"name":"q","any":["s"]}]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(s.Check(), "\n")
	for _, want := range []string{"a/c: its rubric names no answers", "a/d: has the same text as a/c",
		"a/d: has no rubric",
		"a/e: points[0].name: is empty", `a/e: points[0].any: "p" is given twice`,
		`a/e: points[1].any: " r" begins or ends`, `a/e: points[2].name: "q" is given twice`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if warnings := Default().Check(); len(warnings) > 0 {
		t.Errorf("the built-in file: %v", warnings)
	}
}

func TestPlace(t *testing.T) {
	data := []byte("{\"a\":{\n \"b\" 3}}")
	_, err := Load(data)
	if line, column, ok := Place(data, err); !ok || line != 2 || column < 5 || column > 7 {
		t.Errorf("line %d, column %d, %t of %v", line, column, ok, err)
	}
	if _, _, ok := Place(data, errors.New("other")); ok {
		t.Error("another error has a place")
	}
}
