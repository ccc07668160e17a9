package prompts

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/plainjson"
	"github.com/hxp-enterprise/mixtral/internal/base/spell"
)

// ErrInvalid matches every error about a prompt file's content.
var ErrInvalid = errors.New("invalid prompt file")

// Forms are the forms of answers that a prompt can ask for. The form decides what makes an answer complete.
var Forms = []string{"answer", "explanation", "analysis", "summary", "comparison", "evaluation", "story", "plan",
	"poem", "code", "list"}

// maxPrompt limits one prompt, in bytes. It is far above any real prompt.
const maxPrompt = 1 << 20

// Set has the prompts of a file, in the file's order.
type Set struct {
	Prompts []Prompt
}

// Prompt is one prompt and its rubric.
type Prompt struct {
	Category string
	Level    string
	Text     string
	Rubric   *Rubric // nil: the file has none
}

// Key is the prompt's name, "category/level".
func (p Prompt) Key() string { return p.Category + "/" + p.Level }

// Rubric describes a good answer.
type Rubric struct {
	Form    string   `json:"form,omitempty"`    // one of Forms
	Answers []string `json:"answers,omitempty"` // the right answer; one of these must be in the text, as whole words
	Points  []Point  `json:"points,omitempty"`  // concepts that a relevant answer mentions
	Facets  []Point  `json:"facets,omitempty"`  // parts that the prompt asks for explicitly
}

// Point is a concept. An answer has it if it has any of its terms. A term matches the beginning of a word ("summar"
// matches "summary"); a term of several words matches as a phrase.
type Point struct {
	Name   string   `json:"name"`
	Any    []string `json:"any"`
	Weight float64  `json:"weight,omitempty"` // 0 means 1
}

//go:embed performance_test_prompts.json
var builtin []byte

// Builtin returns the bytes of the prompt file of TC-L1-COMP-MIXTRAL-003.
func Builtin() []byte { return bytes.Clone(builtin) }

// Default returns the nine prompts of TC-L1-COMP-MIXTRAL-003.
func Default() *Set {
	s, err := Load(builtin)
	if err != nil {
		panic("prompts: the built-in file is broken: " + err.Error()) // cannot happen: a test checks the file
	}
	return s
}

// Get returns the prompt of a category and level.
func (s *Set) Get(category, level string) (Prompt, bool) { return s.ByKey(category + "/" + level) }

// ByKey returns the prompt with the key "category/level".
func (s *Set) ByKey(key string) (Prompt, bool) {
	i := slices.IndexFunc(s.Prompts, func(p Prompt) bool { return p.Key() == key })
	if i < 0 {
		return Prompt{}, false
	}
	return s.Prompts[i], true
}

// Keys lists every "category/level" in the file's order.
func (s *Set) Keys() []string {
	keys := make([]string, len(s.Prompts))
	for i, p := range s.Prompts {
		keys[i] = p.Key()
	}
	return keys
}

// Load reads a prompt file. Errors match ErrInvalid and name the key at fault.
func Load(data []byte) (*Set, error) {
	if err := withinBounds(data); err != nil {
		return nil, err
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrInvalid)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("%w: must be a JSON object of category → level → prompt: %w", ErrInvalid,
			plainjson.Error(err))
	} else if t != json.Delim('{') {
		return nil, fmt.Errorf("%w: must be a JSON object of category → level → prompt, got %s", ErrInvalid, given(t))
	}
	s := &Set{}
	var rubrics map[string]*Rubric
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, plainjson.Error(err))
		}
		key := t.(string) // an object's key is a string
		if seen[key] {
			return nil, fmt.Errorf("%w: key %q is given twice", ErrInvalid, key)
		}
		seen[key] = true
		switch key {
		case "schema_version":
			var v int
			if err := dec.Decode(&v); err != nil {
				return nil, fmt.Errorf("%w: schema_version: must be 1: %w", ErrInvalid, plainjson.Error(err))
			} else if v != 1 {
				return nil, fmt.Errorf("%w: schema_version: must be 1, got %d", ErrInvalid, v)
			}
		case "rubrics":
			if rubrics, err = readRubrics(dec); err != nil {
				return nil, err
			}
		default:
			if err := s.readCategory(dec, key); err != nil {
				return nil, err
			}
		}
	}
	if _, err := dec.Token(); err != nil { // reads the closing brace
		return nil, fmt.Errorf("%w: %w", ErrInvalid, plainjson.Error(err))
	}
	if dec.More() {
		return nil, fmt.Errorf("%w: there is more after the end of the object", ErrInvalid)
	}
	if len(s.Prompts) == 0 {
		return nil, fmt.Errorf("%w: the file has no prompt", ErrInvalid)
	}
	return s, s.attach(rubrics)
}

// Validate checks a set that was made in memory, as Load checks a file. Errors match ErrInvalid.
func (s *Set) Validate() error {
	data, err := s.Encode()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	_, err = Load(data)
	return err
}

// readCategory reads the levels and prompts of a category in the file's order.
func (s *Set) readCategory(dec *json.Decoder, category string) error {
	if category == "" || strings.Contains(category, "/") {
		return fmt.Errorf("%w: category %q: must not be empty or hold a slash", ErrInvalid, category)
	}
	if t, err := dec.Token(); err != nil {
		return fmt.Errorf("%w: %s: must be an object of level → prompt: %w", ErrInvalid, category,
			plainjson.Error(err))
	} else if t != json.Delim('{') {
		return fmt.Errorf("%w: %s: must be an object of level → prompt, got %s", ErrInvalid, category, given(t))
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrInvalid, category, plainjson.Error(err))
		}
		p := Prompt{Category: category, Level: t.(string)}
		if err := dec.Decode(&p.Text); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrInvalid, p.Key(), plainjson.Error(err))
		}
		switch _, twice := s.ByKey(p.Key()); {
		case twice:
			return fmt.Errorf("%w: %s is given twice", ErrInvalid, p.Key())
		case p.Level == "":
			return fmt.Errorf("%w: %s: a level has no name", ErrInvalid, category)
		case strings.TrimSpace(p.Text) == "":
			return fmt.Errorf("%w: %s: is empty", ErrInvalid, p.Key())
		case len(p.Text) > maxPrompt:
			return fmt.Errorf("%w: %s: %d bytes, at most %d", ErrInvalid, p.Key(), len(p.Text), maxPrompt)
		}
		s.Prompts = append(s.Prompts, p)
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, category, plainjson.Error(err))
	}
	return nil
}

// given describes the first token of a value that is no object.
func given(t json.Token) string {
	switch t := t.(type) {
	case json.Delim:
		return "a list"
	case string:
		return strconv.Quote(bounded.Short(t, 40))
	case nil:
		return "null"
	}
	return fmt.Sprint(t)
}

func readRubrics(dec *json.Decoder) (map[string]*Rubric, error) {
	var raw map[string]json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("%w: rubrics: %w", ErrInvalid, plainjson.Error(err))
	}
	rubrics := make(map[string]*Rubric, len(raw))
	for _, key := range slices.Sorted(maps.Keys(raw)) { // the same error each time
		r, err := ParseRubric(raw[key])
		if err != nil {
			return nil, fmt.Errorf("rubrics: %s: %w", key, err)
		}
		rubrics[key] = r
	}
	return rubrics, nil
}

// ParseRubric reads one rubric. Unknown keys are errors, which match ErrInvalid.
func ParseRubric(data []byte) (*Rubric, error) {
	if err := withinBounds(data); err != nil {
		return nil, err
	}
	r := &Rubric{}
	if err := plainjson.Strict(data, r, spell.Nearest); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if r.Form != "" && !slices.Contains(Forms, r.Form) {
		return nil, fmt.Errorf("%w: form: unknown form %q; known forms: %s", ErrInvalid, r.Form,
			strings.Join(Forms, ", "))
	}
	for _, group := range []struct {
		name   string
		points []Point
	}{{"points", r.Points}, {"facets", r.Facets}} {
		for i, p := range group.points {
			if p.Weight < 0 {
				return nil, fmt.Errorf("%w: %s[%d].weight: must be at least 0, got %g", ErrInvalid, group.name, i,
					p.Weight)
			}
			if len(p.Any) == 0 || slices.ContainsFunc(p.Any,
				func(t string) bool { return strings.TrimSpace(t) == "" }) {
				return nil, fmt.Errorf("%w: %s[%d].any: must have terms, none of them empty", ErrInvalid,
					group.name, i)
			}
		}
	}
	if slices.ContainsFunc(r.Answers, func(a string) bool { return strings.TrimSpace(a) == "" }) {
		return nil, fmt.Errorf("%w: answers: must not be empty texts", ErrInvalid)
	}
	return r, nil
}

// attach adds the rubrics to their prompts. A rubric without a prompt is an error, because it would have no effect and
// its author would not notice.
func (s *Set) attach(rubrics map[string]*Rubric) error {
	for i := range s.Prompts {
		key := s.Prompts[i].Key()
		s.Prompts[i].Rubric = rubrics[key]
		delete(rubrics, key)
	}
	for _, key := range slices.Sorted(maps.Keys(rubrics)) {
		return fmt.Errorf("%w: rubrics: %s: the file has no such prompt", ErrInvalid, key)
	}
	return nil
}

// Limits of a prompt file, about a hundred times the largest known one.
const (
	MostBytes  = 64 << 20
	mostValues = 500_000
	mostDepth  = 32
)

// withinBounds returns an error if decoding a text could need memory beyond a small multiple of its size.
func withinBounds(data []byte) error {
	if len(data) > MostBytes {
		return fmt.Errorf("%w: has more than %d bytes", ErrInvalid, MostBytes)
	}
	if err := bounded.JSON(data, mostValues, mostDepth); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}
