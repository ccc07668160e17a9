package llm

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// talk reads "system:be brief|user:hi".
func talk(text string) (messages []Message) {
	for part := range strings.SplitSeq(text, "|") {
		role, content, _ := strings.Cut(part, ":")
		messages = append(messages, Message{Role: role, Content: content})
	}
	return messages
}

func same(a, b []Message) bool { return slices.EqualFunc(a, b, Message.same) }

func (m Message) same(o Message) bool {
	return m.Role == o.Role && m.Content == o.Content && m.CallID == o.CallID && m.Name == o.Name &&
		slices.Equal(m.Calls, o.Calls)
}

// TestArrangeCalls: results stay behind their calls and know them, whatever they said of them.
func TestArrangeCalls(t *testing.T) {
	call := func(id, name string) Call { return Call{id, name, `{"a":1}`} }
	asks := func(calls ...Call) Message { return Message{Role: RoleAssistant, Calls: calls} }
	result := func(id, name, content string) Message {
		return Message{Role: RoleTool, Content: content, CallID: id, Name: name}
	}
	user := Message{Role: RoleUser, Content: "u"}
	for name, c := range map[string]struct{ given, want []Message }{
		"by id": {[]Message{user, asks(call("x", "f"), call("y", "g")), result("y", "", "2"), result("x", "other",
			"1")},
			[]Message{user, asks(call("x", "f"), call("y", "g")), result("y", "g", "2"), result("x", "f", "1")}},
		"by name, then in order": {[]Message{user, asks(call("x", "f"), call("y", "g")), result("", "g", "2"),
			result("", "", "1"), user},
			[]Message{user, asks(call("x", "f"), call("y", "g")), result("y", "g", "2"), result("x", "f", "1"), user}},
		"without ids": {[]Message{user, asks(Call{"", "f", ""}), result("", "", "1")},
			[]Message{user, asks(Call{"call_1_0", "f", "{}"}), result("call_1_0", "f", "1")}},
		"joined": {[]Message{user, {Role: RoleAssistant, Content: "so"}, asks(call("x", "f")), asks(call("y", "g")),
			result("x", "", "1"), {Role: RoleSystem, Content: "s"}, result("y", "", "2"), {Role: RoleAssistant,
				Content: "done"}},
			[]Message{{Role: RoleSystem, Content: "s"}, user, {Role: RoleAssistant, Content: "so",
				Calls: []Call{call("x", "f"), call("y", "g")}}, result("x", "f", "1"), result("y", "g", "2"),
				{Role: RoleAssistant, Content: "done"}}},
		"at the start": {[]Message{asks(call("x", "f")), result("x", "", "")},
			[]Message{{Role: RoleUser}, asks(call("x", "f")), result("x", "f", "")}},
		"no results": {[]Message{user, asks(call("x", "f")), user}, []Message{user, asks(call("x", "f")), user}},
	} {
		got, err := Arrange(c.given)
		if err != nil || !same(got, c.want) {
			t.Errorf("%s: %+v, %v\nwant %+v", name, got, err, c.want)
		}
		if again, err := Arrange(got); err != nil || !same(again, got) {
			t.Errorf("%s: arranged again %+v, %v", name, again, err)
		}
	}
	for field, given := range map[string][]Message{
		"messages[2].role": {user, {Role: RoleAssistant, Content: "a"}, result("x", "",
			"")},
		"messages[2].tool_call_id": {user, asks(call("x", "f")), result("z", "", "")},
		"messages[3].tool_call_id": {user, asks(call("x", "f")), result("x", "", ""),
			result("x", "", "")},
		"messages[4].tool_call_id": {user, user, asks(call("x", "f")), result("", "", ""),
			result("", "", "")},
		"messages[1].tool_calls":                       {user, asks(call("x", "f"))},
		"messages[0].tool_calls":                       {{Role: RoleUser, Calls: []Call{call("x", "f")}}},
		"messages[1].tool_calls[1].id":                 {user, asks(call("x", "f"), call("x", "g"))},
		"messages[0].tool_calls[0].function.name":      {asks(call("x", ""))},
		"messages[0].tool_calls[0].function.arguments": {asks(Call{"x", "f", "[1]"})},
		"messages[0].tool_calls[1].function.arguments": {asks(call("x", "f"), Call{"y", "f", `{"a":`})},
	} {
		var e *FieldError
		if got, err := Arrange(given); !errors.As(err, &e) || e.Field != field {
			t.Errorf("%+v, %v, want an error that names %s", got, err, field)
		}
	}
}

func TestToolsCheck(t *testing.T) {
	many := make([]Tool, MaxTools+1)
	for i := range many {
		many[i].Name = "f" + strings.Repeat("x", i%60) + string(rune('a'+i/60))
	}
	for want, tools := range map[string]*Tools{
		"":                        nil,
		"tools":                   {},
		"tools ":                  {List: many},
		"tools[1].function.name":  {List: []Tool{{Name: "a"}, {Name: "a"}}},
		"tools[0].function.name":  {List: []Tool{{Name: "a b"}}},
		"functions[0].name":       {List: []Tool{{Name: strings.Repeat("a", 65), Field: "functions[0]"}}},
		"tools[0].function.name ": {List: []Tool{{}}},
		"tool_choice":             {List: []Tool{{Name: "a"}}, Only: []string{"b"}},
		"tool_choice.function": {List: []Tool{{Name: "a"}}, Only: []string{"a", "b"},
			Field: "tool_choice.function"},
		" ":  {List: []Tool{{Name: "get_weather-2"}, {Name: "G"}}, Only: []string{"G"}},
		"  ": {List: many[:MaxTools]},
	} {
		err := tools.Check()
		var e *FieldError
		if want = strings.TrimSpace(want); want == "" && err != nil || want != "" && (!errors.As(err, &e) ||
			e.Field != want) {
			t.Errorf("%+v: %v, want an error that names %q", tools, err, want)
		}
	}
	definition := Tool{Name: "a", Description: "<b>", Parameters: `{"type":"object"}`}.Definition()
	if want := `{"name":"a","description":"<b>","parameters":{"type":"object"}}`; definition != want {
		t.Errorf("%s, want %s", definition, want)
	}
}

func TestArrange(t *testing.T) {
	for given, want := range map[string]string{
		"user:a":                                "user:a",
		"user:a|assistant:b|user:c":             "user:a|assistant:b|user:c",
		"system:s|user:a":                       "system:s|user:a",
		"user:a|user:b":                         "user:a\n\nb",
		"user:a|user:|user:b":                   "user:a\n\nb",
		"system:s|system:t|user:a":              "system:s\n\nt|user:a",
		"user:a|system:s|user:b":                "system:s|user:a\n\nb",
		"user:a|assistant:b|system:s|user:c":    "system:s|user:a|assistant:b|user:c",
		"user:a|system:s":                       "system:s|user:a",
		"system:s":                              "system:s|user:",
		"system:":                               "user:",
		"user:":                                 "user:",
		"assistant:hello|user:a":                "user:|assistant:hello|user:a",
		"system:s|assistant:hello|user:a":       "system:s|user:|assistant:hello|user:a",
		"user:a|assistant:b|assistant:c|user:d": "user:a|assistant:b\n\nc|user:d",
		"user:a|assistant:so":                   "user:a|assistant:so",
		"user:a|assistant:":                     "user:a",
		"user:a|assistant:so|assistant:":        "user:a|assistant:so",
		"user:a|assistant:b|system:s":           "system:s|user:a|assistant:b|user:",
		"user:a|assistant:|system:s":            "system:s|user:a",
		"assistant:":                            "user:",
		"assistant:so":                          "user:|assistant:so",
		"user:a|assistant:|user:b":              "user:a|assistant:|user:b",
	} {
		messages := talk(given)
		got, err := Arrange(messages)
		if err != nil || !same(got, talk(want)) {
			t.Errorf("%q: got %q, %v, want %q", given, got, err, want)
		}
		if !same(messages, talk(given)) {
			t.Errorf("%q was changed to %q", given, messages)
		}
		if Continues(messages) != Continues(got) {
			t.Errorf("%q: continues %v, and arranged %v", given, Continues(messages), Continues(got))
		}
	}
	for given, field := range map[string]string{"user:a|judge:b": "messages[1].role",
		"user:a|tool:b": "messages[1].role", ":x": "messages[0].role"} {
		var e *FieldError
		if _, err := Arrange(talk(given)); !errors.As(err, &e) || e.Field != field {
			t.Errorf("%q: %v, want one that names %s", given, err, field)
		}
	}
	if _, err := Arrange(nil); !errors.Is(err, ErrBadRequest) {
		t.Errorf("no messages: %v", err)
	}
}

// TestArrangeProperties: whatever the order, what comes out is in the order that templates take, has every word once
// and in its role, and is not changed by arranging it again.
func TestArrangeProperties(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		message := rapid.Custom(func(t *rapid.T) Message {
			return Message{Role: rapid.SampledFrom([]string{RoleSystem, RoleUser, RoleAssistant}).Draw(t, "role"),
				Content: rapid.SampledFrom([]string{"", "a", "b c", "d"}).Draw(t, "content")}
		})
		messages := rapid.SliceOfN(message, 1, 12).Draw(t, "messages")
		got, err := Arrange(messages)
		if err != nil {
			t.Fatal(err)
		}
		words := func(list []Message, role string) (all []string) {
			for _, m := range list {
				if m.Role == role {
					all = append(all, strings.Fields(m.Content)...)
				}
			}
			return all
		}
		for _, role := range []string{RoleSystem, RoleUser, RoleAssistant} {
			if !slices.Equal(words(got, role), words(messages, role)) {
				t.Fatalf("%q became %q", messages, got)
			}
		}
		turns := got
		if got[0].Role == RoleSystem {
			turns = got[1:]
		}
		if len(turns) == 0 {
			t.Fatalf("%q became %q", messages, got)
		}
		for i, m := range turns {
			if want := []string{RoleUser, RoleAssistant}[i%2]; m.Role != want {
				t.Fatalf("%q became %q", messages, got)
			}
		}
		if again, err := Arrange(got); err != nil || !same(again, got) {
			t.Fatalf("%q became %q", got, again)
		}
	})
}
