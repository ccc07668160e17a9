package verify

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

var update = flag.Bool("update", false, "write the tables of docs/EVIDENCE.md anew")

const evidenceDoc = "../../../docs/EVIDENCE.md"

// TestEvidenceIsDocumented: docs/EVIDENCE.md has every field of the record and of the report, with its unit and what
// the comment beside it in the code says. A field that nobody explained fails the test.
func TestEvidenceIsDocumented(t *testing.T) {
	data, err := os.ReadFile(evidenceDoc)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	for name, table := range map[string]string{
		"events": tables(t, reflect.TypeFor[evidence.Event](), "../evidence", eventMeanings),
		"report": tables(t, reflect.TypeFor[report.Report](), "../../../certify/report", reportMeanings),
	} {
		begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->"
		head, rest, ok := strings.Cut(doc, begin)
		_, tail, also := strings.Cut(rest, end)
		if !ok || !also {
			t.Fatalf("docs/EVIDENCE.md has no %s…%s", begin, end)
		}
		doc = head + begin + table + end + tail
	}
	if doc == string(data) {
		return
	}
	if !*update {
		t.Fatal("docs/EVIDENCE.md is not what the code says: go test ./internal/certify/verify -update")
	}
	if err := os.WriteFile(evidenceDoc, []byte(doc), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tables writes a table for a structure and for each that its fields hold.
func tables(t *testing.T, root reflect.Type, dir string, extra map[string]string) string {
	t.Helper()
	said := fieldComments(t, dir)
	used := map[string]bool{}
	var b strings.Builder
	queue, seen := []reflect.Type{root}, map[reflect.Type]bool{root: true}
	for len(queue) > 0 {
		typ := queue[0]
		queue = queue[1:]
		fmt.Fprintf(&b, "### %s\n| key | type | unit | meaning |\n|---|---|---|---|\n", typ.Name())
		for i := range typ.NumField() {
			f := typ.Field(i)
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if key == "-" || key == "" {
				continue
			}
			id := typ.Name() + "." + key
			text := said[typ.Name()+"."+f.Name]
			if more := extra[id]; more != "" {
				used[id] = true
				text = strings.TrimSpace(text + ". " + more)
				text = strings.TrimPrefix(text, ". ")
			}
			text = capital(text)
			inner, name := kindOf(f.Type)
			if text == "" {
				t.Errorf("%s (%s): neither a comment in %s nor an entry in the test says what it means", id,
					f.Name, dir)
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", key, name, unitOf(key, text, inner),
				strings.ReplaceAll(text, "|", `\|`))
			if inner.Kind() == reflect.Struct && inner.PkgPath() == root.PkgPath() && !seen[inner] {
				seen[inner] = true
				queue = append(queue, inner)
			}
		}
		b.WriteByte('\n')
	}
	for id := range extra {
		if !used[id] {
			t.Errorf("the test explains %s, which is not a field", id)
		}
	}
	return b.String()
}

// capital makes the first letter of a sentence a capital one.
func capital(s string) string {
	if s == "" {
		return ""
	}
	r, n := utf8.DecodeRuneInString(s)
	if n < len(s) && strings.HasPrefix(s[n:], "_") {
		return s // a name
	}
	return string(unicode.ToUpper(r)) + s[n:]
}

// kindOf names a field's type for readers of JSON, and gives what its list, map or pointer holds.
func kindOf(t reflect.Type) (inner reflect.Type, name string) {
	switch t.Kind() {
	case reflect.Pointer:
		inner, name = kindOf(t.Elem())
		return inner, name + " or null"
	case reflect.Slice, reflect.Array:
		inner, name = kindOf(t.Elem())
		return inner, "list of " + name
	case reflect.Map:
		inner, name = kindOf(t.Elem())
		return inner, "map of text to " + name
	case reflect.Struct:
		if t.Name() == "Time" {
			return t, "RFC 3339 time"
		}
		return t, t.Name()
	case reflect.Int, reflect.Int32, reflect.Int64:
		return t, "integer"
	case reflect.Float64:
		return t, "number"
	case reflect.Bool:
		return t, "boolean"
	}
	return t, "text"
}

// unitOf reads a number's unit from its key, or from what is said of it.
func unitOf(key, text string, t reflect.Type) string {
	if t.Kind() != reflect.Int && t.Kind() != reflect.Int32 && t.Kind() != reflect.Int64 &&
		t.Kind() != reflect.Float64 {
		return ""
	}
	for _, u := range [][2]string{{"_mb_per_hour", "MiB/h"}, {"_mb_per_1000_requests", "MiB/1,000 requests"},
		{"_tokens_per_s", "1/s"}, {"_ns", "ns"}, {"_us", "µs"}, {"_ms", "ms"}, {"_rps", "1/s"}, {"rps_low", "1/s"},
		{"rps_high", "1/s"}, {"_gb", "GiB"}, {"_mb", "MiB"}, {"_cores", "cores"}, {"_s", "s"}} {
		if strings.HasSuffix(key, u[0]) || key == strings.TrimPrefix(u[0], "_") {
			return u[1]
		}
	}
	if _, unit, ok := strings.Cut(text, "Unit: "); ok {
		unit, _, _ = strings.Cut(unit, ".")
		return unit
	}
	if slices.Contains([]string{"at", "start", "steady_from", "steady_to", "end", "scheduled", "issued", "first",
		"first_any", "opened", "last", "done"}, key) && t.Kind() == reflect.Int64 {
		return "ns"
	}
	return "1"
}

// fieldComments are the comments of all fields of a package's structures, by "Type.Field".
func fieldComments(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), dir+"/"+e.Name(), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			s, ok := spec.Type.(*ast.StructType)
			if !ok {
				return false
			}
			for _, f := range s.Fields.List {
				text := strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " ")
				for _, id := range f.Names {
					out[spec.Name.Name+"."+id.Name] = strings.TrimSuffix(text, ".")
				}
			}
			return false
		})
	}
	return out
}
