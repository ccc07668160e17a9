package chat

import (
	"fmt"
	"strconv"
)

// postfix reads what follows a primary: attributes, items, calls, and filters and tests where these belong to it.
func (r *reader) postfix(x expression, err error, withFilter bool) (expression, error) {
	for err == nil {
		switch {
		case r.take('o', "."):
			w := r.next()
			if w.kind != 'n' && w.kind != 'i' {
				return nil, fmt.Errorf("must be a name behind the dot, got %q", w.text)
			}
			if w.kind == 'i' {
				n, err := strconv.ParseInt(w.text, 10, 64)
				if err != nil {
					return nil, err
				}
				x = item(x, constant(n))
				break
			}
			x, err = r.attribute(x, w.text)
		case r.take('o', "["):
			x, err = r.subscript(x)
		case r.take('o', "("):
			x, err = r.call(x)
		case withFilter && r.take('o', "|"):
			x, err = r.filter(x)
		case withFilter && r.peek() == word{'n', "is"}:
			r.next()
			x, err = r.test(x)
		default:
			return x, nil
		}
	}
	return nil, err
}

// attribute reads x.name, and x.name(…) where that is a method of a text or dict.
func (r *reader) attribute(x expression, name string) (expression, error) {
	if !r.take('o', "(") {
		return item(x, constant(own(name))), nil
	}
	args, err := r.arguments()
	if err != nil {
		return nil, err
	}
	return func(m *rendering, s *scope) (any, error) {
		v, err := x(m, s)
		if err != nil {
			return nil, err
		}
		a, err := args(m, s)
		if err != nil {
			return nil, err
		}
		if d, ok := v.(*dict); ok {
			if f, ok := d.values[name].(callable); ok {
				return f(m, a)
			}
		}
		return m.method(v, name, a)
	}, nil
}

func item(x, key expression) expression {
	return func(m *rendering, s *scope) (any, error) {
		v, err := x(m, s)
		if err != nil {
			return nil, err
		}
		k, err := key(m, s)
		if err != nil {
			return nil, err
		}
		return m.item(v, k)
	}
}

// item is v[key]; undefined where there is none, an error where v itself is undefined.
func (m *rendering) item(v, key any) (any, error) {
	if err := m.step(); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case undefined:
		return nil, fmt.Errorf("%s is undefined", v.name)
	case *dict:
		if t, ok := key.(text); ok {
			if x, ok := v.values[t.s]; ok {
				return x, nil
			}
			return undefined{t.s}, nil
		}
	case *list:
		if i, ok := index(key, len(v.items)); ok {
			return v.items[i], nil
		}
	case text:
		all, err := m.items(v)
		if err != nil {
			return nil, err
		}
		if i, ok := index(key, len(all)); ok {
			return all[i], nil
		}
	}
	t, err := m.str(key)
	return undefined{t.s}, err
}

// index is a place in n items; negative numbers count from the end.
func index(key any, n int) (int, bool) {
	i, ok := key.(int64)
	if i < 0 {
		i += int64(n)
	}
	return int(i), ok && i >= 0 && i < int64(n)
}

// subscript reads an item or a slice.
func (r *reader) subscript(x expression) (expression, error) {
	var parts [3]expression
	n, colons := 0, 0
	for !r.take('o', "]") {
		if r.take('o', ":") {
			if colons++; colons > 2 {
				return nil, fmt.Errorf("a slice has at most two colons")
			}
			n = colons
			continue
		}
		e, err := r.expression()
		if err != nil {
			return nil, err
		}
		parts[n] = e
		if w := r.peek().text; w != ":" && w != "]" {
			return nil, fmt.Errorf("must be %q, got %q", "]", w)
		}
	}
	if colons == 0 {
		if parts[0] == nil {
			return nil, fmt.Errorf("an index is missing")
		}
		return item(x, parts[0]), nil
	}
	return func(m *rendering, s *scope) (any, error) {
		v, err := x(m, s)
		if err != nil {
			return nil, err
		}
		var at [3]any
		for i, p := range parts {
			if p == nil {
				continue
			}
			if at[i], err = p(m, s); err != nil {
				return nil, err
			}
		}
		return m.cut(v, at)
	}, nil
}

// cut is v[from:to:by].
func (m *rendering) cut(v any, at [3]any) (any, error) {
	items, err := m.items(v)
	if err != nil {
		return nil, err
	}
	if err := m.charge(16 * len(items)); err != nil {
		return nil, err
	}
	n := int64(len(items))
	by := int64(1)
	if x, ok := at[2].(int64); ok {
		by = x
	}
	if by == 0 {
		return nil, fmt.Errorf("a slice with a step of 0")
	}
	low, high := int64(0), n
	from, to := int64(0), n
	if by < 0 {
		low, high, from, to = -1, n-1, n-1, -1
	}
	bound := func(v any, def int64) int64 {
		x, ok := v.(int64)
		if !ok {
			return def
		}
		if x < 0 {
			x += n
		}
		return min(max(x, low), high)
	}
	from, to = bound(at[0], from), bound(at[1], to)
	var all []any
	for i := from; by > 0 && i < to || by < 0 && i > to; i += by {
		all = append(all, items[i])
	}
	if _, ok := v.(text); !ok {
		return &list{items: all}, nil
	}
	var b builder
	for _, x := range all {
		b.add(x.(text))
	}
	return b.text(), nil
}

// arguments reads a call's arguments behind the bracket.
func (r *reader) arguments() (func(m *rendering, s *scope) (arguments, error), error) {
	var plain, named []expression
	var names []string
	for !r.take('o', ")") {
		name := ""
		if w := r.peek(); w.kind == 'n' && r.words[r.at+1] == (word{'o', "="}) {
			name = w.text
			r.at += 2
		}
		x, err := r.expression()
		if err != nil {
			return nil, err
		}
		if name == "" {
			plain = append(plain, x)
		} else {
			named, names = append(named, x), append(names, name)
		}
		if !r.take('o', ",") && r.peek().text != ")" {
			return nil, fmt.Errorf("must be %q, got %q", ")", r.peek().text)
		}
	}
	return func(m *rendering, s *scope) (arguments, error) {
		a := arguments{named: map[string]any{}, names: names}
		for _, x := range plain {
			v, err := x(m, s)
			if err != nil {
				return a, err
			}
			a.plain = append(a.plain, v)
		}
		for i, x := range named {
			v, err := x(m, s)
			if err != nil {
				return a, err
			}
			a.named[names[i]] = v
		}
		return a, m.step()
	}, nil
}

func (r *reader) call(x expression) (expression, error) {
	args, err := r.arguments()
	if err != nil {
		return nil, err
	}
	return func(m *rendering, s *scope) (any, error) {
		v, err := x(m, s)
		if err != nil {
			return nil, err
		}
		a, err := args(m, s)
		if err != nil {
			return nil, err
		}
		switch v := v.(type) {
		case callable:
			return v(m, a)
		case undefined:
			return nil, fmt.Errorf("%s is undefined", v.name)
		}
		return nil, fmt.Errorf("%s cannot be called", kind(v))
	}, nil
}

// filter reads a filter's name and arguments.
func (r *reader) filter(x expression) (expression, error) {
	name, err := r.name()
	if err != nil {
		return nil, err
	}
	f, ok := filters[name]
	if !ok {
		return nil, fmt.Errorf("unknown filter %q", name)
	}
	args := func(*rendering, *scope) (arguments, error) { return arguments{}, nil }
	if r.take('o', "(") {
		if args, err = r.arguments(); err != nil {
			return nil, err
		}
	}
	return func(m *rendering, s *scope) (any, error) {
		v, err := x(m, s)
		if err != nil {
			return nil, err
		}
		a, err := args(m, s)
		if err != nil {
			return nil, err
		}
		if err := m.step(); err != nil {
			return nil, err
		}
		return f(m, v, a)
	}, nil
}

// test reads a test's name and argument.
func (r *reader) test(x expression) (expression, error) {
	negated := r.take('n', "not")
	name := r.next()
	f, ok := tests[name.text]
	if !ok {
		return nil, fmt.Errorf("unknown test %q", name.text)
	}
	var args []expression
	var err error
	if r.take('o', "(") {
		args, _, err = r.series(")")
	} else if w := r.peek(); takesArgument[name.text] && (w.kind != 'o' || w.text == "[" || w.text == "{") {
		var arg expression
		arg, err = r.unary(false)
		args = append(args, arg)
	}
	if err != nil {
		return nil, err
	}
	return func(m *rendering, s *scope) (any, error) {
		v, err := x(m, s)
		if err != nil {
			return nil, err
		}
		var arg any
		for _, a := range args {
			if arg, err = a(m, s); err != nil {
				return nil, err
			}
		}
		holds, err := f(m, v, arg)
		return holds != negated, err
	}, nil
}
