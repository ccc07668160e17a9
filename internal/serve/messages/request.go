package messages

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
)

const (
	maxBlocks = 4096 // per message
	maxTools  = 128  // per request
)

// foreign maps fields of a chat that a message does not have to the field that it has instead.
var foreign = map[string]string{"prompt": "messages", "response_format": "output_format", "stop": "stop_sequences",
	"max_completion_tokens": "max_tokens", "n": "", "logprobs": "", "top_logprobs": "", "functions": "tools",
	"function_call": "tool_choice", "stream_options": ""}

// Translate reads a request and replaces its fields in o with those of a chat. Errors, now and later, use the client's
// names of the fields. counting says that nothing will be generated, so max_tokens may be missing.
func Translate(o *body.Object, counting bool) {
	for _, name := range slices.Sorted(maps.Keys(foreign)) { // of several, the first is named
		if _, ok := o.Fields[name]; ok {
			o.Foreign(name, foreign[name])
		}
	}
	if o.Raw("max_tokens") == nil && !counting {
		o.Fail("max_tokens", "is missing")
	}
	if n, ok := o.Integer("max_tokens", 0, 1<<40); ok && n < 1 {
		o.Fail("max_tokens", "must be at least 1, got %d", n)
	}
	settings(o)
	outputFormat(o)
	tools(o)
	c := &conversation{o: o}
	if text, ok := texts(o, "system"); ok && text != "" {
		c.add("system", map[string]any{"role": "system", "content": text})
	}
	c.read()
	if o.Err == nil {
		o.Set("messages", openai.Marshal(c.messages), "")
	}
	for _, name := range []string{"system", "thinking", "container", "mcp_servers", "output_format", "output_config",
		"context_management", "inference_geo", "speed", "cache_control", "betas"} {
		delete(o.Fields, name)
	}
}

// settings reads fields that do not change the answer, or that ask for features which this service does not have.
func settings(o *body.Object) {
	if v := o.Raw("metadata"); v != nil {
		c := o.Child("metadata", v)
		c.Text("user_id")
		o.Adopt(c)
	}
	if v := o.Raw("thinking"); v != nil { // this model does not think, whatever the client asks for
		c := o.Child("thinking", v)
		c.Text("type")
		c.Know("budget_tokens", "display")
		o.Adopt(c)
	}
	for _, name := range []string{"container", "mcp_servers"} {
		if v := o.Raw(name); v != nil && string(v) != "[]" {
			o.Unsupported(name)
		}
	}
	if o.Raw("stop_sequences") != nil {
		o.Set("stop", o.Fields["stop_sequences"], "stop_sequences")
		delete(o.Fields, "stop_sequences")
	}
}

// outputFormat reads the format of the answer's text, under its newer and its older name.
func outputFormat(o *body.Object) {
	if v := o.Raw("output_config"); v != nil {
		c := o.Child("output_config", v)
		c.Know("effort", "task_budget")
		if f := c.Raw("format"); f != nil {
			form(o, c, "format", f)
		}
		o.Adopt(c)
	}
	if v := o.Raw("output_format"); v != nil {
		form(o, o, "output_format", v)
	}
}

// form reads {"type": "json_schema", "schema": …} from a field of in.
func form(o, in *body.Object, field string, v json.RawMessage) {
	f := in.Child(field, v)
	if typ, _ := f.Text("type"); typ != "json_schema" {
		f.Fail("type", "must be json_schema")
	}
	schema := f.Raw("schema")
	if schema == nil {
		f.Fail("schema", "is missing")
	}
	f.Know("name", "strict")
	in.Adopt(f)
	if o.Err != nil || in.Err != nil {
		return
	}
	o.Set("response_format", openai.Marshal(map[string]any{"type": "json_schema",
		"json_schema": map[string]any{"schema": schema}}), in.Name(field))
	o.Call("response_format.json_schema", in.Name(field))
}

// tools translates the tools, and the choice among them, into the form of a chat.
func tools(o *body.Object) {
	if items, ok := o.List("tools", maxTools); ok {
		list := make([]json.RawMessage, len(items))
		for i, item := range items {
			at := fmt.Sprintf("tools[%d]", i)
			list[i] = openai.Marshal(map[string]any{"type": "function", "function": tool(o, at, item)})
			o.Call(at+".function", at)
			o.Call(at+".function.parameters", at+".input_schema")
			o.Call(at+".parameters", at+".input_schema")
		}
		o.Set("tools", openai.Marshal(list), "")
	}
	v := o.Raw("tool_choice")
	if v == nil {
		return
	}
	c := o.Child("tool_choice", v)
	var choice any
	switch typ, _ := c.Text("type"); typ {
	case "auto", "none":
		choice = typ
	case "any":
		choice = "required"
	case "tool":
		choice = map[string]any{"type": "function", "function": map[string]any{"name": c.Raw("name")}}
		o.Call("tool_choice.function", "tool_choice")
	default:
		c.Fail("type", "must be auto, any, tool or none")
	}
	c.Know("name")
	if c.Flag("disable_parallel_tool_use") {
		o.Set("parallel_tool_calls", json.RawMessage("false"), "tool_choice.disable_parallel_tool_use")
	}
	o.Adopt(c)
	o.Set("tool_choice", openai.Marshal(choice), "")
}

// tool translates one tool into a chat's function.
func tool(o *body.Object, at string, v json.RawMessage) map[string]any {
	t := o.Child(at, v)
	defer func() { o.Adopt(t) }()
	if typ, ok := t.Text("type"); ok && typ != "custom" {
		t.Fail("type", "must be \"custom\": this service has no tools of its own")
	}
	name, ok := t.Text("name")
	if !ok {
		t.Fail("name", "is missing")
	}
	f := map[string]any{"name": name}
	for to, from := range map[string]string{"description": "description", "parameters": "input_schema",
		"strict": "strict"} {
		if v := t.Raw(from); v != nil {
			f[to] = v
		}
	}
	t.Know("cache_control", "input_examples", "eager_input_streaming", "defer_loading", "allowed_callers")
	return f
}

// conversation collects the messages of a chat.
type conversation struct {
	o        *body.Object
	messages []map[string]any
}

// add adds a message; from is its path in the request.
func (c *conversation) add(from string, m map[string]any) {
	c.o.Call(fmt.Sprintf("messages[%d]", len(c.messages)), from)
	c.messages = append(c.messages, m)
}

// read reads the messages. One message of Anthropic's API may become several of a chat: each tool result is one.
func (c *conversation) read() {
	items, ok := c.o.List("messages", 100_000) // the limit of a chat applies to the result
	if !ok || len(items) == 0 {
		c.o.Fail("messages", "at least one message is needed")
	}
	type given struct {
		from string
		m    *body.Object
	}
	var list []given
	for i, item := range items { // read all of them before names are set for the first one
		from := fmt.Sprintf("messages[%d]", i)
		list = append(list, given{from, (&body.Object{Lenient: c.o.Lenient}).Child(from, item)})
	}
	for _, g := range list {
		role, _ := g.m.Text("role")
		switch role {
		case "user", "assistant", "system":
		default:
			g.m.Fail("role", "must be user or assistant")
		}
		c.message(g.from, role, g.m)
		c.o.Adopt(g.m)
		if c.o.Err != nil {
			return
		}
	}
}

// message adds the content of one message.
func (c *conversation) message(from, role string, m *body.Object) {
	v := m.Raw("content")
	if body.Kind(v) == "a string" {
		text, _ := m.Text("content")
		c.add(from, map[string]any{"role": role, "content": text})
		return
	}
	if body.Kind(v) != "an array" {
		m.Fail("content", "must be a string or an array of blocks, got %s", body.Kind(v))
		return
	}
	blocks, _ := m.List("content", maxBlocks)
	var words []string
	var calls []any
	for i, item := range blocks {
		b := m.Child(fmt.Sprintf("content[%d]", i), item)
		b.Know("cache_control")
		switch typ, _ := b.Text("type"); {
		case typ == "text":
			words = append(words, text(b))
		case typ == "tool_use" && role == "assistant":
			c.o.Call(fmt.Sprintf("messages[%d].tool_calls[%d]", len(c.messages), len(calls)), b.Path())
			c.o.Call(fmt.Sprintf("messages[%d].tool_calls[%d].function", len(c.messages), len(calls)), b.Path())
			calls = append(calls, call(b))
		case typ == "tool_result" && role == "user":
			c.result(fmt.Sprintf("%s.content[%d]", from, i), b)
		case typ == "thinking" || typ == "redacted_thinking": // another model's: not part of this chat
			b.Know("thinking", "signature", "data")
		default:
			b.Fail("type", "must be text, tool_use of the assistant's or tool_result of the user's: "+
				"this service reads nothing else")
		}
		m.Adopt(b)
	}
	if len(calls) > 0 {
		c.add(from, map[string]any{"role": role, "content": strings.Join(words, "\n"), "tool_calls": calls})
	} else if len(words) > 0 || len(blocks) == 0 {
		c.add(from, map[string]any{"role": role, "content": strings.Join(words, "\n")})
	}
}

// text reads a block of text.
func text(b *body.Object) string {
	s, ok := b.Text("text")
	if !ok {
		b.Fail("text", "is missing")
	}
	b.Know("citations")
	return s
}

// call reads a block that calls a tool.
func call(b *body.Object) map[string]any {
	id, _ := b.Text("id")
	name, _ := b.Text("name")
	input := b.Raw("input")
	if id == "" || name == "" || body.Kind(input) != "an object" {
		b.Fail("input", "id, name and input, which is an object, are needed")
	}
	b.Know("caller")
	return map[string]any{"id": id, "type": "function", "function": map[string]any{"name": name,
		"arguments": string(input)}}
}

// result adds a tool's result.
func (c *conversation) result(from string, b *body.Object) {
	id, ok := b.Text("tool_use_id")
	if !ok {
		b.Fail("tool_use_id", "is missing")
	}
	content, _ := texts(b, "content")
	if b.Flag("is_error") {
		content = "Error: " + content
	}
	c.add(from, map[string]any{"role": "tool", "tool_call_id": id, "content": content})
	for of, to := range map[string]string{"tool_call_id": "tool_use_id", "role": "type"} {
		c.o.Call(fmt.Sprintf("messages[%d].%s", len(c.messages)-1, of), from+"."+to)
	}
}

// texts reads a text, or blocks of text, which are joined by newlines.
func texts(o *body.Object, field string) (s string, ok bool) {
	v := o.Raw(field)
	switch {
	case v == nil:
		return "", false
	case body.Kind(v) == "a string":
		return o.Text(field)
	case body.Kind(v) != "an array":
		o.Fail(field, "must be a string or an array of blocks, got %s", body.Kind(v))
		return "", false
	}
	blocks, _ := o.List(field, maxBlocks)
	words := make([]string, 0, len(blocks))
	for i, item := range blocks {
		b := o.Child(fmt.Sprintf("%s[%d]", field, i), item)
		b.Know("cache_control")
		if typ, _ := b.Text("type"); typ != "text" {
			b.Fail("type", "must be text: this service reads nothing else")
		}
		words = append(words, text(b))
		o.Adopt(b)
	}
	return strings.Join(words, "\n"), true
}
