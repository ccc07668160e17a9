package chat

import (
	"fmt"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// Part is a stretch of a rendered conversation. What a template says may be control tokens; content never is.
type Part struct {
	Text    string
	Content bool // it comes from the messages
}

// Template is a compiled chat template. It is safe for concurrent use.
type Template struct{ body statement }

// maxSource is the longest template, in bytes. The longest that are published have some 20,000.
const maxSource = 256 << 10

// Compile reads a template. Its errors match ErrTemplate and name the line.
func Compile(source string) (*Template, error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrTemplate, len(source), maxSource)
	}
	chunks, err := scan(source)
	if err != nil {
		return nil, err
	}
	p := parser{chunks: chunks}
	body, _, _, err := p.block()
	if err != nil {
		return nil, err
	}
	return &Template{body}, nil
}

// Conversation is what a template is rendered with.
type Conversation struct {
	Messages []llm.Message // arranged; see llm.Arrange
	Tools    []llm.Tool    // what the answer may call
	BOS, EOS string        // bos_token and eos_token, as the vocabulary spells them
	// AddGeneration asks for the beginning of an answer behind the last message.
	AddGeneration bool
	Now           func() time.Time // nil: time.Now
}

// Render gives the conversation as the model is to read it. Its errors match ErrRefused, ErrLimit or ErrTemplate.
func (t *Template) Render(c Conversation) ([]Part, error) {
	m := &rendering{work: leastWork, now: c.Now}
	if m.now == nil {
		m.now = time.Now
	}
	messages := &list{}
	for _, message := range c.Messages {
		d, err := m.message(message)
		if err != nil {
			return nil, err
		}
		messages.items = append(messages.items, d)
	}
	tools, err := m.tools(c.Tools)
	if err != nil {
		return nil, err
	}
	s := &scope{names: map[string]any{"messages": messages, "tools": tools, "bos_token": own(c.BOS),
		"eos_token":             own(c.EOS),
		"add_generation_prompt": c.AddGeneration}, outer: &scope{names: globals}}
	var out builder
	switch err := t.body(m, s, &out); err {
	case nil:
		return out.text().parts(), nil
	case errBreak, errContinue:
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	default:
		return nil, err
	}
}

// message gives a message as templates see it. Arguments of calls are values, not text, as Transformers has them.
func (m *rendering) message(message llm.Message) (*dict, error) {
	d := members("role", theirs(message.Role), "content", theirs(message.Content))
	m.work += workFactor * (len(message.Role) + len(message.Content) + 1024)
	if message.Role == llm.RoleTool {
		d.set(own("tool_call_id"), theirs(message.CallID))
		d.set(own("name"), theirs(message.Name))
	}
	if len(message.Calls) == 0 {
		return d, nil
	}
	calls := &list{}
	for _, c := range message.Calls {
		arguments, err := readJSON(c.Arguments)
		if err != nil {
			return nil, fmt.Errorf("arguments of a call: %w", err)
		}
		m.work += workFactor * (len(c.Name) + len(c.Arguments) + 1024)
		calls.items = append(calls.items, members("type", own("function"), "id", theirs(c.ID),
			"function", members("name", theirs(c.Name), "arguments", arguments)))
	}
	d.set(own("tool_calls"), calls)
	return d, nil
}

// tools gives tools as templates see them; none where there are none.
func (m *rendering) tools(tools []llm.Tool) (any, error) {
	if len(tools) == 0 {
		return nil, nil
	}
	all := &list{}
	for _, t := range tools {
		definition := t.Definition()
		function, err := readJSON(definition)
		if err != nil {
			return nil, fmt.Errorf("a tool: %w", err)
		}
		m.work += workFactor * (len(definition) + 1024)
		all.items = append(all.items, members("type", own("function"), "function", function))
	}
	return all, nil
}

// Join gives a rendered conversation as one text.
func Join(parts []Part) string {
	var b builder
	for _, p := range parts {
		b.add(own(p.Text))
	}
	return b.text().s
}
