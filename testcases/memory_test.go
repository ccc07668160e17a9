package testcases_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
	"github.com/hxp-enterprise/mixtral/testcases"
)

func declared() *testcases.Case {
	c := testcases.New("TC-MINE", "Chat answers: \"fast\"\nand # good")
	c.Targets.LatencyMS = 1000
	c.Profiles = map[string]testcases.Phases{"quick": {
		{ID: "single", Kind: testcases.KindClosed, Concurrency: 1, Requests: 20, Prompts: []string{"a/b"}}}}
	gate := false
	c.Checks = []testcases.Check{{ID: "mean", Clause: "The mean latency is below 1 s",
		Rule: testcases.RuleMeanLatency, Phase: "single", Gate: &gate}}
	return c
}

// TestACaseIsDeclaredInGo checks that a case that was made in memory, written and read back is the same case.
func TestACaseIsDeclaredInGo(t *testing.T) {
	set := &prompts.Set{Prompts: []prompts.Prompt{{Category: "a", Level: "b", Text: "What is 2 + 2?"}}}
	c := declared()
	loaded, err := c.With(set)
	if err != nil {
		t.Fatal(err)
	}
	if want, got := asJSON(t, c), asJSON(t, loaded.Case); want != got {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if p, ok := loaded.Prompts.ByKey("a/b"); !ok || p.Text != "What is 2 + 2?" {
		t.Errorf("prompts %v", loaded.Prompts.Keys())
	}
	again, err := testcases.Read(loaded.Source, loaded.PromptBytes)
	if err != nil || asJSON(t, again.Case) != asJSON(t, c) {
		t.Errorf("read again: %v", err)
	}
	clone, err := loaded.Clone()
	if err != nil {
		t.Fatal(err)
	}
	if err := clone.Case.Set("profiles.quick.single.requests=5"); err != nil {
		t.Fatal(err)
	}
	if loaded.Case.Profiles["quick"][0].Requests != 20 || clone.Case.Profiles["quick"][0].Requests != 5 {
		t.Error("a change of the clone reached the original")
	}
	if _, err := c.With(nil); !errors.Is(err, testcases.ErrInvalid) || !strings.Contains(err.Error(), `"a/b"`) {
		t.Errorf("a prompt that the built-in file does not have: %v", err)
	}
	c.Checks[0].Rule = "drip"
	if _, err := c.With(set); !errors.Is(err, testcases.ErrInvalid) {
		t.Errorf("an invalid case: %v", err)
	}
}

func TestTheBuiltInCasesAreWrittenAsTheyAre(t *testing.T) {
	for _, id := range testcases.List() {
		loaded, err := testcases.Load(id)
		if err != nil {
			t.Fatal(err)
		}
		data, err := loaded.Case.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := testcases.Parse(data)
		if err != nil || asJSON(t, again) != asJSON(t, loaded.Case) {
			t.Errorf("%s: %v", id, err)
		}
		read, err := testcases.Read(loaded.Source, nil)
		if err != nil || !bytes.Equal(read.PromptBytes, prompts.Builtin()) {
			t.Errorf("%s from its bytes: %v", id, err)
		}
	}
}

func asJSON(t *testing.T, c *testcases.Case) string {
	t.Helper()
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
