package chat

import (
	"fmt"
	"strconv"
)

// expression is a compiled expression.
type expression func(m *rendering, s *scope) (any, error)

// reader goes through the words of a tag. Each method reads one level of Jinja's grammar, the weakest first.
type reader struct {
	words []word
	at    int
	depth int
}

func (r *reader) peek() word { return r.words[r.at] }

func (r *reader) next() word {
	w := r.words[r.at]
	if w.kind != 0 {
		r.at++
	}
	return w
}

// take goes past an operator or name if it comes next.
func (r *reader) take(kind byte, s string) bool {
	if w := r.peek(); w.kind == kind && w.text == s {
		r.next()
		return true
	}
	return false
}

func (r *reader) need(s string) error {
	if !r.take('o', s) {
		return fmt.Errorf("must be %q, got %q", s, r.peek().text)
	}
	return nil
}

func (r *reader) name() (string, error) {
	w := r.next()
	if w.kind != 'n' {
		return "", fmt.Errorf("must be a name, got %q", w.text)
	}
	return w.text, nil
}

// expression reads a condition: a if b else c.
func (r *reader) expression() (expression, error) {
	if r.depth++; r.depth > maxDepth {
		return nil, fmt.Errorf("more than %d levels deep", maxDepth)
	}
	defer func() { r.depth-- }()
	x, err := r.or()
	for err == nil && r.take('n', "if") {
		var cond, other expression
		if cond, err = r.or(); err != nil {
			return nil, err
		}
		if r.take('n', "else") {
			if other, err = r.expression(); err != nil {
				return nil, err
			}
		}
		x = choose(x, cond, other)
	}
	return x, err
}

func choose(x, cond, other expression) expression {
	return func(m *rendering, s *scope) (any, error) {
		c, err := cond(m, s)
		switch {
		case err != nil:
			return nil, err
		case truth(c):
			return x(m, s)
		case other != nil:
			return other(m, s)
		}
		return undefined{"the value of an if without else"}, nil
	}
}

func (r *reader) or() (expression, error) {
	x, err := r.and()
	for err == nil && r.take('n', "or") {
		var y expression
		a := x
		if y, err = r.and(); err == nil {
			x = func(m *rendering, s *scope) (any, error) {
				v, err := a(m, s)
				if err != nil || truth(v) {
					return v, err
				}
				return y(m, s)
			}
		}
	}
	return x, err
}

func (r *reader) and() (expression, error) {
	x, err := r.not()
	for err == nil && r.take('n', "and") {
		var y expression
		a := x
		if y, err = r.not(); err == nil {
			x = func(m *rendering, s *scope) (any, error) {
				v, err := a(m, s)
				if err != nil || !truth(v) {
					return v, err
				}
				return y(m, s)
			}
		}
	}
	return x, err
}

func (r *reader) not() (expression, error) {
	negated := false
	for r.take('n', "not") {
		negated = !negated
		if r.at > len(r.words) {
			break
		}
	}
	x, err := r.comparison()
	if err != nil || !negated {
		return x, err
	}
	return func(m *rendering, s *scope) (any, error) {
		v, err := x(m, s)
		return !truth(v), err
	}, nil
}

var comparisons = map[string]func(c int) bool{
	"<": func(c int) bool { return c < 0 }, "<=": func(c int) bool { return c <= 0 },
	">": func(c int) bool { return c > 0 }, ">=": func(c int) bool { return c >= 0 },
}

// relation is one comparison of a chain: a < b < c.
type relation struct {
	holds func(m *rendering, a, b any) (bool, error)
	right expression
}

func (r *reader) comparison() (expression, error) {
	x, err := r.sum()
	if err != nil {
		return nil, err
	}
	var chain []relation
	for {
		holds := r.relation()
		if holds == nil {
			break
		}
		right, err := r.sum()
		if err != nil {
			return nil, err
		}
		chain = append(chain, relation{holds, right})
	}
	if chain == nil {
		return x, nil
	}
	return func(m *rendering, s *scope) (any, error) {
		a, err := x(m, s)
		for _, c := range chain {
			if err != nil {
				return nil, err
			}
			var b any
			if b, err = c.right(m, s); err != nil {
				return nil, err
			}
			if ok, err := c.holds(m, a, b); err != nil || !ok {
				return false, err
			}
			a = b
		}
		return true, nil
	}, nil
}

// relation reads a comparing operator; nil if there is none.
func (r *reader) relation() func(m *rendering, a, b any) (bool, error) {
	w := r.peek()
	if order, ok := comparisons[w.text]; ok && w.kind == 'o' {
		r.next()
		return func(_ *rendering, a, b any) (bool, error) {
			c, err := compare(a, b)
			return err == nil && order(c), err
		}
	}
	switch {
	case r.take('o', "=="):
		return func(m *rendering, a, b any) (bool, error) { return equal(a, b), m.step() }
	case r.take('o', "!="):
		return func(m *rendering, a, b any) (bool, error) { return !equal(a, b), m.step() }
	case r.take('n', "in"):
		return func(m *rendering, a, b any) (bool, error) { return m.contains(b, a) }
	case w.kind == 'n' && w.text == "not" && r.words[r.at+1] == word{'n', "in"}:
		r.at += 2
		return func(m *rendering, a, b any) (bool, error) {
			in, err := m.contains(b, a)
			return !in, err
		}
	}
	return nil
}

// binary reads operands of a level with the operators of ops between them.
func (r *reader) binary(operand func() (expression, error), ops ...string) (expression, error) {
	x, err := operand()
	for err == nil {
		op := ""
		for _, o := range ops {
			if op == "" && r.take('o', o) {
				op = o
			}
		}
		if op == "" {
			break
		}
		var y expression
		if y, err = operand(); err != nil {
			return nil, err
		}
		x = combine(op, x, y)
	}
	return x, err
}

func combine(op string, x, y expression) expression {
	return func(m *rendering, s *scope) (any, error) {
		a, err := x(m, s)
		if err != nil {
			return nil, err
		}
		b, err := y(m, s)
		if err != nil {
			return nil, err
		}
		if err := m.step(); err != nil {
			return nil, err
		}
		return m.arithmetic(op, a, b)
	}
}

func (r *reader) sum() (expression, error)     { return r.binary(r.joined, "+", "-") }
func (r *reader) joined() (expression, error)  { return r.binary(r.product, "~") }
func (r *reader) product() (expression, error) { return r.binary(r.power, "*", "//", "/", "%") }

// power reads operands of "**", which Jinja binds weaker than a sign.
func (r *reader) power() (expression, error) {
	return r.binary(func() (expression, error) { return r.unary(true) }, "**")
}

// unary reads a sign, or a primary and what follows it. A filter or test is applied to the signed value.
func (r *reader) unary(withFilter bool) (expression, error) {
	minus := r.take('o', "-")
	if !minus && !r.take('o', "+") {
		x, err := r.primary()
		return r.postfix(x, err, withFilter)
	}
	if r.depth++; r.depth > maxDepth {
		return nil, fmt.Errorf("more than %d levels deep", maxDepth)
	}
	defer func() { r.depth-- }()
	x, err := r.unary(false)
	return r.postfix(func(m *rendering, s *scope) (any, error) {
		v, err := x(m, s)
		if err != nil || !minus {
			return v, err
		}
		return m.arithmetic("-", int64(0), v)
	}, err, withFilter)
}

// primary reads a literal, a name or something in brackets.
func (r *reader) primary() (expression, error) {
	w := r.next()
	switch {
	case w.kind == 's':
		t := own(w.text)
		for r.peek().kind == 's' { // neighbours are one string
			t = own(t.s + r.next().text)
		}
		return constant(t), nil
	case w.kind == 'i':
		n, err := strconv.ParseInt(w.text, 10, 64)
		return constant(n), err
	case w.kind == 'f':
		f, err := strconv.ParseFloat(w.text, 64)
		return constant(f), err
	case w.kind == 'n':
		return named(w.text), nil
	case w.kind == 'o' && w.text == "[":
		items, _, err := r.series("]")
		return listOf(items), err
	case w.kind == 'o' && w.text == "(":
		items, comma, err := r.series(")")
		if err == nil && len(items) == 1 && !comma {
			return items[0], nil
		}
		return tupleOf(items), err
	case w.kind == 'o' && w.text == "{":
		return r.dict()
	}
	return nil, fmt.Errorf("unexpected %q", w.text)
}

func constant(v any) expression { return func(*rendering, *scope) (any, error) { return v, nil } }

func named(name string) expression {
	switch name {
	case "true", "True":
		return constant(true)
	case "false", "False":
		return constant(false)
	case "none", "None":
		return constant(nil)
	}
	return func(m *rendering, s *scope) (any, error) { return s.find(name), m.step() }
}

// series reads expressions up to a closing bracket; comma tells whether there was one.
func (r *reader) series(end string) (items []expression, comma bool, err error) {
	for !r.take('o', end) {
		x, err := r.expression()
		if err != nil {
			return nil, false, err
		}
		items = append(items, x)
		if r.take('o', ",") {
			comma = true
		} else if r.peek().text != end {
			return nil, false, fmt.Errorf("must be %q, got %q", end, r.peek().text)
		}
	}
	return items, comma, nil
}

func listOf(items []expression) expression {
	return func(m *rendering, s *scope) (any, error) {
		l := &list{items: make([]any, len(items))}
		for i, x := range items {
			v, err := x(m, s)
			if err != nil {
				return nil, err
			}
			l.items[i] = v
		}
		return l, m.charge(16*len(items) + stepCost)
	}
}

// tupleOf is listOf, shown in round brackets.
func tupleOf(items []expression) expression {
	x := listOf(items)
	return func(m *rendering, s *scope) (any, error) {
		v, err := x(m, s)
		if l, ok := v.(*list); ok {
			l.tuple = true
		}
		return v, err
	}
}

func (r *reader) dict() (expression, error) {
	var keys, values []expression
	for !r.take('o', "}") {
		k, err := r.expression()
		if err != nil {
			return nil, err
		}
		if err := r.need(":"); err != nil {
			return nil, err
		}
		v, err := r.expression()
		if err != nil {
			return nil, err
		}
		keys, values = append(keys, k), append(values, v)
		if !r.take('o', ",") && r.peek().text != "}" {
			return nil, fmt.Errorf("must be \"}\", got %q", r.peek().text)
		}
	}
	return func(m *rendering, s *scope) (any, error) {
		d := newDict()
		for i := range keys {
			k, err := keys[i](m, s)
			if err != nil {
				return nil, err
			}
			v, err := values[i](m, s)
			if err != nil {
				return nil, err
			}
			key, err := m.str(k)
			if err != nil {
				return nil, err
			}
			d.set(key, v)
		}
		return d, m.charge(64*len(keys) + stepCost)
	}, nil
}
