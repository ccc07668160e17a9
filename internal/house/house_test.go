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
	"slices"
	"strings"
	"testing"
)

const module = "github.com/hxp-enterprise/mixtral"

// ranks: a package imports strictly lower ranks only. A new package needs a line here.
var ranks = map[string]int{
	"internal/base/openai":    0, // wire types, SSE
	"internal/base/token":     0, // SentencePiece BPE
	"internal/base/stats":     0, // statistics
	"internal/base/host":      0, // what the machine gives this process
	"internal/base/slo":       1, // service-level objectives
	"internal/base/bounded":   0, // files from elsewhere, within bounds
	"internal/base/plainjson": 0, // errors of JSON in plain words
	"internal/base/yamlfile":  1, // a struct from a YAML file, with every error
	"internal/base/hostile":   0, // what readers of them must survive, for tests
	"internal/base/noun":      0, // a count and its noun
	"internal/base/spell":     0, // which word a misspelt one means
	"internal/base/whole":     0, // files that are complete or not there
	"internal/base/wait":      0, // time that passes no longer than a context lasts
	"internal/base/filelock":  0, // one writer of a file at a time
	"internal/base/walltest":  0, // a wall clock that is set, for tests
	"internal/base/cost":      1, // what work takes of memory and time, for tests
	"internal/base/need":      0, // what tests need and a machine may lack
	"internal/base/leak":      0, // goroutines that tests leave behind
	"internal/base/property":  0, // property tests from fixed seeds, or in search of new cases
	"internal/base/telemetry": 1, // logs and metrics

	"internal/base/store":           2, // runs and requests in a database
	"internal/base/store/postgres":  3, // PostgreSQL
	"internal/base/store/sqlite":    3, // SQLite
	"internal/base/store/storetest": 3, // conformance suite of the store
	"internal/base/store/open":      4, // which driver

	"internal/llm":         1, // the seam
	"internal/llm/llmtest": 2, // conformance suite of the seam

	"internal/infer/quant":    0, // block formats
	"internal/infer/gguf":     1, // model container
	"internal/infer/kernel":   1, // numeric kernels
	"internal/infer/kvcache":  1, // paged KV blocks
	"internal/infer/grammar":  1, // what an answer is held to
	"internal/infer/sample":   2, // next-token choice
	"internal/infer/moe":      2, // the model
	"internal/infer/schedule": 2, // what each step computes
	"internal/infer/engine":   3, // continuous batching

	"models/demo":                0, // the embedded demo model
	"internal/model/chat":        2, // chat formats
	"internal/model/hub":         1, // model files from elsewhere
	"internal/model/safetensors": 1, // Hugging Face's weights
	"internal/model/synth":       2, // synthetic models
	"internal/model/convert":     2, // other files, other formats
	"internal/model/calibrate":   3, // importance matrices from a text
	"internal/model/catalog":     4, // model names to files

	"internal/serve/route":     0, // which replica gets a request
	"internal/serve/access":    2, // who may reach the service, and how much of it
	"internal/serve/upstream":  3, // other servers as llm.Backend
	"internal/serve/body":      2, // the fields of a request
	"internal/serve/responses": 3, // the Responses API as chats
	"internal/serve/messages":  3, // the Messages API as chats
	"internal/serve/api":       4, // HTTP routes
	"internal/serve/settings":  2, // a struct from a file and the environment
	"internal/serve/service":   5, // the serving half, wired together

	"certify/prompts":           1, // prompt files
	"certify/target":            5, // servers to certify: started, or found
	"internal/certify/client":   4, // what is asked of a server beside the load
	"testcases":                 2, // test cases as data, and the compiled-in ones
	"certify/report":            3, // reports people read
	"certify/attest":            4, // signatures of reports
	"internal/certify/evidence": 3, // what a run records
	"internal/certify/quality":  2, // answer scores
	"internal/certify/loadgen":  4, // load and its clocks
	"internal/certify/probe":    4, // resources and metrics from outside
	"internal/certify/faults":   3, // servers with one planted fault each
	"internal/certify/judge":    4, // evidence to verdict
	"internal/certify/traffic":  3, // requests and arrivals from files, lengths and seeds
	"internal/certify/verify":   5, // a report held against its record and its signature
	"internal/certify/live":     5, // a run as it happens
	"internal/certify/knee":     2, // the highest load that keeps its objectives
	"internal/certify/offset":   2, // clocks of two machines compared
	"internal/certify/remote":   5, // load made by generators on other machines
	"internal/certify/merge":    6, // records of generators joined with their coordinator's

	"internal/web/look":       1, // what every page looks like
	"internal/web/verifypage": 2, // the page that verifies reports in a browser
	"internal/web/chat":       2, // the pages of mixtral serve
	"internal/web/console":    6, // the pages of mixtral console
	"internal/plan":           3, // replicas from targets, by simulation
	"internal/house":          0, // these tests

	"":        6, // package mixtral
	"certify": 6, // the certifier

	"cmd/mixtral":        9,
	"cmd/mixtral-faults": 9,
	"cmd/verify-page":    9,
}

// The two halves. They know the seam, internal/base and nothing of each other: the certifying half sees a service
// through HTTP only.
var (
	serving    = []string{"internal/infer", "internal/model", "internal/serve", "internal/web/chat", "models"}
	certifying = []string{"internal/certify", "internal/web/console", "internal/web/verifypage", "certify",
		"testcases"}
	shared = []string{"internal/base", "internal/llm", "internal/web/look"}
)

// neither are the packages of no half: these tests, the commands, which wire both together, and the simulation, which
// runs the scheduler of the serving half for a command.
var neither = []string{"cmd", "internal/plan", "internal/house"}

// housed says whether a package is in a half, shared by both, or known to be in neither. A package that is in none of
// the lists could import anything. The root is package mixtral, which serves.
func housed(rel string) bool {
	return rel == "" || under(rel, slices.Concat(serving, certifying, shared, neither))
}

func TestHoused(t *testing.T) {
	for rel, want := range map[string]bool{"": true, "cmd/mixtral": true, "certify/report": true, "internal/llm": true,
		"internal/web/verifypage": true, "internal/web/other": false, "internal/certifying": false} {
		if housed(rel) != want {
			t.Errorf("%q is in a half: %v, want %v", rel, !want, want)
		}
	}
}

// onlyIn names what may be imported in few places: cgo nowhere, unsafe where bytes become numbers.
var onlyIn = map[string][]string{
	"C": {},
	"unsafe": {"internal/infer/kernel", "internal/infer/quant", "internal/infer/gguf",
		"internal/base/walltest"},
	"go.opentelemetry.io/":  {"internal/base/telemetry"},
	"github.com/jackc/pgx":  {"internal/base/store/postgres"},
	"modernc.org/sqlite":    {"internal/base/store/sqlite"},
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
		if !housed(rel) {
			t.Errorf("%q is in no half: add it to serving, certifying, shared or neither", rel)
		}
		for _, imp := range p.Imports {
			dep, ours := local(imp)
			if !ours {
				continue
			}
			depRank, ok := rankOf(dep)
			// a house within the house
			inside := under(dep, []string{rel}) && rel != "" || under(rel, []string{dep}) && dep != ""
			if ok && depRank >= rank && !inside {
				t.Errorf("%q (rank %d) imports %q (rank %d): only lower ranks are allowed", rel, rank, dep, depRank)
			}
			switch {
			case under(rel, certifying) && (!under(dep, certifying) && !under(dep, shared) ||
				under(dep, []string{"internal/llm"})):
				t.Errorf("%q certifies over HTTP and must not import %q", rel, dep)
			case (rel == "" || under(rel, serving)) && under(dep, certifying):
				t.Errorf("%q serves and must not import %q of the certifying half", rel, dep)
			case under(rel, shared) && !under(dep, shared):
				t.Errorf("%q is shared by both halves and must not import %q of one of them", rel, dep)
			}
		}
	}
}

func TestThingsInTheirPlace(t *testing.T) {
	for _, p := range packages(t) {
		rel, _ := local(p.ImportPath)
		for _, imp := range p.Imports {
			for prefix, where := range onlyIn {
				if (imp == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(imp, prefix) ||
					len(prefix) > 8 && strings.HasPrefix(imp, prefix)) && !under(rel, where) {
					t.Errorf("%q imports %s, which belongs in %v", rel, imp, where)
				}
			}
		}
		if len(p.SFiles) > 0 && rel != "internal/infer/kernel" {
			t.Errorf("%q has assembly: it belongs in internal/infer/kernel", rel)
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

// maxDirect is how many modules the root module may require itself. Each is somebody else's code to follow for as long
// as this program lives; docs/RATIONALE.md says what the last ones are for.
const maxDirect = 24

// TestFewDependencies: a further dependency is a decision, not an accident.
func TestFewDependencies(t *testing.T) {
	data, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	n := len(regexp.MustCompile(`(?m)^\t\S+ v\S+$`).FindAll(data, -1)) // an indirect one has a comment
	if n == 0 || n > maxDirect {
		t.Errorf("go.mod has %d direct dependencies, at most %d are allowed", n, maxDirect)
	}
}
