package tools

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/openai"
)

// ErrInvalid matches every error about a file of questions.
var ErrInvalid = errors.New("invalid questions with tools")

// Question is one question, with the tools that the request offers and the calls of the right answer.
type Question struct {
	ID       string
	Messages []openai.Message
	Tools    json.RawMessage // a list in the form of OpenAI's requests
	Expected []Expected      // empty if the right answer calls no tool

	schemas map[string]*jsonschema.Resolved // the schemas of the arguments, by the tool's name
	loosely bool                            // compares texts without case, spaces and punctuation, as BFCL does
}

// Expected is one call of the right answer.
type Expected struct {
	Name string
	// the allowed values of each argument. The call must not have other arguments, unless with the schema's default
	// value.
	Arguments map[string][]any
	// the arguments that the call may omit
	Optional map[string]bool
}

// Limits of a file.
const (
	maxLine      = 4 << 20 // bytes; a hundred tools are about 100 kB
	maxQuestions = 1_000_000
	maxValues    = 100_000 // in a line
	maxDepth     = 64
	maxTools     = 128 // in a question; OpenAI's limit
)

// Read reads JSON Lines, one question a line, and skips blank lines. A question without an ID gets its line number.
// Errors match ErrInvalid; those about a line name it.
func Read(r io.Reader) ([]Question, error) {
	var all []Question
	err := bounded.EachLine(r, maxLine, func(n int, line []byte) error {
		if len(all) == maxQuestions {
			return fmt.Errorf("more than %d questions: make a sample of them", maxQuestions)
		}
		line = bytes.TrimSpace(line)
		if err := bounded.JSON(line, maxValues, maxDepth); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		q, err := parse(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if q.ID == "" {
			q.ID = strconv.Itoa(n)
		}
		all = append(all, q)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: the file holds no question", ErrInvalid)
	}
	return all, nil
}

// tool is one tool of a request.
type tool struct {
	Type     string   `json:"type"`
	Function function `json:"function"`
}

type function struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
	Strict      *bool           `json:"strict,omitempty"`
}

// nameForm matches the function names that OpenAI's API allows.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// offer adds the tools to a question and prepares their schemas.
func (q *Question) offer(tools []tool) error {
	if len(tools) == 0 {
		return errors.New("tools: there are none")
	}
	if len(tools) > maxTools {
		return fmt.Errorf("tools: there are %d, at most %d are allowed", len(tools), maxTools)
	}
	q.schemas = map[string]*jsonschema.Resolved{}
	for i, t := range tools {
		name := t.Function.Name
		if !nameForm.MatchString(name) {
			return fmt.Errorf("tools[%d].function.name: must be 1 to 64 letters, digits, dashes or underscores, "+
				"got %q",
				i, name)
		}
		if q.schemas[name] != nil {
			return fmt.Errorf("tools[%d].function.name: %q is already the name of an earlier tool", i, name)
		}
		parameters := t.Function.Parameters
		if len(parameters) == 0 || string(parameters) == "null" {
			parameters = json.RawMessage(`{"type":"object"}`)
		}
		var s jsonschema.Schema
		if err := json.Unmarshal(parameters, &s); err != nil {
			return fmt.Errorf("tools[%d] (%s): parameters are not JSON Schema: %w", i, name, err)
		}
		resolved, err := s.Resolve(nil)
		if err != nil {
			return fmt.Errorf("tools[%d] (%s): parameters: %w", i, name, err)
		}
		q.schemas[name] = resolved
	}
	var err error
	q.Tools, err = json.Marshal(tools)
	return err
}

// expect sets the expected calls, after it has checked that their tools are offered and have their arguments.
func (q *Question) expect(calls []Expected) error {
	for i, c := range calls {
		s := q.schemas[c.Name]
		if s == nil {
			return fmt.Errorf("expected call %d: %q is not one of the tools that are offered", i+1, c.Name)
		}
		for name := range c.Arguments {
			if p := s.Schema().Properties; p != nil && p[name] == nil && closed(s.Schema()) {
				return fmt.Errorf("expected call %d: %s has no parameter %q", i+1, c.Name, name)
			}
		}
	}
	q.Expected = calls
	return nil
}

// closed says whether an object may have no properties but those that its schema names.
func closed(s *jsonschema.Schema) bool {
	return s.AdditionalProperties != nil && s.AdditionalProperties.Not != nil
}
