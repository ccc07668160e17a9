// Package house_test holds the architecture: who may import whom, what may live where, how large a file may grow.
// The table below is the drawing of the house; docs/ARCHITECTURE.md explains it.
package house_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/hxp-enterprise/mixtral"

// ranks: a package imports strictly lower ranks only. A new package needs a line here.
var ranks = map[string]int{
	"internal/quant":    0, // block formats
	"internal/token":    0, // SentencePiece BPE
	"internal/openai":   0, // wire types, SSE
	"internal/stats":    0, // statistics
	"internal/walltest": 0, // a wall clock that is set, for tests
	"models/demo":       0, // the embedded demo model

	"internal/gguf":        1, // model container
	"internal/kernel":      1, // numeric kernels
	"internal/kvcache":     1, // paged KV blocks
	"internal/sample":      2, // next-token choice
	"internal/hub":         1, // model files from elsewhere
	"internal/safetensors": 1, // Hugging Face's weights
	"internal/host":        0, // what the machine gives this process
	"internal/llm":         1, // the seam
	"internal/telemetry":   1, // logs and metrics
	"internal/llm/llmtest": 2, // conformance suite of the seam

	"internal/moe":      2, // the model
	"internal/synth":    2, // synthetic models
	"internal/convert":  2, // other files, other formats
	"internal/upstream": 2, // other servers as llm.Backend
	"internal/testcase": 1, // a test case as data
	"testcases":         2, // the compiled-in cases
	"internal/evidence": 2, // what a run records
	"internal/loadgen":  3, // load and its clocks
	"internal/store":    2, // runs and requests in a database
	"internal/faults":   3, // servers with one planted fault each
	"internal/probe":    3, // resources and metrics from outside
	"internal/quality":  2, // answer scores
	"internal/prompts":  1, // prompt files

	"internal/store/postgres":  3, // PostgreSQL
	"internal/store/sqlite":    3, // SQLite
	"internal/store/storetest": 3, // conformance suite of the store
	"internal/store/open":      4, // which driver

	"internal/engine":    3, // continuous batching
	"internal/calibrate": 3, // importance matrices from a text
	"internal/report":    3, // reports people read
	"internal/judge":     4, // evidence to verdict

	"internal/api":     4, // HTTP routes
	"internal/catalog": 4, // model names to files

	"":        5, // package mixtral
	"certify": 5, // the certifier

	"cmd/mixtral":        9,
	"cmd/mixtral-faults": 9,
}

// certifying packages see the service through HTTP only.
var (
	certifying = []string{"testcases", "internal/testcase", "internal/evidence", "internal/loadgen", "internal/probe", "internal/faults", "internal/judge", "internal/quality", "internal/prompts", "internal/report", "certify"}
	meeting    = []string{"internal/openai", "internal/stats", "internal/telemetry", "internal/token", "internal/store"}
)

// onlyIn names what may be imported in few places: cgo nowhere, unsafe where bytes become numbers.
var onlyIn = map[string][]string{
	"C":                     {},
	"unsafe":                {"internal/kernel", "internal/quant", "internal/gguf", "internal/walltest"},
	"go.opentelemetry.io/":  {"internal/telemetry"},
	"github.com/jackc/pgx":  {"internal/store/postgres"},
	"modernc.org/sqlite":    {"internal/store/sqlite"},
	"github.com/alecthomas": {"cmd/mixtral", "cmd/mixtral-faults"},
}

const maxLines = 520 // a file people can hold in mind

type listed struct {
	ImportPath string
	Dir        string
	Doc        string
	Imports    []string
	GoFiles    []string
	SFiles     []string
	CgoFiles   []string
}

// packages asks the go command for every package of the module.
func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Imports,GoFiles,SFiles,CgoFiles", "./...")
	cmd.Dir = filepath.Join("..", "..")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func local(importPath string) (string, bool) {
	if importPath == module {
		return "", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// rankOf gives a package's rank; a subpackage without a line of its own has its parent's.
func rankOf(rel string) (int, bool) {
	for {
		if r, ok := ranks[rel]; ok {
			return r, true
		}
		i := strings.LastIndexByte(rel, '/')
		if i < 0 {
			return 0, false
		}
		rel = rel[:i]
	}
}

func under(rel string, list []string) bool {
	for _, p := range list {
		if rel == p || strings.HasPrefix(rel, p+"/") {
			return true
		}
	}
	return false
}

func TestImportRanks(t *testing.T) {
	for _, p := range packages(t) {
		rel, _ := local(p.ImportPath)
		if len(p.GoFiles) == 0 {
			continue // test-only directories such as this one
		}
		rank, ok := rankOf(rel)
		if !ok {
			t.Errorf("%q has no rank: give it a line in the table", rel)
			continue
		}
		for _, imp := range p.Imports {
			dep, ours := local(imp)
			if !ours {
				continue
			}
			depRank, ok := rankOf(dep)
			inside := under(dep, []string{rel}) && rel != "" || under(rel, []string{dep}) && dep != "" // a house within the house
			if ok && depRank >= rank && !inside {
				t.Errorf("%q (rank %d) imports %q (rank %d): only lower ranks are allowed", rel, rank, dep, depRank)
			}
			if under(rel, certifying) && !under(dep, certifying) && !under(dep, meeting) {
				t.Errorf("%q certifies over HTTP and must not import %q of the serving half", rel, dep)
			}
		}
	}
}

func TestThingsInTheirPlace(t *testing.T) {
	for _, p := range packages(t) {
		rel, _ := local(p.ImportPath)
		for _, imp := range p.Imports {
			for prefix, where := range onlyIn {
				if (imp == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(imp, prefix) || len(prefix) > 8 && strings.HasPrefix(imp, prefix)) && !under(rel, where) {
					t.Errorf("%q imports %s, which belongs in %v", rel, imp, where)
				}
			}
		}
		if len(p.SFiles) > 0 && rel != "internal/kernel" {
			t.Errorf("%q has assembly: it belongs in internal/kernel", rel)
		}
		if len(p.CgoFiles) > 0 {
			t.Errorf("%q uses cgo", rel)
		}
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%q has no package comment", rel)
		}
	}
}

func TestFilesStaySmall(t *testing.T) {
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		n := 0
		for s := bufio.NewScanner(f); s.Scan(); {
			n++
		}
		if n > maxLines {
			t.Errorf("%s has %d lines, at most %d: cut it where its ideas part", path, n, maxLines)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

var testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")

// TestDocsNameRealTests: a promise in docs/SECURITY.md is worth what the test beside it is.
func TestDocsNameRealTests(t *testing.T) {
	root := filepath.Join("..", "..")
	doc, err := os.ReadFile(filepath.Join(root, "docs", "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(data, -1) {
			have[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range testName.FindAllSubmatch(doc, -1) {
		if !have[string(m[1])] {
			t.Errorf("docs/SECURITY.md names %s, and there is no such test", m[1])
		}
	}
}
