package certify_test

import (
	"bytes"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/hxp-enterprise/mixtral"

// public lists the packages of the certifier that other programs import.
var public = []string{"certify", "certify/target", "certify/prompts", "certify/report", "certify/attest", "testcases"}

// TestPublicSignaturesNameNoInternalType checks that no exported signature or field has an internal type. Other
// programs could neither declare nor make such a value.
func TestPublicSignaturesNameNoInternalType(t *testing.T) {
	if testing.Short() {
		t.Skip("it has the go command compile the module")
	}
	load := exportData(t)
	for _, path := range public {
		pkg, err := load(path)
		if err != nil {
			t.Fatal(err)
		}
		w := walker{pkg: pkg, seen: map[types.Type]bool{}}
		for _, name := range pkg.Scope().Names() {
			if token.IsExported(name) {
				w.object(path+"."+name, pkg.Scope().Lookup(name))
			}
		}
		if w.n == 0 {
			t.Errorf("%s exports nothing: was it read?", path)
		}
		for _, found := range w.found {
			t.Error(found)
		}
	}
}

// TestTheWalkFindsInternalTypes tries the walk on a package with an internal type in every kind of place.
func TestTheWalkFindsInternalTypes(t *testing.T) {
	inside := types.NewPackage(module+"/internal/x", "x")
	hidden := types.NewNamed(types.NewTypeName(0, inside, "T", nil), types.Typ[types.Int], nil)
	pkg := types.NewPackage(module+"/y", "y")
	field := types.NewStruct([]*types.Var{types.NewField(0, pkg, "F", types.NewSlice(hidden), false)}, nil)
	unexported := types.NewStruct([]*types.Var{types.NewField(0, pkg, "f", hidden, false)}, nil)
	param := types.NewSignatureType(nil, nil, nil, types.NewTuple(types.NewVar(0, pkg, "p",
		types.NewMap(types.Typ[types.String], types.NewPointer(hidden)))), nil, false)
	named := func(name string, under types.Type) types.Object {
		return types.NewNamed(types.NewTypeName(0, pkg, name, nil), under, nil).Obj()
	}
	for name, tt := range map[string]struct {
		o    types.Object
		want int
	}{
		"field":      {named("S", field), 1},
		"unexported": {named("U", unexported), 0},
		"parameter":  {types.NewFunc(0, pkg, "F", param), 1},
		"variable":   {types.NewVar(0, pkg, "V", hidden), 1},
		"alias":      {types.NewTypeName(0, pkg, "A", hidden), 1},
	} {
		w := walker{pkg: pkg, seen: map[types.Type]bool{}}
		if w.object(name, tt.o); len(w.found) != tt.want {
			t.Errorf("%s: found %q, want %d", name, w.found, tt.want)
		}
	}
}

// walker visits the types that an exported name refers to.
type walker struct {
	pkg   *types.Package
	seen  map[types.Type]bool
	found []string
	n     int
}

func (w *walker) object(where string, o types.Object) {
	w.n++
	w.visit(where, o.Type())
}

func (w *walker) visit(where string, t types.Type) {
	t = types.Unalias(t)
	if w.seen[t] {
		return
	}
	w.seen[t] = true
	switch t := t.(type) {
	case *types.Named:
		p := t.Obj().Pkg()
		if p != nil && strings.HasPrefix(p.Path(), module+"/internal/") {
			delete(w.seen, t) // forgotten, so that every place is reported
			w.found = append(w.found, fmt.Sprintf("%s names the internal type %s", where, t))
			return
		}
		if args := t.TypeArgs(); args != nil {
			for i := range args.Len() {
				w.visit(where, args.At(i))
			}
		}
		if p != w.pkg {
			return
		}
		for i := range t.NumMethods() {
			if m := t.Method(i); m.Exported() {
				w.visit(where+"."+m.Name(), m.Type())
			}
		}
		w.visit(where, t.Underlying())
	case *types.Struct:
		for i := range t.NumFields() {
			if f := t.Field(i); f.Exported() {
				w.visit(where+"."+f.Name(), f.Type())
			}
		}
	case *types.Signature:
		for _, list := range []*types.Tuple{t.Params(), t.Results()} {
			for i := range list.Len() {
				w.visit(where, list.At(i).Type())
			}
		}
	case *types.Interface:
		for i := range t.NumMethods() {
			w.visit(where+"."+t.Method(i).Name(), t.Method(i).Type())
		}
	case *types.Map:
		w.visit(where, t.Key())
		w.visit(where, t.Elem())
	case interface{ Elem() types.Type }: // pointers, slices, arrays, channels
		w.visit(where, t.Elem())
	}
}

// exportData returns a function that reads the compiler's export data of a package of this module.
func exportData(t *testing.T) func(path string) (*types.Package, error) {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}"}
	for _, p := range public {
		args = append(args, module+"/"+p)
	}
	cmd := exec.Command("go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		files[path] = file
	}
	imports := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(files[path])
	})
	return func(path string) (*types.Package, error) { return imports.Import(module + "/" + path) }
}
