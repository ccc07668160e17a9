package bounded

import (
	"iter"
	"strings"
	"unicode/utf8"
)

// Short makes one line of valid UTF-8 of a text from outside, with at most so many bytes; "…" marks what was cut off.
func Short(s string, most int) string {
	if len(s) > 4*most { // it is enough to look at the beginning of a large text
		s = s[:4*most]
	}
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "\ufffd")
	if len(s) <= most {
		return strings.Clone(s) // not the whole text that it was a part of
	}
	end := most - len("…")
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// mostLine is how many bytes of a line an error shows.
const mostLine = 300

// Lines shortens the long lines of a text, such as those of a file that an error shows; "…" marks what was cut off.
func Lines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		rest, ended := strings.CutSuffix(line, "\n")
		if len(rest) > mostLine {
			end := mostLine
			for !utf8.RuneStart(rest[end]) {
				end--
			}
			rest = rest[:end] + "…"
		}
		if b.WriteString(rest); ended {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// Values counts the values and keys of a JSON text without decoding it. What decoding takes in memory is bounded by
// them and by the text's length: an empty object of three bytes may become one of hundreds.
func Values(json []byte) int {
	n := 1
	for c := range marks(json) {
		if c != ']' && c != '}' {
			n++
		}
	}
	return n
}

// marks yields the characters of a JSON text that begin, separate and end its values, lists and objects.
func marks(json []byte) iter.Seq[byte] {
	return func(yield func(byte) bool) {
		inString := false
		for i := 0; i < len(json); i++ {
			switch c := json[i]; {
			case inString && c == '\\':
				i++
			case c == '"':
				inString = !inString
			case inString:
			case c == '[' || c == '{' || c == ']' || c == '}' || c == ',' || c == ':':
				if !yield(c) {
					return
				}
			}
		}
	}
}
