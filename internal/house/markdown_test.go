package house_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false,
	"wrap docs and comments, and write the tables of packages into docs/ARCHITECTURE.md")

// TestDocsAreWrapped: text in Markdown is wrapped before column 120, and as full as it goes. Tables, code and headings
// stay as they are. With -update the files are wrapped.
func TestDocsAreWrapped(t *testing.T) {
	checked := 0
	walk(t, ".md", func(path string, data []byte) {
		checked++
		want := wrapMarkdown(string(data))
		if want == string(data) {
			return
		}
		if *update {
			if err := os.WriteFile(filepath.Join("..", "..", path), []byte(want), 0o644); err != nil {
				t.Error(err)
			}
			return
		}
		a, b := strings.Split(string(data), "\n"), strings.Split(want, "\n")
		at := 0
		for at < len(a) && at < len(b) && a[at] == b[at] {
			at++
		}
		t.Errorf("%s:%d is not wrapped before column %d: go test ./internal/house -update does it", path, at+1,
			columns)
	})
	if checked < 10 {
		t.Errorf("only %d files were checked", checked)
	}
}

func TestWrapMarkdown(t *testing.T) {
	word := strings.Repeat("x", 59)
	for _, test := range []struct{ in, want string }{
		{"a\nb\n", "a b\n"},
		{word + " " + word + " " + word + "\n", word + " " + word + "\n" + word + "\n"},
		{"- " + word + " " + word + "\n- b\n  c\n", "- " + word + "\n  " + word + "\n- b c\n"},
		{"| a |\n| b |\ntext\n", "| a |\n| b |\ntext\n"},
		{"```\na\nb\n```\n", "```\na\nb\n```\n"},
		{"# a\nb\n", "# a\nb\n"},
		{word + " " + word + " - b\n", word + "\n" + word + " - b\n"}, // a line that begins with - is a list
		{word + " " + word[1:] + " `b c`\n", word + " " + word[1:] + "\n`b c`\n"},
		{"1. a\n   b\n2. c\n", "1. a b\n2. c\n"},
		{"    code\n    more\n", "    code\n    more\n"},
	} {
		if got := wrapMarkdown(test.in); got != test.want {
			t.Errorf("%q:\n%q, want\n%q", test.in, got, test.want)
		}
		if again := wrapMarkdown(test.want); again != test.want {
			t.Errorf("%q becomes %q", test.want, again)
		}
	}
}

var (
	verbatim = regexp.MustCompile(`^(\||#|<|!\[|>|    |---|\[[^]]+\]: )`)
	listItem = regexp.MustCompile(`^ *([-*+]|\d+[.)]) +`)
	startsA  = regexp.MustCompile(`^([-*+]|#+|\d+[.)]|[|<>].*)$`) // words that a line must not begin with
	// A word may hold spaces between backquotes.
	words = regexp.MustCompile("(?:`[^`]*`|[^\\s`]|`)+")
)

// wrapMarkdown wraps the paragraphs and list items of a document.
func wrapMarkdown(text string) string {
	var out bytes.Buffer
	var block []string // words of the paragraph or item so far
	first, rest := "", ""
	flush := func() {
		writeWrapped(&out, first, rest, block)
		block, first, rest = nil, "", ""
	}
	fenced := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		item := listItem.FindString(line)
		switch {
		case fence:
			flush()
			fenced = !fenced
			out.WriteString(line + "\n")
		case fenced, line == "", verbatim.MatchString(line) && len(block) == 0 && item == "",
			verbatim.MatchString(line) && !strings.HasPrefix(line, "    "):
			flush()
			out.WriteString(line + "\n")
		case item != "":
			flush()
			first, rest = item, strings.Repeat(" ", utf8.RuneCountInString(item))
			block = []string{strings.TrimPrefix(line, item)}
		default:
			if len(block) == 0 {
				indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
				first, rest = indent, indent
			}
			block = append(block, strings.TrimSpace(line))
		}
	}
	flush()
	return out.String()
}

// writeWrapped writes a block's text in lines that are as long as they may be.
func writeWrapped(out *bytes.Buffer, first, rest string, block []string) {
	if len(block) == 0 {
		return
	}
	line, empty := first, true
	for _, w := range words.FindAllString(strings.Join(block, " "), -1) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(w) >= columns {
			moved := ""
			if startsA.MatchString(w) { // takes the word before it along
				i := strings.LastIndexByte(line, ' ')
				if i <= len(rest) { // the only one
					line += " " + w
					continue
				}
				line, moved = line[:i], line[i+1:]+" "
			}
			out.WriteString(line + "\n")
			line = rest + moved + w
			continue
		}
		if !empty {
			line += " "
		}
		line, empty = line+w, false
	}
	out.WriteString(line + "\n")
}
