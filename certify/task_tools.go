package certify

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/quality/dataset"
	"github.com/hxp-enterprise/mixtral/internal/certify/quality/tools"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// readTools reads the questions of a task with tools. It returns an error if requests demand a call but the right
// answer of a question has none.
func (t *task) readTools(file []byte) error {
	all, err := tools.Read(bytes.NewReader(file))
	if err != nil {
		return fmt.Errorf("%s: %w", t.spec.File, err)
	}
	if n := t.spec.Most; n > 0 && n < len(all) {
		all = all[:n]
	}
	for _, q := range all {
		if t.forced() && len(q.Expected) == 0 {
			return fmt.Errorf("%s: question %s expects no call, and tool_choice %s demands one", t.spec.File, q.ID,
				t.spec.ToolChoice)
		}
		if t.spec.ToolChoice == testcases.ToolsNamed && len(q.Expected) > 1 {
			return fmt.Errorf("%s: question %s expects %d calls, and tool_choice named allows one", t.spec.File, q.ID,
				len(q.Expected))
		}
	}
	t.tools = all
	return nil
}

// size is the number of questions of a task; 0: it generates them.
func (t *task) size() int { return max(len(t.items), len(t.tools)) }

// forced says whether requests demand a call.
func (t *task) forced() bool {
	return t.spec.ToolChoice == testcases.ToolsRequired || t.spec.ToolChoice == testcases.ToolsNamed
}

func (t *task) toolQuestion(n int) question {
	q := &t.tools[n%len(t.tools)]
	group := "no call"
	if len(q.Expected) > 0 {
		group = q.Expected[0].Name
	}
	return question{item: dataset.Item{ID: q.ID}, of: len(t.tools), group: group, tools: q}
}

// toolFields returns the fields tools and tool_choice of a request.
func (t *task) toolFields(q *tools.Question) map[string]json.RawMessage {
	choice := any(testcases.ToolsAuto)
	switch t.spec.ToolChoice {
	case testcases.ToolsRequired:
		choice = testcases.ToolsRequired
	case testcases.ToolsNamed:
		choice = map[string]any{"type": openai.TypeFunction, "function": map[string]string{"name": q.Expected[0].Name}}
	}
	data, err := json.Marshal(choice)
	if err != nil {
		panic("certify: " + err.Error()) // cannot happen: choice has only strings
	}
	return map[string]json.RawMessage{"tools": q.Tools, "tool_choice": data}
}

// toolValues returns an answer's grades, 0 or 1, by rule, and what is wrong with the answer.
func (t *task) toolValues(q *tools.Question, made []evidence.Call) (values map[testcases.Rule]float64, why string) {
	calls := make([]tools.Call, len(made))
	for i, c := range made {
		calls[i] = tools.Call(c)
	}
	g := q.Grade(calls, t.forced())
	values = map[testcases.Rule]float64{}
	for rule, right := range map[testcases.Rule]bool{testcases.RuleToolValid: g.Valid, testcases.RuleToolName: g.Named,
		testcases.RuleToolMatch: g.Right} {
		values[rule] = 0
		if right {
			values[rule] = 1
		}
	}
	return values, g.Why
}
