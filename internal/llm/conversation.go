package llm

import "fmt"

// joint stands between what Arrange joins, as in Mistral's own encoder (mistral-common).
const joint = "\n\n"

// Arrange puts a conversation, in whatever order its messages came, into the order that chat templates take: at most
// one system message, in front, then user and assistant in turn, user first. It does what mistral-common does before
// its template:
//
//   - system messages, wherever they stand, become one, and messages of one role that follow each other become one:
//     their contents are joined by an empty line, and empty contents count for nothing;
//   - an empty user message is put in front where the assistant would be the first to speak, and at the end where a
//     system message alone, or one behind the assistant's last words, asks for an answer.
//
// An assistant message at the end is the beginning of the answer, and stays (see Continues); an empty one begins
// nothing, and goes. A role that is not known is a FieldError, as is a conversation without a message.
func Arrange(messages []Message) ([]Message, error) {
	if len(messages) == 0 {
		return nil, BadField("messages", "at least one message is needed")
	}
	system, turns := Message{Role: RoleSystem}, make([]Message, 0, len(messages)+2)
	for i, m := range messages {
		switch m.Role {
		case RoleSystem:
			system.add(m.Content)
		case RoleUser, RoleAssistant:
			if n := len(turns); n > 0 && turns[n-1].Role == m.Role {
				turns[n-1].add(m.Content)
				continue
			}
			if len(turns) == 0 && m.Role == RoleAssistant {
				turns = append(turns, Message{Role: RoleUser})
			}
			turns = append(turns, m)
		default:
			return nil, BadField(fmt.Sprintf("messages[%d].role", i), "must be system, user or assistant")
		}
	}
	if n := len(turns); n > 0 && turns[n-1] == (Message{Role: RoleAssistant}) {
		turns = turns[:n-1]
	}
	n, last := len(turns), messages[len(messages)-1].Role
	if n == 0 || turns[n-1].Role == RoleAssistant && last == RoleSystem {
		turns = append(turns, Message{Role: RoleUser})
	}
	if system.Content == "" {
		return turns, nil
	}
	return append([]Message{system}, turns...), nil
}

// add joins more content to a message.
func (m *Message) add(content string) {
	if m.Content != "" && content != "" {
		m.Content += joint
	}
	m.Content += content
}

// Continues tells whether the answer to a conversation goes on where an assistant message at its end stops.
func Continues(messages []Message) bool {
	arranged, err := Arrange(messages)
	return err == nil && arranged[len(arranged)-1].Role == RoleAssistant
}
