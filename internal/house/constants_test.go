package house_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// constantsOf are the types whose values are constants, by the names of the fields that have these types. Elsewhere a
// value is written as its constant, so that a misspelt one does not compile.
var constantsOf = map[string][]declared{
	"Rule":     {{"testcases", "Rule"}},
	"Kind":     {{"testcases", "Kind"}, {"internal/certify/evidence", "TargetKind"}},
	"CutShort": {{"testcases", "CutReason"}},
	"Fail":     {{"internal/certify/evidence", "Failure"}},
	"Status":   {{"certify/report", "Verdict"}},
	"Verdict":  {{"certify/report", "Verdict"}, {"internal/certify/knee", "Verdict"}},
}

// declared is a type and its package.
type declared struct{ dir, name string }

// valueOf finds literals that stand for constants.
type valueOf map[string]map[string]string // name of a field, value, and the package that declares the constant

// TestConstantsAreUsed: the certifying half writes rules, kinds of phases, verdicts and the like as their constants.
func TestConstantsAreUsed(t *testing.T) {
	values := valueOf{}
	for field, types := range constantsOf {
		values[field] = map[string]string{}
		for _, d := range types {
			found := constants(t, d)
			if len(found) < 2 {
				t.Errorf("%s has %d constants of the type %s", d.dir, len(found), d.name)
			}
			for _, v := range found {
				values[field][v] = d.dir
			}
		}
	}
	checked := 0
	walkGo(t, func(name string, set *token.FileSet, file *ast.File) {
		if strings.HasSuffix(name, "_test.go") || strings.Contains(name, "/testdata/") ||
			!under(name, certifying) && !under(name, []string{"cmd"}) {
			return
		}
		checked++
		for _, l := range values.literals(file, filepath.ToSlash(filepath.Dir(name))) {
			t.Errorf("%s:%d has %s where a constant belongs", name, set.Position(l.Pos()).Line, l.Value)
		}
	})
	if checked < 100 {
		t.Errorf("only %d files were checked", checked)
	}
}

// constants lists the values of a type's constants.
func constants(t *testing.T, d declared) (values []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(d.dir), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, data, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if of, ok := spec.Type.(*ast.Ident); ok && of.Name == d.name && len(spec.Values) == 1 {
				if l := literal(spec.Values[0]); l != nil {
					values = append(values, unquoted(l))
				}
			}
			return true
		})
	}
	return values
}

// literals lists the literals of a file that are compared with, assigned to or set as one of the fields, and are equal
// to a constant of another package. A literal that is a rule of several words is one wherever it stands.
func (v valueOf) literals(file *ast.File, dir string) (found []*ast.BasicLit) {
	add := func(field string, x ast.Expr) {
		if l := literal(x); l != nil {
			if home, ok := v[field][unquoted(l)]; ok && home != dir && !slices.Contains(found, l) {
				found = append(found, l)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if n.Op == token.EQL || n.Op == token.NEQ {
				add(v.field(n.X), n.Y)
				add(v.field(n.Y), n.X)
			}
		case *ast.SwitchStmt:
			for _, clause := range n.Body.List {
				for _, x := range clause.(*ast.CaseClause).List {
					add(v.field(n.Tag), x)
				}
			}
		case *ast.KeyValueExpr:
			add(v.field(n.Key), n.Value)
		case *ast.AssignStmt:
			for i := range min(len(n.Lhs), len(n.Rhs)) {
				add(v.field(n.Lhs[i]), n.Rhs[i])
			}
		case *ast.CompositeLit: // []testcases.Kind{"open"}
			for _, x := range n.Elts {
				add(elementOf(n.Type), x)
			}
		case *ast.BasicLit:
			if strings.Contains(n.Value, "_") {
				add("Rule", n)
			}
		}
		return true
	})
	return found
}

// field is the field that an expression reads, also through a conversion; "" for other expressions.
func (v valueOf) field(x ast.Expr) string {
	name := ""
	switch x := x.(type) {
	case *ast.Ident:
		name = x.Name
	case *ast.SelectorExpr:
		name = x.Sel.Name
	case *ast.ParenExpr:
		return v.field(x.X)
	case *ast.CallExpr:
		if len(x.Args) == 1 {
			return v.field(x.Args[0])
		}
	}
	for field := range v {
		if strings.EqualFold(field, name) {
			return field
		}
	}
	return ""
}

// elementOf is the field whose type the elements of a slice have.
func elementOf(x ast.Expr) string {
	list, ok := x.(*ast.ArrayType)
	if !ok {
		return ""
	}
	name := ""
	switch of := list.Elt.(type) {
	case *ast.Ident:
		name = of.Name
	case *ast.SelectorExpr:
		name = of.Sel.Name
	}
	for field, types := range constantsOf {
		if slices.ContainsFunc(types, func(d declared) bool { return d.name == name }) {
			return field
		}
	}
	return ""
}

// literal is the string literal of an expression, also in a conversion; nil for other expressions.
func literal(x ast.Expr) *ast.BasicLit {
	switch x := x.(type) {
	case *ast.BasicLit:
		if x.Kind == token.STRING {
			return x
		}
	case *ast.CallExpr:
		if len(x.Args) == 1 {
			return literal(x.Args[0])
		}
	}
	return nil
}

func unquoted(l *ast.BasicLit) string {
	s, _ := strconv.Unquote(l.Value)
	return s
}

// TestLiterals: a literal is found in each place in which it can stand for a constant, and words that only look like
// one are left alone.
func TestLiterals(t *testing.T) {
	values := valueOf{"Kind": {"open": "declares"}, "Rule": {"knee": "declares", "mean_latency": "declares"}}
	for text, want := range map[string]int{
		`if p.Kind == "open" {}`:                  1,
		`if "open" != p.Kind {}`:                  1,
		`if string(p.Kind) == "open" {}`:          1,
		`switch p.Kind { case "closed", "open":}`: 1,
		`p.Kind = "open"`:                         1,
		`p.Kind, p.Rule = "open", "knee"`:         2,
		`_ = T{Kind: "open"}`:                     1,
		`_ = []x.Kind{"open"}`:                    1,
		`_ = f("mean_latency")`:                   1,
		`_ = f("open")`:                           0,
		`if p.Kind == "file" {}`:                  0,
		`if p.Door == "open" {}`:                  0,
		`_ = T{Door: "open", Name: "knee"}`:       0,
		`_ = []string{"open"}`:                    0,
		`if p.Kind == x.KindOpen {}`:              0,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc f() {\n"+text+"\n}", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(values.literals(file, "other")); got != want {
			t.Errorf("%s: found %d literals, want %d", text, got, want)
		}
		if got := len(values.literals(file, "declares")); got != 0 {
			t.Errorf("%s: found %d literals in the package that declares the constants", text, got)
		}
	}
}
