package testcases

import (
	"maps"
	"slices"
)

// Task replaces the prompts of a phase with questions whose answers can be graded. The phase makes load as any other
// phase does, so that the grades are those of answers under load.
type Task struct {
	// What is asked, and how an answer is graded.
	Kind TaskKind `yaml:"kind" json:"kind"`
	// File of the questions, in JSON Lines, relative to the case file.
	File string `yaml:"file" json:"file,omitempty"`
	// For kind json: file of the JSON Schema that each answer must satisfy.
	Schema string `yaml:"schema" json:"schema,omitempty"`
	// Number of questions to use, from the start of the file; 0: all.
	Most int `yaml:"most" json:"most,omitempty"`
	// For kind needle: lengths of the text in tokens, taken in turn.
	Tokens []int `yaml:"tokens" json:"tokens,omitempty"`
	// For kind needle: position of the needle in the text, 0 to 1.
	Depths []float64 `yaml:"depths" json:"depths,omitempty"`
	// For kind tools: tool_choice of the requests. "auto" (default) leaves the choice to the model, "required"
	// demands a call of some tool, and "named" a call of the expected tool.
	ToolChoice ToolChoice `yaml:"tool_choice" json:"tool_choice,omitempty"`
}

// ToolChoice is the tool_choice of requests with tools.
type ToolChoice string

// The values of ToolChoice.
const (
	ToolsAuto     ToolChoice = "auto"
	ToolsRequired ToolChoice = "required"
	ToolsNamed    ToolChoice = "named"
)

var toolChoices = []ToolChoice{ToolsAuto, ToolsRequired, ToolsNamed}

// TaskKind is a kind of task.
type TaskKind string

// Kinds of tasks.
const (
	TaskExactMatch TaskKind = "exact_match" // GSM8K's shape; the final number must be the reference's
	TaskRouge      TaskKind = "rouge"       // OpenOrca's or ShareGPT's shape; ROUGE with the reference
	// questions of any shape; requests have response_format json_schema, and answers must satisfy it
	TaskJSON   TaskKind = "json"
	TaskNeedle TaskKind = "needle" // made-up questions: find one sentence in a long text
	TaskTools  TaskKind = "tools"  // questions that are answered with tool calls
)

var taskKinds = []TaskKind{TaskExactMatch, TaskRouge, TaskJSON, TaskNeedle, TaskTools}

// TaskRules has the rules about grades, each with its kind of task.
var TaskRules = map[Rule]TaskKind{RuleExactMatch: TaskExactMatch, RuleRouge1: TaskRouge, RuleRouge2: TaskRouge,
	RuleRougeL: TaskRouge, RuleJSONValid: TaskJSON, RuleNeedle: TaskNeedle, RuleToolValid: TaskTools,
	RuleToolName: TaskTools, RuleToolMatch: TaskTools}

// counts says whether the task has a file, which then sets the number of requests: each question once.
func (t *Task) counts() bool { return t != nil && t.File != "" }

func (t *Task) validate(p *problems, at string, ph Phase) {
	if ph.Kind != KindClosed && ph.Kind != KindOpen && ph.Kind != KindBatch {
		p.add(at, "must be left out in a phase of kind %s", ph.Kind)
	}
	if ph.Traffic != nil || len(ph.Prompts) > 0 {
		p.add(at, "must be left out where the phase has prompts or traffic")
	}
	oneOf(p, at+".kind", t.Kind, taskKinds)
	p.count(at+".most", t.Most, 0, 1e8)
	needle := t.Kind == TaskNeedle
	if needle == (t.File != "") {
		p.add(at+".file", "kind needle makes its texts up, and all others need a file of questions")
	}
	if (t.Kind == TaskJSON) != (t.Schema != "") {
		p.add(at+".schema", "kind json needs a file of a JSON Schema, and others have none")
	}
	if t.ToolChoice != "" && t.Kind != TaskTools {
		p.add(at+".tool_choice", "must be left out: only kind %s has it", TaskTools)
	} else if t.ToolChoice != "" {
		oneOf(p, at+".tool_choice", t.ToolChoice, toolChoices)
	}
	if needle != (len(t.Tokens) > 0 && len(t.Depths) > 0) {
		p.add(at+".tokens", "kind needle needs tokens and depths, and others have neither")
	}
	for _, n := range t.Tokens {
		p.count(at+".tokens", n, 64, maxTokensDrawn)
	}
	for _, d := range t.Depths {
		p.within(at+".depths", d, 0, 1)
	}
}

// validateTaskCheck checks a check with a rule about grades.
func (c *Case) validateTaskCheck(p *problems, at string, check Check) {
	kind, ok := TaskRules[check.Rule]
	if !ok {
		return
	}
	if !(check.Limit > 0 && check.Limit <= 1) {
		p.value(at+".limit", "must be above 0 and at most 1, got %g", check.Limit)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Profiles)) {
		phases := c.Profiles[name]
		i := slices.IndexFunc(phases, func(ph Phase) bool { return ph.ID == check.Phase })
		if i >= 0 && (phases[i].Task == nil || phases[i].Task.Kind != kind) {
			p.add(at+".phase", "rule %s needs a phase with a task of kind %s; %s of profile %s has none", check.Rule,
				kind, check.Phase, name)
		}
	}
}
