package chat

import (
	"fmt"
	"strings"
)

// chunk is a stretch of a source: text, or the inside of a tag.
type chunk struct {
	kind byte // 't' text, '{' expression, '%' statement
	body string
	line int
}

// scan cuts a source into chunks. White space goes as Jinja2 has it with trim_blocks and lstrip_blocks: a statement or
// comment alone at the beginning of its line takes the blanks before it, the line break behind it goes, and a minus
// takes all white space on its side.
func scan(source string) ([]chunk, error) {
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	source = strings.TrimSuffix(source, "\n")
	var all []chunk
	line := 1
	starting := true // what comes is the first of its line
	for {
		at := nextTag(source)
		if at < 0 {
			return append(all, chunk{'t', source, line}), nil
		}
		before, open := source[:at], source[at+1]
		line += strings.Count(before, "\n")
		inside := source[at+2:]
		mark := byte(0)
		if inside != "" && (inside[0] == '-' || inside[0] == '+') {
			mark, inside = inside[0], inside[1:]
		}
		switch {
		case mark == '-':
			before = strings.TrimRightFunc(before, isSpace)
		case mark == 0 && open != '{':
			before = stripLine(before, starting)
		}
		all = append(all, chunk{'t', before, line})
		body, rest, after, err := closeTag(inside, open, line)
		if err != nil {
			return nil, err
		}
		if open == '%' && strings.TrimSpace(body) == "raw" {
			if body, rest, after, err = rawText(trimAfter(rest, after, open), line); err != nil {
				return nil, err
			}
			all = append(all, chunk{'t', body, line})
		} else if open != '#' {
			all = append(all, chunk{open, body, line})
		}
		line += strings.Count(source[at:len(source)-len(rest)], "\n")
		short := trimAfter(rest, after, open)
		gone := rest[:len(rest)-len(short)]
		line += strings.Count(gone, "\n")
		starting = strings.HasSuffix(gone, "\n")
		source = short
	}
}

// nextTag finds "{{", "{%" or "{#".
func nextTag(s string) int {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '{' && (s[i+1] == '{' || s[i+1] == '%' || s[i+1] == '#') {
			return i
		}
	}
	return -1
}

// stripLine takes the blanks off the end of a text whose last line has nothing else.
func stripLine(s string, starting bool) string {
	short := strings.TrimRight(s, " \t\v\f")
	if short == "" && starting || strings.HasSuffix(short, "\n") {
		return short
	}
	return s
}

// closeTag finds a tag's end outside of strings.
func closeTag(s string, open byte, line int) (body, rest string, mark byte, err error) {
	end := map[byte]string{'{': "}}", '%': "%}", '#': "#}"}[open]
	quote := byte(0)
	depth := 0
	for i := 0; i+1 < len(s); i++ {
		c := s[i]
		switch {
		case open == '#':
		case quote != 0:
			if c == '\\' {
				i++
			} else if c == quote {
				quote = 0
			}
			continue
		case c == '\'' || c == '"':
			quote = c
			continue
		case c == '{' || c == '(' || c == '[':
			depth++
		case depth > 0 && (c == '}' || c == ')' || c == ']'):
			depth--
			continue
		}
		if s[i:i+2] == end && (depth == 0 || open == '#') {
			body, rest = s[:i], s[i+2:]
			if n := len(body); n > 0 && (body[n-1] == '-' || body[n-1] == '+') {
				body, mark = body[:n-1], body[n-1]
			}
			return body, rest, mark, nil
		}
	}
	return "", "", 0, fmt.Errorf("%w: line %d: the tag that begins with {%c has no %s", ErrTemplate, line, open, end)
}

// rawText gives what is before {% endraw %}.
func rawText(s string, line int) (body, rest string, mark byte, err error) {
	for from := 0; ; {
		at := strings.Index(s[from:], "{%")
		if at < 0 {
			return "", "", 0, fmt.Errorf("%w: line %d: raw has no endraw", ErrTemplate, line)
		}
		at += from
		inside := s[at+2:]
		trim := strings.HasPrefix(inside, "-")
		inside = strings.TrimLeft(inside, "-+")
		if tag, rest, mark, err := closeTag(inside, '%', line); err == nil && strings.TrimSpace(tag) == "endraw" {
			body = s[:at]
			if trim {
				body = strings.TrimRightFunc(body, isSpace)
			}
			return body, rest, mark, nil
		}
		from = at + 2
	}
}

// trimAfter takes the white space away that goes with a tag's end.
func trimAfter(rest string, mark, open byte) string {
	switch {
	case mark == '-':
		return strings.TrimLeftFunc(rest, isSpace)
	case mark == 0 && open != '{':
		return strings.TrimPrefix(rest, "\n")
	}
	return rest
}
