package house_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wallReaders are the only files of the packages below that look at the wall clock of a time.Time. Everything else
// there takes differences of times as they come from time.Now, which are the monotonic clock's: setting the wall
// clock, as NTP or an operator does, moves no latency, no rate and no deadline.
var wallReaders = map[string]string{
	"certify/record.go":               "the record's header: when the run began",
	"certify/observe.go":              "measures how far the wall clock was set",
	"certify/worker.go":               "both, on the machine of a generator",
	"completion.go":                   "created, a field of the API",
	"internal/serve/api/models.go":    "created, a field of the API",
	"internal/serve/api/request.go":   "created, a field of the API",
	"internal/certify/judge/judge.go": "the report's timestamp",
	"internal/certify/loadgen/arrival_linux.go": "the kernel's stamps are on the wall clock; it notices when that " +
		"is set",
	"internal/certify/probe/scrape.go":    "the times that a Prometheus server speaks of",
	"internal/base/telemetry/limits.go":   "when a certificate expires, which is a date",
	"internal/base/telemetry/otlpwire.go": "the protocol of traces",
}

var wallPackages = []string{".", "certify", "internal/serve/access", "internal/serve/api", "internal/serve/service",
	"internal/infer/engine", "internal/infer/schedule",
	"internal/certify/evidence", "internal/base/host", "internal/certify/judge", "internal/infer/kvcache",
	"internal/llm", "internal/certify/loadgen",
	"internal/infer/moe", "internal/certify/probe", "internal/base/telemetry", "internal/serve/upstream"}

// wallMethods give a time's wall clock, or strip its monotonic one.
var wallMethods = []string{"Unix", "UnixNano", "UnixMicro", "UnixMilli", "UTC", "Local", "In", "GobEncode",
	"MarshalJSON"}

// TestDurationsAreMonotonic finds every look at a wall clock.
func TestDurationsAreMonotonic(t *testing.T) {
	root := filepath.Join("..", "..")
	used := map[string]bool{}
	for _, dir := range wallPackages {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, data, 0)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.ToSlash(filepath.Join(dir, filepath.Base(path)))
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if what := wallRead(call); what != "" {
					used[name] = true
					if wallReaders[name] == "" {
						t.Errorf("%s: %s reads the wall clock: take the difference of two times of time.Now, or "+
							"give the reason in wallReaders", set.Position(call.Pos()), what)
					}
				}
				return true
			})
		}
	}
	for name := range wallReaders {
		if !used[name] {
			t.Errorf("wallReaders has %s, which does not look at a wall clock", name)
		}
	}
}

// wallRead names the method that looks at a wall clock, if the call is of one.
func wallRead(call *ast.CallExpr) string {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if x, ok := f.X.(*ast.Ident); ok && x.Name == "time" {
		return "" // time.Unix makes a time
	}
	if f.Sel.Name == "Round" && len(call.Args) == 1 {
		if zero, ok := call.Args[0].(*ast.BasicLit); ok && zero.Value == "0" {
			return "Round(0)"
		}
	}
	if slices.Contains(wallMethods, f.Sel.Name) {
		return f.Sel.Name
	}
	return ""
}
