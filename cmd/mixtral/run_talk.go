package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral"
)

// talkHelp is what /help prints.
const talkHelp = `Type a message and press Enter.
A line that ends with \ goes on in the next one; """ begins and ends a message of several lines. Pasted lines are one
message. The arrow keys edit the line and lead to those before it; the Tab key completes commands.
  /system [TEXT]      show or set the system message; - removes it
  /set [NAME VALUE]   show the settings, or change one; the value - restores the default
  /history            show the conversation
  /again              answer the last message anew
  /new                begin a new conversation; the settings stay
  /exit               leave, as Ctrl-D does
Ctrl-C stops an answer, and what has come of it stays in the conversation.
`

// talker is a conversation. All its input and output go through its fields, so that tests can replace them.
type talker struct {
	lines      <-chan string    // typed lines; closed at the end of input
	prompt     func(string)     // shows a prompt, after which a line may come; nil: the prompt is a note
	discard    func()           // drops the line that is being typed; nil: the terminal has done so
	interrupts <-chan os.Signal // Ctrl-C
	stop       <-chan os.Signal // SIGTERM
	out        func(text string) error
	notes      io.Writer // prompts and the output of commands
	ask        func(context.Context, mixtral.Request, func(string) error) (*mixtral.Completion, error)

	settings settings
	system   string
	messages []mixtral.Message
	stats    bool
	warned   bool // the last event was a Ctrl-C at the prompt
}

// checkTalk says whether a conversation is possible.
func (r runCmd) checkTalk(terminal bool) error {
	switch {
	case !terminal:
		return usageError(withHint(errors.New("missing argument <prompt>"),
			"mixtral run - reads the prompt from standard input; a conversation needs a terminal"))
	case r.Raw:
		return usageError(errors.New("--raw needs a prompt: a conversation uses the chat format"))
	case r.JSON:
		return usageError(errors.New("--json needs a prompt: a conversation is text"))
	}
	return nil
}

// talk holds a conversation on the terminal.
func (r runCmd) talk(a *app, service *mixtral.Service) error {
	interrupts, stop := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	signal.Notify(stop, syscall.SIGTERM)
	defer signal.Stop(interrupts)
	defer signal.Stop(stop)
	t := talker{interrupts: interrupts, stop: stop, notes: a.stderr,
		ask: service.StreamCompletion, out: func(text string) error {
			_, err := io.WriteString(a.stdout, text)
			return err
		},
		system: r.System, stats: r.Stats}
	t.settings = settings{MaxTokens: r.MaxTokens, Temperature: r.Temperature, Seed: r.Seed}
	if e, end := a.editor(); e != nil {
		defer end()
		t.lines, t.prompt, t.discard = e.lines, e.ask, e.discard
	} else {
		t.lines = readLines(os.Stdin)
	}
	fmt.Fprintf(a.stderr, "%s: /help shows what can be typed, /exit or Ctrl-D leaves\n", visible(service.Model().ID))
	// the first Ctrl-C ends the program's own context, and should end only an answer
	return t.run(context.WithoutCancel(a.ctx))
}

// readLines reads lines without their line ends, until the input ends or a line is longer than a prompt may be.
func readLines(r io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, maxPrompt)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
	}()
	return lines
}

// errLeave ends a conversation because the user wants to leave.
var errLeave = errors.New("leave")

// run reads messages and commands until the user leaves.
func (t *talker) run(ctx context.Context) error {
	for {
		text, err := t.read()
		switch {
		case errors.Is(err, errLeave):
			return nil
		case err != nil:
			return err
		}
		switch {
		case strings.TrimSpace(text) == "":
		case strings.HasPrefix(text, "/") && !strings.Contains(text, "\n"):
			err = t.command(ctx, text)
		default:
			err = t.say(ctx, text)
		}
		switch {
		case errors.Is(err, errLeave):
			return nil
		case err != nil && errorEnds(err):
			return err
		case err != nil:
			fmt.Fprintf(t.notes, "%s\n", visible(err.Error()))
		}
	}
}

// errorEnds says whether the conversation cannot continue after an error.
func errorEnds(err error) bool {
	var exit *exitError
	return errors.As(err, &exit)
}

// line waits for a line; ok is false if Ctrl-C dropped what had been typed.
func (t *talker) line(prompt string) (text string, ok bool, err error) {
	if t.prompt != nil {
		t.prompt(prompt)
	} else {
		fmt.Fprint(t.notes, prompt)
	}
	select {
	case <-t.stop:
		return "", false, exitWith(exitInterrupted)
	case <-t.interrupts:
		if t.discard != nil {
			t.discard()
		} else {
			fmt.Fprintln(t.notes)
		}
		if t.warned {
			return "", false, exitWith(exitInterrupted)
		}
		t.warned = true
		fmt.Fprintln(t.notes, "Ctrl-C again, Ctrl-D or /exit leaves")
		return "", false, nil
	case text, open := <-t.lines:
		t.warned = false
		if !open {
			fmt.Fprintln(t.notes)
			return "", false, errLeave
		}
		if n := utf8.RuneCountInString(longest(text)); t.prompt != nil && n >= mostLine {
			fmt.Fprintf(t.notes, "a line may have %d characters, and more were typed or pasted: nothing was sent; "+
				"mixtral run - reads longer prompts from standard input\n", mostLine-1)
			return "", false, nil
		}
		return text, true, nil
	}
}

// longest returns the longest line of a text.
func longest(text string) (most string) {
	for line := range strings.SplitSeq(text, "\n") {
		if len(line) > len(most) {
			most = line
		}
	}
	return most
}

const (
	promptMark = ">>> "
	moreMark   = "... "
	quoteMark  = `"""`
)

// read reads a message, which may have several lines. After Ctrl-C it is empty.
func (t *talker) read() (string, error) {
	text, ok, err := t.line(promptMark)
	if err != nil || !ok {
		return "", err
	}
	quoted := strings.HasPrefix(text, quoteMark)
	text = strings.TrimPrefix(text, quoteMark)
	for {
		if quoted && strings.HasSuffix(strings.TrimRight(text, " "), quoteMark) {
			return strings.TrimSuffix(strings.TrimRight(text, " "), quoteMark), nil
		}
		if !quoted {
			var more bool
			if text, more = strings.CutSuffix(text, `\`); !more {
				return text, nil
			}
		}
		next, ok, err := t.line(moreMark)
		if err != nil || !ok {
			return "", err
		}
		if text += "\n" + next; len(text) > maxPrompt {
			return "", fmt.Errorf("the message is longer than %d bytes", maxPrompt)
		}
	}
}

// say sends a message. If there is no answer, the message does not become part of the conversation.
func (t *talker) say(ctx context.Context, text string) error {
	before := t.messages
	t.messages = append(t.messages[:len(before):len(before)], mixtral.Message{Role: mixtral.RoleUser, Content: text})
	answer, err := t.answer(ctx)
	if answer == "" {
		t.messages = before
		return err
	}
	t.messages = append(t.messages, mixtral.Message{Role: mixtral.RoleAssistant, Content: answer})
	return err
}

// answer streams the answer to the last message. Ctrl-C stops it; then answer returns what has come so far.
func (t *talker) answer(ctx context.Context) (string, error) {
	request := t.settings.request()
	if t.system != "" {
		request.Messages = append(request.Messages, mixtral.Message{Role: mixtral.RoleSystem, Content: t.system})
	}
	request.Messages = append(request.Messages, t.messages...)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	watched := make(chan error, 1)
	go func() {
		var err error
		select {
		case <-t.interrupts:
			cancel()
		case <-t.stop:
			err = exitWith(exitInterrupted)
			cancel()
		case <-ended:
		}
		watched <- err
	}()
	var text strings.Builder
	start := time.Now()
	var first time.Time
	c, err := t.ask(ctx, request, func(piece string) error {
		if first.IsZero() {
			first = time.Now()
		}
		text.WriteString(piece)
		return t.out(piece)
	})
	close(ended)
	told := <-watched
	stopped := ctx.Err() != nil
	cancel()
	if text.Len() > 0 {
		t.out("\n")
	}
	switch {
	case told != nil:
		return text.String(), told
	case stopped:
		fmt.Fprintln(t.notes, "(stopped)")
		return text.String(), nil
	case err == nil && t.stats && !first.IsZero():
		printStats(t.notes, c, start, first)
	}
	return text.String(), err
}
