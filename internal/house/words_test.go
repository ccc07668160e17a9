package house_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestEveryPackageHasADoc: each package's comment is in its doc.go, which says what the package does, how its files
// divide the work and where to start reading. What a package must not import is in the ranks, not in its comment.
func TestEveryPackageHasADoc(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		rel, _ := local(p.ImportPath)
		doc, text := docOf(t, p)
		switch {
		case text == "":
			t.Errorf("%q has no doc.go with a package comment", rel)
			continue
		case doc.Name.Name == "main" && !strings.HasPrefix(text, "Command "+filepath.Base(rel)+" "),
			doc.Name.Name != "main" && !strings.HasPrefix(text, "Package "+doc.Name.Name+" "):
			t.Errorf("%s/doc.go begins with %.40q, must begin with Package or Command and its name", rel, text)
		case strings.Contains(text, "must not import"):
			t.Errorf("%s/doc.go says what it must not import: that is the business of the ranks", rel)
		case !strings.Contains(text, ".go"):
			t.Errorf("%s/doc.go names no file: say how the files divide the work and where to start", rel)
		}
		for _, name := range p.GoFiles {
			if name == "doc.go" {
				continue
			}
			f := parseHead(t, filepath.Join(p.Dir, name))
			if f.Doc != nil {
				t.Errorf("%s/%s has a comment on its package clause: it belongs in doc.go", rel, name)
			}
		}
		for _, m := range goFile.FindAllString(text, -1) {
			if found, err := filepath.Glob(filepath.Join(p.Dir, m)); err != nil || len(found) == 0 {
				t.Errorf("%s/doc.go names %s, and there is no such file", rel, m)
			}
		}
	}
}

// goFile is a file's name, or the pattern of several, in a package comment.
var goFile = regexp.MustCompile(`\b[a-z0-9_*]+\.go\b`)

// docOf gives a package's doc.go and its comment, which is empty where there is none.
func docOf(t *testing.T, p listed) (doc *ast.File, text string) {
	t.Helper()
	path := filepath.Join(p.Dir, "doc.go")
	if _, err := os.Stat(path); err != nil {
		return nil, ""
	}
	if doc = parseHead(t, path); doc.Doc != nil {
		text = doc.Doc.Text()
	}
	return doc, text
}

// parseHead reads a file to its package clause.
func parseHead(t *testing.T, path string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const (
	columns  = 120 // lines end before this column
	tabWidth = 4
)

// TestLinesEndInSight: lines of Go end before column 120. What stands in a raw string literal does not count, struct
// tags included: to break it would change it. A comment with a single long word, such as an address, cannot be cut.
// With -update comments are wrapped; code is for people to wrap.
func TestLinesEndInSight(t *testing.T) {
	checked := 0
	walk(t, ".go", func(path string, data []byte) {
		checked++
		if wrapped := wrapComments(data); *update && !bytes.Equal(wrapped, data) {
			if err := os.WriteFile(filepath.Join("..", "..", path), wrapped, 0o644); err != nil {
				t.Error(err)
			}
			data = wrapped
		}
		raw := rawColumns(data)
		for i, line := range bytes.Split(data, []byte("\n")) {
			n := width(string(line)) - raw[i+1]
			words := strings.Fields(string(line))
			uncut := len(words) == 2 && words[0] == "//"
			if n >= columns && !uncut {
				t.Errorf("%s:%d ends at column %d: it must end before %d", path, i+1, n, columns)
			}
		}
	})
	if checked < 100 {
		t.Errorf("only %d files were checked", checked)
	}
}

// comment is a line that holds nothing but a comment: its indentation, and its text.
var comment = regexp.MustCompile(`^(\t*)// (\S.*)$`)

// wrapComments moves what is too long in a comment to its next line, or to a new one.
func wrapComments(src []byte) []byte {
	raw := rawColumns(src)
	lines := strings.Split(string(src), "\n")
	for i := 0; i < len(lines); i++ {
		m := comment.FindStringSubmatch(lines[i])
		if m == nil || width(lines[i]) < columns || raw[i+1] > 0 {
			continue
		}
		kept := []rune(lines[i])[:columns-width(m[1])+len(m[1])-1]
		cut := strings.LastIndexByte(string(kept), ' ')
		if cut <= len(m[1])+len("// ") {
			continue // one long word
		}
		rest := strings.TrimSpace(lines[i][cut:])
		lines[i] = lines[i][:cut]
		if i+1 < len(lines) {
			if next := comment.FindStringSubmatch(lines[i+1]); next != nil && next[1] == m[1] {
				lines[i+1] = m[1] + "// " + rest + " " + next[2]
				continue
			}
		}
		lines = slices.Insert(lines, i+1, m[1]+"// "+rest)
		raw = rawColumns([]byte(strings.Join(lines, "\n"))) // lines have moved
	}
	return []byte(strings.Join(lines, "\n"))
}

func TestWrapComments(t *testing.T) {
	long := strings.Repeat("word ", 22) // 110 columns
	for in, want := range map[string]string{
		"// " + long + "and\n// more":       "// " + long + "and\n// more",
		"// " + long + "and more\n// text":  "// " + long + "and\n// more text",
		"\t// " + long + "and\n\tx := 1":    "\t// " + strings.TrimSpace(long) + "\n\t// and\n\tx := 1",
		"// " + long + "and more\n//\n// b": "// " + long + "and\n// more\n//\n// b",
	} {
		if got := string(wrapComments([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// width is how many columns a line takes.
func width(line string) int {
	return utf8.RuneCountInString(line) + strings.Count(line, "\t")*(tabWidth-1)
}

// rawColumns counts the columns of each line, from 1, that raw string literals take.
func rawColumns(src []byte) map[int]int {
	taken := map[int]int{}
	var s scanner.Scanner
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(src))
	s.Init(file, src, nil, 0)
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			return taken
		}
		if tok != token.STRING || lit[0] != '`' {
			continue
		}
		first := file.Line(pos)
		for i, part := range strings.Split(lit, "\n") {
			taken[first+i] += width(part)
		}
	}
}

// walk calls f with the repository's files of one extension.
func walk(t *testing.T, ext string, f func(path string, data []byte)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == "build"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ext:
			return nil
		}
		data, err := os.ReadFile(path)
		if err == nil {
			f(strings.TrimPrefix(path, root+string(filepath.Separator)), data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
