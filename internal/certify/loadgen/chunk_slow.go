package loadgen

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// slowPiece is parsePiece with encoding/json, and defines what is valid.
func slowPiece(data []byte, member string) (p piece, err error) {
	var top struct {
		Choices []map[string]json.RawMessage
		Usage   map[string]json.RawMessage
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return p, fmt.Errorf("%w: %w", errJSON, err)
	}
	if keys == nil {
		return p, fmt.Errorf("%w: null in place of an object", errJSON)
	}
	if p.fault = faultIn(keys); p.fault != "" {
		return p, nil
	}
	var model string
	if json.Unmarshal(keys["model"], &model) == nil {
		p.model = []byte(model)
	}
	if err := field(keys, "choices", &top.Choices); err != nil {
		return p, err
	}
	p.choices = len(top.Choices) > 0
	for _, choice := range top.Choices {
		if err := slowChoice(&p, choice, member); err != nil {
			return p, err
		}
	}
	if err := field(keys, "usage", &top.Usage); err != nil {
		return p, err
	}
	if p.usage = top.Usage != nil; p.usage {
		err = slowCounts(&p, top.Usage)
	}
	return p, err
}

// slowChoice adds a choice to the piece. Several choices with index 0 are appended to each other.
func slowChoice(p *piece, choice map[string]json.RawMessage, member string) error {
	var index int
	var message map[string]json.RawMessage
	var finish, refusal string
	if err := errors.Join(field(choice, "index", &index), field(choice, member, &message),
		field(choice, "finish_reason", &finish)); err != nil {
		return err
	}
	text, thought, err := contentOf(message)
	if err != nil || index != 0 {
		return err
	}
	if field(message, "refusal", &refusal) == nil && text == "" {
		text = refusal // the user reads it instead of content
	}
	p.thought = append(p.thought, thought...)
	p.thought = append(p.thought, thoughtOf(message)...)
	if text != "" {
		p.text = append(p.text, text...)
	}
	p.tools = p.tools || callsTool(message)
	calls, err := callsOf(message)
	if p.calls = append(p.calls, calls...); err != nil {
		p.badCalls = err // only an error if tools were offered
	}
	if finish != "" {
		p.finish = finish
	}
	return nil
}

// thoughtOf is the reasoning of a message. An object there, as some gateways send it, is ignored.
func thoughtOf(message map[string]json.RawMessage) string {
	for _, key := range []string{"reasoning_content", "reasoning"} {
		var text string
		if json.Unmarshal(message[key], &text) == nil && text != "" {
			return text
		}
	}
	return ""
}

// contentOf is the content of a message: a text, or a list of parts. As in Mistral's API, parts of type "thinking" are
// reasoning.
func contentOf(message map[string]json.RawMessage) (text, thought string, err error) {
	raw := message["content"]
	if len(raw) == 0 || raw[0] != '[' {
		err = field(message, "content", &text)
		return text, "", err
	}
	var parts []struct {
		Type, Text string
		Thinking   json.RawMessage
	}
	if err := field(message, "content", &parts); err != nil {
		return "", "", err
	}
	for _, x := range parts {
		text += x.Text
		var inner []struct{ Text string }
		if json.Unmarshal(x.Thinking, &inner) == nil {
			for _, y := range inner {
				thought += y.Text
			}
		}
	}
	return text, thought, nil
}

// callsTool says whether a message calls a tool.
func callsTool(message map[string]json.RawMessage) bool {
	var calls []json.RawMessage
	return given(message["function_call"]) ||
		json.Unmarshal(message["tool_calls"], &calls) == nil && len(calls) > 0
}

func slowCounts(p *piece, usage map[string]json.RawMessage) error {
	var input, output map[string]json.RawMessage
	if err := errors.Join(countField(usage, "prompt_tokens", &p.prompt),
		countField(usage, "completion_tokens", &p.output), field(usage, "prompt_tokens_details", &input),
		field(usage, "completion_tokens_details", &output)); err != nil {
		return err
	}
	return errors.Join(countField(input, "cached_tokens", &p.cached),
		countField(output, "reasoning_tokens", &p.hidden))
}

// countField is field for a whole number, which may be written as 12.0.
func countField(from map[string]json.RawMessage, key string, v *int) error {
	var x float64
	if raw := from[key]; json.Unmarshal(raw, &x) == nil && x == math.Trunc(x) && math.Abs(x) <= 1<<53 {
		*v = int(x)
		return nil
	}
	return field(from, key, v)
}

// field reads a member into v. If it is null or absent, v is unchanged.
func field(from map[string]json.RawMessage, key string, v any) error {
	raw := from[key]
	if !given(raw) {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// faultIn is the message of an error object in the format of OpenAI, FastAPI, older vLLM and LMDeploy, or Anthropic;
// "" if the object is not an error.
func faultIn(keys map[string]json.RawMessage) string {
	if raw := keys["error"]; given(raw) {
		return faultMessage(raw)
	}
	if given(keys["choices"]) || given(keys["usage"]) {
		return ""
	}
	is := func(key string) bool {
		var s string
		return json.Unmarshal(keys[key], &s) == nil && s == "error"
	}
	coded := given(keys["message"]) && (given(keys["code"]) || given(keys["status"]) || given(keys["error_code"]))
	for _, key := range []string{"message", "detail", "errors"} {
		if raw := keys[key]; given(raw) && (is("object") || is("type") || coded || key != "message") {
			return faultMessage(raw)
		}
	}
	return ""
}

// faultMessage finds the message in an error object or a string. Of anything else it returns the JSON.
func faultMessage(raw json.RawMessage) string {
	var object struct {
		Message string
		Error   json.RawMessage
	}
	if json.Unmarshal(raw, &object) == nil && object.Message != "" {
		return object.Message
	}
	if given(object.Error) {
		return faultMessage(object.Error)
	}
	var text string
	if json.Unmarshal(raw, &text) == nil && text != "" {
		return text
	}
	return string(raw)
}
