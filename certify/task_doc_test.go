package certify_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify"
)

// manualCase returns the case in docs/CASES.md with an ID.
func manualCase(t *testing.T, id string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "docs", "CASES.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(data), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		if strings.Contains(text, "\nid: "+id+"\n") {
			return text
		}
	}
	t.Fatalf("docs/CASES.md has no case %s", id)
	return ""
}

// dataSets returns a few lines of each data set, in the shape in which it is published.
func dataSets() map[string]string {
	var gsm, orca, forms, tools strings.Builder
	for i := range 30 {
		fmt.Fprintf(&gsm, `{"question":"What is %d plus 1000?","answer":"%d+1000 = <<%d+1000=%d>>%d\n#### %s"}`+"\n", i,
			i, i, i+1000, i+1000, fmt.Sprintf("1,%03d", i))
		fmt.Fprintf(&orca, `{"id":"flan.%d","system_prompt":"You are an AI assistant.","question":"Say it %d.",`+
			`"response":"A reasonable answer to whatever was asked."}`+"\n", i, i)
		fmt.Fprintf(&forms, `{"id":"%d","system_prompt":"","question":"Fill in form %d.","response":"{}"}`+"\n", i, i)
		fmt.Fprintf(&tools, `{"id":"simple_%d","question":[[{"role":"user","content":"What is %d plus 2?"}]],`+
			`"function":[{"name":"add","description":"Adds.","parameters":{"type":"dict","properties":{"a":`+
			`{"type":"integer"},"b":{"type":"integer"}},"required":["a","b"]}}],`+
			`"ground_truth":[{"add":{"a":[%d],"b":[2]}}]}`+"\n", i, i, i)
	}
	return map[string]string{"gsm8k.jsonl": gsm.String(), "openorca.jsonl": orca.String(),
		"forms.jsonl": forms.String(), "tools.jsonl": tools.String(),
		"form.json": `{"type":"object","properties":{"total":{"type":"integer"}},"required":["total"]}`}
}

// TestTheCaseOfTheManualRuns runs the case that docs/CASES.md shows for MLPerf's accuracy gates; only its lengths are
// changed. A server with right answers passes each gate, and one with mostly wrong answers fails each.
func TestTheCaseOfTheManualRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := dataSets()
	files["case.yaml"] = manualCase(t, "OUR-RELEASE")
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		wrong   int64
		verdict certify.Verdict
	}{{0, certify.Pass}, {9, certify.Fail}} {
		t.Run(string(c.verdict), func(t *testing.T) {
			t.Parallel()
			h := httptest.NewServer(&pupil{wrong: c.wrong, alsoTalk: true})
			defer h.Close()
			rep, err := certify.Run(t.Context(), certify.Options{Case: filepath.Join(dir, "case.yaml"), Target: h.URL,
				Profile: "full", ReportDir: t.TempDir(), Seed: 3, Set: []string{"request.stream=false",
					"profiles.full.warmup.requests=5", "profiles.full.warmup.duration_s=0.1",
					"profiles.full.warmup.max_s=2", "profiles.full.server.duration_s=1",
					"profiles.full.server.ramp_s=0.1",
					"profiles.full.forms.rps=40", "profiles.full.forms.duration_s=1",
					"profiles.full.depths.task.tokens=[70, 90]"}})
			if err != nil {
				t.Fatal(err)
			}
			for id, why := range map[string]string{"gsm8k": "30 answers, every one of 30 questions",
				"rouge1": "every one of 30", "rouge2": "", "rougeL": "", "forms": "every one of 30 questions",
				"depths": "300 answers", "calls": "every one of 30 questions", "forced-calls": ""} {
				want(t, rep, id, c.verdict, why)
			}
		})
	}
}
