package main

import (
	"io"
	"os"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// shield makes control characters visible on their way to a terminal. A terminal would obey them, and they may come
// from a server, a hub, a model file or the model itself. All output of commands goes through it. Output that moves
// the cursor or colours a word on purpose goes to raw.
type shield struct {
	mu   sync.Mutex
	raw  io.Writer
	rest []byte // the beginning of a character that is not complete yet
}

// shielded returns a shield if w is a terminal; pipes and files get their bytes unchanged.
func shielded(w io.Writer) io.Writer {
	if isTerminalFile(w) {
		return &shield{raw: w}
	}
	return w
}

// raw returns the writer below a shield, which takes bytes unchanged.
func raw(w io.Writer) io.Writer {
	if s, ok := w.(*shield); ok {
		return s.raw
	}
	return w
}

// isTerminal says whether w is a terminal.
func isTerminal(w io.Writer) bool {
	_, ok := w.(*shield)
	return ok || isTerminalFile(w)
}

func isTerminalFile(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // it is such a device, too
	return err != nil || !os.SameFile(info, null)
}

func (s *shield) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := append(s.rest, p...)
	whole := len(text)
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if b := text[len(text)-i]; utf8.RuneStart(b) {
			if !utf8.FullRune(text[len(text)-i:]) {
				whole -= i
			}
			break
		}
	}
	s.rest = append([]byte(nil), text[whole:]...)
	if _, err := io.WriteString(s.raw, visible(string(text[:whole]))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// flush writes the beginning of a character that never became complete.
func (s *shield) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	io.WriteString(s.raw, visible(string(s.rest)))
	s.rest = nil
}

// shield passes the command's output through shields until the function that it returns is called.
func (a *app) shield() (end func()) {
	stdout, stderr := a.stdout, a.stderr
	a.stdout, a.stderr = shielded(stdout), shielded(stderr)
	return func() {
		for _, w := range []io.Writer{a.stdout, a.stderr} {
			if s, ok := w.(*shield); ok {
				s.flush()
			}
		}
		a.stdout, a.stderr = stdout, stderr
	}
}

// visible makes text harmless to a terminal: newlines and tabs stay; other control characters, and those that change
// the direction of text, are replaced with symbols for them.
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
