package testcases_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// A case and its prompts, declared in Go. The result of With is for certify.Options.Loaded.
func Example() {
	c := testcases.New("TC-SUPPORT", "Support answers within a second")
	c.Targets.LatencyMS, c.Targets.ThroughputRPS = 1000, 4
	c.Request.MaxTokens = 128
	c.Profiles = map[string]testcases.Phases{"quick": {
		{ID: "warmup", Kind: testcases.KindWarmup, Concurrency: 2, Requests: 10},
		{ID: "chat", Kind: testcases.KindOpen, DurationS: 30, RampS: 3},
	}}
	c.SLO = map[string]string{"chat": "ttft:p99<500ms,goodput>=95%"}
	c.Checks = []testcases.Check{{ID: "mean", Clause: "The mean latency is below 1 s",
		Rule: testcases.RuleMeanLatency, Phase: "chat"}}
	set := &prompts.Set{Prompts: []prompts.Prompt{{Category: "support", Level: "simple",
		Text: "How do I reset my password?", Rubric: &prompts.Rubric{
			Points: []prompts.Point{{Name: "link", Any: []string{"link", "e-mail"}}}}}}}
	loaded, err := c.With(set)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(loaded.Case.ID, len(loaded.Case.Profiles["quick"]), "phases,", len(loaded.Prompts.Prompts), "prompt")
	// Output: TC-SUPPORT 2 phases, 1 prompt
}

// Questions with right answers can come from memory too: the case names a file, and Files has its content.
func ExampleLoaded() {
	c := testcases.New("TC-SUMS", "Sums are right")
	c.Profiles = map[string]testcases.Phases{"quick": {{ID: "sums", Kind: testcases.KindClosed, Concurrency: 4,
		Task: &testcases.Task{Kind: testcases.TaskExactMatch, File: "sums.jsonl"}}}}
	c.Checks = []testcases.Check{{ID: "sums", Clause: "Nine of ten sums are right", Rule: testcases.RuleExactMatch,
		Phase: "sums", Limit: 0.9}}
	loaded, err := c.With(nil) // the built-in prompts, which this case does not use
	if err != nil {
		log.Fatal(err)
	}
	loaded.Files = map[string][]byte{"sums.jsonl": []byte(`{"question":"What is 2 plus 2?","answer":"#### 4"}`)}
	fmt.Println(loaded.Case.Profiles["quick"][0].Task.Kind)
	// Output: exact_match
}

// A case that changes a built-in one.
func ExampleRead() {
	loaded, err := testcases.Load("CHAT-INTERACTIVE")
	if err != nil {
		log.Fatal(err)
	}
	for _, assignment := range []string{"targets.throughput_rps=5", "profiles.short.chat.duration_s=60"} {
		if err := loaded.Case.Set(assignment); err != nil {
			log.Fatal(err)
		}
	}
	file, err := loaded.Case.Marshal() // a case file
	if err != nil {
		log.Fatal(err)
	}
	again, err := testcases.Read(file, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(again.Case.Targets.ThroughputRPS, strings.Contains(string(file), "throughput_rps: 5"))
	// Output: 5 true
}
