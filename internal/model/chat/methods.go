package chat

import (
	"fmt"
	"strings"
)

// method calls a method of a str, list or dict.
func (m *rendering) method(v any, name string, a arguments) (any, error) {
	if err := m.step(); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case text:
		if err := m.charge(2 * len(v.s)); err != nil {
			return nil, err
		}
		return m.textMethod(v, name, a)
	case *dict:
		return m.dictMethod(v, name, a)
	case *list:
		switch name {
		case "append":
			v.items = append(v.items, a.get(0, "", nil))
			return nil, m.charge(16)
		case "index", "count":
			n := int64(0)
			for i, x := range v.items {
				if equal(x, a.get(0, "", nil)) {
					if name == "index" {
						return int64(i), nil
					}
					n++
				}
				if err := m.step(); err != nil {
					return nil, err
				}
			}
			return n, nil
		}
	case undefined:
		return nil, fmt.Errorf("%s is undefined", v.name)
	}
	return nil, fmt.Errorf("%s has no method %s", kind(v), name)
}

// strings gives up to n arguments that are texts.
func (a arguments) texts(n int) ([]text, error) {
	var all []text
	for i, v := range a.plain {
		if i == n {
			break
		}
		switch v := v.(type) {
		case text:
			all = append(all, v)
		case nil:
			all = append(all, text{})
		case *list: // startswith takes a tuple
			return nil, nil
		default:
			return nil, fmt.Errorf("must be a str, got %s", kind(v))
		}
	}
	return all, nil
}

func (m *rendering) textMethod(v text, name string, a arguments) (any, error) {
	args, err := a.texts(2)
	if name == "split" || name == "rsplit" || name == "replace" || name == "startswith" || name == "endswith" {
		n := 1
		if name == "replace" {
			n = 2
		}
		args, err = a.texts(n)
	}
	if err != nil {
		return nil, fmt.Errorf("str.%s: %w", name, err)
	}
	first := text{}
	if len(args) > 0 {
		first = args[0]
	}
	count := -1
	if n, ok := a.get(len(args), map[string]string{"replace": "count"}[name], nil).(int64); ok {
		count = int(n)
	} else if n, ok := a.named["maxsplit"].(int64); ok {
		count = int(n)
	}
	switch name {
	case "strip":
		return v.trim(first.s, true, true), nil
	case "lstrip":
		return v.trim(first.s, true, false), nil
	case "rstrip":
		return v.trim(first.s, false, true), nil
	case "upper":
		return like(strings.ToUpper(v.s), v), nil
	case "lower":
		return like(strings.ToLower(v.s), v), nil
	case "title":
		return like(title(v.s), v), nil
	case "capitalize":
		return like(capitalize(v.s), v), nil
	case "startswith", "endswith":
		return ends(v.s, a, name == "startswith")
	case "replace":
		if len(args) < 2 {
			return nil, fmt.Errorf("str.replace takes two texts")
		}
		if n := strings.Count(v.s, first.s); first.s != "" && len(args[1].s) > 0 {
			if err := m.charge(n * (len(args[1].s) + 16)); err != nil {
				return nil, err
			}
		}
		return v.replace(first, args[1], count), nil
	case "split":
		if len(a.plain) > 0 && first.s == "" && a.plain[0] != nil {
			return nil, fmt.Errorf("empty separator")
		}
		if err := m.charge(32 * (1 + strings.Count(v.s, first.s))); first.s != "" && err != nil {
			return nil, err
		}
		l := &list{}
		for _, t := range v.split(first.s, count) {
			if err := m.step(); err != nil {
				return nil, err
			}
			l.items = append(l.items, t)
		}
		return l, nil
	case "find":
		at := strings.Index(v.s, first.s)
		if at > 0 {
			at = len([]rune(v.s[:at]))
		}
		return int64(at), nil
	case "count":
		return int64(strings.Count(v.s, first.s)), nil
	case "join":
		return m.join(v, a.get(0, "", nil))
	case "isdigit":
		return v.s != "" && strings.Trim(v.s, "0123456789") == "", nil
	}
	return nil, fmt.Errorf("str has no method %s", name)
}

// ends is startswith or endswith, whose argument may be several texts.
func ends(s string, a arguments, start bool) (any, error) {
	arg := a.get(0, "", nil)
	options := []any{arg}
	if l, ok := arg.(*list); ok {
		options = l.items
	}
	for _, o := range options {
		t, ok := o.(text)
		if !ok {
			return nil, fmt.Errorf("the argument of startswith and endswith must be a str, got %s", kind(o))
		}
		if start && strings.HasPrefix(s, t.s) || !start && strings.HasSuffix(s, t.s) {
			return true, nil
		}
	}
	return false, nil
}

// join is sep.join(items).
func (m *rendering) join(sep text, v any) (any, error) {
	items, err := m.items(v)
	if err != nil {
		return nil, err
	}
	var b builder
	for i, x := range items {
		t, err := m.str(x)
		if err != nil {
			return nil, err
		}
		if err := m.charge(len(t.s) + len(sep.s)); err != nil {
			return nil, err
		}
		if i > 0 {
			b.add(sep)
		}
		b.add(t)
	}
	return b.text(), nil
}

func (m *rendering) dictMethod(d *dict, name string, a arguments) (any, error) {
	l := &list{}
	switch name {
	case "get":
		key, err := m.str(a.get(0, "key", nil))
		if err != nil {
			return nil, err
		}
		if v, ok := d.values[key.s]; ok {
			return v, nil
		}
		return a.get(1, "default", nil), nil
	case "items":
		for _, k := range d.keys {
			l.items = append(l.items, &list{items: []any{k, d.values[k.s]}, tuple: true})
		}
	case "keys":
		for _, k := range d.keys {
			l.items = append(l.items, k)
		}
	case "values":
		for _, k := range d.keys {
			l.items = append(l.items, d.values[k.s])
		}
	case "update":
		if from, ok := a.get(0, "", nil).(*dict); ok {
			for _, k := range from.keys {
				d.set(k, from.values[k.s])
			}
		}
		return nil, m.charge(64 * len(d.keys))
	default:
		return nil, fmt.Errorf("dict has no method %s", name)
	}
	return l, m.charge(64 * len(d.keys))
}
