package grammar

import "strings"

// look is what must, or must not, come next at the beginning of a text.
type look struct {
	source string
	not    bool
}

// lookAhead takes look-ahead from the beginning of a regular expression: "^(?!-)(?=.*x)…". It must speak of all that
// follows, so there must not be other alternatives, and the expression must be bound to the beginning of the text.
func lookAhead(source string, whole bool) (looks []look, rest string, err error) {
	bound := strings.HasPrefix(source, "^")
	rest = strings.TrimPrefix(source, "^")
	if !bound && !whole {
		return nil, source, nil
	}
	for strings.HasPrefix(rest, "(?!") || strings.HasPrefix(rest, "(?=") {
		end := groupEnd(rest)
		if end < 0 {
			break // the parser says what is wrong
		}
		looks = append(looks, look{rest[3:end], rest[2] == '!'})
		rest = rest[end+1:]
	}
	if len(looks) == 0 {
		return nil, source, nil
	}
	if hasAlternatives(rest) {
		return nil, "",
			&Error{Reason: "bad regular expression: look-ahead is supported only where no alternatives stand " +
				"behind it: put them in a group"}
	}
	return looks, "^" + rest, nil
}

// texts gives the texts at whose beginning the look-ahead finds what it looks for.
func (l look) texts() (*dfa, error) {
	e, err := regexText("^(?:"+l.source+")", false)
	if err != nil {
		return nil, err
	}
	return determinise(e)
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

// hasAlternatives says whether a "|" stands outside all groups.
func hasAlternatives(source string) bool {
	depth := 0
	for _, c := range outsideClasses(source) {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case '|':
			if depth == 0 {
				return true
			}
		}
	}
	return false
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
