package api

import (
	"fmt"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// messages reads a conversation. The backend puts its messages in order; see llm.Arrange.
func (s *Server) messages(o *object) []llm.Message {
	items, _ := o.list("messages", s.c.MaxMessages)
	if len(items) == 0 {
		o.fail("messages", "at least one message is needed")
	}
	messages := make([]llm.Message, 0, len(items))
	for i, item := range items {
		m := o.child(fmt.Sprintf("messages[%d]", i), item)
		messages = append(messages, message(m))
		o.adopt(m)
		if o.err != nil {
			return nil
		}
	}
	return messages
}

// message reads one message.
func message(m *object) (out llm.Message) {
	role, ok := m.text("role")
	switch role {
	case llm.RoleSystem, llm.RoleUser:
		out = llm.Message{Role: role, Content: content(m)}
	case "developer": // OpenAI's newer name
		out = llm.Message{Role: llm.RoleSystem, Content: content(m)}
	case llm.RoleAssistant:
		return llm.Message{Role: role, Content: content(m), Calls: calls(m)}
	case llm.RoleTool:
		id, _ := m.text("tool_call_id")
		name, _ := m.text("name")
		out = llm.Message{Role: role, Content: content(m), CallID: id, Name: name}
	case "function": // OpenAI's older name
		name, ok := m.text("name")
		if !ok {
			m.fail("name", "is missing: it says which function's result this is")
		}
		out = llm.Message{Role: llm.RoleTool, Content: content(m), Name: name}
	default:
		if !ok {
			m.fail("role", "is missing")
		}
		m.fail("role", "must be system, developer, user, assistant, tool or function")
	}
	for _, field := range []string{"tool_calls", "function_call"} {
		if v := m.raw(field); v != nil && string(v) != "[]" {
			m.fail(field, "is only allowed in an assistant message")
		}
	}
	return out
}

// calls reads what an assistant message called: tool_calls, or their older form function_call.
func calls(m *object) (list []llm.Call) {
	items, _ := m.list("tool_calls", llm.MaxTools)
	for i, item := range items {
		c := m.child(fmt.Sprintf("tool_calls[%d]", i), item)
		if typ, ok := c.text("type"); ok && typ != "function" {
			c.fail("type", "must be function: this service knows no other tools")
		}
		id, _ := c.text("id")
		f := c.child("function", c.fields["function"])
		call := called(f)
		c.adopt(f)
		call.ID = id
		list = append(list, call)
		m.adopt(c)
	}
	if v := m.raw("function_call"); v != nil {
		f := m.child("function_call", v)
		list = append(list, called(f))
		m.adopt(f)
	}
	return list
}

// called reads the name and the arguments of a call. Arguments are JSON as text; some clients send the JSON itself.
func called(f *object) llm.Call {
	name, ok := f.text("name")
	if !ok {
		f.fail("name", "is missing")
	}
	if v := f.raw("arguments"); v != nil && kind(v) == "an object" {
		return llm.Call{Name: name, Arguments: string(v)}
	}
	arguments, _ := f.text("arguments")
	return llm.Call{Name: name, Arguments: arguments}
}

// content reads a message's text: a string, or an array of text parts, which are joined by line ends as vLLM does. A
// null is an empty text, and the messages of an assistant or a tool need not have one.
func content(m *object) string {
	v := m.raw("content")
	switch {
	case v == nil:
		if role, _ := m.text("role"); m.fields["content"] == nil && role != llm.RoleAssistant &&
			role != llm.RoleTool && role != "function" {
			m.fail("content", "is missing")
		}
		return ""
	case kind(v) == "a string":
		s, _ := m.text("content")
		return s
	case kind(v) != "an array":
		m.fail("content", "must be a string or an array of text parts, got %s", kind(v))
		return ""
	}
	items, _ := m.list("content", 1024) // far more than any client sends
	parts := make([]string, 0, len(items))
	for i, item := range items {
		p := m.child(fmt.Sprintf("content[%d]", i), item)
		if typ, _ := p.text("type"); typ != "text" {
			p.fail("type", "must be \"text\": this service reads nothing else")
		}
		text, ok := p.text("text")
		if !ok {
			p.fail("text", "is missing")
		}
		parts = append(parts, text)
		m.adopt(p)
	}
	return strings.Join(parts, "\n")
}
