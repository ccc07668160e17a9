// Package grammar holds structured answers of the engine to a second validator, one that also looks at formats.
package grammar

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/hxp-enterprise/mixtral/internal/infer/engine"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/grammar/grammartest"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

func open(t *testing.T) *engine.Engine {
	t.Helper()
	b, err := synth.Bytes(synth.Tiny())
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(f, engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// check validates a text, formats too.
func check(t *testing.T, schema, text string) error {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}

// generate asks for an answer; ended is false where it was cut, or the schema refused.
func generate(t *testing.T, b llm.Backend, schema string, seed int64) (text string, ended bool) {
	t.Helper()
	r := llmtest.Chat("which words?", 400)
	r.Grammar = &llm.Grammar{Kind: llm.GrammarSchema, Source: schema, Field: "schema"}
	r.Sampling = llm.Sampling{Temperature: 2, Seed: &seed}
	out, err := llmtest.Collect(t.Context(), b, r)
	if err != nil && (out.Events > 0 || !strings.HasPrefix(err.Error(), "schema: ")) {
		t.Fatalf("%s: %v", schema, err)
	}
	return out.Text, err == nil && out.Finish == llm.FinishStop
}

func TestRandomSchemas(t *testing.T) {
	e := open(t)
	ended := 0
	for seed := range int64(300) {
		schema := grammartest.Schema(rand.New(rand.NewPCG(uint64(seed), 77)))
		text, ok := generate(t, e, schema, seed)
		if !ok {
			continue
		}
		ended++
		if err := check(t, schema, text); err != nil {
			t.Errorf("%s\nmade %s: %v", schema, text, err)
		}
	}
	if ended < 150 {
		t.Errorf("only %d of 300 answers ended", ended)
	}
}

// TestFormats: strings of every format that this validator knows.
func TestFormats(t *testing.T) {
	e := open(t)
	for _, format := range []string{"date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6",
		"uuid", "uri",
		"uri-reference", "iri", "iri-reference", "json-pointer"} {
		ended := 0
		for seed := range int64(20) {
			schema := `{"type":"array","minItems":2,"maxItems":2,"items":{"type":"string","format":"` + format + `"}}`
			text, ok := generate(t, e, schema, seed)
			if !ok {
				continue
			}
			ended++
			if err := check(t, schema, text); err != nil {
				t.Errorf("%s: %s: %v", format, text, err)
			}
		}
		if ended < 4 {
			t.Errorf("%s: only %d of 20 answers ended", format, ended)
		}
	}
}

// TestEverydaySchemas: the schemas of the grammar package's own tests, but orders.json: its answers are longer than
// the model's context, and that package's TestCorpus validates them.
func TestEverydaySchemas(t *testing.T) {
	e := open(t)
	paths, err := filepath.Glob("../../internal/infer/grammar/testdata/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		if filepath.Base(path) == "orders.json" {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		ended := 0
		for seed := range int64(20) {
			text, ok := generate(t, e, string(b), seed)
			if !ok {
				continue
			}
			ended++
			if err := check(t, string(b), text); err != nil {
				t.Errorf("%s: %s: %v", path, text, err)
			}
		}
		if ended == 0 {
			t.Errorf("%s: no answer ended", path)
		}
	}
}
