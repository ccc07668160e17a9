package plainjson

import (
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/spell"
)

type point struct {
	Name string   `json:"name"`
	Any  []string `json:"any,omitempty"`
}

type rubric struct {
	Form   string             `json:"form"`
	Count  int                `json:"count"`
	Weight float64            `json:"weight"`
	On     *bool              `json:"on"`
	Points []point            `json:"points"`
	Of     map[string]point   `json:"of"`
	Best   *point             `json:"best"`
	Hidden func()             `json:"-"`
	Scores map[string]float64 `json:"scores"`
}

// goWords are words that only somebody who knows the source or its libraries understands.
var goWords = regexp.MustCompile(`unmarshal|Go value|struct|float64|\bint\b|interface|json:|\bEOF\b|looking for`)

// TestErrorsAreInPlainWords: what was given, what is allowed and where, without words of a library.
func TestErrorsAreInPlainWords(t *testing.T) {
	known := "; known keys: form, count, weight, on, points, of, best, scores"
	value := "where a value must begin: text in double quotes, a number, a list, an object, true, false or null"
	for text, want := range map[string]string{
		"":                             "not JSON: it is empty",
		" \n":                          "not JSON: it is empty",
		"nul":                          "not JSON: it ends too early, before everything is closed",
		"hello":                        "line 1: not JSON: got 'h' " + value,
		"{\n \"form\" 3}":              "line 2: not JSON: got '3' where a colon must follow the key",
		"{\"form\": \"a\"\n\"on\": 1}": "line 2: not JSON: got '\"' where a comma or } must follow",
		"{\"points\": [{} {}]}":        "line 1: not JSON: got '{' where a comma or ] must follow",
		"{form: 1}":                    "line 1: not JSON: got 'f' where a key in double quotes must begin",
		"{\"form\": \"a":               "line 1: not JSON: it ends too early, before everything is closed",
		"{} x":                         "line 1: not JSON: got 'x' after the end",
		"{\"on\": trve}": "line 1: not JSON: got 'v' in a word that begins as true does; " +
			"text must be in double quotes",
		"{\"count\": 1.x}": "line 1: not JSON: got 'x' in a number",
		"{\"count\": 1e}":  "line 1: not JSON: got '}' in a number",
		"{\"form\": \"\\q\"}": "line 1: not JSON: got 'q' after a \\ in a text; " +
			"allowed are \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u",
		"{\"form\": \"a\nb\"}":           "line 1: not JSON: got '\\n' in a text, where it must be escaped",
		"{\"form\": 3}":                  "line 1: form: must be text, got a number",
		"{\n\"count\": \"x\"}":           "line 2: count: must be a whole number, got text",
		"{\"count\": 1.5}":               "line 1: count: must be a whole number, got 1.5",
		"{\"weight\": []}":               "line 1: weight: must be a number, got a list",
		"{\"on\": {}}":                   "line 1: on: must be true or false, got an object",
		"{\"points\": true}":             "line 1: points: must be a list, got true or false",
		"[]":                             "line 1: must be an object, got a list",
		"null":                           "must be an object, got null",
		"{\"from\": \"a\"}":              `unknown key "from" (did you mean "form"?)` + known,
		"{\"points\": [{}, {\"x\": 1}]}": `points[1].x: unknown key "x"; known keys: name, any`,
		"{\"of\": {\"a\": {\"x\": 1}}, \"best\": {\"nam\": \"\"}}": "\n  " +
			`best.nam: unknown key "nam" (did you mean "name"?); known keys: name, any` + "\n  " +
			`of.a.x: unknown key "x"; known keys: name, any`,
		`{"FORM": "a", "scores": {"any": 1}, "points": [{"name": "b", "any": ["c"]}]}`: "",
	} {
		var r rubric
		err := Strict([]byte(text), &r, spell.Nearest)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want || goWords.MatchString(got) {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

// TestWhatAnErrorComesFrom: callers look for the place of the error that was put into words.
func TestWhatAnErrorComesFrom(t *testing.T) {
	var syntax *json.SyntaxError
	if err := At([]byte("{x"), json.Unmarshal([]byte("{x"), new(any))); !errors.As(err, &syntax) {
		t.Error(err)
	}
	// json.Decoder has a message of its own where it reads a key and then a value.
	dec := json.NewDecoder(strings.NewReader(`{"a" 3}`))
	_, _ = dec.Token()
	_, _ = dec.Token()
	if err := Error(dec.Decode(new(any))); err == nil || err.Error() != "not JSON: a colon must follow a key" {
		t.Error(err)
	}
	if err := Error(io.ErrUnexpectedEOF); !errors.Is(err, io.ErrUnexpectedEOF) || goWords.MatchString(err.Error()) {
		t.Error(err)
	}
	other := errors.New("other")
	if Error(nil) != nil || At(nil, nil) != nil || !errors.Is(Error(other), other) || Error(other).Error() != "other" {
		t.Error("other errors stay as they are")
	}
}

// FuzzStrict checks that no text brings the words of a library to the user.
func FuzzStrict(f *testing.F) {
	for _, text := range []string{"{}", "[1, {\"a\": null}]", "{\"form\": \"\\ud800\"}", "nul", "1e999", "-",
		"{\"count\": 1e30}", "{\"scores\": {\"a\": \"b\"}}", "\xff", "{\"a\": tru"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		err := Strict([]byte(text), new(rubric), spell.Nearest)
		if err == nil {
			return
		}
		if word := goWords.FindString(err.Error()); word != "" && !strings.Contains(text, word) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
