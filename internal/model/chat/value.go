package chat

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Values are nil (none), bool, int64, float64, text, *list, *dict, undefined and callable.
type (
	list struct {
		items []any
		tuple bool // shown in round brackets
	}

	// dict keeps its keys in the order in which they came.
	dict struct {
		keys   []text
		values map[string]any
	}

	// undefined is what a name or attribute gives that is not there.
	undefined struct{ name string }

	// callable is a function or macro.
	callable func(m *rendering, args arguments) (any, error)
)

// arguments of a call.
type arguments struct {
	plain []any
	named map[string]any
	names []string // of named, in the order of the call
}

// get gives the i-th argument or the one of that name; def where there is neither.
func (a arguments) get(i int, name string, def any) any {
	if i < len(a.plain) {
		return a.plain[i]
	}
	if v, ok := a.named[name]; ok {
		return v
	}
	return def
}

func newDict() *dict { return &dict{values: map[string]any{}} }

func (d *dict) set(key text, v any) {
	if _, ok := d.values[key.s]; !ok {
		d.keys = append(d.keys, key)
	}
	d.values[key.s] = v
}

// truth is Python's bool().
func truth(v any) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case text:
		return v.s != ""
	case *list:
		return len(v.items) > 0
	case *dict:
		return len(v.keys) > 0
	}
	return true
}

// kind names a value's type as Python does.
func kind(v any) string {
	switch v.(type) {
	case nil:
		return "none"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case text:
		return "str"
	case *list:
		return "list"
	case *dict:
		return "dict"
	case undefined:
		return "undefined"
	}
	return "function"
}

// str is Python's str().
func (m *rendering) str(v any) (text, error) {
	switch v := v.(type) {
	case text:
		return v, nil
	case undefined:
		return text{}, nil
	}
	return m.repr(v)
}

// repr is Python's repr().
func (m *rendering) repr(v any) (text, error) {
	if err := m.step(); err != nil {
		return text{}, err
	}
	switch v := v.(type) {
	case nil:
		return own("None"), nil
	case bool:
		if v {
			return own("True"), nil
		}
		return own("False"), nil
	case int64:
		return own(strconv.FormatInt(v, 10)), nil
	case float64:
		return own(floatText(v)), nil
	case text:
		return like(pythonQuote(v.s), v), m.charge(len(v.s))
	case *list:
		if v.tuple {
			end := ")"
			if len(v.items) == 1 {
				end = ",)"
			}
			return m.sequence("(", end, len(v.items), func(i int) (text, error) { return m.repr(v.items[i]) })
		}
		return m.sequence("[", "]", len(v.items), func(i int) (text, error) { return m.repr(v.items[i]) })
	case *dict:
		return m.sequence("{", "}", len(v.keys), func(i int) (text, error) {
			key, err := m.repr(v.keys[i])
			if err != nil {
				return text{}, err
			}
			value, err := m.repr(v.values[v.keys[i].s])
			return concat(key, own(": "), value), err
		})
	case undefined:
		return own("Undefined"), nil
	}
	return own("<function>"), nil
}

// sequence joins n texts with commas.
func (m *rendering) sequence(open, end string, n int, at func(int) (text, error)) (text, error) {
	if err := m.enter(); err != nil { // what holds itself has no end
		return text{}, err
	}
	defer m.leave()
	var b builder
	b.add(own(open))
	for i := range n {
		if i > 0 {
			b.add(own(", "))
		}
		t, err := at(i)
		if err != nil {
			return text{}, err
		}
		if err := m.charge(len(t.s)); err != nil {
			return text{}, err
		}
		b.add(t)
	}
	b.add(own(end))
	return b.text(), nil
}

// floatText is Python's repr of a float: an exponent only below 1e-4 and from 1e16 on.
func floatText(f float64) string {
	abs := math.Abs(f)
	switch {
	case f == math.Trunc(f) && abs < 1e16:
		return strconv.FormatFloat(f, 'f', 1, 64)
	case abs >= 1e-4 && abs < 1e16:
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'e', -1, 64)
}

// pythonQuote is repr of a str.
func pythonQuote(s string) string {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var b strings.Builder
	b.WriteByte(quote)
	for _, r := range s {
		switch {
		case r == rune(quote) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte(quote)
	return b.String()
}

// equal is Python's ==.
func equal(a, b any) bool { return equalTo(a, b, 0) }

func equalTo(a, b any, depth int) bool {
	if x, ok := numberOf(a); ok {
		y, ok := numberOf(b)
		return ok && x == y
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case text:
		t, ok := b.(text)
		return ok && a.s == t.s
	case undefined:
		_, ok := b.(undefined)
		return ok
	case *list:
		l, ok := b.(*list)
		if !ok || len(a.items) != len(l.items) || depth > maxDepth {
			return false
		}
		for i := range a.items {
			if !equalTo(a.items[i], l.items[i], depth+1) {
				return false
			}
		}
		return true
	case *dict:
		d, ok := b.(*dict)
		if !ok || len(a.keys) != len(d.keys) || depth > maxDepth {
			return false
		}
		for k, v := range a.values {
			if w, ok := d.values[k]; !ok || !equalTo(v, w, depth+1) {
				return false
			}
		}
		return true
	}
	return false
}

// numberOf gives a number's value; a bool is 0 or 1, as in Python.
func numberOf(v any) (float64, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// compare orders numbers and texts.
func compare(a, b any) (int, error) {
	x, okA := numberOf(a)
	y, okB := numberOf(b)
	if okA && okB {
		switch {
		case x < y:
			return -1, nil
		case x > y:
			return 1, nil
		}
		return 0, nil
	}
	s, okA := a.(text)
	t, okB := b.(text)
	if okA && okB {
		return strings.Compare(s.s, t.s), nil
	}
	return 0, fmt.Errorf("cannot compare %s with %s", kind(a), kind(b))
}

// items gives what a for loop goes through.
func (m *rendering) items(v any) ([]any, error) {
	switch v := v.(type) {
	case *list:
		return v.items, nil
	case *dict:
		all := make([]any, len(v.keys))
		for i, k := range v.keys {
			all[i] = k
		}
		return all, m.charge(16 * len(all))
	case text:
		var all []any
		for i := 0; i < len(v.s); {
			n := runeLen(v.s[i:])
			all = append(all, v.slice(i, i+n))
			i += n
			if err := m.charge(64); err != nil {
				return nil, err
			}
		}
		return all, nil
	case undefined:
		return nil, fmt.Errorf("%s is undefined", v.name)
	}
	return nil, fmt.Errorf("%s is not iterable", kind(v))
}

// contains is Python's in.
func (m *rendering) contains(in, v any) (bool, error) {
	switch in := in.(type) {
	case text:
		t, ok := v.(text)
		if !ok {
			return false, fmt.Errorf("the value before 'in <str>' must be a str, got %s", kind(v))
		}
		return strings.Contains(in.s, t.s), m.charge(len(in.s))
	case *list:
		for _, x := range in.items {
			if err := m.step(); err != nil {
				return false, err
			}
			if equal(x, v) {
				return true, nil
			}
		}
		return false, nil
	case *dict:
		t, ok := v.(text)
		if !ok {
			return false, nil
		}
		_, ok = in.values[t.s]
		return ok, nil
	case undefined:
		return false, fmt.Errorf("%s is undefined", in.name)
	}
	return false, fmt.Errorf("%s has no members", kind(in))
}
