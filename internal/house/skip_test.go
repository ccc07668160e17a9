package house_test

import (
	"bytes"
	"go/ast"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mayLeaveOut are parts of conditions under which a test may skip itself everywhere, also under CI: it is asked for by
// name, make unit runs it, or the platform has nothing to test. A test that needs something else calls need.Missing.
var mayLeaveOut = map[string]string{
	"testing.Short()":        "the race detector's run; make unit has all of it",
	"runtime.GOOS":           "another system",
	`search == nil`:          "there is no assembly to compare",
	`Getenv("MIXTRAL_SOAK")`: "make soak",
	"runs < 1":               "make bank",
	"Getenv(bankStrange)":    "make bank",
	`models == ""`:           "make plan-error",
	`programs == ""`:         "make apiserver",
	`given("test.`:           "some tests were selected by hand",
}

// TestNoSkipGoesUnseen: each call of Skip stands alone in an if statement with a condition from the table.
func TestNoSkipGoesUnseen(t *testing.T) {
	used := map[string]bool{}
	walkGo(t, func(name string, set *token.FileSet, file *ast.File) {
		if strings.HasPrefix(name, "internal/base/need/") {
			return
		}
		allowed := map[ast.Node]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			if branch, ok := n.(*ast.IfStmt); ok && len(branch.Body.List) == 1 {
				var text bytes.Buffer
				if err := printer.Fprint(&text, set, branch.Cond); err != nil {
					t.Fatal(err)
				}
				for part := range mayLeaveOut {
					if stmt, ok := branch.Body.List[0].(*ast.ExprStmt); ok && strings.Contains(text.String(), part) {
						allowed[stmt.X] = true
						used[part] = used[part] || skips(stmt.X)
					}
				}
			}
			call, ok := n.(*ast.CallExpr)
			if ok && skips(call) && !allowed[call] {
				t.Errorf("%s: a test that skips itself here does so under CI too: use need.Missing",
					set.Position(call.Pos()))
			}
			return true
		})
	})
	for part := range mayLeaveOut {
		if !used[part] {
			t.Errorf("no test skips itself because of %s: delete it from the table", part)
		}
	}
}

// skips says whether an expression is a call of a test's Skip, Skipf or SkipNow.
func skips(x ast.Expr) bool {
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Skip" && sel.Sel.Name != "Skipf" && sel.Sel.Name != "SkipNow" {
		return false
	}
	recv, ok := sel.X.(*ast.Ident)
	return ok && (recv.Name == "t" || recv.Name == "b" || recv.Name == "tb" || recv.Name == "f")
}

// TestWhatTheLinkerSetsExists: the linker sets a variable that is not there, or no string, without a word, and the
// tests would go on without what it turns on.
func TestWhatTheLinkerSetsExists(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	set := regexp.MustCompile(`-X=\$\(MODULE\)/(\S+)\.(\w+)=`).FindAllSubmatch(text, -1)
	if len(set) == 0 {
		t.Fatal("the Makefile has the linker set nothing: this test reads it wrongly, or is no longer needed")
	}
	for _, m := range set {
		declared := regexp.MustCompile(`(?m)^var ` + string(m[2]) + ` string$`)
		files, err := filepath.Glob(filepath.Join(root, string(m[1]), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(files, func(file string) bool {
			code, err := os.ReadFile(file)
			return err == nil && declared.Match(code)
		}) {
			t.Errorf("the Makefile has the linker set %s.%s: no such string is declared there", m[1], m[2])
		}
	}
}
