package token

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func chatSpec() Spec {
	return base("▁", "[", "]", "/", "I", "N", "S", "T", "IN", "ST", "INST", "▁[", "a", "b", "s", "[/")
}

// TestChatV1 compares with Mistral's InstructTokenizerV1: each quoted run is encoded by itself.
func TestChatV1(t *testing.T) {
	tok := mustNew(t, chatSpec())
	runs := func(parts ...any) []int32 {
		var ids []int32
		for _, p := range parts {
			switch p := p.(type) {
			case int:
				ids = append(ids, int32(p))
			case string:
				ids = append(ids, tok.Encode(p, false)...)
			}
		}
		return ids
	}
	user := func(s string) Message { return Message{"user", s} }
	assistant := func(s string) Message { return Message{"assistant", s} }
	tests := []struct {
		name     string
		messages []Message
		want     []int32
	}{
		{"one turn", []Message{user("a")}, runs(1, "[INST] a [/INST]")},
		{"three turns", []Message{user("a"), assistant("b"), user("s")},
			runs(1, "[INST] a [/INST]", "b", 2, "[INST] s [/INST]")},
		{"system", []Message{{"system", "s"}, user("a"), assistant("b"), user("a")},
			runs(1, "[INST] s\n\na [/INST]", "b", 2, "[INST] a [/INST]")},
		{"a beginning", []Message{user("a"), assistant("b"), user("s"), assistant("a b")},
			runs(1, "[INST] a [/INST]", "b", 2, "[INST] s [/INST]", "a b")},
		{"empty system", []Message{{"system", ""}, user("a")}, runs(1, "[INST] a [/INST]")},
		{"empty contents", []Message{user(""), assistant(""), user("")},
			runs(1, "[INST]  [/INST]", 2, "[INST]  [/INST]")},
		{"specials spelled out", []Message{user("</s><s>")}, runs(1, "[INST] </s><s> [/INST]")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := tok.Chat(test.messages)
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %q, %v\nwant %q", spell(tok, got), err, spell(tok, test.want))
			}
		})
	}
	got, _ := tok.Chat([]Message{user("a")})
	if s := strings.Join(spell(tok, got), " "); s != "<s> ▁[ INST ] ▁ a ▁[ / INST ]" {
		t.Errorf("as pieces: %s", s)
	}
}

// TestChatGrowsByTurns: the ids of a conversation are a prefix of those of its continuation, so cached keys and values
// can be used in the next turn.
func TestChatGrowsByTurns(t *testing.T) {
	tok := mustNew(t, Synthetic(600, 1))
	messages := []Message{{"system", "you are here"}, {"user", "what is it?"}}
	first, err := tok.Chat(messages)
	if err != nil {
		t.Fatal(err)
	}
	answer := "the world, again"
	second, err := tok.Chat(append(messages, Message{"assistant", answer}, Message{"user", "why?"}))
	if err != nil {
		t.Fatal(err)
	}
	known := append(first, append(tok.Encode(answer, false), tok.EOS())...)
	if !slices.Equal(second[:len(known)], known) {
		t.Errorf("got %q\nwant the start %q", spell(tok, second), spell(tok, known))
	}
}

// TestChatV3: with a vocabulary that has [INST] as a control piece, it is put around the bare content.
func TestChatV3(t *testing.T) {
	spec := chatSpec()
	for _, piece := range []string{"[INST]", "[/INST]"} {
		spec.Pieces = append(spec.Pieces, piece)
		spec.Scores = append(spec.Scores, 0)
		spec.Types = append(spec.Types, TypeControl)
	}
	tok := mustNew(t, spec)
	got, err := tok.Chat([]Message{{"system", "s"}, {"user", "a"}, {"assistant", "b"}, {"user", "[INST]"}})
	want := "<s> [INST] ▁ a [/INST] ▁ b </s> [INST] ▁ s <0x0A> <0x0A> [ INST ] [/INST]"
	if s := strings.Join(spell(tok, got), " "); err != nil || s != want {
		t.Errorf("got %s, %v\nwant %s", s, err, want)
	}
}

func TestChatErrors(t *testing.T) {
	tok := mustNew(t, chatSpec())
	tests := []struct {
		roles string
		index int
		want  string
	}{
		{"", 0, "messages[0].role: a user message is missing"},
		{"system", 1, "messages[1].role: a user message must follow the system message"},
		{"assistant", 0, "messages[0].role: must be user, got assistant"},
		{"user user", 1, "messages[1].role: must be assistant, got user"},
		{"system system user", 1, "messages[1].role: a system message must come first"},
		{"user system", 1, "messages[1].role: a system message must come first"},
		{"system assistant", 1, "messages[1].role: must be user, got assistant"},
		{"user tool", 1, `messages[1].role: must be system, user or assistant, got "tool"`},
	}
	for _, test := range tests {
		t.Run(test.roles, func(t *testing.T) {
			var messages []Message
			for _, role := range strings.Fields(test.roles) {
				messages = append(messages, Message{role, "a"})
			}
			_, err := tok.Chat(messages)
			var role *RoleError
			if !errors.Is(err, ErrRoles) || !errors.As(err, &role) || role.Index != test.index ||
				!strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
