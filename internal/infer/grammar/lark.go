package grammar

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// lark reads grammars as of the Python library Lark, as vLLM's guided_grammar takes them:
//
//	start: greeting ("," NAME)~1..3 "!"i
//	?greeting: "hello" | /[Hh]i/ -> short
//	NAME: LETTER+ // a comment
//	%import common.LETTER
//	%ignore " "
//
// Rules and terminals are context-free over characters: there is no lexer, which would look for the longest match.
// What %ignore names may stand once behind each terminal in a rule, and before the first. Regular expressions are
// those of readRegex with the flags i, s and u. Marks and aliases for syntax trees (?, !, priorities, ->) say nothing
// about the text and are passed over; templates, %declare, %override and %extend are refused.
type lark struct {
	scanner
	*named
	ignored []*expr
	inRule  bool // not in a terminal
	gap     *expr
}

func readLark(source string) (*rules, error) {
	if err := checkText(source); err != nil {
		return nil, err
	}
	comment := func(s string) bool { return s[0] == '#' || strings.HasPrefix(s, "//") }
	l := &lark{scanner: scanner{src: source, comment: comment}, named: newNamed()}
	l.gap = &expr{op: opRule, rule: l.add("%ignore")}
	l.space(true)
	for l.at < len(l.src) {
		if err := l.statement(); err != nil {
			return nil, err
		}
		if l.at < len(l.src) && l.peek() != '\n' && l.peek() != '\r' {
			return nil, l.fail(l.at, "must be the end of the line, got %s", l.what())
		}
		l.space(true)
	}
	l.bodies[l.gap.rule] = optional(alt(l.ignored...))
	if len(l.ignored) == 0 {
		l.bodies[l.gap.rule] = empty
	}
	out, err := l.finish(&l.scanner, "start")
	if err != nil {
		return nil, err
	}
	out.bodies[0] = seq(l.gap, out.bodies[0])
	return out, nil
}

func (l *lark) statement() error {
	pos := l.at
	if l.take("%") {
		return l.directive(pos)
	}
	for l.take("?") || l.take("!") {
	}
	name := l.name()
	if name == "" {
		return l.fail(l.at, "must be the name of a rule, got %s", l.what())
	}
	if l.take(".") {
		if _, err := l.number(); err != nil {
			return err
		}
	}
	l.space(false)
	if l.peek() == '{' {
		return l.fail(l.at, "templates are not supported")
	}
	if !l.take(":") {
		return l.fail(l.at, `must be ":" behind %q, got %s`, name, l.what())
	}
	rule := l.rule(name)
	if l.defined[rule] {
		return l.fail(pos, "%q is defined twice", name)
	}
	l.inRule = !isTerminal(name)
	body, err := l.alternatives(false)
	l.defined[rule], l.bodies[rule] = true, body
	return err
}

// name reads the name of a rule or terminal.
func (l *lark) name() string {
	from := l.at
	for l.at < len(l.src) && isNameByte(l.src[l.at]) && l.src[l.at] != '-' {
		l.at++
	}
	return l.src[from:l.at]
}

func isTerminal(name string) bool {
	name = strings.TrimLeft(name, "_")
	return name != "" && name[0] >= 'A' && name[0] <= 'Z'
}

func (l *lark) directive(pos int) error {
	word := l.name()
	l.space(false)
	switch word {
	case "ignore":
		l.inRule = false
		e, err := l.alternatives(false)
		l.ignored = append(l.ignored, e)
		return err
	case "import":
		return l.imports()
	}
	return l.fail(pos, "%%%s is not supported", word)
}

// imports reads "common.NAME", "common.NAME -> ALIAS" or "common (NAME, NAME)".
func (l *lark) imports() error {
	pos := l.at
	if l.name() != "common" {
		return l.fail(pos, "only Lark's library common can be imported")
	}
	if l.take(".") {
		name := l.name()
		alias := name
		l.space(false)
		if l.take("->") {
			l.space(false)
			alias = l.name()
		}
		return l.define(pos, name, alias)
	}
	l.space(false)
	if !l.take("(") {
		return l.fail(l.at, `must be "." or "(" behind common, got %s`, l.what())
	}
	for {
		l.space(true)
		if name := l.name(); name != "" {
			if err := l.define(pos, name, name); err != nil {
				return err
			}
		}
		l.space(true)
		if l.take(")") {
			return nil
		}
		if !l.take(",") {
			return l.fail(l.at, `must be "," or ")", got %s`, l.what())
		}
	}
}

func (l *lark) define(pos int, name, alias string) error {
	source, ok := larkCommon[name]
	if !ok {
		return l.fail(pos, "the library common has no %q", name)
	}
	e, err := regexText(source, true)
	rule := l.rule(alias)
	l.defined[rule], l.bodies[rule] = true, e
	return err
}

// larkCommon is Lark's library common.
var larkCommon = map[string]string{
	"DIGIT": `[0-9]`, "HEXDIGIT": `[a-fA-F0-9]`, "INT": `[0-9]+`, "SIGNED_INT": `[+-]?[0-9]+`,
	"DECIMAL":       `[0-9]+\.[0-9]*|\.[0-9]+`,
	"FLOAT":         `[0-9]+[eE][+-]?[0-9]+|([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?`,
	"SIGNED_FLOAT":  `[+-]?([0-9]+[eE][+-]?[0-9]+|([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)`,
	"NUMBER":        `[0-9]+([eE][+-]?[0-9]+)?|([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?`,
	"SIGNED_NUMBER": `[+-]?([0-9]+([eE][+-]?[0-9]+)?|([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)`,

	"ESCAPED_STRING": `"([^"\\\n]|\\[^\n])*"`,
	"LCASE_LETTER":   `[a-z]`, "UCASE_LETTER": `[A-Z]`, "LETTER": `[a-zA-Z]`, "WORD": `[a-zA-Z]+`,
	"CNAME":     `[_a-zA-Z][_a-zA-Z0-9]*`,
	"WS_INLINE": `[ \t]+`, "WS": `[ \t\f\r\n]+`, "CR": `\r`, "LF": `\n`, "NEWLINE": `(\r?\n)+`,
	"SH_COMMENT": `#[^\n]*`, "CPP_COMMENT": `//[^\n]*`, "SQL_COMMENT": `--[^\n]*`,
	"C_COMMENT": `/\*([^*]|\*+[^*/])*\*+/`,
}

func (l *lark) alternatives(nested bool) (*expr, error) {
	var subs []*expr
	l.space(nested)
	for {
		e, err := l.sequence(nested)
		if err != nil {
			return nil, err
		}
		subs = append(subs, e)
		if !l.nextAlternative(nested) {
			return alt(subs...), nil
		}
	}
}

// nextAlternative finds a "|", which may stand on the next line.
func (l *lark) nextAlternative(nested bool) bool {
	back := l.at
	l.space(true)
	if l.take("|") {
		return true
	}
	if !nested {
		l.at = back
	}
	return false
}

func (l *lark) sequence(nested bool) (*expr, error) {
	var items []*expr
	l.space(nested)
	for l.at < len(l.src) {
		if l.take("->") {
			l.space(false)
			l.name()
			l.space(nested)
			break
		}
		item, err := l.item()
		if err != nil {
			return nil, err
		}
		if item == nil {
			break
		}
		if item, err = l.repeated(item); err != nil {
			return nil, err
		}
		if l.exprs++; l.exprs > maxExprs {
			return nil, tooCostly("more than %d symbols", maxExprs)
		}
		items = append(items, item)
		l.space(nested)
	}
	return seq(items...), nil
}

// item reads a text, a regular expression, a name or a group; nil if none is there.
func (l *lark) item() (*expr, error) {
	pos := l.at
	switch c := l.peek(); {
	case c == '"' || c == '\'':
		return l.terminal(l.textOrRange())
	case c == '/':
		return l.terminal(l.regex())
	case isNameByte(c) && c != '-':
		name := l.name()
		e := l.use(name, pos)
		if isTerminal(name) {
			return l.terminal(e, nil)
		}
		return e, nil
	case c == '(' || c == '[':
		if err := l.enter(); err != nil {
			return nil, err
		}
		l.at++
		e, err := l.alternatives(true)
		if err != nil {
			return nil, err
		}
		end := map[byte]string{'(': ")", '[': "]"}[c]
		if !l.take(end) {
			return nil, l.fail(l.at, "must be %q, got %s", end, l.what())
		}
		l.leave()
		if c == '[' {
			e = optional(e)
		}
		return e, nil
	}
	return nil, nil
}

// terminal puts behind a terminal of a rule what is to be ignored there.
func (l *lark) terminal(e *expr, err error) (*expr, error) {
	if err != nil || !l.inRule {
		return e, err
	}
	return seq(e, l.gap), nil
}

func (l *lark) textOrRange() (*expr, error) {
	pos := l.at
	lo, fold, err := l.quoted()
	if err != nil {
		return nil, err
	}
	if !l.has("..") || l.has("...") {
		return literal([]rune(lo), fold), nil
	}
	l.at += 2
	if c := l.peek(); c != '"' && c != '\'' {
		return nil, l.fail(l.at, `must be a text behind "..", got %s`, l.what())
	}
	hi, _, err := l.quoted()
	if err != nil {
		return nil, err
	}
	a, b := []rune(lo), []rune(hi)
	if len(a) != 1 || len(b) != 1 || a[0] > b[0] {
		return nil, l.fail(pos, "a range must be from one character to a later one, got %q to %q", lo, hi)
	}
	return runes(runeRange{a[0], b[0]}), nil
}

// quoted reads a text in quotation marks, and whether it may be in any case.
func (l *lark) quoted() (s string, fold bool, err error) {
	pos := l.at
	mark := l.peek()
	l.at++
	var out strings.Builder
	for l.at < len(l.src) && l.peek() != mark {
		switch l.peek() {
		case '\n':
			return "", false, l.fail(pos, "the text has no end on its line")
		case '\\':
			r, err := l.escape(`\"'/[]`)
			if err != nil {
				return "", false, err
			}
			out.WriteRune(r)
		default:
			r, size := decode(l.src[l.at:])
			l.at += size
			out.WriteRune(r)
		}
	}
	if !l.take(string(mark)) {
		return "", false, l.fail(pos, "the text has no end")
	}
	if l.peek() == 'i' && (l.at+1 == len(l.src) || !isNameByte(l.src[l.at+1])) {
		l.at++
		fold = true
	}
	return out.String(), fold, nil
}

func (l *lark) regex() (*expr, error) {
	pos := l.at
	l.at++
	var out strings.Builder
	for l.at < len(l.src) && l.peek() != '/' && l.peek() != '\n' {
		if l.has(`\/`) {
			l.at++
		} else if l.peek() == '\\' && l.at+1 < len(l.src) {
			out.WriteByte('\\')
			l.at++
		}
		_, size := decode(l.src[l.at:])
		out.WriteString(l.src[l.at : l.at+size])
		l.at += size
	}
	if !l.take("/") {
		return nil, l.fail(pos, "the regular expression has no end on its line")
	}
	flags := ""
	for strings.IndexByte("imslux", l.peek()) >= 0 && l.at < len(l.src) {
		switch c := l.peek(); c {
		case 'i', 's':
			flags += string(c)
		case 'u':
		default:
			return nil, l.fail(l.at, "the flag %q is not supported", string(c))
		}
		l.at++
	}
	source := out.String()
	if flags != "" {
		source = fmt.Sprintf("(?%s)%s", flags, source)
	}
	e, err := regexText(source, true)
	return e, at(l.where(pos), err)
}

// repeated reads what may stand behind an item: ? * + ~n ~n..m.
func (l *lark) repeated(e *expr) (*expr, error) {
	for {
		from := l.at
		switch {
		case l.take("?"):
			e = optional(e)
		case l.take("*"):
			e = star(e)
		case l.take("+"):
			e = repeat(e, 1, -1)
		case l.tilde():
			lo, err := l.number()
			if err != nil {
				return nil, err
			}
			hi := lo
			if l.take("..") {
				if hi, err = l.number(); err != nil {
					return nil, err
				}
			}
			if hi < lo {
				return nil, l.fail(from, "the counts %q are in the wrong order", l.src[from:l.at])
			}
			e = repeat(e, lo, hi)
		default:
			return e, nil
		}
		if l.exprs++; l.exprs > maxExprs {
			return nil, tooCostly("more than %d symbols", maxExprs)
		}
	}
}

// tilde finds "~", which may have blanks around it.
func (l *lark) tilde() bool {
	back := l.at
	l.space(false)
	if l.take("~") {
		l.space(false)
		return true
	}
	l.at = back
	return false
}

func decode(s string) (rune, int) { return utf8.DecodeRuneInString(s) }
