package testcases

import (
	"strings"
	"testing"
)

// giveTask adds to the case's first check and its phase what a rule about grades needs.
func giveTask(c *Case, rule Rule) {
	kind, ok := TaskRules[rule]
	if !ok {
		return
	}
	c.Checks[0].Limit, c.Checks[0].Target = 0.9, ""
	task := &Task{Kind: kind, File: "questions.jsonl"}
	switch kind {
	case TaskJSON:
		task.Schema = "schema.json"
	case TaskNeedle:
		task.File, task.Tokens, task.Depths = "", []int{100}, []float64{0, 1}
	}
	for _, phases := range c.Profiles {
		for i := range phases {
			if phases[i].ID == c.Checks[0].Phase {
				phases[i].Task, phases[i].Prompts, phases[i].Traffic = task, nil, nil
			}
		}
	}
}

// TestTasksThatCannotBe checks that an error names the key that a task lacks or must not have.
func TestTasksThatCannotBe(t *testing.T) {
	for want, change := range map[string]func(*Task, *Check){
		"task.kind: must be one of":              func(x *Task, _ *Check) { x.Kind = "riddle" },
		"task.file: kind needle makes its texts": func(x *Task, _ *Check) { x.File = "a.jsonl" },
		"task.tokens: kind needle needs tokens":  func(x *Task, _ *Check) { x.Depths = nil },
		"task.tokens: must be":                   func(x *Task, _ *Check) { x.Tokens = []int{3} },
		"task.depths: must be between 0 and 1":   func(x *Task, _ *Check) { x.Depths = []float64{50} },
		"task.schema: kind json needs a file":    func(x *Task, _ *Check) { x.Schema = "s.json" },
		"limit: must be above 0 and at most 1":   func(_ *Task, c *Check) { c.Limit = 95 },
		"phase: rule exact_match needs a phase":  func(_ *Task, c *Check) { c.Rule = RuleExactMatch },
		"task.most: must be between 0":           func(x *Task, _ *Check) { x.Most = -1 },
		"task.tool_choice: must be left out":     func(x *Task, _ *Check) { x.ToolChoice = ToolsAuto },
		"task.tool_choice: must be one of": func(x *Task, _ *Check) {
			*x = Task{Kind: TaskTools, File: "q.jsonl", ToolChoice: "any"}
		},
	} {
		c := parse(t)
		c.Checks[0].Rule, c.Checks[0].P = RuleNeedle, 0
		giveTask(c, RuleNeedle)
		for _, ph := range c.Profiles["quick"] {
			if ph.Task != nil {
				change(ph.Task, &c.Checks[0])
			}
		}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
