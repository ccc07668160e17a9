package chat

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// word is a token of a tag.
type word struct {
	kind byte // 'n' name, 's' string, 'i' integer, 'f' float, 'o' operator, 0 the end
	text string
}

// isSpace is Python's str.isspace, as far as the two differ in what chat templates meet.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

var operators = []string{"**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")",
	"[", "]", "{", "}", ",", ":", ".", "|"}

// words cuts the inside of a tag.
func words(s string, line int) ([]word, error) {
	var all []word
	for {
		s = strings.TrimLeftFunc(s, isSpace)
		if s == "" {
			return append(all, word{}), nil
		}
		w, n, err := nextWord(s)
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrTemplate, line, err)
		}
		all, s = append(all, w), s[n:]
	}
}

func nextWord(s string) (word, int, error) {
	r, _ := utf8.DecodeRuneInString(s)
	switch {
	case r == '_' || unicode.IsLetter(r):
		n := strings.IndexFunc(s, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		if n < 0 {
			n = len(s)
		}
		return word{'n', s[:n]}, n, nil
	case r >= '0' && r <= '9':
		return number(s)
	case r == '\'' || r == '"':
		return quoted(s)
	}
	for _, o := range operators {
		if strings.HasPrefix(s, o) {
			return word{'o', o}, len(o), nil
		}
	}
	return word{}, 0, fmt.Errorf("unexpected %q", r)
}

func number(s string) (word, int, error) {
	n, kind := 0, byte('i')
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] == '_') {
		n++
	}
	if n+1 < len(s) && s[n] == '.' && s[n+1] >= '0' && s[n+1] <= '9' {
		kind = 'f'
		for n++; n < len(s) && s[n] >= '0' && s[n] <= '9'; n++ {
		}
	}
	if e := strings.TrimLeft(s[n:], "eE"); len(e) == len(s[n:])-1 {
		if m := strings.TrimLeft(e, "+-"); m != "" && m[0] >= '0' && m[0] <= '9' {
			kind, n = 'f', len(s)-len(m)
			for ; n < len(s) && s[n] >= '0' && s[n] <= '9'; n++ {
			}
		}
	}
	return word{kind, strings.ReplaceAll(s[:n], "_", "")}, n, nil
}

var escapes = map[byte]string{'n': "\n", 't': "\t", 'r': "\r", '\\': "\\", '\'': "'", '"': "\"", 'a': "\a", 'b': "\b",
	'f': "\f", 'v': "\v", '0': "\x00", '\n': ""}

// quoted reads a string as Python does.
func quoted(s string) (word, int, error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		if c == s[0] {
			return word{'s', b.String()}, i + 1, nil
		}
		if c != '\\' || i+1 >= len(s) {
			b.WriteByte(c)
			continue
		}
		i++
		digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[i]]
		if digits > 0 && i+digits < len(s) {
			v, err := strconv.ParseUint(s[i+1:i+1+digits], 16, 32)
			if err != nil || !utf8.ValidRune(rune(v)) {
				return word{}, 0, fmt.Errorf("bad escape \\%s", s[i:i+1+digits])
			}
			b.WriteRune(rune(v))
			i += digits
		} else if e, ok := escapes[s[i]]; ok {
			b.WriteString(e)
		} else {
			b.WriteByte('\\')
			b.WriteByte(s[i])
		}
	}
	return word{}, 0, fmt.Errorf("the string %.20s has no end", s)
}
