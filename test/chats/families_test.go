package chats

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// template reads one of the chat templates of package chat's tests, which are in the manner of published ones.
func template(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../internal/model/chat/testdata/templates", name+".jinja"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Templates in the manner of published ones that package chat's tests do not have.
const (
	vicuna = "{% if messages[0].role == 'system' %}{{ messages[0].content + ' ' }}{% set messages = messages[1:] %}" +
		"{% else %}{{ 'A chat between a curious user and an assistant. ' }}{% endif %}" +
		"{% for m in messages %}{% if m.role == 'user' %}{{ 'USER: ' + m.content + ' ' }}{% else %}" +
		"{{ 'ASSISTANT: ' + m.content + eos_token }}{% endif %}{% endfor %}" +
		"{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
	alpaca = "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content + '\n\n' }}" +
		"{% elif m.role == 'user' %}{{ '### Instruction:\n' + m.content + '\n\n' }}{% else %}" +
		"{{ '### Response:\n' + m.content + eos_token + '\n\n' }}{% endif %}{% endfor %}" +
		"{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"
	// control tokens around instructions, as the newer of Mistral's templates have them; the system message is last
	control = "{{ bos_token }}{% set said = '' %}{% if messages[0].role == 'system' %}" +
		"{% set said = messages[0].content + '\n\n' %}{% set messages = messages[1:] %}{% endif %}" +
		"{% set asked = messages|selectattr('role', 'equalto', 'user')|list %}" +
		"{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + (said if m == asked[-1] else '') + " +
		"m.content + '[/INST]' }}{% else %}{{ ' ' + m.content + ('' if loop.last else eos_token) }}" +
		"{% endif %}{% endfor %}"
)

// chatML has the two tokens of ChatML behind a vocabulary of so many pieces.
func chatML(pieces int, special bool) []addedToken {
	return []addedToken{{ID: pieces, Content: "<|im_end|>", Special: true},
		{ID: pieces + 1, Content: "<|im_start|>", Special: special}}
}

func families(t *testing.T) []family {
	inst, first := template(t, "mixtral-8x7b-instruct-v0.1"), template(t, "mixtral-8x7b-instruct-v0.1-first")
	hermes, dolphin := template(t, "nous-hermes-2-mixtral"), template(t, "dolphin-mixtral")
	all := []family{
		{Name: "8x7b-instruct", Vocabulary: "v1", Spaces: "first", Template: inst},
		{Name: "8x7b-instruct-rendered", Vocabulary: "v1", Spaces: "first", Template: inst + "{# own #}"},
		{Name: "8x7b-instruct-first", Vocabulary: "v1", Spaces: "prepend", Template: first},
		{Name: "8x22b-instruct", Vocabulary: "v2", Spaces: "first", Template: control, format: "mistral"},
		{Name: "8x22b-instruct-rendered", Vocabulary: "v2", Spaces: "first", Template: control},
		{Name: "v3-instruct", Vocabulary: "v3", Spaces: "first", Template: control, format: "mistral"},
		{Name: "hermes", Vocabulary: "v1", Spaces: "prepend", EOS: "<|im_end|>", Added: chatML(32000, false),
			Template: hermes},
		{Name: "hermes-first", Vocabulary: "v1", Spaces: "first", EOS: "<|im_end|>", Added: chatML(32000, false),
			Template: hermes},
		{Name: "dolphin", Vocabulary: "v1", Spaces: "prepend", EOS: "<|im_end|>", Added: chatML(32000, true),
			Template: dolphin},
		{Name: "dolphin-8x22b", Vocabulary: "v2", Spaces: "first", EOS: "<|im_end|>", Template: dolphin,
			Added: []addedToken{{ID: 3, Content: "<|im_start|>", Special: true},
				{ID: 4, Content: "<|im_end|>", Special: true}}},
		{Name: "zephyr", Vocabulary: "v1", Spaces: "prepend", Template: template(t, "zephyr")},
		{Name: "llama-2", Vocabulary: "llama2", Spaces: "prepend", Template: template(t, "llama-2-chat")},
		{Name: "llama-2-first", Vocabulary: "llama2", Spaces: "first", Template: template(t, "llama-2-chat")},
		{Name: "vicuna", Vocabulary: "llama2", Spaces: "prepend", Template: vicuna},
		{Name: "vicuna-mixtral", Vocabulary: "v1", Spaces: "never", Template: vicuna},
		{Name: "alpaca", Vocabulary: "v1", Spaces: "prepend", Template: alpaca},
		{Name: "alpaca-first", Vocabulary: "v1", Spaces: "first", Template: alpaca},
	}
	for i := range all {
		all[i].Conversations = plain()
	}
	// tokens that were added, but are not special: messages may spell them
	words := []addedToken{{ID: 32002, Content: "<think>"}, {ID: 32003, Content: "</think>"}}
	for _, spaces := range []string{"prepend", "first", "never"} {
		all = append(all, family{Name: "added-" + spaces, Vocabulary: "v1", Spaces: spaces, EOS: "<|im_end|>",
			Added: slices.Concat(chatML(32000, true), words), Template: hermes, Conversations: []conversation{
				said("<think>Hello", "a <think> b</think>c", " </think>\n<think> <think>")}})
	}
	// marks and words that take the white space beside them
	strips := []addedToken{{ID: 32000, Content: "<|im_end|>", Special: true, RStrip: true},
		{ID: 32001, Content: "<|im_start|>", Special: true}, {ID: 32002, Content: "<think>", RStrip: true},
		{ID: 32003, Content: "</think>", LStrip: true}, {ID: 32004, Content: "<sep>", LStrip: true, RStrip: true}}
	for _, spaces := range []string{"prepend", "first", "never"} {
		all = append(all, family{Name: "strip-" + spaces, Vocabulary: "v1", Spaces: spaces, EOS: "<|im_end|>",
			Added: strips, Template: hermes, Conversations: []conversation{
				said("<think>  Hello", "a <think> b  </think> c", "  <sep>\n\n<sep>d\t</think><think> "),
				said(" a <sep> b ", "c<sep>", "  </think>")}})
	}
	for i, f := range all {
		if f.Name == "8x7b-instruct-first" { // it takes no system message, and answers have no space before them
			all[i].Conversations = []conversation{plain()[0]}
		}
	}
	tools := withTools()
	for _, f := range []family{
		{Name: "tools-control", Vocabulary: "v2", Spaces: "first", Template: template(t, "own-tools-inst")},
		{Name: "tools-chatml", Vocabulary: "v1", Spaces: "prepend", EOS: "<|im_end|>", Added: chatML(32000, true),
			Template: template(t, "own-tools-chatml")},
		{Name: "tools-second", Vocabulary: "v1", Spaces: "prepend", EOS: "<|im_end|>", Added: chatML(32000, true),
			Template: dolphin, ToolTemplate: template(t, "own-tools-chatml")},
	} {
		f.Conversations = tools
		all = append(all, f)
	}
	return all
}

// said is a conversation that a user begins.
func said(texts ...string) (c conversation) {
	for i, text := range texts {
		role := []string{"user", "assistant"}[i%2]
		c.Messages = append(c.Messages, message{Role: role, Content: text})
	}
	return c
}

// plain are conversations without tools. No message spells a control token: in these libraries it would become one.
func plain() []conversation {
	system := func(text string, c conversation) conversation {
		c.Messages = append([]message{{Role: "system", Content: text}}, c.Messages...)
		return c
	}
	return []conversation{
		said("Hello, who are you?"),
		said("Hello", "Hi there! How can I help?", "Tell me about  two  spaces."),
		system("You are a helpful assistant.", said("What is 2 + 2?")),
		system("Answer in French.\nBe brief.",
			said("Bonjour", "Bonjour !", "Ça va ? — naïve café", "Oui.", "Pourquoi ?")),
		said("日本語のテキスト 😀 👩‍👩‍👧‍👦 🇫🇷", "中文没有空格。", "مرحبا بالعالم नमस्ते 한국어 ไทย"),
		said("```go\nfunc main() {\n\tfmt.Println(\"hi\")\n}\n```", "It prints `hi`.", "And\r\n\r\nthis?\ttab"),
		said("e\u0301 zero\u200bwidth nbsp\u00a0here \u3000ideographic x\u2028y 𝕬𝖑𝖕𝖍𝖆 \x01\x7f"),
		said("Write a poem", "Roses are red,"),
		said("1", "2", "3", "4", "5", "6", "7"),
	}
}

func withTools() []conversation {
	weather := []tool{
		{"function", json.RawMessage(`{"name": "weather", "description": "Gives \"the\" weather: é", "parameters": ` +
			`{"type": "object", "properties": {"city": {"type": "string", "description": "Where?"}, ` +
			`"days": {"type": "integer"}}, "required": ["city"]}}`)},
		{"function", json.RawMessage(`{"name": "now", "description": "The time", "parameters": ` +
			`{"type": "object", "properties": {}}}`)},
	}
	calls := func(ids ...string) (m message) {
		m.Role = "assistant"
		for _, id := range ids {
			c := call{ID: id, Type: "function"}
			c.Function.Name, c.Function.Arguments = "weather", json.RawMessage(`{"city": "Zürich", "days": 2}`)
			m.Calls = append(m.Calls, c)
		}
		return m
	}
	ask := message{Role: "user", Content: "How is the weather in Zürich?"}
	result := message{Role: "tool", Name: "weather", Content: `{"degrees": 21.5}`, CallID: "abcdEF123"}
	return []conversation{
		{Messages: []message{ask}, Tools: weather},
		{Messages: []message{ask, calls("abcdEF123"), result}, Tools: weather[:1]},
		{Messages: []message{ask, calls("abcdEF123", "ghijKL456"), result,
			{Role: "tool", Name: "weather", Content: `{"degrees": 3}`, CallID: "ghijKL456"},
			{Role: "assistant", Content: "Warm."}, {Role: "user", Content: "And tomorrow?"}}, Tools: weather},
	}
}
