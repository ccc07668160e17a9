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
		messages = append(messages, Message{role, content})
	}
	return messages
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
		if err != nil || !slices.Equal(got, talk(want)) {
			t.Errorf("%q: got %q, %v, want %q", given, got, err, want)
		}
		if !slices.Equal(messages, talk(given)) {
			t.Errorf("%q was changed to %q", given, messages)
		}
		if Continues(messages) != Continues(got) {
			t.Errorf("%q: continues %v, and arranged %v", given, Continues(messages), Continues(got))
		}
	}
	for given, field := range map[string]string{"user:a|tool:b": "messages[1].role", ":x": "messages[0].role"} {
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
			return Message{rapid.SampledFrom([]string{RoleSystem, RoleUser, RoleAssistant}).Draw(t, "role"),
				rapid.SampledFrom([]string{"", "a", "b c", "d"}).Draw(t, "content")}
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
		if again, err := Arrange(got); err != nil || !slices.Equal(again, got) {
			t.Fatalf("%q became %q", got, again)
		}
	})
}
