package tools

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
)

// row has the keys of all file formats.
type row struct {
	ID any `json:"id"`

	// OpenAI's format: the fields of a request, and the calls of the right answer
	Messages []openai.Message `json:"messages"`
	Prompt   string           `json:"prompt"`
	Tools    json.RawMessage  `json:"tools"`
	Calls    json.RawMessage  `json:"calls"`

	// xLAM's format: tools and answers are JSON inside a string
	Query   string          `json:"query"`
	Answers json.RawMessage `json:"answers"`

	// BFCL's format: a line of its question file, with the ground_truth of its answer file added
	Question    json.RawMessage `json:"question"`
	Function    json.RawMessage `json:"function"`
	GroundTruth json.RawMessage `json:"ground_truth"`
}

// parse reads a line; the keys tell which format it has.
func parse(line []byte) (Question, error) {
	var r row
	if err := json.Unmarshal(line, &r); err != nil {
		return Question{}, err
	}
	q := Question{}
	switch id := r.ID.(type) {
	case string:
		q.ID = id
	case float64:
		q.ID = fmt.Sprintf("%.0f", id)
	}
	switch {
	case given(r.Function):
		return q, q.bfcl(&r)
	case given(r.Tools) && given(r.Answers):
		return q, q.xlam(&r)
	case given(r.Tools):
		return q, q.openAI(&r)
	}
	return q, errors.New("has none of the known shapes: tools and calls with prompt or messages; query, tools and " +
		"answers (xLAM); question, function and ground_truth (BFCL)")
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// call is an expected call in OpenAI's and xLAM's formats.
type call struct {
	Name      string         `json:"name"`
	Arguments map[string]any `json:"arguments"`
}

func (q *Question) openAI(r *row) error {
	switch {
	case len(r.Messages) > 0 && r.Prompt != "":
		return errors.New("prompt: must be left out where there are messages")
	case r.Prompt != "":
		q.Messages = []openai.Message{{Role: "user", Content: r.Prompt}}
	case len(r.Messages) > 0:
		q.Messages = r.Messages
	default:
		return errors.New("prompt: is empty, and there are no messages")
	}
	var tools []tool
	if err := json.Unmarshal(r.Tools, &tools); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	for i := range tools {
		if tools[i].Type == "" {
			tools[i].Type = openai.TypeFunction
		}
		if tools[i].Type != openai.TypeFunction {
			return fmt.Errorf("tools[%d].type: must be %q, got %q", i, openai.TypeFunction, tools[i].Type)
		}
	}
	if err := q.offer(tools); err != nil {
		return err
	}
	if !given(r.Calls) {
		return errors.New("calls: are missing; [] says that no tool is to be called")
	}
	return q.exactly("calls", r.Calls)
}

// exactly reads expected calls whose arguments have one right value each.
func (q *Question) exactly(key string, raw json.RawMessage) error {
	var calls []call
	if err := json.Unmarshal(unwrapped(raw), &calls); err != nil {
		return fmt.Errorf("%s: must be a list of calls with name and arguments: %w", key, err)
	}
	expected := make([]Expected, len(calls))
	for i, c := range calls {
		expected[i] = Expected{Name: plainName(c.Name), Arguments: map[string][]any{}}
		for name, v := range c.Arguments {
			expected[i].Arguments[name] = []any{v}
		}
	}
	return q.expect(expected)
}

// unwrapped returns the JSON inside a JSON string, as xLAM's columns have it, and other JSON unchanged.
func unwrapped(raw json.RawMessage) json.RawMessage {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return json.RawMessage(text)
	}
	return raw
}

// xlam reads a row of xLAM's function-calling set. Its parameters have Python's types. A parameter is optional if it
// has a default or if its type says so.
func (q *Question) xlam(r *row) error {
	if r.Query == "" {
		return errors.New("query: is empty")
	}
	q.Messages = []openai.Message{{Role: "user", Content: r.Query}}
	var all []struct {
		Name        string                    `json:"name"`
		Description string                    `json:"description"`
		Parameters  map[string]map[string]any `json:"parameters"`
	}
	if err := json.Unmarshal(unwrapped(r.Tools), &all); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	tools := make([]tool, len(all))
	for i, f := range all {
		properties, required := map[string]any{}, []string{}
		for name, p := range f.Parameters {
			s, optional := pythonType(fmt.Sprint(p["type"]))
			if d, ok := p["description"]; ok {
				s["description"] = d
			}
			if d, ok := p["default"]; ok {
				s["default"], optional = d, true
			}
			if properties[name] = s; !optional {
				required = append(required, name)
			}
		}
		slices.Sort(required)
		parameters, err := json.Marshal(map[string]any{"type": "object", "properties": properties,
			"required": required})
		if err != nil {
			return err
		}
		tools[i] = tool{openai.TypeFunction, function{Name: plainName(f.Name), Description: f.Description,
			Parameters: parameters}}
	}
	if err := q.offer(tools); err != nil {
		return err
	}
	return q.exactly("answers", r.Answers)
}

// pythonType returns the schema of a type such as "str", "List[int]" or "float, optional".
func pythonType(name string) (schema map[string]any, optional bool) {
	name = strings.TrimSpace(name)
	if before, ok := strings.CutSuffix(name, ", optional"); ok {
		name, optional = before, true
	}
	if inner, ok := cutWrap(name, "Optional["); ok {
		name, optional = inner, true
	}
	base, _, _ := strings.Cut(strings.ToLower(name), "[")
	switch strings.TrimSpace(base) {
	case "str", "string":
		return map[string]any{"type": "string"}, optional
	case "int", "integer":
		return map[string]any{"type": "integer"}, optional
	case "float", "number":
		return map[string]any{"type": "number"}, optional
	case "bool", "boolean":
		return map[string]any{"type": "boolean"}, optional
	case "list", "array", "tuple", "set":
		return map[string]any{"type": "array"}, optional
	case "dict", "object":
		return map[string]any{"type": "object"}, optional
	}
	return map[string]any{}, optional // any value: Union, Any and unknown types
}

func cutWrap(s, before string) (inner string, ok bool) {
	inner, ok = strings.CutPrefix(s, before)
	if !ok {
		return s, false
	}
	return strings.CutSuffix(inner, "]")
}

// bfcl reads a question with one turn of the Berkeley Function Calling Leaderboard. It converts names with dots, which
// OpenAI's API does not allow, and Python's types in the schemas.
func (q *Question) bfcl(r *row) error {
	q.loosely = true
	var turns [][]openai.Message
	if err := json.Unmarshal(r.Question, &turns); err != nil {
		return fmt.Errorf("question: must be a list of turns, each a list of messages: %w", err)
	}
	if len(turns) != 1 || len(turns[0]) == 0 {
		return fmt.Errorf("question: has %d turns; only questions of one turn can be graded", len(turns))
	}
	q.Messages = turns[0]
	var functions []map[string]any
	if err := json.Unmarshal(r.Function, &functions); err != nil {
		return fmt.Errorf("function: must be a list: %w", err)
	}
	tools := make([]tool, len(functions))
	for i, f := range functions {
		name, _ := f["name"].(string)
		description, _ := f["description"].(string)
		parameters, err := json.Marshal(jsonTypes(f["parameters"]))
		if err != nil {
			return err
		}
		tools[i] = tool{openai.TypeFunction, function{Name: plainName(name), Description: description,
			Parameters: parameters}}
	}
	if err := q.offer(tools); err != nil {
		return err
	}
	var truth []map[string]map[string][]any
	if given(r.GroundTruth) {
		if err := json.Unmarshal(r.GroundTruth, &truth); err != nil {
			return fmt.Errorf("ground_truth: must be a list of {name: {argument: [allowed values]}}: %w", err)
		}
	}
	var expected []Expected
	for _, t := range truth {
		for name, arguments := range t {
			e := Expected{Name: plainName(name), Arguments: map[string][]any{}, Optional: map[string]bool{}}
			for key, values := range arguments {
				e.Arguments[key] = values
				e.Optional[key] = slices.ContainsFunc(values, func(v any) bool { return v == "" })
			}
			expected = append(expected, e)
		}
	}
	return q.expect(expected)
}

// plainName returns a name that OpenAI's API allows.
func plainName(name string) string { return strings.ReplaceAll(name, ".", "_") }

// jsonTypes replaces BFCL's type names with those of JSON Schema.
func jsonTypes(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			name, ok := x.(string)
			if k != "type" || !ok {
				out[k] = jsonTypes(x)
				continue
			}
			switch strings.ToLower(name) {
			case "dict", "hashmap":
				out[k] = "object"
			case "float", "double", "long":
				out[k] = "number"
			case "tuple", "arraylist":
				out[k] = "array"
			case "any":
			default:
				out[k] = strings.ToLower(name)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = jsonTypes(x)
		}
		return out
	}
	return v
}
