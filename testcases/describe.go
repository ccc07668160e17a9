package testcases

import (
	"embed"
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"sync"
)

// The comments of the types describe their keys in the schema, in the manual and in `mixtral case explain`.
//
//go:embed case.go traffic.go sweep.go task.go
var sources embed.FS

// comments returns the comments of fields, by "Type.Field".
var comments = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	for _, name := range []string{"case.go", "traffic.go", "sweep.go", "task.go"} {
		src, err := sources.ReadFile(name)
		if err != nil {
			panic("testcases: " + err.Error()) // cannot happen: the file is embedded
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments)
		if err != nil {
			panic("testcases: " + err.Error()) // cannot happen: the file was compiled
		}
		ast.Inspect(file, func(n ast.Node) bool {
			t, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			s, ok := t.Type.(*ast.StructType)
			if !ok {
				return false
			}
			for _, f := range s.Fields.List {
				text := strings.TrimSpace(f.Doc.Text() + " " + f.Comment.Text())
				for _, id := range f.Names {
					out[t.Name.Name+"."+id.Name] = strings.Join(strings.Fields(text), " ")
				}
			}
			return false
		})
	}
	return out
})

// Key is a key of a case file.
type Key struct {
	Path string `json:"key"` // "profiles.PROFILE[].kind"
	Type string `json:"type"`
	Text string `json:"text"` // what the key means
	// the allowed values, if only some are
	Allowed []string `json:"allowed,omitempty"`
}

// Keys lists every key of a case file, in the order of the file's sections.
func Keys() []Key {
	var out []Key
	addKeys(&out, reflect.TypeFor[Case](), "")
	return out
}

// addKeys appends the keys of a struct.
func addKeys(out *[]Key, t reflect.Type, prefix string) {
	for i := range t.NumField() {
		f := t.Field(i)
		path := prefix + yamlName(f)
		inner, name := f.Type, ""
		for done := false; !done; {
			switch inner.Kind() {
			case reflect.Pointer:
				inner = inner.Elem()
			case reflect.Slice:
				inner, path = inner.Elem(), path+"[]"
			case reflect.Map:
				inner, path = inner.Elem(), path+".NAME"
			default:
				done = true
			}
		}
		switch inner.Kind() {
		case reflect.Struct:
			name = "section"
		case reflect.Int:
			name = "whole number"
		case reflect.Float64:
			name = "number"
		case reflect.Bool:
			name = "true or false"
		default:
			name = "text"
		}
		*out = append(*out, Key{path, name, comments()[t.Name()+"."+f.Name], allowed(inner)})
		if inner.Kind() == reflect.Struct {
			addKeys(out, inner, path+".")
		}
	}
}

// allowed returns the allowed values of a type, or nil if it is not one of the named strings.
func allowed(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[Kind]():
		return texts(kinds)
	case reflect.TypeFor[Arrivals]():
		return texts(arrivals)
	case reflect.TypeFor[SweepOver]():
		return texts(sweepOvers)
	case reflect.TypeFor[Rule]():
		return texts(ruleNames())
	case reflect.TypeFor[Format]():
		return texts(formats)
	case reflect.TypeFor[Shape]():
		return texts(shapes)
	case reflect.TypeFor[TaskKind]():
		return texts(taskKinds)
	case reflect.TypeFor[ToolChoice]():
		return texts(toolChoices)
	}
	return nil
}

func texts[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

// FindKeys returns the keys with a name: a whole path, with or without [] and .NAME, or its last part.
func FindKeys(name string) []Key {
	plain := func(s string) string {
		return strings.NewReplacer("[]", "", ".NAME", "").Replace(s)
	}
	var exact, last []Key
	for _, k := range Keys() {
		switch p := plain(k.Path); {
		case k.Path == name || p == plain(name):
			exact = append(exact, k)
		case strings.HasSuffix(p, "."+name):
			last = append(last, k)
		}
	}
	if len(exact) > 0 {
		return exact
	}
	return last
}

// Manual returns the reference of case files in Markdown, which is docs/CASES.md.
func Manual() string {
	var b strings.Builder
	b.WriteString(manualHead)
	b.WriteString("| key | value | meaning |\n|---|---|---|\n")
	for _, k := range Keys() {
		value := k.Type
		if len(k.Allowed) > 0 && len(k.Allowed) < 12 {
			value = "`" + strings.Join(k.Allowed, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Path, value, cell(k.Text))
	}
	b.WriteString("\n## Rules\n\n" +
		"Each check names a rule. docs/VERDICT.md says when a check is PASS, FAIL or INVALID.\n\n" +
		"| rule | asks | needs |\n|---|---|---|\n")
	for _, r := range rules {
		var needs []string
		if r.Phase {
			needs = append(needs, "`phase`")
		}
		if r.Percentile {
			needs = append(needs, "`p`")
		}
		if r.Needs == needsLimit {
			needs = append(needs, "`limit`")
		} else if r.Needs != "" {
			needs = append(needs, "`target`, `limit` or `"+r.Needs+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Rule, r.Asks, strings.Join(needs, ", "))
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// manualHead is the text before the table of keys. Its lines are wrapped as in all docs.
//
//go:embed manual.md
var manualHead string
