package house_test

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// byChance names the calls that make a test another one each time it runs, by import path. A random generator has to
// have a seed: a constant, a loop's variable, or property.Seed.
var byChance = map[string]func(name string) bool{
	"pgregory.net/rapid": func(name string) bool { return name == "Check" || name == "MakeCheck" },
	"math/rand":          unseeded,
	"math/rand/v2":       unseeded,
	"hash/maphash":       func(name string) bool { return name == "MakeSeed" || name == "String" || name == "Bytes" },
	"testing/quick":      func(name string) bool { return name == "Check" || name == "CheckEqual" },
}

// unseeded: the package's own generator, which draws a seed. What is left makes a generator from a seed.
func unseeded(name string) bool {
	return !slices.Contains([]string{"New", "NewPCG", "NewChaCha8", "NewSource", "NewZipf"}, name)
}

// exempt are the files that may: where the rule itself lives.
var exempt = []string{"internal/base/property/property.go"}

// TestNothingByChance: a test has the same cases each time. See package property for how to look for new ones.
func TestNothingByChance(t *testing.T) {
	mapsOf := map[string][]string{} // the maps that a directory's files declare outside of functions
	walkGo(t, func(name string, _ *token.FileSet, file *ast.File) {
		for of, object := range file.Scope.Objects {
			if object.Kind == ast.Var && isMap(&ast.Ident{Name: of, Obj: object}, nil) {
				mapsOf[filepath.Dir(name)] = append(mapsOf[filepath.Dir(name)], of)
			}
		}
	})
	seen := map[string]bool{}
	walkGo(t, func(name string, set *token.FileSet, file *ast.File) {
		tests := strings.HasSuffix(name, "_test.go")
		for _, imp := range file.Imports {
			path, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			banned := byChance[path]
			if banned == nil || !tests && path != "pgregory.net/rapid" {
				continue
			}
			local := strings.TrimSuffix(filepath.Base(path), "/v2")
			if filepath.Base(path) == "v2" {
				local = "rand"
			}
			if imp.Name != nil {
				local = imp.Name.Name
			}
			ast.Inspect(file, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := sel.X.(*ast.Ident); !ok || x.Name != local || x.Obj != nil {
					return true
				}
				seen[path] = true
				isType := sel.Sel.Name == "Rand" || sel.Sel.Name == "PCG" || sel.Sel.Name == "Source"
				if banned(sel.Sel.Name) && !isType && !slices.Contains(exempt, name) {
					t.Errorf("%s: %s.%s has other cases each time: use package property, or a generator with a seed",
						set.Position(sel.Pos()), local, sel.Sel.Name)
				}
				return true
			})
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if !tests {
				return false
			}
			if loop, ok := n.(*ast.RangeStmt); ok && isMap(loop.X, mapsOf[filepath.Dir(name)]) {
				if x := drawnFrom(loop.Body); x != nil {
					t.Errorf("%s: draws from %s in the order of a map: range over its sorted keys",
						set.Position(x.Pos()), x.Name)
				}
			}
			if asksUnseeded(n) {
				t.Errorf("%s: an answer without --seed or --temperature may end with its first token",
					set.Position(n.Pos()))
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if sel.Sel.Name == "Example" && len(call.Args) == 0 {
				t.Errorf("%s: Example draws a seed: give it one", set.Position(call.Pos()))
			}
			if sel.Sel.Name == "NewPCG" || sel.Sel.Name == "NewSource" {
				for _, arg := range call.Args {
					ast.Inspect(arg, func(n ast.Node) bool {
						if x, ok := n.(*ast.Ident); ok && (x.Name == "time" || x.Name == "os") && x.Obj == nil {
							t.Errorf("%s: a seed from the clock or the process: give a constant",
								set.Position(x.Pos()))
						}
						return true
					})
				}
			}
			return true
		})
	})
	if !seen["pgregory.net/rapid"] || !seen["math/rand/v2"] {
		t.Errorf("looked at nothing but %v", seen)
	}
}

// isMap: a map as it is written, or a name that has one in the same file or among those of other files.
func isMap(x ast.Expr, others []string) bool {
	switch x := x.(type) {
	case *ast.CompositeLit:
		_, ok := x.Type.(*ast.MapType)
		return ok
	case *ast.Ident:
		if x.Obj == nil {
			return slices.Contains(others, x.Name)
		}
		value, _ := given(x)
		return value != nil && isMap(value, others)
	}
	return false
}

// given gives what a name was declared with: a value, or a type. Names of other files have neither.
func given(x *ast.Ident) (value, typ ast.Expr) {
	if x.Obj == nil {
		return nil, nil
	}
	switch d := x.Obj.Decl.(type) {
	case *ast.Field:
		return nil, d.Type
	case *ast.AssignStmt:
		for i, left := range d.Lhs {
			if name, ok := left.(*ast.Ident); ok && name.Obj == x.Obj && len(d.Lhs) == len(d.Rhs) {
				return d.Rhs[i], nil
			}
		}
	case *ast.ValueSpec:
		for i, name := range d.Names {
			if name.Obj == x.Obj && i < len(d.Values) {
				return d.Values[i], d.Type
			}
		}
		return nil, d.Type
	}
	return nil, nil
}

// drawnFrom finds a random generator that a loop's body uses and that was made outside of it.
func drawnFrom(body *ast.BlockStmt) (found *ast.Ident) {
	ast.Inspect(body, func(n ast.Node) bool {
		x, ok := n.(*ast.Ident)
		if !ok || x.Obj == nil || body.Pos() <= x.Obj.Pos() && x.Obj.Pos() < body.End() {
			return true
		}
		value, typ := given(x)
		if call, ok := value.(*ast.CallExpr); ok && isRand(call.Fun, "New") {
			found = x
		}
		if star, ok := typ.(*ast.StarExpr); ok && isRand(star.X, "Rand") {
			found = x
		}
		return true
	})
	return found
}

func isRand(x ast.Expr, name string) bool {
	sel, ok := x.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return ok && pkg.Name == "rand" && pkg.Obj == nil
}

// asksUnseeded: arguments of "mixtral run" with a random model that say nothing about chance.
func asksUnseeded(n ast.Node) bool {
	var list []ast.Expr
	switch n := n.(type) {
	case *ast.CompositeLit:
		list = n.Elts
	case *ast.CallExpr:
		list = n.Args
	}
	run, random := false, false
	for _, x := range list {
		lit, ok := x.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			continue
		}
		text, _ := strconv.Unquote(lit.Value)
		switch {
		case strings.HasPrefix(text, "--seed"), strings.HasPrefix(text, "--temperature"):
			return false
		case text == "run":
			run = true
		case strings.HasPrefix(strings.TrimPrefix(text, "--model="), "synth:"):
			random = true
		}
	}
	return run && random
}

// walkGo parses every Go file of the repository, the modules below it too.
func walkGo(t *testing.T, visit func(name string, set *token.FileSet, file *ast.File)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(name), set, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFoundCasesRun: a committed case that a search found is run by a test that exists, and rapid can read it. Rapid
// passes over the others without a word.
func TestFoundCasesRun(t *testing.T) {
	root := filepath.Join("..", "..")
	files := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(filepath.ToSlash(path), "/testdata/rapid/") {
			files[path] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for path := range files {
		test := filepath.Base(filepath.Dir(path))
		if !strings.HasPrefix(filepath.Base(path), test+"-") || filepath.Ext(path) != ".fail" {
			t.Errorf("%s: rapid reads %s-….fail only", path, test)
		}
		if !version(t, path, property.FailVersion+"#") {
			t.Errorf("%s: its version is not %s: search again, or delete it", path, property.FailVersion)
		}
		sources, err := filepath.Glob(filepath.Join(filepath.Dir(path), "..", "..", "..", "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, source := range sources {
			text, err := os.ReadFile(source)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
				found = found || test == string(m[1]) || strings.HasPrefix(test, string(m[1])+"_")
			}
		}
		if !found {
			t.Errorf("%s: the package has no test %s", path, test)
		}
	}
}

// version says whether a file's first line that is not a comment begins so.
func version(t *testing.T, path, prefix string) bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if line := strings.TrimSpace(s.Text()); line != "" && line[0] != '#' {
			return strings.HasPrefix(line, prefix)
		}
	}
	return false
}
