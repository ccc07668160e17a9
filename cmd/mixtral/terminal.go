package main

import (
	"io"
	"strings"
	"unicode"
)

// print writes text of a model. A terminal gets no control characters but with --raw-output: it obeys them, and they
// may come from whoever the model repeats.
func (r runCmd) print(a *app, text string) error {
	if !r.RawOutput && isTerminal(a.stdout) {
		text = visible(text)
	}
	_, err := io.WriteString(a.stdout, text)
	return err
}

// visible makes text harmless to a terminal: line ends and tabs stay; other control characters, and those that turn
// the direction of a line, are shown as the signs that stand for them.
func visible(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\t':
			return c
		case c < ' ':
			return '␀' + c
		case c == 0x7f:
			return '␡'
		case unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c):
			return unicode.ReplacementChar
		}
		return c // bytes that are not UTF-8 are U+FFFD here
	}, text)
}
