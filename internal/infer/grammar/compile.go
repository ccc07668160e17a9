package grammar

import (
	"errors"
	"fmt"
	"sync"
)

// Kind says how a source is written.
type Kind string

// The kinds. "ebnf" is GBNF if the source has "::=", and Lark if not.
const (
	JSONObject Kind = "json_object" // any JSON object; the source is empty
	JSONSchema Kind = "json_schema"
	Regex      Kind = "regex"
	GBNF       Kind = "gbnf"
	Lark       Kind = "lark"
	EBNF       Kind = "ebnf"
	Choice     Kind = "choice" // one of Spec.Choices
	Tagged     Kind = "tags"   // Spec.Tags
)

// Spec is what an answer is held to.
type Spec struct {
	Kind    Kind
	Source  string
	Choices []string
	Tags    *Tags
}

// ErrCostly is matched by errors about sources that would cost too much time or memory.
var ErrCostly = errors.New("grammar too costly")

// Error says what is wrong with a source, and where.
type Error struct {
	Where  string // "#/properties/a/minLength" of a schema, "line 3, column 5" of a grammar; empty: as a whole
	Reason string
	costly bool
	Tag    int // the number of the tag that is wrong, from 1; 0: none
}

// Error gives "where: reason".
func (e *Error) Error() string {
	if e.Where == "" {
		return e.Reason
	}
	return e.Where + ": " + e.Reason
}

// Is makes errors about bounds match ErrCostly.
func (e *Error) Is(target error) bool { return e.costly && target == ErrCostly }

func tooCostly(format string, args ...any) error {
	return &Error{Reason: fmt.Sprintf(format, args...), costly: true}
}

// at says where an error is, if that is not known yet.
func at(where string, err error) error {
	var e *Error
	if errors.As(err, &e) && e.Where == "" {
		return &Error{where, e.Reason, e.costly, e.Tag}
	}
	return err
}

// Grammar is a compiled source. It remembers the states that answers come to, so its use makes it faster. It is safe
// for concurrent use.
type Grammar struct {
	mu sync.Mutex
	m  *automaton
	w  *walker
}

// Compile makes a grammar of a source, for a vocabulary. Its errors are of type *Error.
func Compile(s Spec, v *Vocabulary) (*Grammar, error) {
	r, err := read(s)
	if err != nil {
		return nil, err
	}
	m, err := build(r)
	if err != nil {
		return nil, err
	}
	g := &Grammar{m: m, w: newWalker(m, v)}
	// What is too costly shows most often at once.
	if _, err := g.w.mask(g.m.start); err != nil {
		return nil, err
	}
	return g, nil
}

// Check says what is wrong with a source, without a vocabulary.
func Check(s Spec) error {
	r, err := read(s)
	if err == nil {
		_, err = build(r)
	}
	return err
}

func read(s Spec) (*rules, error) {
	if len(s.Source) > maxSource {
		return nil, tooCostly("has %d bytes, at most %d are allowed", len(s.Source), maxSource)
	}
	switch s.Kind {
	case JSONObject:
		return readJSONObject()
	case JSONSchema:
		return readSchema(s.Source)
	case Regex:
		return readRegex(s.Source)
	case GBNF:
		return readGBNF(s.Source)
	case Lark:
		return readLark(s.Source)
	case EBNF:
		return readEBNF(s.Source)
	case Choice:
		return readChoices(s.Choices)
	case Tagged:
		return readTags(s.Tags)
	}
	return nil, &Error{Reason: fmt.Sprintf("unknown kind of grammar %q", s.Kind)}
}

func readChoices(choices []string) (*rules, error) {
	if len(choices) == 0 {
		return nil, &Error{Reason: "must list at least one choice"}
	}
	var subs []*expr
	total := 0
	for i, c := range choices {
		if err := checkText(c); err != nil {
			return nil, at(fmt.Sprintf("[%d]", i), err)
		}
		if total += len(c); total > maxSource {
			return nil, tooCostly("the choices have more than %d bytes", maxSource)
		}
		subs = append(subs, text(c))
	}
	return &rules{names: []string{"root"}, bodies: []*expr{alt(subs...)}}, nil
}
