package chat

import (
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// What a probe of a template looks for in what it renders.
const (
	probeName   = "probe_of_tools"
	probeResult = "result_of_probe"
	probeSystem = "system_of_probe"
)

// probe finds out what a template does with tools and with a system message.
func (f *Format) probe() {
	tools := &llm.Tools{List: []llm.Tool{{Name: probeName, Description: "probe",
		Parameters: `{"type":"object","properties":{"a":{"type":"string","description":"b"}},"required":["a"]}`}}}
	user := llm.Message{Role: llm.RoleUser, Content: "c"}
	shows := func(text string, tools *llm.Tools, messages ...llm.Message) (string, bool) {
		parts, err := f.render(messages, tools)
		rendered := Join(parts)
		return rendered, err == nil && strings.Contains(rendered, text)
	}
	_, f.system = shows(probeSystem, nil, llm.Message{Role: llm.RoleSystem, Content: probeSystem}, user)
	f.calls = hermesCalls
	if _, ok := shows(probeName, tools, user); !ok {
		return
	}
	rendered, ok := shows(probeResult, tools, user,
		llm.Message{Role: llm.RoleAssistant, Calls: []llm.Call{{ID: "abcdef123", Name: probeName, Arguments: `{"a": "d"}`}}},
		llm.Message{Role: llm.RoleTool, CallID: "abcdef123", Name: probeName, Content: probeResult})
	if !ok {
		return
	}
	if form, ok := find(rendered, probeName); ok {
		f.calls, f.native = form, true
	}
}

// plain puts tools, calls and results into a conversation of system, user and assistant messages, for formats that
// have no place of their own for them.
func (f *Format) plain(messages []llm.Message, tools *llm.Tools) ([]llm.Message, error) {
	var out []llm.Message
	for _, m := range messages {
		text, err := plainContent(m)
		if err != nil {
			return nil, err
		}
		role := m.Role
		if role == llm.RoleTool {
			role = llm.RoleUser
		}
		if n := len(out); n > 0 && out[n-1].Role == role { // several results, or a result and a question
			out[n-1].Content += "\n" + text
			continue
		}
		out = append(out, llm.Message{Role: role, Content: text})
	}
	if tools == nil {
		return out, nil
	}
	instruction, err := f.instruction(tools)
	if err != nil {
		return nil, err
	}
	switch {
	case out[0].Role == llm.RoleSystem:
		out[0].Content = strings.TrimPrefix(out[0].Content+"\n\n"+instruction, "\n\n")
	case f.system:
		out = append([]llm.Message{{Role: llm.RoleSystem, Content: instruction}}, out...)
	default: // the template takes no system message
		out[0].Content = strings.TrimSuffix(instruction+"\n\n"+out[0].Content, "\n\n")
	}
	return out, nil
}

// plainContent is a message's content with its calls, or around a result.
func plainContent(m llm.Message) (string, error) {
	if m.Role == llm.RoleTool {
		result, err := dump(members("name", theirs(m.Name), "content", jsonOr(m.Content)))
		return "<tool_response>\n" + result + "\n</tool_response>", err
	}
	var calls []string
	for _, c := range m.Calls {
		text, err := dump(members("name", theirs(c.Name), "arguments", jsonOr(c.Arguments)))
		if err != nil {
			return "", err
		}
		calls = append(calls, text)
	}
	if len(calls) == 0 {
		return m.Content, nil
	}
	text := hermesCalls.Begin + strings.Join(calls, hermesCalls.Between) + hermesCalls.End
	if m.Content != "" {
		text = m.Content + "\n" + text
	}
	return text, nil
}

// instruction tells a model that was not trained for it how to call tools.
func (f *Format) instruction(tools *llm.Tools) (string, error) {
	var b strings.Builder
	b.WriteString("You can call functions. Each line describes one, with its parameters as a JSON Schema:\n")
	for _, t := range tools.List {
		line, err := pythonJSON(t.Definition())
		if err != nil {
			return "", err
		}
		b.WriteString(line + "\n")
	}
	begin, end := f.calls.Around("NAME")
	b.WriteString("\nTo call a function, write its name and its arguments like this:\n" + f.calls.Begin + begin +
		`{"PARAMETER": VALUE}` + end + f.calls.End + "\n")
	if tools.Single {
		b.WriteString("Call at most one function, and write nothing after the call.")
	} else {
		b.WriteString("To call several functions, write one such block for each, and nothing after the last one.")
	}
	b.WriteString(" Results come in the next message, in <tool_response>: use them in your answer.\n")
	if n := len(tools.Only); n > 1 || n == 1 && !tools.Required {
		b.WriteString("For now, call only " + strings.Join(tools.Only, " or ") + ".\n")
	}
	switch {
	case len(tools.Only) == 1 && tools.Required:
		b.WriteString("Now call the function " + tools.Only[0] + ".")
	case tools.Required:
		b.WriteString("Now call a function.")
	default:
		b.WriteString("Call a function only if it helps with the request. Otherwise answer in plain text.")
	}
	return b.String(), nil
}

// mistralTools gives a conversation with tools, calls or results as Mistral's own encoder does (mistral-common,
// InstructTokenizerV3): tools before the last user message, and the system message in it.
func (f *Format) mistralTools(messages []llm.Message, tools *llm.Tools) ([]Part, error) {
	system := ""
	if messages[0].Role == llm.RoleSystem {
		system, messages = messages[0].Content+"\n\n", messages[1:]
	}
	lastUser := -1
	for i, m := range messages {
		if m.Role == llm.RoleUser {
			lastUser = i
		}
	}
	said := func(s string) Part { return Part{Text: s} }
	content := func(s string) Part { return Part{Text: s, Content: true} }
	parts := []Part{said(f.tokens.Spelling(f.tokens.BOS()))}
	for i, m := range messages {
		switch {
		case m.Role == llm.RoleUser:
			text := m.Content
			if i == lastUser {
				text = system + text
				if tools != nil {
					list, err := mistralList(tools)
					if err != nil {
						return nil, err
					}
					parts = append(parts, said("[AVAILABLE_TOOLS]"), content(list), said("[/AVAILABLE_TOOLS]"))
				}
			}
			parts = append(parts, said("[INST]"), content(text), said("[/INST]"))
		case m.Role == llm.RoleTool:
			result, err := dump(members("content", jsonOr(m.Content), "call_id", theirs(shortID(m.CallID))))
			if err != nil {
				return nil, err
			}
			parts = append(parts, said("[TOOL_RESULTS]"), content(result), said("[/TOOL_RESULTS]"))
		default:
			parts = append(parts, content(m.Content))
			if len(m.Calls) > 0 {
				calls := &list{}
				for _, c := range m.Calls {
					calls.items = append(calls.items, members("name", theirs(c.Name), "arguments", jsonOr(c.Arguments),
						"id", theirs(shortID(c.ID))))
				}
				text, err := dump(calls)
				if err != nil {
					return nil, err
				}
				parts = append(parts, said(mistralCalls.Trigger), content(text))
			}
			if i < len(messages)-1 {
				parts = append(parts, said(f.tokens.Spelling(f.tokens.EOS())))
			}
		}
	}
	return parts, nil
}

// mistralList spells tools as mistral-common does.
func mistralList(tools *llm.Tools) (string, error) {
	all := &list{}
	for _, t := range tools.List {
		schema := any(newDict())
		if t.Parameters != "" {
			var err error
			if schema, err = readJSON(t.Parameters); err != nil {
				return "", err
			}
		}
		all.items = append(all.items, members("type", own("function"), "function", members("name", theirs(t.Name),
			"description", theirs(t.Description), "parameters", schema)))
	}
	return dump(all)
}
