package grammar

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/need"
)

// TestGenerators: schemas as programs write them for people are taken, and answers to them are valid. Each file of
// testdata/generators is named after such a program, and has its schemas by what was to be described. Those of
// people.json are of the kinds that people write themselves.
func TestGenerators(t *testing.T) {
	v, _ := vocabulary(t, 400)
	paths, err := filepath.Glob("testdata/generators/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var schemas map[string]json.RawMessage
		if err := json.Unmarshal(data, &schemas); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for name, schema := range schemas {
			g, err := Compile(Spec{Kind: JSONSchema, Source: string(schema)}, v)
			if err != nil {
				t.Errorf("%s: %s: %v", path, name, err)
				continue
			}
			r, ended := resolved(string(schema)), 0
			for seed := range uint64(4) {
				text, ok := answer(t, g, rand.New(rand.NewPCG(seed, 5)), 800)
				if !ok {
					continue
				}
				ended++
				// That validator does not read \d in a class of a pattern, and does not know OpenAPI's nullable.
				if r == nil || strings.Contains(string(schema), "nullable") {
					continue
				}
				if err := isValid(r, text); err != nil {
					t.Errorf("%s: %s: %.300s: %v", path, name, text, err)
				}
			}
			if ended == 0 {
				t.Errorf("%s: %s: no answer ended", path, name)
			}
		}
	}
}

// TestSuite: JSON Schema's own test suite. What is taken of it accepts no text that is not valid, and makes none.
func TestSuite(t *testing.T) {
	v, _ := vocabulary(t, 400)
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/jsonschema-go").Output()
	if err != nil {
		need.Missing(t, "the module with the suite: %v", err)
	}
	for draft, least := range map[string]int{"draft2020-12": 285, "draft7": 225} {
		paths, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "jsonschema/testdata", draft,
			"*.json"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s has no suite of %s: %v", dir, draft, err)
		}
		taken := 0
		for _, path := range paths {
			taken += suiteFile(t, v, path)
		}
		if taken < least {
			t.Errorf("%s: %d schemas are taken, want at least %d", draft, taken, least)
		}
	}
}

// notHere are schemas of the suite that mean something else here: in draft 7 what stands beside a $ref does not count,
// which a schema has to ask for with $schema; and a validator that divides in binary finds that 0.18 is not a
// multiple of 0.0001.
var notHere = []string{"$ref prevents a sibling $id from changing the base uri", "by small number"}

// suiteFile gives how many schemas of a file are taken.
func suiteFile(t *testing.T, v *Vocabulary, path string) (taken int) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var groups []struct {
		Description string
		Schema      json.RawMessage
		Tests       []struct {
			Data  json.RawMessage
			Valid bool
		}
	}
	if err := json.Unmarshal(data, &groups); err != nil {
		t.Fatal(err)
	}
	for _, group := range groups {
		name, schema := filepath.Base(path)+": "+group.Description, string(group.Schema)
		g, err := Compile(Spec{Kind: JSONSchema, Source: schema}, v)
		if err != nil {
			continue
		}
		if taken++; strings.Contains(name, notHere[0]) || strings.Contains(name, notHere[1]) {
			continue
		}
		for _, test := range group.Tests {
			var plain bytes.Buffer
			if err := json.Compact(&plain, test.Data); err != nil {
				t.Fatal(err)
			}
			if !test.Valid && accepts(t, g, plain.String()) {
				t.Errorf("%s: %s is accepted: %s", name, plain.Bytes(), schema)
			}
		}
		for seed := range uint64(4) {
			text, ok := answer(t, g, rand.New(rand.NewPCG(seed, 5)), 400)
			if r := resolved(schema); ok && r != nil {
				if err := isValid(r, text); err != nil {
					t.Errorf("%s: made %.200s: %v", name, text, err)
				}
			}
		}
	}
	return taken
}
