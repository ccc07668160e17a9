package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"
)

// lineEditor reads lines that are edited on a terminal: with the arrow keys, with earlier lines from the history, and
// with several pasted lines as one. It reads one line at a time, when it is asked for one.
type lineEditor struct {
	term    *term.Terminal
	keys    *keyboard
	prompts chan string
	lines   chan string
	size    func() (width, height int, err error)
}

// mostLine is how many characters of a line the terminal package keeps; it drops the rest.
const mostLine = 4096

// newLineEditor edits on a terminal: in delivers its keys, and out shows what is written without changes.
func newLineEditor(in io.Reader, out io.Writer, size func() (width, height int, err error)) *lineEditor {
	keys := newKeyboard(in)
	e := &lineEditor{keys: keys, size: size, prompts: make(chan string), lines: make(chan string),
		term: term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{keys, out}, "")}
	e.term.AutoCompleteCallback = completeLine
	e.term.SetBracketedPasteMode(true)
	go e.run()
	return e
}

// ask shows a prompt and starts to read a line, which is sent to lines.
func (e *lineEditor) ask(prompt string) { e.prompts <- prompt }

// discard drops the line that is being read.
func (e *lineEditor) discard() {
	const end, kill, enter = "\x05", "\x15", "\r"
	e.keys.press(end + kill + enter)
	for range e.lines { // the line, which is empty now, or the end of the input
		return
	}
}

func (e *lineEditor) run() {
	defer close(e.lines)
	for prompt := range e.prompts {
		if width, height, err := e.size(); err == nil && width > 0 {
			_ = e.term.SetSize(width, height) // it draws, and an error comes again with the line
		}
		e.term.SetPrompt(prompt)
		text, err := e.line()
		if err != nil {
			return
		}
		e.lines <- text
	}
}

// line reads a line. Pasted lines belong together: the last one is the line that the user ends.
func (e *lineEditor) line() (string, error) {
	var all []string
	for {
		text, err := e.term.ReadLine()
		all = append(all, text)
		switch {
		case errors.Is(err, term.ErrPasteIndicator):
			e.term.SetPrompt(moreMark)
		case err != nil:
			return "", err
		default:
			return strings.Join(all, "\n"), nil
		}
	}
}

// close restores the terminal.
func (e *lineEditor) close() {
	e.term.SetBracketedPasteMode(false)
	close(e.prompts)
}

// completeLine completes the name of a command or a setting at the Tab key, as far as it is unambiguous.
func completeLine(line string, at int, key rune) (string, int, bool) {
	if key != '\t' || at != len(line) || !strings.HasPrefix(line, "/") {
		return "", 0, false
	}
	names := slices.Clone(talkCommands)
	if strings.HasPrefix(line, "/set ") {
		names = names[:0]
		for _, s := range allSettings {
			names = append(names, "/set "+s.name)
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, line) })
	if len(names) == 0 {
		return line, at, true
	}
	common := names[0]
	for _, n := range names {
		for !strings.HasPrefix(n, common) {
			common = common[:len(common)-1]
		}
	}
	if len(names) == 1 {
		common += " "
	}
	return common, len(common), true
}

// keyboard delivers what is typed, and what the program enters in place of the user.
type keyboard struct {
	typed   chan []byte
	pressed chan []byte
	rest    []byte
	paste   pasteGuard
}

func newKeyboard(in io.Reader) *keyboard {
	k := &keyboard{typed: make(chan []byte), pressed: make(chan []byte, 1)}
	go func() {
		defer close(k.typed)
		for {
			buffer := make([]byte, 1024)
			n, err := in.Read(buffer)
			if n > 0 {
				k.typed <- buffer[:n]
			}
			if err != nil {
				return
			}
		}
	}()
	return k
}

func (k *keyboard) press(keys string) { k.pressed <- []byte(keys) }

func (k *keyboard) Read(p []byte) (int, error) {
	for len(k.rest) == 0 {
		select {
		case keys := <-k.pressed:
			k.rest, k.paste = keys, pasteGuard{}
		case keys, open := <-k.typed:
			if !open {
				return 0, io.EOF
			}
			k.rest = k.paste.clean(keys)
		}
	}
	n := copy(p, k.rest)
	k.rest = k.rest[n:]
	return n, nil
}

// pasteGuard removes control characters from pasted text: the editor shows pasted text unchanged, and a terminal would
// obey them.
type pasteGuard struct {
	inside bool
	held   []byte // the beginning of a mark that is not complete yet
}

var pasteBegins, pasteEnds = []byte("\x1b[200~"), []byte("\x1b[201~")

func (g *pasteGuard) clean(keys []byte) (out []byte) {
	keys = append(g.held, keys...)
	g.held = nil
	for len(keys) > 0 {
		mark := pasteBegins
		if g.inside {
			mark = pasteEnds
		}
		switch c := keys[0]; {
		case bytes.HasPrefix(keys, mark):
			out = append(out, mark...)
			keys, g.inside = keys[len(mark):], !g.inside
			continue
		case c == 0x1b && len(keys) < len(mark) && bytes.HasPrefix(mark, keys):
			g.held = keys
			return out
		case g.inside && (c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f): // drop it
		default:
			out = append(out, c)
		}
		keys = keys[1:]
	}
	return out
}

// editor returns an editor for standard input and standard error, and a function that ends it. It is nil if one of
// them is not a terminal, or is one that cannot move its cursor.
func (a *app) editor() (e *lineEditor, end func()) {
	out, ok := raw(a.stderr).(*os.File)
	if !ok || !isTerminal(os.Stdin) || !isTerminal(a.stderr) || a.getenv("TERM") == "dumb" {
		return nil, nil
	}
	restore, err := keyByKey(os.Stdin)
	if err != nil {
		return nil, nil // the terminal's own editing has to be enough
	}
	e = newLineEditor(os.Stdin, out, func() (int, int, error) { return term.GetSize(int(out.Fd())) })
	return e, func() { e.close(); restore() }
}
