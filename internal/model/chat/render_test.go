package chat

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
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
		Messages              []struct{ Role, Content string }
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
		messages := make([]Message, len(c.Messages))
		for i, m := range c.Messages {
			messages[i] = Message(m)
		}
		var parts []Part
		tmpl, err := Compile(c.Template)
		if err == nil {
			parts, err = tmpl.Render(Conversation{Messages: messages, BOS: "<s>", EOS: "</s>",
				AddGeneration: c.Generation})
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
