package grammar

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// look is what must, or must not, come next at a place in a text: "(?=…)" or "(?!…)".
type look struct {
	source string
	not    bool
}

// Go's parser knows no look-ahead. Before it reads an expression, each is replaced by two characters that no text in
// use has: the first says which one it is, and the second keeps the parser from making a class of them.
const (
	firstLook = '\U000F0000'
	lookEnd   = '\U000FFFFD'
	mostLooks = 64
)

var (
	leadingFlags = regexp.MustCompile(`^\(\?[a-zA-Z-]+\)`)
	innerFlags   = regexp.MustCompile(`\(\?[a-zA-Z-]+[:)]`)
)

// takeLooks takes the look-ahead out of a regular expression.
func takeLooks(source string) (looks []look, rest string, err error) {
	flags := leadingFlags.FindString(source)
	var out strings.Builder
	from := 0
	for i := range outsideClasses(source) {
		if i < from || !strings.HasPrefix(source[i:], "(?!") && !strings.HasPrefix(source[i:], "(?=") {
			continue
		}
		end := groupEnd(source[i:])
		if end < 0 {
			break // the parser says what is wrong
		}
		out.WriteString(source[from:i] + "(?:" + string([]rune{firstLook + rune(len(looks)), lookEnd}) + ")")
		looks = append(looks, look{flags + source[i+3:i+end], source[i+2] == '!'})
		from = i + end + 1
	}
	switch {
	case len(looks) == 0:
		return nil, source, nil
	case len(looks) > mostLooks:
		return nil, "", tooCostly("look-ahead in %d places, at most %d are allowed", len(looks), mostLooks)
	case innerFlags.MatchString(source[len(flags):]):
		return nil, "", &Error{Reason: "bad regular expression: flags behind the beginning, such as (?i:…), and " +
			"look-ahead together are not supported"}
	case strings.ContainsFunc(source, func(r rune) bool { return r >= firstLook && r < firstLook+mostLooks }):
		return nil, "", &Error{Reason: "bad regular expression: characters from U+F0000 and look-ahead together are " +
			"not supported"}
	}
	return looks, out.String() + source[from:], nil
}

// isLook tells the first characters of what stands for look-ahead.
func isLook(r rune) bool { return r >= firstLook && r < firstLook+mostLooks }

// looksIn says whether there is look-ahead in an expression.
func looksIn(re *syntax.Regexp) bool {
	return re.Op == syntax.OpLiteral && slices.ContainsFunc(re.Rune, isLook) || slices.ContainsFunc(re.Sub, looksIn)
}

// before gives the texts that an expression with look-ahead matches, and what follows them. Look-ahead speaks of all
// that follows, so the expression is read from its end.
func (t *translator) before(re *syntax.Regexp, rest *expr) (*expr, error) {
	if len(t.looks) == 0 || !looksIn(re) {
		e, err := t.translate(re)
		if err != nil {
			return nil, err
		}
		return seq(e, rest), nil
	}
	switch re.Op {
	case syntax.OpLiteral:
		i := slices.IndexFunc(re.Rune, isLook)
		tail := &syntax.Regexp{Op: syntax.OpLiteral, Flags: re.Flags, Rune: re.Rune[i+2:]}
		rest, err := t.before(tail, rest)
		if err == nil {
			rest, err = t.seen(t.looks[re.Rune[i]-firstLook], rest)
		}
		if err != nil {
			return nil, err
		}
		return seq(literal(re.Rune[:i], re.Flags&syntax.FoldCase != 0), rest), nil
	case syntax.OpCapture:
		return t.before(re.Sub[0], rest)
	case syntax.OpConcat:
		for _, sub := range slices.Backward(re.Sub) {
			var err error
			if rest, err = t.before(sub, rest); err != nil {
				return nil, err
			}
		}
		return rest, nil
	case syntax.OpAlternate:
		var subs []*expr
		for _, sub := range re.Sub {
			e, err := t.before(sub, rest)
			if err != nil {
				return nil, err
			}
			subs = append(subs, e)
		}
		return alt(subs...), nil
	case syntax.OpQuest:
		e, err := t.before(re.Sub[0], rest)
		if err != nil {
			return nil, err
		}
		return alt(e, rest), nil
	}
	return nil, &Error{Reason: "bad regular expression: look-ahead within a repetition is not supported"}
}

// seen gives those of some texts at whose beginning look-ahead finds what it looks for.
func (t *translator) seen(l look, texts *expr) (*expr, error) {
	looks, source, err := takeLooks(l.source)
	if err != nil {
		return nil, err
	}
	re, err := parseRegex(source)
	if err != nil {
		return nil, err
	}
	wanted, err := (&translator{looks: looks}).before(re, star(alt(anyRune, text(endMark))))
	if err != nil {
		return nil, err
	}
	all, err := determinise(texts)
	if err != nil {
		return nil, err
	}
	d, err := determinise(wanted)
	switch {
	case err != nil:
		return nil, err
	case l.not:
		all, err = without(all, d)
	default:
		all, err = both(all, d)
	}
	return &expr{op: opDFA, auto: all}, err
}

// groupEnd gives where the group ends that a regular expression begins with; −1 if it does not.
func groupEnd(source string) int {
	depth := 0
	for i, c := range outsideClasses(source) {
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// outsideClasses gives the bytes of a regular expression with their places, but for those that are escaped or in a
// class.
func outsideClasses(source string) func(yield func(int, byte) bool) {
	return func(yield func(int, byte) bool) {
		class := false
		for i := 0; i < len(source); i++ {
			c := source[i]
			switch {
			case c == '\\':
				i++
			case class:
				class = c != ']'
			case c == '[':
				class = true
				if strings.HasPrefix(source[i+1:], "^]") { // "]" first is itself
					i += 2
				} else if strings.HasPrefix(source[i+1:], "]") {
					i++
				}
			default:
				if !yield(i, c) {
					return
				}
			}
		}
	}
}
