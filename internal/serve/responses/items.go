package responses

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
)

// conversation collects the messages of a chat from items.
type conversation struct {
	o         *body.Object
	reference func(id string) (json.RawMessage, error)
	messages  []map[string]any
}

// add adds a message; from is its path in the request.
func (c *conversation) add(from string, m map[string]any) {
	c.o.Call(fmt.Sprintf("messages[%d]", len(c.messages)), from)
	c.messages = append(c.messages, m)
}

// say adds a text.
func (c *conversation) say(from, role, text string) {
	c.add(from, map[string]any{"role": role, "content": text})
}

// input reads the input, a text or a list of items, and returns the items.
func (c *conversation) input() []json.RawMessage {
	v := c.o.Raw(inputField)
	switch {
	case v == nil:
		c.o.Fail(inputField, "is missing")
		return nil
	case body.Kind(v) == "a string":
		text, _ := c.o.Text(inputField)
		c.say(inputField, "user", text)
		return []json.RawMessage{openai.Marshal(map[string]any{"type": "message", "role": "user",
			"content": []any{map[string]any{"type": "input_text", "text": text}}})}
	case body.Kind(v) != "an array":
		c.o.Fail(inputField, "must be a string or an array of items, got %s", body.Kind(v))
		return nil
	}
	items, _ := c.o.List(inputField, maxItems)
	if len(items) == 0 {
		c.o.Fail(inputField, "is empty")
	}
	for i := range items {
		items[i] = c.item(fmt.Sprintf("%s[%d]", inputField, i), items[i])
	}
	return items
}

// item adds one item and returns it. If it is a reference, it returns the item that the reference means.
func (c *conversation) item(from string, v json.RawMessage) json.RawMessage {
	i := c.o.Child(from, v)
	defer func() { c.o.Adopt(i) }()
	i.Know("id", "status", "phase")
	typ, ok := i.Text("type")
	if !ok && i.Fields["role"] != nil {
		typ = "message"
	}
	switch typ {
	case "message":
		c.message(from, i)
	case "function_call":
		c.call(from, i)
	case "function_call_output":
		id, ok := i.Text("call_id")
		if !ok {
			i.Fail("call_id", "is missing")
		}
		c.add(from, map[string]any{"role": "tool", "tool_call_id": id, "content": content(i, "output")})
		for of, to := range map[string]string{"tool_call_id": "call_id", "content": "output", "role": "type"} {
			c.o.Call(fmt.Sprintf("messages[%d].%s", len(c.messages)-1, of), from+"."+to)
		}
	case "reasoning": // of a model that thinks: not part of this conversation
		i.Know("summary", "content", "encrypted_content")
	case "item_reference":
		id, _ := i.Text("id")
		found, err := c.reference(id)
		if err != nil {
			i.Fail("id", "%v", err)
			return v
		}
		return c.item(from, found)
	case "":
		i.Fail("type", "is missing")
	default:
		i.Fail("type", "must be message, function_call, function_call_output, reasoning or item_reference")
	}
	return v
}

// message adds a message of any role.
func (c *conversation) message(from string, i *body.Object) {
	role, _ := i.Text("role")
	switch role {
	case "user", "assistant", "system", "developer":
	default:
		i.Fail("role", "must be user, assistant, system or developer")
	}
	c.say(from, role, content(i, "content"))
}

// call adds a tool call to the message with the calls before it.
func (c *conversation) call(from string, i *body.Object) {
	id, _ := i.Text("call_id")
	name, _ := i.Text("name")
	arguments, ok := i.Text("arguments")
	if id == "" || name == "" || !ok {
		i.Fail("call_id", "call_id, name and arguments are needed")
	}
	call := map[string]any{"id": id, "type": "function", "function": map[string]any{"name": name,
		"arguments": arguments}}
	at := func(message, call int) {
		path := fmt.Sprintf("messages[%d].tool_calls[%d]", message, call)
		c.o.Call(path, from)
		c.o.Call(path+".function", from)
		c.o.Call(path+".id", from+".call_id")
	}
	if n := len(c.messages); n > 0 {
		if calls, ok := c.messages[n-1]["tool_calls"].([]any); ok {
			at(n-1, len(calls))
			c.messages[n-1]["tool_calls"] = append(calls, call)
			return
		}
	}
	at(len(c.messages), 0)
	c.add(from, map[string]any{"role": "assistant", "content": nil, "tool_calls": []any{call}})
}

// content reads a text, or a list of text parts, which are joined by newlines as in chats.
func content(i *body.Object, field string) string {
	v := i.Raw(field)
	switch {
	case v == nil:
		i.Fail(field, "is missing")
		return ""
	case body.Kind(v) == "a string":
		text, _ := i.Text(field)
		return text
	case body.Kind(v) != "an array":
		i.Fail(field, "must be a string or an array of parts, got %s", body.Kind(v))
		return ""
	}
	items, _ := i.List(field, maxParts)
	texts := make([]string, 0, len(items))
	for k, item := range items {
		p := i.Child(fmt.Sprintf("%s[%d]", field, k), item)
		text := ""
		switch typ, _ := p.Text("type"); typ {
		case "input_text", "output_text", "text":
			text, _ = p.Text("text")
			if p.Fields["text"] == nil {
				p.Fail("text", "is missing")
			}
		case "refusal":
			text, _ = p.Text("refusal")
		default:
			p.Fail("type", "must be input_text or output_text: this service reads nothing else")
		}
		p.Know("annotations", "logprobs")
		i.Adopt(p)
		texts = append(texts, text)
	}
	return strings.Join(texts, "\n")
}

// finish sets the body's messages.
func (c *conversation) finish() {
	if c.o.Err == nil {
		c.o.Set("messages", openai.Marshal(c.messages), inputField)
	}
}
