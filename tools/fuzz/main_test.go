package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// small is a module with one target that finds an input and one that fails.
var small = map[string]string{
	"go.mod": "module example.org/small\n\ngo 1.26\n",
	"in/x.go": `package in

func Is(s string) int {
	if len(s) > 2 && s[0] == 'a' && s[1] == 'b' {
		return 1
	}
	return 0
}
`,
	"in/x_test.go": `package in

import "testing"

func FuzzIs(f *testing.F) {
	f.Add("x")
	f.Fuzz(func(t *testing.T, s string) { Is(s) })
}
`,
	"bad/x_test.go": `package bad

import "testing"

func FuzzBad(f *testing.F) {
	f.Fuzz(func(t *testing.T, n int8) {
		if n == 7 {
			t.Error("seven")
		}
	})
}
`,
	"other/go.mod":       "module example.org/other\n",
	"other/x_test.go":    "package other\n\nfunc FuzzOther(f *testing.F) {}\n",
	"testdata/x_test.go": "package x\n\nfunc FuzzNone(f *testing.F) {}\n",
}

func module(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range small {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestRun searches in a module of its own: the input that reaches a new statement is kept, and the one that fails is
// an error.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and searches")
	}
	root := module(t)
	t.Setenv("GOFLAGS", os.Getenv("GOFLAGS")+" -mod=mod")
	kept := func() (n int) {
		list, err := inputs(filepath.Join(root, "in", "testdata", "fuzz", "FuzzIs"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	for try := 0; try < 20 && kept() == 0; try++ { // what a search finds is up to chance
		if err := run(root, 3*time.Second, "^in ", true, 1); err != nil {
			t.Fatal(err)
		}
	}
	if kept() != 1 {
		t.Errorf("%d inputs are kept", kept())
	}
	var err error
	for try := 0; try < 20 && err == nil; try++ {
		err = run(root, 4*time.Second, "^bad ", false, 1)
	}
	if err == nil {
		t.Error("an input that fails is not an error")
	}
	if err := run(root, time.Second, "^none", false, 1); err == nil {
		t.Error("no target is not an error")
	}
}

func TestFind(t *testing.T) {
	all, err := find(module(t), regexp.MustCompile(""))
	if err != nil || len(all) != 2 || all[0].String() != "bad FuzzBad" || all[1].String() != "in FuzzIs" {
		t.Errorf("%v %v", all, err)
	}
}

func TestParse(t *testing.T) {
	reached, statements := parse("mode: set\na.go:1.2,3.4 5 1\na.go:4.1,5.2 2 0\na.go:6.1,7.2 1 1\n")
	if statements != 8 || reached.statements() != 6 || len(reached) != 2 {
		t.Errorf("%v of %d", reached, statements)
	}
	if reached.add(coverage{"a.go:1.2,3.4": 5}) || !reached.add(coverage{"b.go:1.1,1.2": 1}) {
		t.Error("what is new is not told")
	}
}
