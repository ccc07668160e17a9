package llmtest

import (
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// testConversations: messages come in any order, and an assistant message at the end is the beginning of the answer.
func testConversations(t *testing.T, b llm.Backend) {
	system, user, assistant := llm.Message{Role: llm.RoleSystem, Content: "the world"},
		llm.Message{Role: llm.RoleUser, Content: "every country"}, llm.Message{Role: llm.RoleAssistant,
			Content: "which words"}
	for _, messages := range [][]llm.Message{
		{user, user}, {user, system}, {system}, {assistant}, {assistant, user}, {user, assistant, system},
		{system, system, user, assistant, assistant, user}, {user, assistant}, {system, user, assistant},
		{{Role: llm.RoleUser}}, {{Role: llm.RoleAssistant}, user},
	} {
		arranged, err := llm.Arrange(messages)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.TokenizeChat(messages, nil)
		want, wantErr := b.TokenizeChat(arranged, nil)
		if err != nil || wantErr != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v, %v", messages, got, err, want, wantErr)
		}
		out, err := Collect(t.Context(), b, &llm.Request{ID: "order", Messages: messages, MaxTokens: 3})
		if err != nil || out.Usage.PromptTokens != len(want) {
			t.Errorf("%q: %v, %d tokens of prompt, want %d", messages, err, out.Usage.PromptTokens, len(want))
		}
	}
	ids := func(messages ...llm.Message) []int32 {
		list, err := b.TokenizeChat(messages, nil)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	asked, begun, over := ids(user), ids(user, assistant), ids(user, assistant, user)
	if len(begun) <= len(asked) || len(begun) >= len(over) || !slices.Equal(asked, begun[:len(asked)]) ||
		!slices.Equal(begun, over[:len(begun)]) {
		t.Errorf("a question, its answer begun, and behind the answer:\n%v\n%v\n%v", asked, begun, over)
	}
}
