package chat

import (
	"fmt"
	"time"
)

// Message is one turn of a conversation.
type Message struct{ Role, Content string }

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
	Messages []Message
	BOS, EOS string // bos_token and eos_token, as the vocabulary spells them
	// AddGeneration asks for the beginning of an answer behind the last message.
	AddGeneration bool
	Now           func() time.Time // nil: time.Now
}

// Render gives the conversation as the model is to read it. Its errors match ErrRefused, ErrLimit or ErrTemplate.
func (t *Template) Render(c Conversation) ([]Part, error) {
	m := &machine{work: leastWork, now: c.Now}
	if m.now == nil {
		m.now = time.Now
	}
	messages := &list{}
	for _, message := range c.Messages {
		d := newDict()
		d.set(own("role"), theirs(message.Role))
		d.set(own("content"), theirs(message.Content))
		messages.items = append(messages.items, d)
		m.work += workFactor * (len(message.Role) + len(message.Content) + 1024)
	}
	s := &scope{names: map[string]any{"messages": messages, "bos_token": own(c.BOS), "eos_token": own(c.EOS),
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

// Join gives a rendered conversation as one text.
func Join(parts []Part) string {
	var b builder
	for _, p := range parts {
		b.add(own(p.Text))
	}
	return b.text().s
}
