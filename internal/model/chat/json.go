package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// readJSON gives a document of a request as values. Its texts are the request's, names of members too.
func readJSON(source string) (any, error) {
	d := json.NewDecoder(strings.NewReader(source))
	d.UseNumber()
	v, err := readNext(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON document")
	}
	return v, nil
}

func readNext(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: more than %d levels deep", ErrLimit, maxDepth)
	}
	switch t := t.(type) {
	case string:
		return theirs(t), nil
	case json.Number:
		return readNumber(string(t)), nil
	case json.Delim:
		if t == '[' {
			return readItems(d, depth)
		}
		return readMembers(d, depth)
	}
	return t, nil // nil, true and false
}

func readItems(d *json.Decoder, depth int) (any, error) {
	l := &list{}
	for d.More() {
		v, err := readNext(d, depth+1)
		if err != nil {
			return nil, err
		}
		l.items = append(l.items, v)
	}
	_, err := d.Token()
	return l, err
}

func readMembers(d *json.Decoder, depth int) (any, error) {
	m := newDict()
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := readNext(d, depth+1)
		if err != nil {
			return nil, err
		}
		name, _ := key.(string)
		m.set(theirs(name), v)
	}
	_, err := d.Token()
	return m, err
}

// readNumber gives an int or a float, as Python reads one. An int beyond 64 bits becomes a float.
func readNumber(s string) any {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return theirs(s) // beyond all floats
	}
	return f
}

// pythonJSON spells a document as Python's json.dumps does with ensure_ascii=False, which is what models were trained
// on.
func pythonJSON(source string) (string, error) {
	v, err := readJSON(source)
	if err != nil {
		return "", err
	}
	return dump(v)
}

func dump(v any) (string, error) {
	m := &rendering{work: leastWork}
	t, err := m.json(v, "", "\n")
	return t.s, err
}

// jsonOr gives a text as the document that it is, or as a text.
func jsonOr(content string) any {
	if v, err := readJSON(content); err == nil {
		return v
	}
	return theirs(content)
}

// members makes a dict of names and values in turn.
func members(pairs ...any) *dict {
	d := newDict()
	for i := 0; i < len(pairs); i += 2 {
		name, _ := pairs[i].(string)
		d.set(own(name), pairs[i+1])
	}
	return d
}
