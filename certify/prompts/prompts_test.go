package prompts

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// The specification reads test_prompts["reasoning"]["complex"] as a string. That must work with this file, although it
// has more keys.
func TestBuiltinKeepsTheSeedsShape(t *testing.T) {
	var seed map[string]json.RawMessage
	if err := json.Unmarshal(Builtin(), &seed); err != nil {
		t.Fatal(err)
	}
	var reasoning map[string]string
	if err := json.Unmarshal(seed["reasoning"], &reasoning); err != nil {
		t.Fatal(err)
	}
	if reasoning["simple"] != "What is 2 + 2?" {
		t.Errorf("reasoning.simple = %q", reasoning["simple"])
	}
	set := Default()
	want := "reasoning/simple reasoning/medium reasoning/complex analysis/simple analysis/medium analysis/complex " +
		"generation/simple generation/medium generation/creative"
	if got := strings.Join(set.Keys(), " "); got != want {
		t.Errorf("keys %s, want %s", got, want)
	}
	for _, p := range set.Prompts {
		if p.Rubric == nil {
			t.Errorf("%s has no rubric", p.Key())
		}
	}
}

func TestLoadNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"not an object", `[]`, "must be a JSON object"},
		{"empty", `{}`, "no prompt"},
		{"level not a string", `{"a":{"b":3}}`, "a/b: must be text, got a number"},
		{"category not an object", `{"a":"x"}`, `a: must be an object of level → prompt, got "x"`},
		{"not JSON", `hello`, "not JSON: got 'h' where a value must begin"},
		{"blank prompt", `{"a":{"b":"  "}}`, "a/b: is empty"},
		{"twice", `{"a":{"b":"x","b":"y"}}`, "a/b is given twice"},
		{"category twice", `{"a":{"b":"x"},"a":{"c":"y"}}`, `key "a" is given twice`},
		{"orphan rubric", `{"a":{"b":"x"},"rubrics":{"a/c":{}}}`, "a/c: the file has no such prompt"},
		{"unknown rubric key", `{"a":{"b":"x"},"rubrics":{"a/b":{"pionts":[]}}}`,
			`rubrics: a/b: invalid prompt file: unknown key "pionts" (did you mean "points"?); known keys: form, answers, ` +
				`points, facets`},
		{"rubric of a wrong type", `{"a":{"b":"x"},"rubrics":{"a/b":{"points":3}}}`, "points: must be a list, got a number"},
		{"unknown form", `{"a":{"b":"x"},"rubrics":{"a/b":{"form":"opera"}}}`, `unknown form "opera"; known forms:`},
		{"empty term", `{"a":{"b":"x"},"rubrics":{"a/b":{"points":[{"name":"n","any":[""]}]}}}`, "points[0].any"},
		{"version", `{"schema_version":2,"a":{"b":"x"}}`, "schema_version: must be 1, got 2"},
		{"trailing", `{"a":{"b":"x"}} {}`, "after the end"},
		{"cut", `{"a":{"b":"x"`, "a: not JSON: it ends too early"},
		{"bytes", "{\"a\":{\"b\":\"\xff\"}}", "not UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load([]byte(c.in))
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v does not match ErrInvalid", err)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want it to hold %q", err, c.want)
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(Builtin())
	f.Add([]byte(`{"a":{"b":"x"},"rubrics":{"a/b":{"answers":["4"]}}}`))
	f.Add([]byte(`{"a":{`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Load(data)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("not ErrInvalid: %v", err)
			}
			return
		}
		for _, key := range s.Keys() {
			if _, ok := s.ByKey(key); !ok {
				t.Errorf("key %q cannot be found again", key)
			}
		}
	})
}

func TestASetFromMemoryIsValidated(t *testing.T) {
	good := &Set{Prompts: []Prompt{{Category: "a", Level: "b", Text: "What is 2 + 2?",
		Rubric: &Rubric{Form: "answer", Answers: []string{"4"}}}}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]*Set{
		"no prompt": {},
		"no text":   {Prompts: []Prompt{{Category: "a", Level: "b"}}},
		"twice": {Prompts: []Prompt{{Category: "a", Level: "b", Text: "x"},
			{Category: "a", Level: "b", Text: "y"}}},
		"bad rubric":  {Prompts: []Prompt{{Category: "a", Level: "b", Text: "x", Rubric: &Rubric{Form: "song"}}}},
		"no category": {Prompts: []Prompt{{Level: "b", Text: "x"}}},
	} {
		if err := bad.Validate(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
