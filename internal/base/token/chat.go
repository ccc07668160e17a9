package token

import (
	"errors"
	"fmt"
)

// Roles of a Message.
const (
	roleSystem    = "system"
	roleUser      = "user"
	roleAssistant = "assistant"
)

// Errors of a chat, for errors.Is.
var (
	ErrRoles = errors.New("bad order of roles") // see RoleError
)

// Message is one turn of a conversation.
type Message struct {
	Role    string // "system", "user" or "assistant"
	Content string
}

// RoleError is an ErrRoles that names the message.
type RoleError struct {
	Index  int    // of the message; the number of messages if one is missing at the end
	Reason string // "must be user, got assistant"
}

// Error returns "messages[1].role: must be assistant, got user".
func (e *RoleError) Error() string { return fmt.Sprintf("messages[%d].role: %s", e.Index, e.Reason) }

// Is makes every RoleError match ErrRoles.
func (e *RoleError) Is(target error) bool { return target == ErrRoles }

// chatFormat describes how a vocabulary marks instructions.
type chatFormat struct {
	begin, end int32 // control pieces [INST] and [/INST] of newer vocabularies; −1 if they are written as text
}

const (
	beginInst = "[INST]"
	endInst   = "[/INST]"
)

// newChatFormat looks for the markers in the vocabulary.
func (t *Tokenizer) newChatFormat() chatFormat {
	f := chatFormat{begin: -1, end: -1}
	for id, piece := range t.spec.Pieces {
		if t.spec.Types[id] != TypeControl {
			continue
		}
		switch piece {
		case beginInst:
			f.begin = int32(id)
		case endInst:
			f.end = int32(id)
		}
	}
	if f.begin < 0 || f.end < 0 {
		f.begin, f.end = -1, -1
	}
	return f
}

// Chat returns the ids of a conversation that the model is to answer. They are those of Mistral's own encoder
// (mistral-common, tokens/tokenizers/instruct.py). For Mixtral-8x7B-Instruct-v0.1 that is InstructTokenizerV1:
//
//	BOS "[INST] user [/INST]" "answer" EOS "[INST] user [/INST]" …
//
// where each quoted run is encoded by itself, so each gets the space prefix: as text it reads like the model card's
// "<s> [INST] Instruction [/INST] Model answer</s> [INST] Follow-up instruction [/INST]". (The Jinja template first
// published with the model renders no space between "[/INST]" and the answer; the encoder and the card agree on one.)
// A system message goes before the first user message, with an empty line between them.
//
// A vocabulary that has [INST] and [/INST] as control pieces (Mixtral-8x22B) is encoded as InstructTokenizerV3 does:
// the pieces around the bare content, and the system message in the last user message.
//
// Messages must alternate user, assistant, user, … after an optional system message, or the error is a RoleError. An
// assistant message at the end is the beginning of the answer: no EOS follows it.
func (t *Tokenizer) Chat(messages []Message) ([]int32, error) {
	if err := checkRoles(messages); err != nil {
		return nil, err
	}
	system := ""
	if messages[0].Role == roleSystem {
		system, messages = messages[0].Content, messages[1:]
	}
	systemAt := 0
	if t.chat.begin >= 0 { // the last user message
		systemAt = (len(messages) - 1) / 2 * 2
	}
	var ids []int32
	if t.spec.BOS >= 0 {
		ids = append(ids, t.spec.BOS)
	}
	for i, m := range messages {
		switch {
		case m.Role == roleAssistant:
			ids = t.appendText(ids, m.Content)
			if t.spec.EOS >= 0 && i < len(messages)-1 {
				ids = append(ids, t.spec.EOS)
			}
		case i == systemAt && system != "":
			ids = t.appendInstruction(ids, system+"\n\n"+m.Content)
		default:
			ids = t.appendInstruction(ids, m.Content)
		}
	}
	return ids, nil
}

func (t *Tokenizer) appendInstruction(ids []int32, content string) []int32 {
	if t.chat.begin < 0 {
		return t.appendText(ids, beginInst+" "+content+" "+endInst)
	}
	ids = t.appendText(append(ids, t.chat.begin), content)
	return append(ids, t.chat.end)
}

// checkRoles requires an optional system message, then user and assistant in turn.
func checkRoles(messages []Message) error {
	want := roleUser
	for i, m := range messages {
		switch m.Role {
		case want:
			if want == roleUser {
				want = roleAssistant
			} else {
				want = roleUser
			}
		case roleSystem:
			if i > 0 {
				return &RoleError{i, "a system message must come first"}
			}
		case roleUser, roleAssistant:
			return &RoleError{i,
				fmt.Sprintf("must be %s, got %s: after an optional system message, user and assistant alternate",
					want, m.Role)}
		default:
			return &RoleError{i, fmt.Sprintf("must be system, user or assistant, got %q", m.Role)}
		}
	}
	switch {
	case len(messages) == 0:
		return &RoleError{0, "a user message is missing"}
	case want == roleUser && messages[len(messages)-1].Role == roleSystem:
		return &RoleError{len(messages), "a user message must follow the system message"}
	}
	return nil
}
