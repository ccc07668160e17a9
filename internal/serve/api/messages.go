package api

import (
	"fmt"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
)

// messages reads a conversation. The backend puts its messages in order; see llm.Arrange.
func (s *Server) messages(o *object) []llm.Message {
	items, _ := o.List("messages", s.c.MaxMessages)
	if len(items) == 0 {
		o.Fail("messages", "at least one message is needed")
	}
	messages := make([]llm.Message, 0, len(items))
	for i, item := range items {
		m := o.Child(fmt.Sprintf("messages[%d]", i), item)
		m.Know(harmlessInMessages...)
		messages = append(messages, message(m))
		o.Adopt(m)
		if o.Err != nil {
			return nil
		}
	}
	return messages
}

// harmlessInMessages are fields of a message that do not change the answer: parts of an earlier answer that clients
// send back, and hints for caches. Mistral's field prefix is one of them, since an assistant message at the end is
// always a prefix.
var harmlessInMessages = []string{"name", "id", "refusal", "annotations", "reasoning", "reasoning_content",
	"cache_control", "prefix", "status", "type", "tool_call_id", "provider_specific_fields", "thinking_blocks",
	"reasoning_details", "audio", "images"}

// message reads one message.
func message(m *object) (out llm.Message) {
	role, ok := m.Text("role")
	switch role {
	case llm.RoleSystem, llm.RoleUser:
		out = llm.Message{Role: role, Content: content(m)}
	case "developer": // OpenAI's newer name
		out = llm.Message{Role: llm.RoleSystem, Content: content(m)}
	case llm.RoleAssistant:
		return llm.Message{Role: role, Content: content(m), Calls: calls(m)}
	case llm.RoleTool:
		id, _ := m.Text("tool_call_id")
		name, _ := m.Text("name")
		out = llm.Message{Role: role, Content: content(m), CallID: id, Name: name}
	case "function": // OpenAI's older name
		name, ok := m.Text("name")
		if !ok {
			m.Fail("name", "is missing: it says which function's result this is")
		}
		out = llm.Message{Role: llm.RoleTool, Content: content(m), Name: name}
	default:
		if !ok {
			m.Fail("role", "is missing")
		}
		m.Fail("role", "must be system, developer, user, assistant, tool or function")
	}
	for _, field := range []string{"tool_calls", "function_call"} {
		if v := m.Raw(field); v != nil && string(v) != "[]" {
			m.Fail(field, "is only allowed in an assistant message")
		}
	}
	return out
}

// calls reads the calls of an assistant message: tool_calls, or their older form function_call.
func calls(m *object) (list []llm.Call) {
	items, _ := m.List("tool_calls", llm.MaxTools)
	for i, item := range items {
		c := m.Child(fmt.Sprintf("tool_calls[%d]", i), item)
		if typ, ok := c.Text("type"); ok && typ != "function" {
			c.Fail("type", "must be function: this service knows no other tools")
		}
		id, _ := c.Text("id")
		c.Know("index")
		f := c.Child("function", c.Raw("function"))
		call := called(f)
		c.Adopt(f)
		call.ID = id
		list = append(list, call)
		m.Adopt(c)
	}
	if v := m.Raw("function_call"); v != nil {
		f := m.Child("function_call", v)
		list = append(list, called(f))
		m.Adopt(f)
	}
	return list
}

// called reads the name and the arguments of a call. Arguments are JSON in a string; some clients send the JSON
// itself.
func called(f *object) llm.Call {
	name, ok := f.Text("name")
	if !ok {
		f.Fail("name", "is missing")
	}
	if v := f.Raw("arguments"); v != nil && body.Kind(v) == "an object" {
		return llm.Call{Name: name, Arguments: string(v)}
	}
	arguments, _ := f.Text("arguments")
	return llm.Call{Name: name, Arguments: arguments}
}

// content reads a message's text: a string, or an array of text parts, which are joined by newlines as in vLLM. A null
// is an empty text. The messages of an assistant or a tool need no text.
func content(m *object) string {
	v := m.Raw("content")
	switch {
	case v == nil:
		if role, _ := m.Text("role"); m.Fields["content"] == nil && role != llm.RoleAssistant &&
			role != llm.RoleTool && role != "function" {
			m.Fail("content", "is missing")
		}
		return ""
	case body.Kind(v) == "a string":
		s, _ := m.Text("content")
		return s
	case body.Kind(v) != "an array":
		m.Fail("content", "must be a string or an array of text parts, got %s", body.Kind(v))
		return ""
	}
	items, _ := m.List("content", 1024) // far more than any client sends
	parts := make([]string, 0, len(items))
	for i, item := range items {
		p := m.Child(fmt.Sprintf("content[%d]", i), item)
		field := "text"
		switch typ, _ := p.Text("type"); {
		case typ == "refusal" && m.Is("role", `"assistant"`): // what an assistant says instead
			field = typ
		case typ != "text":
			p.Fail("type", "must be \"text\": this service reads nothing else")
		}
		text, ok := p.Text(field)
		if !ok {
			p.Fail(field, "is missing")
		}
		parts = append(parts, text)
		p.Know("cache_control", "annotations", "id")
		m.Adopt(p)
	}
	return strings.Join(parts, "\n")
}
