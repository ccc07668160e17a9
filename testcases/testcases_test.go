package testcases

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/jsonschema-go/jsonschema"
)

var update = flag.Bool("update", false, "write case.schema.json anew")

func TestEveryBuiltInCaseLoads(t *testing.T) {
	if !slices.Contains(List(), Default) {
		t.Fatalf("%s is not among %v", Default, List())
	}
	for _, id := range List() {
		l, err := Load(id)
		if err != nil {
			t.Fatal(err)
		}
		if l.Case.ID != id {
			t.Errorf("folder %s holds the case %s", id, l.Case.ID)
		}
		for _, profile := range []string{"quick", "full"} {
			if len(l.Case.Profiles[profile]) == 0 {
				t.Errorf("%s has no profile %s", id, profile)
			}
		}
	}
}

// The numbers are the specification's. A change of one changes what is certified.
func TestTheSeedsNumbers(t *testing.T) {
	l, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	want := Targets{LatencyMS: 2000, ThroughputRPS: 50, Quality: 0.8, MemoryGB: 90, CPUCores: 8, Concurrency: 10}
	if l.Case.Targets != want {
		t.Errorf("targets %+v, want %+v", l.Case.Targets, want)
	}
	if n := len(l.Prompts.Prompts); n != 9 {
		t.Errorf("%d prompts, the specification has 9", n)
	}
	counts := map[byte]int{}
	for id := range l.Case.Criteria {
		counts[id[0]]++
	}
	if counts['S'] != 4 || counts['P'] != 6 || counts['F'] != 7 || counts['V'] != 8 {
		t.Errorf("criteria %v, the specification has S 4, P 6, F 7, V 8", counts)
	}
	full := l.Case.Profiles["full"]
	if single, _ := full.ByID("single"); single.Requests < 662 {
		t.Errorf("single has %d requests: p99 with one miss needs 662", single.Requests)
	}
	if sustained, _ := full.ByID("sustained"); sustained.DurationS-sustained.RampS < 600 {
		t.Errorf("sustained has %g s: 600 are asked for", sustained.DurationS-sustained.RampS)
	}
	gated := map[string]bool{}
	for _, c := range l.Case.Checks {
		if c.Gate == nil || *c.Gate {
			for _, id := range c.Covers {
				gated[id] = true
			}
		}
	}
	for id := range l.Case.Criteria {
		if !gated[id] {
			t.Errorf("criterion %s has no check that counts", id)
		}
	}
}

func TestCasesInFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "case.yaml")
	source, err := builtin.ReadFile(Default + "/case.yaml")
	if err != nil {
		t.Fatal(err)
	}
	put := func(old, new string) {
		t.Helper()
		if !bytes.Contains(source, []byte(old)) {
			t.Fatalf("the case has no %q", old)
		}
		if err := os.WriteFile(file, bytes.ReplaceAll(source, []byte(old), []byte(new)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("prompts: builtin", "prompts: mine.json")
	if _, err := Load(file); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "mine.json") {
		t.Errorf("missing prompt file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mine.json"), []byte(`{"reasoning":{"simple":"What is 3 + 3?"}}`),
		0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "reasoning/complex") {
		t.Errorf("missing prompt: %v", err)
	}
	put("latency_ms: 2000", "latency_ms: -1")
	if _, err := Load(file); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(),
		"targets.latency_ms: must be between 0 and 1e+09, got -1") ||
		!strings.Contains(err.Error(), "case.yaml:32: ") {
		t.Errorf("bad target: %v", err)
	}
	if _, err := Load("TC-none"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), Default) {
		t.Errorf("no such case: %v", err)
	}
}

func TestTheSchemaIsCurrentAndTrue(t *testing.T) {
	want, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("case.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	manual := filepath.Join("..", "docs", "CASES.md")
	if *update {
		if err := os.WriteFile(manual, []byte(Manual()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if doc, err := os.ReadFile(manual); err != nil || string(doc) != Manual() {
		t.Errorf("docs/CASES.md is not what the types say: go test ./testcases -update (%v)", err)
	}
	for _, k := range Keys() {
		if k.Text == "" {
			t.Errorf("the key %s has no comment to explain it", k.Path)
		}
		for _, name := range MetricNames() {
			if k.Path == "metrics.NAME" && !strings.Contains(k.Text, name) {
				t.Errorf("the comment of %s does not list %s", k.Path, name)
			}
		}
	}
	got, err := os.ReadFile("case.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("case.schema.json is not what the types say: go test ./testcases -update")
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal(got, &schema); err != nil {
		t.Fatal(err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	source, err := builtin.ReadFile(Default + "/case.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{"as it is": {}, "rule": {"rule: leak", "rule: drip"},
		"kind": {"kind: idle", "kind: rest"}, "key": {"quality: 0.8", "qualty: 0.8"},
		"type": {"latency_ms: 2000", "latency_ms: fast"}, "id": {"id: TC-L1", "id: /TC-L1"},
		"version": {"schema_version: 1", "schema_version: 2"}} {
		var doc any
		if err := yaml.Unmarshal(bytes.Replace(source, []byte(change[0]), []byte(change[1]), 1), &doc); err != nil {
			t.Fatal(err)
		}
		if err := resolved.Validate(doc); (err == nil) != (name == "as it is") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
