package chat

import "fmt"

// loop reads for … in … [if …], else and endfor.
func (p *parser) loop(r *reader) (statement, error) {
	names, err := r.targets()
	if err != nil {
		return nil, err
	}
	if !r.take('n', "in") {
		return nil, fmt.Errorf("must be in, got %q", r.peek().text)
	}
	over, err := r.or() // a condition behind it belongs to the loop
	if err != nil {
		return nil, err
	}
	var only expression
	if r.take('n', "if") {
		if only, err = r.or(); err != nil {
			return nil, err
		}
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	body, end, _, err := p.block("else", "endfor")
	if err != nil {
		return nil, err
	}
	var empty statement
	if end == "else" {
		if empty, _, _, err = p.block("endfor"); err != nil {
			return nil, err
		}
	}
	return func(m *rendering, s *scope, out *builder) error {
		v, err := over(m, s)
		if err != nil {
			return err
		}
		items, err := m.chosenItems(v, names, only, s)
		if err != nil {
			return err
		}
		if len(items) == 0 && empty != nil {
			return empty(m, s, out)
		}
		return m.run(items, names, body, s, out)
	}, nil
}

// chosenItems gives the items for which a loop's condition holds.
func (m *rendering) chosenItems(v any, names []string, only expression, s *scope) ([]any, error) {
	items, err := m.items(v)
	if err != nil || only == nil {
		return items, err
	}
	var all []any
	for _, x := range items {
		inner := s.inner()
		if err := m.bind(inner, names, x); err != nil {
			return nil, err
		}
		holds, err := only(m, inner)
		if err != nil {
			return nil, err
		}
		if truth(holds) {
			all = append(all, x)
		}
	}
	return all, nil
}

// run goes through a loop.
func (m *rendering) run(items []any, names []string, body statement, s *scope, out *builder) error {
	if err := m.enter(); err != nil {
		return err
	}
	defer m.leave()
	n := len(items)
	for i, x := range items {
		if err := m.charge(512); err != nil { // for the loop's own variables
			return err
		}
		inner := s.inner()
		if err := m.bind(inner, names, x); err != nil {
			return err
		}
		loop := newDict()
		for name, v := range map[string]any{"index": int64(i + 1), "index0": int64(i), "first": i == 0,
			"last": i == n-1, "length": int64(n), "revindex": int64(n - i), "revindex0": int64(n - i - 1)} {
			loop.values[name] = v
		}
		if i > 0 {
			loop.values["previtem"] = items[i-1]
		}
		if i < n-1 {
			loop.values["nextitem"] = items[i+1]
		}
		loop.values["cycle"] = callable(func(_ *rendering, a arguments) (any, error) {
			if len(a.plain) == 0 {
				return nil, fmt.Errorf("cycle of nothing")
			}
			return a.plain[i%len(a.plain)], nil
		})
		inner.names["loop"] = loop
		switch err := body(m, inner, out); err {
		case nil, errContinue:
		case errBreak:
			return nil
		default:
			return err
		}
	}
	return nil
}

// macro reads macro name(a, b=…) and endmacro.
func (p *parser) macro(r *reader) (statement, error) {
	name, err := r.name()
	if err != nil {
		return nil, err
	}
	if err := r.need("("); err != nil {
		return nil, err
	}
	var names []string
	var defaults []expression
	for !r.take('o', ")") {
		n, err := r.name()
		if err != nil {
			return nil, err
		}
		var def expression
		if r.take('o', "=") {
			if def, err = r.expression(); err != nil {
				return nil, err
			}
		}
		names, defaults = append(names, n), append(defaults, def)
		if !r.take('o', ",") && r.peek().text != ")" {
			return nil, fmt.Errorf("must be %q, got %q", ")", r.peek().text)
		}
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	body, _, _, err := p.block("endmacro")
	if err != nil {
		return nil, err
	}
	return func(_ *rendering, s *scope, _ *builder) error {
		s.names[name] = callable(func(m *rendering, a arguments) (any, error) {
			if err := m.enter(); err != nil {
				return nil, err
			}
			defer m.leave()
			inner := s.inner()
			for i, n := range names {
				v := a.get(i, n, undefined{n})
				if _, missing := v.(undefined); missing && defaults[i] != nil {
					var err error
					if v, err = defaults[i](m, inner); err != nil {
						return nil, err
					}
				}
				inner.names[n] = v
			}
			var b builder
			err := body(m, inner, &b)
			return b.text(), err
		})
		return nil
	}, nil
}
