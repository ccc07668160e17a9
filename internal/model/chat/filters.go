package chat

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type filter func(m *rendering, v any, a arguments) (any, error)

// filters are what may stand behind "|".
var filters map[string]filter

func init() { // filters and tests refer to each other
	filters = map[string]filter{
		"trim": method("strip"), "upper": method("upper"), "lower": method("lower"), "title": method("title"),
		"capitalize": method("capitalize"), "replace": method("replace"), "items": method("items"),
		"length": length, "count": length, "default": byDefault, "d": byDefault, "join": joined, "first": first,
		"last": last, "list": aList, "string": aString, "safe": aString, "int": aInt, "float": aFloat, "abs": abs,
		"tojson": toJSON, "map": mapped, "select": chosen(false, true), "reject": chosen(false, false),
		"selectattr": chosen(true, true), "rejectattr": chosen(true, false), "reverse": reversed, "unique": unique,
		"sort": sorted, "indent": indent, "dictsort": dictSort, "sum": sum, "max": extreme(1), "min": extreme(-1),
		"wordcount": wordCount,
	}
}

// method makes a filter of a method of str or dict; other values become a str.
func method(name string) filter {
	return func(m *rendering, v any, a arguments) (any, error) {
		if _, ok := v.(*dict); !ok || name != "items" {
			t, err := m.str(v)
			if err != nil {
				return nil, err
			}
			v = t
		}
		return m.method(v, name, a)
	}
}

func length(m *rendering, v any, _ arguments) (any, error) {
	if t, ok := v.(text); ok {
		return int64(utf8.RuneCountInString(t.s)), m.charge(len(t.s))
	}
	if _, ok := v.(undefined); ok {
		return int64(0), nil
	}
	items, err := m.items(v)
	return int64(len(items)), err
}

func byDefault(_ *rendering, v any, a arguments) (any, error) {
	_, missing := v.(undefined)
	if missing || truth(a.get(1, "boolean", false)) && !truth(v) {
		return a.get(0, "default_value", text{}), nil
	}
	return v, nil
}

func joined(m *rendering, v any, a arguments) (any, error) {
	sep, err := m.str(a.get(0, "d", text{}))
	if err != nil {
		return nil, err
	}
	if name := a.get(1, "attribute", nil); name != nil {
		if v, err = mapped(m, v, arguments{named: map[string]any{"attribute": name}}); err != nil {
			return nil, err
		}
	}
	return m.join(sep, v)
}

func first(m *rendering, v any, _ arguments) (any, error) {
	items, err := m.items(v)
	if err != nil || len(items) == 0 {
		return undefined{"the first of nothing"}, err
	}
	return items[0], nil
}

func last(m *rendering, v any, _ arguments) (any, error) {
	items, err := m.items(v)
	if err != nil || len(items) == 0 {
		return undefined{"the last of nothing"}, err
	}
	return items[len(items)-1], nil
}

func aList(m *rendering, v any, _ arguments) (any, error) {
	items, err := m.items(v)
	return &list{items: append([]any(nil), items...)}, firstError(err, m.charge(16*len(items)))
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func aString(m *rendering, v any, _ arguments) (any, error) { return m.str(v) }

func aInt(_ *rendering, v any, a arguments) (any, error) {
	def := a.get(0, "default", int64(0))
	if f, ok := numberOf(v); ok {
		if f > -1<<62 && f < 1<<62 {
			return int64(f), nil
		}
		return def, nil
	}
	if t, ok := v.(text); ok {
		s := strings.TrimSpace(t.s)
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, nil
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && f > -1<<62 && f < 1<<62 {
			return int64(f), nil
		}
	}
	return def, nil
}

func aFloat(_ *rendering, v any, a arguments) (any, error) {
	if f, ok := numberOf(v); ok {
		return f, nil
	}
	if t, ok := v.(text); ok {
		if f, err := strconv.ParseFloat(strings.TrimSpace(t.s), 64); err == nil {
			return f, nil
		}
	}
	return a.get(0, "default", 0.0), nil
}

func abs(m *rendering, v any, _ arguments) (any, error) {
	if f, ok := numberOf(v); ok && f < 0 {
		return m.arithmetic("-", int64(0), v)
	}
	return v, nil
}

// toJSON is json.dumps as Transformers has it: characters as they are, a space behind commas and colons.
func toJSON(m *rendering, v any, a arguments) (any, error) {
	step, err := m.str(a.get(0, "indent", text{}))
	if err != nil {
		return nil, err
	}
	indent := ""
	if n, ok := a.get(0, "indent", nil).(int64); ok && n >= 0 && n <= 16 {
		indent = "\n" + strings.Repeat(" ", int(n))
	} else if step.s != "" {
		return nil, fmt.Errorf("tojson: indent must be a number of 0 to 16")
	}
	return m.json(v, indent, "\n")
}

func (m *rendering) json(v any, indent, line string) (text, error) {
	if err := m.enter(); err != nil {
		return text{}, err
	}
	defer m.leave()
	switch v := v.(type) {
	case nil:
		return own("null"), nil
	case bool:
		return own(strconv.FormatBool(v)), nil
	case int64, float64:
		return m.repr(v)
	case text:
		return jsonText(v), m.charge(2 * len(v.s))
	case *list:
		return m.jsonItems("[", "]", len(v.items), indent, line, func(i int, line string) (text, error) {
			return m.json(v.items[i], indent, line)
		})
	case *dict:
		return m.jsonItems("{", "}", len(v.keys), indent, line, func(i int, line string) (text, error) {
			value, err := m.json(v.values[v.keys[i].s], indent, line)
			return concat(jsonText(v.keys[i]), own(": "), value), err
		})
	}
	return text{}, fmt.Errorf("tojson: %s has no JSON", kind(v))
}

// jsonText is a text as JSON, with the marks of what is whose where nothing had to be escaped.
func jsonText(t text) text {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(t.s) != nil {
		return own(`""`)
	}
	s := strings.TrimSuffix(b.String(), "\n")
	s = strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029", `\u0008`, `\b`, `\u000c`, `\f`).Replace(s)
	return like(s, t)
}

func (m *rendering) jsonItems(open, end string, n int, indent, line string,
	at func(i int, line string) (text, error)) (text, error) {
	if n == 0 {
		return own(open + end), nil
	}
	var b builder
	b.add(own(open))
	inner := line + strings.TrimPrefix(indent, "\n")
	for i := range n {
		switch {
		case indent != "" && i > 0:
			b.add(own("," + inner))
		case indent != "":
			b.add(own(inner))
		case i > 0:
			b.add(own(", "))
		}
		t, err := at(i, inner)
		if err != nil {
			return text{}, err
		}
		if err := m.charge(len(t.s) + len(inner) + stepCost); err != nil {
			return text{}, err
		}
		b.add(t)
	}
	if indent != "" {
		b.add(own(line))
	}
	b.add(own(end))
	return b.text(), nil
}

// path is v.a.b for "a.b".
func (m *rendering) path(v any, name text) (any, error) {
	for _, part := range strings.Split(name.s, ".") {
		var key any = own(part)
		if n, err := strconv.ParseInt(part, 10, 64); err == nil {
			key = n
		}
		var err error
		if v, err = m.item(v, key); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func mapped(m *rendering, v any, a arguments) (any, error) {
	items, err := m.items(v)
	if err != nil {
		return nil, err
	}
	l := &list{}
	name, byName := a.named["attribute"].(text)
	for _, x := range items {
		switch {
		case byName:
			x, err = m.path(x, name)
			if _, missing := x.(undefined); missing && err == nil {
				x = a.get(99, "default", x)
			}
		case len(a.plain) > 0:
			t, _ := a.plain[0].(text)
			f, ok := filters[t.s]
			if !ok {
				return nil, fmt.Errorf("map: unknown filter %q", t.s)
			}
			x, err = f(m, x, arguments{plain: a.plain[1:], named: a.named})
		}
		if err := firstError(err, m.step()); err != nil {
			return nil, err
		}
		l.items = append(l.items, x)
	}
	return l, nil
}

// chosen makes the filters that keep or drop items for which a test holds, of themselves or of an attribute.
func chosen(byAttribute, keep bool) filter {
	return func(m *rendering, v any, a arguments) (any, error) {
		items, err := m.items(v)
		if err != nil {
			return nil, err
		}
		args := a.plain
		var name text
		if byAttribute {
			if len(args) == 0 {
				return nil, fmt.Errorf("an attribute is missing")
			}
			name, _ = args[0].(text)
			args = args[1:]
		}
		test := func(_ *rendering, v, _ any) (bool, error) { return truth(v), nil }
		var arg any
		if len(args) > 0 {
			t, _ := args[0].(text)
			var ok bool
			if test, ok = tests[map[string]string{"==": "eq", "!=": "ne", "<": "lt", ">": "gt"}[t.s]]; !ok {
				if test, ok = tests[t.s]; !ok {
					return nil, fmt.Errorf("unknown test %q", t.s)
				}
			}
			if len(args) > 1 {
				arg = args[1]
			}
		}
		l := &list{}
		for _, x := range items {
			of := x
			if byAttribute {
				if of, err = m.path(x, name); err != nil {
					return nil, err
				}
			}
			holds, err := test(m, of, arg)
			if err := firstError(err, m.step()); err != nil {
				return nil, err
			}
			if holds == keep {
				l.items = append(l.items, x)
			}
		}
		return l, nil
	}
}

func reversed(m *rendering, v any, _ arguments) (any, error) {
	items, err := m.items(v)
	if err != nil {
		return nil, err
	}
	l := &list{items: make([]any, len(items))}
	for i, x := range items {
		l.items[len(items)-1-i] = x
	}
	if _, ok := v.(text); ok {
		return m.join(text{}, l)
	}
	return l, m.charge(16 * len(items))
}

func unique(m *rendering, v any, _ arguments) (any, error) {
	items, err := m.items(v)
	if err != nil {
		return nil, err
	}
	l := &list{}
	for _, x := range items {
		in, err := m.contains(l, x)
		if err != nil {
			return nil, err
		}
		if !in {
			l.items = append(l.items, x)
		}
	}
	return l, nil
}

func sorted(m *rendering, v any, a arguments) (any, error) {
	items, err := m.items(v)
	if err != nil {
		return nil, err
	}
	if err := m.charge(len(items) * 16 * 20); err != nil {
		return nil, err
	}
	l := &list{items: append([]any(nil), items...)}
	var failed error
	key := func(x any) any {
		if name, ok := a.named["attribute"].(text); ok {
			v, err := m.path(x, name)
			failed = firstError(failed, err)
			return v
		}
		return x
	}
	down := truth(a.get(0, "reverse", false))
	sort.SliceStable(l.items, func(i, j int) bool {
		if down {
			i, j = j, i
		}
		c, err := compare(key(l.items[i]), key(l.items[j]))
		failed = firstError(failed, err)
		return c < 0
	})
	return l, failed
}

func dictSort(m *rendering, v any, _ arguments) (any, error) {
	d, ok := v.(*dict)
	if !ok {
		return nil, fmt.Errorf("dictsort: %s is not a dict", kind(v))
	}
	l := &list{}
	for _, k := range d.keys {
		l.items = append(l.items, &list{items: []any{k, d.values[k.s]}, tuple: true})
	}
	sort.SliceStable(l.items, func(i, j int) bool {
		a, b := l.items[i].(*list).items[0].(text), l.items[j].(*list).items[0].(text)
		return strings.ToLower(a.s) < strings.ToLower(b.s)
	})
	return l, m.charge(len(d.keys) * 64)
}

func sum(m *rendering, v any, _ arguments) (any, error) {
	items, err := m.items(v)
	var total any = int64(0)
	for _, x := range items {
		if err == nil {
			total, err = m.arithmetic("+", total, x)
		}
	}
	return total, err
}

func extreme(sign int) filter {
	return func(m *rendering, v any, _ arguments) (any, error) {
		items, err := m.items(v)
		if err != nil || len(items) == 0 {
			return undefined{"the extreme of nothing"}, err
		}
		best := items[0]
		for _, x := range items[1:] {
			c, err := compare(x, best)
			if err := firstError(err, m.step()); err != nil {
				return nil, err
			}
			if c*sign > 0 {
				best = x
			}
		}
		return best, nil
	}
}

func wordCount(m *rendering, v any, _ arguments) (any, error) {
	t, err := m.str(v)
	return int64(len(strings.Fields(t.s))), firstError(err, m.charge(len(t.s)))
}

// indent puts blanks before every line but the first.
func indent(m *rendering, v any, a arguments) (any, error) {
	t, err := m.str(v)
	if err != nil {
		return nil, err
	}
	pad := "    "
	switch w := a.get(0, "width", nil).(type) {
	case int64:
		if w < 0 || w > 256 {
			return nil, fmt.Errorf("indent of %d", w)
		}
		pad = strings.Repeat(" ", int(w))
	case text:
		pad = w.s
	}
	if err := m.charge((len(pad) + 1) * (1 + strings.Count(t.s, "\n"))); err != nil {
		return nil, err
	}
	var b builder
	for i, l := range t.split("\n", -1) {
		if i > 0 {
			b.add(own("\n"))
		}
		if i == 0 && truth(a.get(1, "first", false)) || i > 0 && (l.s != "" || truth(a.get(2, "blank", false))) {
			b.add(own(pad))
		}
		b.add(l)
	}
	return b.text(), nil
}

func title(s string) string {
	var b strings.Builder
	start := true
	for _, r := range s {
		if start {
			b.WriteRune(unicode.ToTitle(r))
		} else {
			b.WriteRune(unicode.ToLower(r))
		}
		start = !unicode.IsLetter(r)
	}
	return b.String()
}

func capitalize(s string) string {
	n := 0
	if s != "" {
		n = runeLen(s)
	}
	return strings.ToUpper(s[:n]) + strings.ToLower(s[n:])
}
