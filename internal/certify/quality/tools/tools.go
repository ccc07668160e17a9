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

// ErrInvalid is matched by every error about a file of questions.
var ErrInvalid = errors.New("invalid questions with tools")

// Question is one question, the tools that are offered with it, and the calls that are right.
type Question struct {
	ID       string
	Messages []openai.Message
	Tools    json.RawMessage // as requests carry them
	Expected []Expected      // none: the right answer calls no tool

	schemas map[string]*jsonschema.Resolved // of the arguments, by the tool's name
	loosely bool                            // texts are compared without case, blanks and marks, as BFCL does
}

// Expected is a call that a right answer has.
type Expected struct {
	Name string
	// what each argument may be; those that are not here must not be given, unless they have the schema's default
	Arguments map[string][]any
	// arguments that may be left out
	Optional map[string]bool
}

// Bounds of a file.
const (
	maxLine      = 4 << 20 // bytes; a hundred tools are about 100 kB
	maxQuestions = 1_000_000
	maxValues    = 100_000 // of a line
	maxDepth     = 64
	maxTools     = 128 // of a question: as many as OpenAI allows
)

// Read reads JSON Lines, one question a line; blank lines are skipped. Errors match ErrInvalid and name the line.
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

// nameForm is what OpenAI allows as the name of a function.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// offer puts tools into a question, and prepares their schemas.
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
			return fmt.Errorf("tools[%d].function.name: must be 1 to 64 letters, digits, dashes or underscores, got %q",
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

// expect checks that the expected calls are calls of tools that are offered.
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

// closed says that an object has no properties but those that its schema names.
func closed(s *jsonschema.Schema) bool {
	return s.AdditionalProperties != nil && s.AdditionalProperties.Not != nil
}
