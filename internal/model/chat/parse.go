package chat

import (
	"errors"
	"fmt"
	"slices"
)

// statement is a compiled piece of a template: it adds to the output.
type statement func(m *rendering, s *scope, out *builder) error

// How break and continue leave a loop.
var (
	errBreak    = errors.New("break outside of a loop")
	errContinue = errors.New("continue outside of a loop")
)

// parser goes through the chunks of a source.
type parser struct {
	chunks []chunk
	at     int
	depth  int
}

// block reads statements up to a tag that begins with one of the names of ends, and gives that tag's reader behind
// its name.
func (p *parser) block(ends ...string) (body statement, end string, r *reader, err error) {
	if p.depth++; p.depth > maxDepth {
		return nil, "", nil, fmt.Errorf("%w: more than %d levels deep", ErrTemplate, maxDepth)
	}
	defer func() { p.depth-- }()
	var all []statement
	for p.at < len(p.chunks) {
		c := p.chunks[p.at]
		p.at++
		if c.kind == 't' {
			if c.body != "" {
				all = append(all, plain(c.body))
			}
			continue
		}
		w, err := words(c.body, c.line)
		if err != nil {
			return nil, "", nil, err
		}
		r := &reader{words: w}
		var st statement
		if c.kind == '{' {
			st, err = output(r)
		} else {
			name := r.next().text
			if slices.Contains(ends, name) {
				return sequenceOf(all), name, r, nil
			}
			st, err = p.statement(name, r)
		}
		if err != nil {
			if errors.Is(err, ErrTemplate) {
				return nil, "", nil, err
			}
			return nil, "", nil, fmt.Errorf("%w: line %d: %w", ErrTemplate, c.line, err)
		}
		all = append(all, located(st, c.line))
	}
	if len(ends) > 0 {
		return nil, "", nil, fmt.Errorf("%w: %s is missing", ErrTemplate, ends[len(ends)-1])
	}
	return sequenceOf(all), "", nil, nil
}

// located names the line in what goes wrong.
func located(st statement, line int) statement {
	return func(m *rendering, s *scope, out *builder) error {
		if err := m.step(); err != nil {
			return err
		}
		err := st(m, s, out)
		if err == nil || err == errBreak || err == errContinue || errors.Is(err, ErrTemplate) ||
			errors.Is(err, ErrLimit) || errors.Is(err, ErrRefused) {
			return err
		}
		return fmt.Errorf("%w: line %d: %w", ErrTemplate, line, err)
	}
}

func plain(s string) statement {
	t := own(s)
	return func(m *rendering, _ *scope, out *builder) error {
		out.add(t)
		return m.charge(len(s))
	}
}

func sequenceOf(all []statement) statement {
	return func(m *rendering, s *scope, out *builder) error {
		for _, st := range all {
			if err := st(m, s, out); err != nil {
				return err
			}
		}
		return nil
	}
}

func output(r *reader) (statement, error) {
	x, err := r.whole()
	if err != nil {
		return nil, err
	}
	return func(m *rendering, s *scope, out *builder) error {
		v, err := x(m, s)
		if err != nil {
			return err
		}
		t, err := m.str(v)
		if err != nil {
			return err
		}
		out.add(t)
		return m.charge(len(t.s))
	}, nil
}

// whole reads an expression, or several with commas between them, to the tag's end.
func (r *reader) whole() (expression, error) {
	x, err := r.expression()
	if err != nil {
		return nil, err
	}
	if r.peek() == (word{'o', ","}) {
		items := []expression{x}
		for r.take('o', ",") {
			if r.peek().kind == 0 {
				break
			}
			if x, err = r.expression(); err != nil {
				return nil, err
			}
			items = append(items, x)
		}
		x = tupleOf(items)
	}
	return x, r.end()
}

func (r *reader) end() error {
	if w := r.peek(); w.kind != 0 {
		return fmt.Errorf("unexpected %q", w.text)
	}
	return nil
}

// statement reads what begins with a name.
func (p *parser) statement(name string, r *reader) (statement, error) {
	switch name {
	case "if":
		return p.ifs(r)
	case "for":
		return p.loop(r)
	case "set":
		return p.set(r)
	case "macro":
		return p.macro(r)
	case "break":
		return func(*rendering, *scope, *builder) error { return errBreak }, r.end()
	case "continue":
		return func(*rendering, *scope, *builder) error { return errContinue }, r.end()
	case "do":
		x, err := r.whole()
		return func(m *rendering, s *scope, _ *builder) error {
			_, err := x(m, s)
			return err
		}, err
	case "generation": // Transformers marks what an assistant says, for training
		body, _, end, err := p.block("endgeneration")
		if err != nil {
			return nil, err
		}
		return body, end.end()
	case "filter":
		return p.filtered(r)
	case "":
		return nil, fmt.Errorf("the tag is empty")
	}
	return nil, fmt.Errorf("statement %q is not supported", name)
}

func (p *parser) ifs(r *reader) (statement, error) {
	cond, err := r.whole()
	if err != nil {
		return nil, err
	}
	yes, end, next, err := p.block("elif", "else", "endif")
	if err != nil {
		return nil, err
	}
	no := statement(func(*rendering, *scope, *builder) error { return nil })
	switch end {
	case "elif":
		if p.depth++; p.depth > 10*maxDepth {
			return nil, fmt.Errorf("more than %d branches", 9*maxDepth)
		}
		no, err = p.ifs(next)
		p.depth--
	case "else":
		if err := next.end(); err != nil {
			return nil, err
		}
		no, _, _, err = p.block("endif")
	}
	if err != nil {
		return nil, err
	}
	return func(m *rendering, s *scope, out *builder) error {
		v, err := cond(m, s)
		if err != nil {
			return err
		}
		if truth(v) {
			return yes(m, s, out)
		}
		return no(m, s, out)
	}, nil
}

// targets reads the names that a value is unpacked into.
func (r *reader) targets() ([]string, error) {
	bracket := r.take('o', "(")
	var names []string
	for {
		name, err := r.name()
		if err != nil {
			return nil, err
		}
		names = append(names, name)
		if !r.take('o', ",") {
			break
		}
	}
	if bracket {
		return names, r.need(")")
	}
	return names, nil
}

// bind sets names to a value or its parts.
func (m *rendering) bind(s *scope, names []string, v any) error {
	if len(names) == 1 {
		s.names[names[0]] = v
		return nil
	}
	items, err := m.items(v)
	if err != nil {
		return err
	}
	if len(items) != len(names) {
		return fmt.Errorf("%d values for %d names", len(items), len(names))
	}
	for i, n := range names {
		s.names[n] = items[i]
	}
	return nil
}

func (p *parser) set(r *reader) (statement, error) {
	names, err := r.targets()
	if err != nil {
		return nil, err
	}
	attribute := ""
	if len(names) == 1 && r.take('o', ".") {
		if attribute, err = r.name(); err != nil {
			return nil, err
		}
	}
	var x expression
	if r.take('o', "=") {
		if x, err = r.whole(); err != nil {
			return nil, err
		}
	} else {
		pipe := r
		body, _, end, err := p.block("endset")
		if err != nil {
			return nil, err
		}
		if err := end.end(); err != nil {
			return nil, err
		}
		x = captured(body)
		for pipe.take('o', "|") {
			if x, err = pipe.filter(x); err != nil {
				return nil, err
			}
		}
		if err := pipe.end(); err != nil {
			return nil, err
		}
	}
	return func(m *rendering, s *scope, _ *builder) error {
		v, err := x(m, s)
		if err != nil {
			return err
		}
		if attribute == "" {
			return m.bind(s, names, v)
		}
		d, ok := s.find(names[0]).(*dict)
		if !ok {
			return fmt.Errorf("%s is not a namespace", names[0])
		}
		d.set(own(attribute), v)
		return m.charge(64)
	}, nil
}

// captured is what a body puts out.
func captured(body statement) expression {
	return func(m *rendering, s *scope) (any, error) {
		var b builder
		err := body(m, s.inner(), &b)
		return b.text(), err
	}
}

func (p *parser) filtered(r *reader) (statement, error) {
	first := r
	body, _, _, err := p.block("endfilter")
	if err != nil {
		return nil, err
	}
	x, err := first.filter(captured(body))
	for err == nil && first.take('o', "|") {
		x, err = first.filter(x)
	}
	return func(m *rendering, s *scope, out *builder) error {
		v, err := x(m, s)
		if err != nil {
			return err
		}
		t, err := m.str(v)
		out.add(t)
		return err
	}, firstError(err, first.end())
}
