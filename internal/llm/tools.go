package llm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Tool is a function that a model may ask its caller to call.
type Tool struct {
	Name        string
	Description string
	Parameters  string // JSON Schema of the arguments, which are an object; empty: there are none
	// Source is the function as the client wrote it, a JSON object with name, description and parameters: what a
	// chat template shows. Empty: it is made of the fields above.
	Source string
	Field  string // where it came from, as the API spells it: "tools[0].function"
}

// Definition gives Source, or makes it.
func (t Tool) Definition() string {
	if t.Source != "" {
		return t.Source
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	schema := json.RawMessage(t.Parameters)
	if !json.Valid(schema) {
		schema = json.RawMessage(`{}`)
	}
	if e.Encode(struct {
		Name        string          `json:"name"`
		Description string          `json:"description,omitempty"`
		Parameters  json.RawMessage `json:"parameters"`
	}{t.Name, t.Description, schema}) != nil {
		return "{}" // a text, and JSON that is valid: this cannot be
	}
	return strings.TrimSpace(b.String())
}

// Tools says what an answer may call.
type Tools struct {
	List     []Tool
	Required bool     // the answer is a call; if not, it may be text
	Only     []string // names of those that may be called now; empty: all of List
	Single   bool     // one call at most in an answer
	Field    string   // where Only came from: "tool_choice.function.name"
}

// Bounds of tools, as OpenAI has them.
const (
	MaxTools    = 128
	MaxToolName = 64
)

// Check says what is wrong with tools, as a FieldError. What a schema of parameters says is for the backend to check.
func (t *Tools) Check() error {
	if t == nil {
		return nil
	}
	switch n := len(t.List); {
	case n == 0:
		return BadField("tools", "must list at least one tool")
	case n > MaxTools:
		return BadField("tools", "has %d tools, at most %d are allowed", n, MaxTools)
	}
	known := make(map[string]bool, len(t.List))
	for i, tool := range t.List {
		field := tool.Field
		if field == "" {
			field = fmt.Sprintf("tools[%d].function", i)
		}
		if reason := badToolName(tool.Name); reason != "" {
			return BadField(field+".name", "%s", reason)
		}
		if known[tool.Name] {
			return BadField(field+".name", "is the name of another tool before it: names must differ")
		}
		known[tool.Name] = true
	}
	for _, name := range t.Only {
		if !known[name] {
			field := t.Field
			if field == "" {
				field = "tool_choice"
			}
			return BadField(field, "is not the name of one of the tools of this request")
		}
	}
	return nil
}

func badToolName(name string) string {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	switch {
	case name == "":
		return "must not be empty"
	case len(name) > MaxToolName:
		return fmt.Sprintf("must have at most %d characters, has %d", MaxToolName, len(name))
	case strings.Trim(name, allowed) != "" || strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune(allowed, r)
	}):
		return "must be of letters, digits, underscores and hyphens"
	}
	return ""
}

// Callable gives the tools that may be called now.
func (t *Tools) Callable() []Tool {
	if t == nil || len(t.Only) == 0 {
		if t == nil {
			return nil
		}
		return t.List
	}
	var list []Tool
	for _, tool := range t.List {
		if slices.Contains(t.Only, tool.Name) {
			list = append(list, tool)
		}
	}
	return list
}

// Call is a call of a tool.
type Call struct {
	ID        string
	Name      string
	Arguments string // a JSON object
}

// CallPiece is a part of a call in an answer. The first piece of a call has its ID and Name; the Arguments of all
// pieces joined are the call's. Pieces of one call are not interrupted by those of another.
type CallPiece struct {
	Index     int // of the call in its answer
	ID, Name  string
	Arguments string
}

// JoinCalls adds a piece to the calls so far.
func JoinCalls(calls []Call, p CallPiece) []Call {
	for len(calls) <= p.Index {
		calls = append(calls, Call{})
	}
	c := &calls[p.Index]
	if p.ID != "" {
		c.ID = p.ID
	}
	if p.Name != "" {
		c.Name = p.Name
	}
	c.Arguments += p.Arguments
	return calls
}
