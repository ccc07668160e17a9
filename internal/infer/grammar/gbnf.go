package grammar

import "strings"

// readEBNF reads what vLLM's guided_grammar takes: GBNF where the source has "::=", Lark where it has not.
func readEBNF(source string) (*rules, error) {
	if strings.Contains(source, "::=") {
		return readGBNF(source)
	}
	return readLark(source)
}

// gbnf reads llama.cpp's grammars:
//
//	root ::= greeting (", " name){1,3} "!" # a comment
//	greeting ::= "hello" | [Hh] "i"
//	name ::= [^ \n,!]+
//
// A rule ends with its line, but within parentheses and behind "|". Texts and classes know the escapes \n, \r, \t,
// \\, \", \[, \], \-, \xHH, \uHHHH and \UHHHHHHHH.
type gbnf struct {
	scanner
	*named
}

func readGBNF(source string) (*rules, error) {
	if err := checkText(source); err != nil {
		return nil, err
	}
	g := &gbnf{scanner{src: source, comment: func(s string) bool { return s[0] == '#' }}, newNamed()}
	g.space(true)
	for g.at < len(g.src) {
		if err := g.definition(); err != nil {
			return nil, err
		}
	}
	return g.finish(&g.scanner, "root")
}

// definition reads one rule.
func (g *gbnf) definition() error {
	pos := g.at
	name := g.name()
	if name == "" {
		return g.fail(pos, "must be the name of a rule, got %s", g.what())
	}
	g.space(false)
	if !g.take("::=") {
		return g.fail(g.at, `must be "::=" behind %q, got %s`, name, g.what())
	}
	g.space(true)
	rule := g.rule(name)
	if g.defined[rule] {
		return g.fail(pos, "rule %q is defined twice", name)
	}
	body, err := g.alternatives(false)
	if err != nil {
		return err
	}
	g.defined[rule], g.bodies[rule] = true, body
	if g.at < len(g.src) && g.peek() != '\n' && g.peek() != '\r' {
		return g.fail(g.at, "must be the end of rule %q, got %s", name, g.what())
	}
	g.space(true)
	return nil
}

func (g *gbnf) name() string {
	from := g.at
	for g.at < len(g.src) && isNameByte(g.src[g.at]) {
		g.at++
	}
	return g.src[from:g.at]
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func (g *gbnf) alternatives(nested bool) (*expr, error) {
	var subs []*expr
	for {
		e, err := g.sequence(nested)
		if err != nil {
			return nil, err
		}
		subs = append(subs, e)
		if !g.take("|") {
			return alt(subs...), nil
		}
		g.space(true)
	}
}

func (g *gbnf) sequence(nested bool) (*expr, error) {
	var items []*expr
	for g.at < len(g.src) {
		item, err := g.item()
		if err != nil {
			return nil, err
		}
		if item == nil {
			break
		}
		if item, err = g.repeated(item); err != nil {
			return nil, err
		}
		if g.exprs++; g.exprs > maxExprs {
			return nil, tooCostly("more than %d symbols", maxExprs)
		}
		items = append(items, item)
		g.space(nested)
	}
	return seq(items...), nil
}

// item reads a text, a class, a rule's name or a group; nil if none is there.
func (g *gbnf) item() (*expr, error) {
	pos := g.at
	switch c := g.peek(); {
	case c == '"':
		return g.text()
	case c == '[':
		return g.class()
	case c == '.':
		g.at++
		return anyRune, nil
	case isNameByte(c):
		return g.use(g.name(), pos), nil
	case c == '(':
		if err := g.enter(); err != nil {
			return nil, err
		}
		g.at++
		g.space(true)
		e, err := g.alternatives(true)
		if err != nil {
			return nil, err
		}
		if !g.take(")") {
			return nil, g.fail(g.at, `must be ")", got %s`, g.what())
		}
		g.leave()
		return e, nil
	case c == '<' || c == '!':
		return nil, g.fail(pos, "tokens in a grammar are not supported, only texts")
	case c == '*' || c == '+' || c == '?' || c == '{':
		return nil, g.fail(pos, "there is nothing before %q to repeat", string(c))
	}
	return nil, nil
}

func (g *gbnf) text() (*expr, error) {
	pos := g.at
	g.at++
	var s strings.Builder
	for g.at < len(g.src) && g.peek() != '"' {
		r, err := g.char()
		if err != nil {
			return nil, err
		}
		s.WriteRune(r)
	}
	if !g.take(`"`) {
		return nil, g.fail(pos, "the text has no end")
	}
	return text(s.String()), nil
}

func (g *gbnf) class() (*expr, error) {
	pos := g.at
	g.at++
	not := g.take("^")
	var ranges []runeRange
	for g.at < len(g.src) && g.peek() != ']' {
		from := g.at
		lo, err := g.char()
		if err != nil {
			return nil, err
		}
		hi := lo
		if g.peek() == '-' && g.at+1 < len(g.src) && g.src[g.at+1] != ']' {
			g.at++
			if hi, err = g.char(); err != nil {
				return nil, err
			}
		}
		if hi < lo {
			return nil, g.fail(from, "the range %q has its ends in the wrong order", g.src[from:g.at])
		}
		ranges = append(ranges, runeRange{lo, hi})
	}
	if !g.take("]") {
		return nil, g.fail(pos, "the class has no end")
	}
	if not {
		ranges = otherRunes(ranges)
	}
	return runes(ranges...), nil
}

// char reads one character of a text or class.
func (g *gbnf) char() (rune, error) {
	if g.peek() == '\\' {
		return g.escape(`\"[]-`)
	}
	r, size := decode(g.src[g.at:])
	g.at += size
	return r, nil
}

// repeated reads what may stand behind an item: * + ? {m} {m,} {m,n}.
func (g *gbnf) repeated(e *expr) (*expr, error) {
	for {
		from := g.at
		lo, hi := 0, -1
		switch g.peek() {
		case '*':
			g.at++
		case '+':
			g.at++
			lo = 1
		case '?':
			g.at++
			hi = 1
		case '{':
			var err error
			if lo, hi, err = g.counts(); err != nil {
				return nil, err
			}
		default:
			return e, nil
		}
		if hi >= 0 && hi < lo {
			return nil, g.fail(from, "the counts %q are in the wrong order", g.src[from:g.at])
		}
		e = repeat(e, lo, hi)
		if g.exprs++; g.exprs > maxExprs {
			return nil, tooCostly("more than %d symbols", maxExprs)
		}
	}
}

func (g *gbnf) counts() (lo, hi int, err error) {
	g.at++
	g.space(false)
	if g.peek() != ',' {
		if lo, err = g.number(); err != nil {
			return 0, 0, err
		}
		g.space(false)
	}
	hi = lo
	if g.take(",") {
		hi = -1
		g.space(false)
		if c := g.peek(); c >= '0' && c <= '9' {
			if hi, err = g.number(); err != nil {
				return 0, 0, err
			}
			g.space(false)
		}
	}
	if !g.take("}") {
		return 0, 0, g.fail(g.at, `must be "}", got %s`, g.what())
	}
	return lo, hi, nil
}
