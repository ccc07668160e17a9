package llm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// joint stands between what Arrange joins, as in Mistral's own encoder (mistral-common).
const joint = "\n\n"

// Arrange puts a conversation, in whatever order its messages came, into the order that chat templates take: at most
// one system message, in front, then user and assistant in turn, user first. It does what mistral-common does before
// its template:
//
//   - system messages, wherever they stand, become one, and messages of one role that follow each other become one:
//     their contents are joined by an empty line, and empty contents count for nothing; the calls of assistant
//     messages are put together;
//   - an empty user message is put in front where the assistant would be the first to speak, and at the end where a
//     system message alone, or one behind the assistant's last words, asks for an answer.
//
// The results of tool calls stay where they are, behind the assistant message with the calls, each with the CallID and
// Name of its call. One that says no CallID belongs to the first call of its Name, or to the first of all, that has no
// result yet. Calls without an ID get one.
//
// An assistant message at the end is the beginning of the answer, and stays (see Continues); an empty one begins
// nothing, and goes. A role that is not known is a FieldError, as are a conversation without a message, a result
// without a call, and calls at the end of a conversation.
func Arrange(messages []Message) ([]Message, error) {
	if len(messages) == 0 {
		return nil, BadField("messages", "at least one message is needed")
	}
	a := arrangement{system: Message{Role: RoleSystem}, turns: make([]Message, 0, len(messages)+2)}
	for i, m := range messages {
		if err := a.take(i, m); err != nil {
			return nil, err
		}
	}
	turns := a.turns
	if n := len(turns); n > 0 && turns[n-1].isEmptyAnswer() {
		turns = turns[:n-1]
	}
	n, last := len(turns), messages[len(messages)-1].Role
	if n == 0 || turns[n-1].Role == RoleAssistant && last == RoleSystem {
		turns = append(turns, Message{Role: RoleUser})
	} else if len(turns[n-1].Calls) > 0 {
		return nil, BadField(fmt.Sprintf("messages[%d].tool_calls", a.calls),
			"have no results: messages with the role tool must follow")
	}
	if a.system.Content == "" {
		return turns, nil
	}
	return append([]Message{a.system}, turns...), nil
}

// arrangement is a conversation that Arrange has read so far.
type arrangement struct {
	system Message
	turns  []Message
	calls  int // index of the last message with calls
}

// take adds the message with index i.
func (a *arrangement) take(i int, m Message) error {
	if len(m.Calls) > 0 {
		if m.Role != RoleAssistant {
			return BadField(fmt.Sprintf("messages[%d].tool_calls", i), "is only allowed in an assistant message")
		}
		if err := m.checkCalls(i); err != nil {
			return err
		}
		a.calls = i
	}
	switch m.Role {
	case RoleSystem:
		a.system.add(m)
	case RoleTool:
		if err := a.result(i, &m); err != nil {
			return err
		}
		a.turns = append(a.turns, m)
	case RoleUser, RoleAssistant:
		if n := len(a.turns); n > 0 && a.turns[n-1].Role == m.Role {
			a.turns[n-1].add(m)
			return nil
		}
		if len(a.turns) == 0 && m.Role == RoleAssistant {
			a.turns = append(a.turns, Message{Role: RoleUser})
		}
		a.turns = append(a.turns, Message{Role: m.Role, Content: m.Content, Calls: m.Calls})
	default:
		return BadField(fmt.Sprintf("messages[%d].role", i), "must be system, user, assistant or tool")
	}
	return nil
}

// checkCalls checks the calls of a message and gives an ID to those that have none.
func (m *Message) checkCalls(i int) error {
	m.Calls = slices.Clone(m.Calls)
	for k := range m.Calls {
		c, field := &m.Calls[k], fmt.Sprintf("messages[%d].tool_calls[%d]", i, k)
		if c.ID == "" {
			c.ID = fmt.Sprintf("call_%d_%d", i, k)
		}
		if c.Name == "" {
			return BadField(field+".function.name", "must not be empty")
		}
		if strings.TrimSpace(c.Arguments) == "" { // what many clients keep of a call without arguments
			c.Arguments = "{}"
		}
		var object map[string]json.RawMessage
		if json.Unmarshal([]byte(c.Arguments), &object) != nil || object == nil {
			return BadField(field+".function.arguments", "must be a JSON object, as text")
		}
		for _, other := range m.Calls[:k] {
			if other.ID == c.ID {
				return BadField(field+".id", "is the id of another call before it: ids must differ")
			}
		}
	}
	return nil
}

// result finds the call that a tool's message is the result of.
func (a *arrangement) result(i int, m *Message) error {
	n := len(a.turns)
	from := n
	for from > 0 && a.turns[from-1].Role == RoleTool {
		from--
	}
	if from == 0 || len(a.turns[from-1].Calls) == 0 {
		return BadField(fmt.Sprintf("messages[%d].role", i),
			"a tool's message must follow the assistant message with the call, or another tool's message")
	}
	field := fmt.Sprintf("messages[%d].tool_call_id", i)
	for _, c := range a.turns[from-1].Calls {
		open := !slices.ContainsFunc(a.turns[from:], func(t Message) bool { return t.CallID == c.ID })
		switch {
		case m.CallID == c.ID && !open:
			return BadField(field, "is the id of a call that has a result already")
		case m.CallID != "" && m.CallID != c.ID, m.CallID == "" && (!open || m.Name != "" && m.Name != c.Name):
			continue
		}
		*m = Message{Role: RoleTool, Content: m.Content, CallID: c.ID, Name: c.Name}
		return nil
	}
	if m.CallID == "" {
		return BadField(field, "is missing, and no call before it is without a result")
	}
	return BadField(field, "is not the id of one of the calls before it")
}

// add joins another message of the same role to a message.
func (m *Message) add(other Message) {
	if m.Content != "" && other.Content != "" {
		m.Content += joint
	}
	m.Content += other.Content
	m.Calls = slices.Concat(m.Calls, other.Calls)
}

func (m *Message) isEmptyAnswer() bool {
	return m.Role == RoleAssistant && m.Content == "" && len(m.Calls) == 0
}

// Continues tells whether the answer to a conversation goes on where an assistant message at its end stops.
func Continues(messages []Message) bool {
	arranged, err := Arrange(messages)
	return err == nil && arranged[len(arranged)-1].Role == RoleAssistant
}
