package grammar

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// scanner reads the source of a grammar.
type scanner struct {
	src     string
	at      int
	depth   int
	exprs   int
	comment func(rest string) bool // whether a comment begins here
}

// fail gives an error at a place in the source.
func (s *scanner) fail(pos int, format string, args ...any) error {
	return &Error{Where: s.where(pos), Reason: fmt.Sprintf(format, args...)}
}

func (s *scanner) where(pos int) string {
	pos = min(pos, len(s.src))
	line := 1 + strings.Count(s.src[:pos], "\n")
	column := 1 + utf8.RuneCountInString(s.src[strings.LastIndexByte(s.src[:pos], '\n')+1:pos])
	return fmt.Sprintf("line %d, column %d", line, column)
}

func (s *scanner) peek() byte {
	if s.at < len(s.src) {
		return s.src[s.at]
	}
	return 0
}

func (s *scanner) has(prefix string) bool { return strings.HasPrefix(s.src[s.at:], prefix) }

// take goes on behind a prefix if it is there.
func (s *scanner) take(prefix string) bool {
	if s.has(prefix) {
		s.at += len(prefix)
		return true
	}
	return false
}

// space skips blanks and comments, and line ends if lines says so.
func (s *scanner) space(lines bool) {
	for s.at < len(s.src) {
		switch c := s.src[s.at]; {
		case c == ' ' || c == '\t' || c == '\r' && (lines || s.at+1 < len(s.src) && s.src[s.at+1] == '\n'):
			s.at++
		case lines && c == '\n':
			s.at++
		case s.comment(s.src[s.at:]):
			for s.at < len(s.src) && s.src[s.at] != '\n' {
				s.at++
			}
		default:
			return
		}
	}
}

// enter and leave count levels of parentheses.
func (s *scanner) enter() error {
	if s.depth++; s.depth > maxNesting {
		return at(s.where(s.at), tooCostly("more than %d levels of parentheses", maxNesting))
	}
	return nil
}

func (s *scanner) leave() { s.depth-- }

// what shows what stands at the scanner's place, for messages.
func (s *scanner) what() string {
	if s.at >= len(s.src) {
		return "the end"
	}
	r, _ := utf8.DecodeRuneInString(s.src[s.at:])
	if r == '\n' {
		return "the end of the line"
	}
	return fmt.Sprintf("%q", string(r))
}

// escape reads what follows a backslash in a text or class: n r t and others as in C, xHH, uHHHH, UHHHHHHHH, and any
// character of literal, which stands for itself.
func (s *scanner) escape(literal string) (rune, error) {
	from := s.at
	s.at++
	c := s.peek()
	s.at++
	switch c {
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'x':
		return s.hex(from, 2)
	case 'u':
		return s.hex(from, 4)
	case 'U':
		return s.hex(from, 8)
	}
	if c != 0 && strings.IndexByte(literal, c) >= 0 {
		return rune(c), nil
	}
	s.at = from
	return 0, s.fail(from, "unknown escape %q", s.src[from:min(from+2, len(s.src))])
}

func (s *scanner) hex(from, digits int) (rune, error) {
	if s.at+digits > len(s.src) || !isHex(s.src[s.at:s.at+digits]) {
		return 0, s.fail(from, "escape %q needs %d hexadecimal digits", s.src[from:from+2], digits)
	}
	var r int64
	fmt.Sscanf(s.src[s.at:s.at+digits], "%x", &r)
	s.at += digits
	if !utf8.ValidRune(rune(r)) || r > utf8.MaxRune {
		return 0, s.fail(from, "escape %q is not a character", s.src[from:s.at])
	}
	return rune(r), nil
}

// number reads digits.
func (s *scanner) number() (int, error) {
	from := s.at
	n := 0
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		if n = n*10 + int(c-'0'); n > maxRepeat {
			return 0, at(s.where(from), tooCostly("a count above %d", maxRepeat))
		}
		s.at++
	}
	if s.at == from {
		return 0, s.fail(from, "must be a number, got %s", s.what())
	}
	return n, nil
}

// named finds rules by name while a grammar is read: they may be used before they are defined.
type named struct {
	rules
	index   map[string]int
	defined map[int]bool
	used    map[int]int // rule → where it was used first
	order   []int       // of use
}

func newNamed() *named {
	n := &named{index: map[string]int{}, defined: map[int]bool{}, used: map[int]int{}}
	n.add("") // the root, see finish
	return n
}

func (n *named) rule(name string) int {
	i, ok := n.index[name]
	if !ok {
		i = n.add(name)
		n.index[name] = i
	}
	return i
}

func (n *named) use(name string, pos int) *expr {
	i := n.rule(name)
	if _, ok := n.used[i]; !ok {
		n.used[i] = pos
		n.order = append(n.order, i)
	}
	return ref(i)
}

// finish checks that all rules that are used exist, and puts the root first.
func (n *named) finish(s *scanner, root string) (*rules, error) {
	top, ok := n.index[root]
	if !ok || !n.defined[top] {
		return nil, &Error{Reason: fmt.Sprintf("no rule is called %q, where every text begins", root)}
	}
	for _, i := range n.order {
		if !n.defined[i] {
			return nil, s.fail(n.used[i], "no rule is called %q", n.names[i])
		}
	}
	if len(n.names) > maxRules {
		return nil, tooCostly("%d rules, at most %d are allowed", len(n.names), maxRules)
	}
	n.names[0], n.bodies[0] = root, ref(top)
	return &n.rules, nil
}
