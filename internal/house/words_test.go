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
func TestLinesEndInSight(t *testing.T) {
	checked := 0
	walk(t, ".go", func(path string, data []byte) {
		checked++
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
