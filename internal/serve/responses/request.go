package responses

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
)

// Request holds those fields of a body of POST /v1/responses that a chat does not have.
type Request struct {
	Previous string            // the response that this one continues; empty: none
	Store    bool              // the response will be stored
	Items    []json.RawMessage // the input's items, for the store

	given map[string]json.RawMessage // fields that the response repeats
}

const (
	maxItems    = 1024 // per input
	maxParts    = 1024 // per item
	maxMetadata = 16   // entries, as in OpenAI's API
	maxKey      = 64   // characters of a key of metadata
	maxValue    = 512  // characters of a value
	maxTools    = 128  // as in OpenAI's API
	textFormat  = "text.format"
	inputField  = "input"
	instruction = "instructions"
)

// echoed are the fields that a response repeats, with the values that they have if the request does not set them.
var echoed = []struct{ name, otherwise string }{
	{"background", "false"}, {instruction, "null"}, {"max_output_tokens", "null"}, {"max_tool_calls", "null"},
	{"metadata", "{}"}, {"parallel_tool_calls", "true"}, {"previous_response_id", "null"},
	{"prompt_cache_key", "null"}, {"reasoning", `{"effort":null,"summary":null}`}, {"safety_identifier", "null"},
	{"service_tier", `"default"`}, {"store", "true"}, {"temperature", "1"}, {"text", `{"format":{"type":"text"}}`},
	{"tool_choice", `"auto"`}, {"tools", "[]"}, {"top_logprobs", "0"}, {"top_p", "1"}, {"truncation", `"disabled"`},
	{"user", "null"},
}

// includes are the values of include. Except for the log-probabilities, they ask for things that an answer of this
// service never contains.
var includes = []string{logprobsIncluded, "reasoning.encrypted_content", "file_search_call.results",
	"message.input_image.image_url", "computer_call_output.output.image_url", "code_interpreter_call.outputs",
	"web_search_call.action.sources", "web_search_call.results"}

const logprobsIncluded = "message.output_text.logprobs"

// foreign maps fields of a chat that a response does not have to the field that it has instead.
var foreign = map[string]string{"messages": inputField, "prompt": inputField, "response_format": textFormat,
	"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens", "n": "", "logprobs": "include",
	"functions": "tools", "function_call": "tool_choice"}

// Translate reads a request and replaces its fields in o with those of a chat. Errors, now and later, use the client's
// names of the fields. history returns the items of the response that is continued, and of those before it; reference
// returns the item with an id.
func Translate(o *body.Object, history func(id string) ([]json.RawMessage, error),
	reference func(id string) (json.RawMessage, error)) *Request {
	q := &Request{Store: true, given: map[string]json.RawMessage{}}
	for _, f := range echoed {
		if v, ok := o.Fields[f.name]; ok && string(v) != "null" {
			q.given[f.name] = compact(v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(foreign)) { // of several, the first is named
		if _, ok := o.Fields[name]; ok {
			o.Foreign(name, foreign[name])
		}
	}
	if o.Raw("store") != nil {
		q.Store = o.Flag("store")
	}
	q.metadata(o)
	q.settings(o)
	q.format(o)
	q.tools(o)
	c := &conversation{o: o, reference: reference}
	if text, ok := o.Text(instruction); ok && text != "" {
		c.say(instruction, "system", text)
	}
	if id, ok := o.Text("previous_response_id"); ok {
		q.Previous = id
		items, err := history(id)
		if err != nil && o.Err == nil {
			o.Err = err
		}
		for _, item := range items {
			c.item("previous_response_id", item)
		}
	}
	q.Items = c.input()
	c.finish()
	for _, name := range []string{inputField, instruction, "previous_response_id", "include", "text", "truncation",
		"background", "conversation", "prompt", "max_tool_calls"} {
		delete(o.Fields, name)
	}
	return q
}

// compact removes white space from a value, since the client may send it in any form.
func compact(v json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, v) != nil {
		return json.RawMessage("null")
	}
	return b.Bytes()
}

// metadata reads up to 16 texts that the response repeats.
func (q *Request) metadata(o *body.Object) {
	v := o.Raw("metadata")
	if v == nil {
		return
	}
	c := o.Child("metadata", v)
	if len(c.Fields) > maxMetadata {
		o.Fail("metadata", "has %d entries, at most %d are allowed", len(c.Fields), maxMetadata)
	}
	for key := range c.Fields {
		text, _ := c.Text(key)
		if len(key) > maxKey || len(text) > maxValue {
			o.Fail("metadata", "has keys of up to %d and values of up to %d bytes", maxKey, maxValue)
		}
	}
	o.Adopt(c)
}

// settings reads fields that do not change the answer, or that ask for features which this service does not have.
func (q *Request) settings(o *body.Object) {
	if t, ok := o.Text("truncation"); ok && t != "auto" && t != "disabled" {
		o.Fail("truncation", "must be auto or disabled")
	}
	if o.Flag("background") {
		o.Unsupported("background")
	}
	for _, name := range []string{"conversation", "prompt"} {
		if o.Raw(name) != nil {
			o.Unsupported(name)
		}
	}
	o.Integer("max_tool_calls", 1, 1<<30)
	wanted := false
	items, _ := o.List("include", 64)
	for i, item := range items {
		var name string
		if json.Unmarshal(item, &name) != nil || !slices.Contains(includes, name) {
			o.Fail(fmt.Sprintf("include[%d]", i), "must be one of %s", strings.Join(includes, ", "))
		}
		wanted = wanted || name == logprobsIncluded
	}
	if n, ok := o.Integer("top_logprobs", 0, 20); wanted || ok && n > 0 {
		o.Set("logprobs", json.RawMessage("true"), "include")
	}
}

// format reads the field text, the format of the answer's text.
func (q *Request) format(o *body.Object) {
	v := o.Raw("text")
	if v == nil {
		return
	}
	c := o.Child("text", v)
	c.Know("verbosity")
	if v := c.Raw("format"); v != nil {
		f := c.Child("format", v)
		switch typ, _ := f.Text("type"); typ {
		case "text", "json_object":
			o.Set("response_format", v, textFormat)
			f.Know("schema") // with json_object, as in chats
		case "json_schema":
			if f.Raw("schema") == nil {
				f.Fail("schema", "is missing")
			}
			f.Know("name", "schema", "strict", "description")
			inner := map[string]json.RawMessage{"schema": f.Fields["schema"]}
			o.Set("response_format", openai.Marshal(map[string]any{"type": typ, "json_schema": inner}), textFormat)
			o.Call("response_format.json_schema", textFormat)
		default:
			f.Fail("type", "must be text, json_object or json_schema")
		}
		c.Adopt(f)
	}
	o.Adopt(c)
}

// tools translates functions into the form of a chat.
func (q *Request) tools(o *body.Object) {
	if items, ok := o.List("tools", maxTools); ok {
		list := make([]json.RawMessage, len(items))
		for i, item := range items {
			at := fmt.Sprintf("tools[%d]", i)
			t := o.Child(at, item)
			if typ, _ := t.Text("type"); typ != "function" {
				t.Fail("type", "must be \"function\": this service has no tools of its own")
			}
			if t.Fields["function"] != nil { // already in the form of a chat
				list[i] = item
				continue
			}
			t.Know("name", "description", "parameters", "strict")
			o.Adopt(t)
			delete(t.Fields, "type")
			list[i] = openai.Marshal(map[string]any{"type": "function", "function": t.Fields})
			o.Call(at+".function", at)
		}
		o.Set("tools", openai.Marshal(list), "")
	}
	choice := o.Fields["tool_choice"]
	if body.Kind(choice) != "an object" || o.Err != nil {
		return
	}
	c := o.Child("tool_choice", choice)
	if c.Fields["function"] != nil {
		return
	}
	switch typ, _ := c.Text("type"); typ {
	case "function":
	case "allowed_tools": // as in chats
		return
	default:
		c.Fail("type", "must be function or allowed_tools")
	}
	name := c.Raw("name")
	o.Adopt(c)
	o.Set("tool_choice", openai.Marshal(map[string]any{"type": "function",
		"function": map[string]any{"name": name}}), "")
	o.Call("tool_choice.function", "tool_choice")
}
