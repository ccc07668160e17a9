package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral"
)

// play holds a conversation with a model that repeats the last message. It returns the requests, the answers and the
// notes.
func play(t *testing.T, lines ...string) (asked []mixtral.Request, out, notes string, err error) {
	t.Helper()
	typed := make(chan string)
	go func() {
		defer close(typed)
		for _, line := range lines {
			typed <- line
		}
	}()
	var answers, said strings.Builder
	talk := talker{lines: typed, notes: &said,
		out: func(text string) error { answers.WriteString(text); return nil },
		ask: func(_ context.Context, r mixtral.Request, sink func(string) error) (*mixtral.Completion, error) {
			asked = append(asked, r)
			last := r.Messages[len(r.Messages)-1].Content
			if last == "fail" {
				return nil, errors.New("the model\x1b[2J failed")
			}
			return &mixtral.Completion{}, sink("re: " + last)
		}}
	err = talk.run(t.Context())
	return asked, answers.String(), said.String(), err
}

// shape writes a request's messages as one line.
func shape(r mixtral.Request) string {
	var parts []string
	for _, m := range r.Messages {
		parts = append(parts, m.Role+"="+m.Content)
	}
	return strings.Join(parts, "|")
}

func TestTalk(t *testing.T) {
	asked, out, notes, err := play(t, "one", "", "fail", `two \`, "lines", `"""three`, "/system inside", `  end"""`,
		"/system Be brief.", "/set temperature 0", "/set top_k 40", "/set top_k x",
		"/set max_tokens 1.5", "/set heat 3",
		"/set seed 9007199254740993", "/nothing", "four", "/again", "/new", "/system -", "/set temperature -", "five",
		"/again", "/set", "/history", "/exit", "never")
	if err != nil {
		t.Fatal(err)
	}
	const history = "user=one|assistant=re: one|user=two \nlines|assistant=re: two \nlines|" +
		"user=three\n/system inside\n  end|assistant=re: three\n/system inside\n  end"
	want := []string{"user=one", "user=one|assistant=re: one|user=fail", "user=one|assistant=re: one|user=two \nlines",
		strings.TrimSuffix(history, "|assistant=re: three\n/system inside\n  end"),
		"system=Be brief.|" + history + "|user=four",
		"system=Be brief.|" + history + "|user=four", "user=five",
		"user=five"}
	if len(asked) != len(want) {
		t.Fatalf("asked %d times, want %d", len(asked), len(want))
	}
	for i, r := range asked {
		if got := shape(r); got != want[i] {
			t.Errorf("request %d: %q, want %q", i, got, want[i])
		}
	}
	four, five := asked[4], asked[6]
	if four.Temperature == nil || *four.Temperature != 0 || four.TopK != 40 || four.MaxTokens != 0 ||
		five.Temperature != nil || five.TopK != 40 {
		t.Errorf("settings: %+v, then %+v", four, five)
	}
	if four.Seed == nil || *four.Seed != 9007199254740993 {
		t.Errorf("seed: %v, want every digit of what was typed", four.Seed)
	}
	if !strings.Contains(out, "re: five\n") || strings.Contains(out, "never") {
		t.Errorf("answers: %q", out)
	}
	for _, text := range []string{"the model␛[2J failed", `top_k: must be`, `max_tokens: must be`, `unknown setting "heat"`,
		`unknown command "/nothing"`, "user: five"} {
		if !strings.Contains(notes, text) {
			t.Errorf("no %q in %s", text, notes)
		}
	}
}

// atPrompt keeps the notes, and does something at the nth prompt.
type atPrompt struct {
	strings.Builder
	n    int
	then func()
}

func (a *atPrompt) Write(p []byte) (int, error) {
	if string(p) == promptMark {
		if a.n--; a.n == 0 {
			a.then()
		}
	}
	return a.Builder.Write(p)
}

// TestTalkInterrupt: Ctrl-C stops an answer but not the program, and what has come stays; at the prompt the second one
// leaves.
func TestTalkInterrupt(t *testing.T) {
	typed, interrupts := make(chan string, 2), make(chan os.Signal)
	typed <- "one"
	var asked []mixtral.Request
	notes := atPrompt{n: 3, then: func() { go func() { interrupts <- os.Interrupt; interrupts <- os.Interrupt }() }}
	talk := talker{lines: typed, interrupts: interrupts, notes: &notes, out: func(string) error { return nil }}
	talk.ask = func(ctx context.Context, r mixtral.Request, sink func(string) error) (*mixtral.Completion, error) {
		asked = append(asked, r)
		sink("half")
		if len(asked) == 2 {
			return &mixtral.Completion{}, nil
		}
		interrupts <- os.Interrupt
		<-ctx.Done()
		typed <- "two"
		return nil, ctx.Err()
	}
	err := talk.run(t.Context())
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != exitInterrupted {
		t.Errorf("two at the prompt: %v", err)
	}
	if len(asked) != 2 || shape(asked[1]) != "user=one|assistant=half|user=two" {
		t.Errorf("asked %v", asked)
	}
	if !strings.Contains(notes.String(), "(stopped)") {
		t.Errorf("notes: %s", notes.String())
	}
}

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"plain ünïcode 日本 👍\n\tb": "plain ünïcode 日本 👍\n\tb",
		"\x1b]0;title\x07":        "␛]0;title␇",
		"\x1b[31mred":             "␛[31mred",
		"a\rb\x08\x7f\x00":        "a␍b␈␡␀",
		"\u009b31m":               "\ufffd31m",
		"\x9b31m":                 "\ufffd31m",
		"\u202egnp.exe\u2066":     "\ufffdgnp.exe\ufffd",
	} {
		if got := visible(text); got != want {
			t.Errorf("visible(%q) = %q, want %q", text, got, want)
		}
	}
}
