package grammar

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// value is a JSON document with its members in order.
type value struct {
	kind    kind
	text    string // of a string; a number as it is written
	truth   bool
	items   []*value
	members []member
}

type member struct {
	name  string
	value *value
}

// kind is a set of JSON types. Numbers without a fraction are integers.
type kind uint8

const (
	kindNull kind = 1 << iota
	kindBool
	kindInteger
	kindFraction // numbers that are not integers
	kindString
	kindArray
	kindObject

	kindNumber = kindInteger | kindFraction
	kindAny    = kindNull | kindBool | kindNumber | kindString | kindArray | kindObject
)

// get gives a member of an object; nil where there is none.
func (v *value) get(name string) *value {
	for _, m := range v.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// parseJSON reads a document.
func parseJSON(source string) (*value, error) {
	if err := checkText(source); err != nil {
		return nil, err
	}
	d := json.NewDecoder(strings.NewReader(source))
	d.UseNumber()
	v, err := readValue(d, 0)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("something follows the document")
		}
	}
	var ours *Error
	switch {
	case errors.As(err, &ours):
		return nil, err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &Error{Reason: "is not JSON: it has no end"}
	case err != nil:
		return nil, &Error{Reason: fmt.Sprintf("is not JSON: %v at byte %d", err, d.InputOffset())}
	}
	return v, nil
}

func readValue(d *json.Decoder, depth int) (*value, error) {
	if depth > maxNesting {
		return nil, tooCostly("has more than %d levels", maxNesting)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case nil:
		return &value{kind: kindNull}, nil
	case bool:
		return &value{kind: kindBool, truth: t}, nil
	case string:
		return &value{kind: kindString, text: t}, nil
	case json.Number:
		return readNumber(string(t))
	case json.Delim:
		if t == '[' {
			return readArray(d, depth)
		}
		return readObject(d, depth)
	}
	return nil, fmt.Errorf("unexpected %v", t)
}

func readNumber(s string) (*value, error) {
	if len(s) > 400 || strings.ContainsAny(s, "eE") && exponent(s) > 400 {
		return nil, tooCostly("the number %.40q is too long", s)
	}
	v := &value{kind: kindFraction, text: s}
	if r := v.number(); r != nil && r.IsInt() {
		v.kind = kindInteger
	}
	return v, nil
}

// exponent gives the size of a number's exponent, at most 1000.
func exponent(s string) int {
	n := 0
	for _, c := range s[strings.IndexAny(s, "eE")+1:] {
		if c >= '0' && c <= '9' {
			n = min(n*10+int(c-'0'), 1000)
		}
	}
	return n
}

func (v *value) number() *big.Rat {
	r, ok := new(big.Rat).SetString(v.text)
	if !ok {
		return nil
	}
	return r
}

func readArray(d *json.Decoder, depth int) (*value, error) {
	v := &value{kind: kindArray}
	for d.More() {
		item, err := readValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		v.items = append(v.items, item)
	}
	_, err := d.Token()
	return v, err
}

func readObject(d *json.Decoder, depth int) (*value, error) {
	v := &value{kind: kindObject}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		if seen[name] {
			return nil, &Error{Reason: fmt.Sprintf("has the member %q twice", name)}
		}
		seen[name] = true
		item, err := readValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		v.members = append(v.members, member{name, item})
	}
	_, err := d.Token()
	return v, err
}

// shown is a value as a message quotes it: one line, and not all of a large one.
func (v *value) shown() string { return bounded.Short(v.spelled(), 60) }

// spelled gives the shortest JSON text of a value.
func (v *value) spelled() string {
	var s strings.Builder
	v.spell(&s)
	return s.String()
}

func (v *value) spell(s *strings.Builder) {
	switch v.kind {
	case kindNull:
		s.WriteString("null")
	case kindBool:
		fmt.Fprint(s, v.truth)
	case kindInteger, kindFraction:
		s.WriteString(v.text)
	case kindString:
		s.WriteString(quote(v.text))
	case kindArray:
		s.WriteByte('[')
		for i, item := range v.items {
			if i > 0 {
				s.WriteByte(',')
			}
			item.spell(s)
		}
		s.WriteByte(']')
	case kindObject:
		s.WriteByte('{')
		for i, m := range v.members {
			if i > 0 {
				s.WriteByte(',')
			}
			s.WriteString(quote(m.name) + ":")
			m.value.spell(s)
		}
		s.WriteByte('}')
	}
}

// quote gives a JSON string without needless escapes.
func quote(s string) string {
	var out strings.Builder
	out.WriteByte('"')
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			out.WriteString(quotedByte(c))
		} else {
			out.WriteByte(c)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// same says whether two values are equal as JSON Schema has it: 1 and 1.0 are, and the order of members is nothing.
func (v *value) same(w *value) bool {
	if v.kind != w.kind {
		return false
	}
	switch v.kind {
	case kindBool:
		return v.truth == w.truth
	case kindInteger, kindFraction:
		return v.number().Cmp(w.number()) == 0
	case kindString:
		return v.text == w.text
	case kindArray:
		if len(v.items) != len(w.items) {
			return false
		}
		for i := range v.items {
			if !v.items[i].same(w.items[i]) {
				return false
			}
		}
	case kindObject:
		if len(v.members) != len(w.members) {
			return false
		}
		for _, m := range v.members {
			other := w.get(m.name)
			if other == nil || !m.value.same(other) {
				return false
			}
		}
	}
	return true
}
