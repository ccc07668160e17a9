package chat

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// TestLikeJinja2 renders the chat templates of published models, and small templates that each try a piece of the
// language, byte for byte as Jinja2 3.1.6 does. testdata/jinja.py made testdata/jinja.json.
func TestLikeJinja2(t *testing.T) {
	data, err := os.ReadFile("testdata/jinja.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Template, Name, Error string
		Messages              []jinjaMessage
		Tools                 []struct{ Function json.RawMessage }
		Generation, Refused   bool
		Text                  *string
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 200 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		conversation := Conversation{BOS: "<s>", EOS: "</s>", AddGeneration: c.Generation}
		for _, m := range c.Messages {
			conversation.Messages = append(conversation.Messages, m.message())
		}
		for _, tool := range c.Tools {
			conversation.Tools = append(conversation.Tools, llm.Tool{Source: string(tool.Function)})
		}
		var parts []Part
		tmpl, err := Compile(c.Template)
		if err == nil {
			parts, err = tmpl.Render(conversation)
		}
		name := c.Name
		if name == "" {
			name = c.Template
		}
		switch {
		case c.Text == nil && err == nil:
			t.Errorf("%s: %q, Jinja2 says %s", name, Join(parts), c.Error)
		case c.Text == nil:
			var refused *RefusedError
			if errors.As(err, &refused) != c.Refused || c.Refused && refused.Reason != c.Error {
				t.Errorf("%s: %v, Jinja2 says %s", name, err, c.Error)
			}
		case err != nil:
			t.Errorf("%s: %v, Jinja2 gives %q", name, err, *c.Text)
		case Join(parts) != *c.Text:
			t.Errorf("%s:\n  %q, Jinja2 gives\n  %q", name, Join(parts), *c.Text)
		}
	}
}

// jinjaMessage is a message as templates see it.
type jinjaMessage struct {
	Role, Content, Name string
	ToolCallID          string `json:"tool_call_id"`
	ToolCalls           []struct {
		ID       string
		Function struct {
			Name      string
			Arguments json.RawMessage
		}
	} `json:"tool_calls"`
}

func (m jinjaMessage) message() llm.Message {
	out := llm.Message{Role: m.Role, Content: m.Content, CallID: m.ToolCallID, Name: m.Name}
	for _, c := range m.ToolCalls {
		out.Calls = append(out.Calls, llm.Call{ID: c.ID, Name: c.Function.Name,
			Arguments: string(c.Function.Arguments)})
	}
	return out
}

// TestOrderOfArguments: dict and namespace have their keys in the order of the call, so that a conversation gives the
// same prompt each time.
func TestOrderOfArguments(t *testing.T) {
	for _, made := range []string{"dict", "namespace"} {
		tmpl, err := Compile("{% for k in " + made + "(zoe=1, amy=2, kim=3, bob=4, lea=5) %}{{ k }} {% endfor %}")
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			parts, err := tmpl.Render(Conversation{})
			if got := Join(parts); err != nil || got != "zoe amy kim bob lea " {
				t.Fatalf("%s: %q, %v", made, got, err)
			}
		}
	}
}

// TestAnswersGoOn: an assistant message at the end is the beginning of the answer, and nothing ends it.
func TestAnswersGoOn(t *testing.T) {
	tok, err := token.New(token.Synthetic(512, 1))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Choose("zephyr", "", tok)
	if err != nil {
		t.Fatal(err)
	}
	begun := []llm.Message{{Role: "user", Content: "hello"}, {Role: "assistant", Content: "good day"}}
	asked, err := f.Encode(begun[:1], nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Encode(begun, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) <= len(asked) || got[len(got)-1] == tok.EOS() {
		t.Fatalf("%v, where a question alone is %v and %d ends an answer", got, asked, tok.EOS())
	}
	if text := tok.Decode(got); !strings.HasSuffix(text, "good day") {
		t.Errorf("the conversation ends with %q", text)
	}
}
