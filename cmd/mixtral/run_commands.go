package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral"
)

// settings are the values that /set changes.
type settings struct {
	MaxTokens                       int
	Temperature                     *float64
	TopP, MinP                      float64
	TopK                            int
	Presence, Frequency, Repetition float64
	Seed                            *int64
	Stop                            []string
}

func (s settings) request() mixtral.Request {
	return mixtral.Request{MaxTokens: s.MaxTokens, Temperature: s.Temperature, TopP: s.TopP, MinP: s.MinP,
		TopK: s.TopK, PresencePenalty: s.Presence, FrequencyPenalty: s.Frequency,
		RepetitionPenalty: s.Repetition,
		Seed:              s.Seed,
		Stop:              s.Stop}
}

// setting is a setting of /set. set takes "" for the default.
type setting struct {
	name string
	get  func(*settings) string
	set  func(*settings, string) error
}

// number makes a setting for a number whose zero value means the default.
func number[T int | float64](name string, field func(*settings) *T) setting {
	return setting{name, func(s *settings) string {
		if *field(s) == 0 {
			return "default"
		}
		return fmt.Sprint(*field(s))
	}, func(s *settings, text string) error {
		*field(s) = 0
		if text == "" {
			return nil
		}
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || float64(T(x)) != x {
			return fmt.Errorf("%s: must be a number, got %q", name, text)
		}
		*field(s) = T(x)
		return nil
	}}
}

// pointed makes a setting for a number whose zero value has a meaning.
func pointed[T int64 | float64](name string, field func(*settings) **T) setting {
	return setting{name, func(s *settings) string {
		if *field(s) == nil {
			return "default"
		}
		return fmt.Sprint(**field(s))
	}, func(s *settings, text string) error {
		if text == "" {
			*field(s) = nil
			return nil
		}
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || float64(T(x)) != x {
			return fmt.Errorf("%s: must be a number, got %q", name, text)
		}
		value := T(x)
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			value = T(n) // exact, which a float64 would not be
		}
		*field(s) = &value
		return nil
	}}
}

// allSettings are the settings in the order in which they are shown.
var allSettings = []setting{
	pointed("temperature", func(s *settings) **float64 { return &s.Temperature }),
	number("max_tokens", func(s *settings) *int { return &s.MaxTokens }),
	number("top_p", func(s *settings) *float64 { return &s.TopP }),
	number("top_k", func(s *settings) *int { return &s.TopK }),
	number("min_p", func(s *settings) *float64 { return &s.MinP }),
	number("presence_penalty", func(s *settings) *float64 { return &s.Presence }),
	number("frequency_penalty", func(s *settings) *float64 { return &s.Frequency }),
	number("repetition_penalty", func(s *settings) *float64 { return &s.Repetition }),
	pointed("seed", func(s *settings) **int64 { return &s.Seed }),
	{"stop", func(s *settings) string {
		if len(s.Stop) == 0 {
			return "default"
		}
		return strconv.Quote(s.Stop[0])
	}, func(s *settings, text string) error {
		if s.Stop = nil; text != "" {
			s.Stop = []string{text}
		}
		return nil
	}},
}

// talkCommands are the commands that can be completed.
var talkCommands = []string{"/help", "/system", "/set", "/history", "/again", "/new", "/exit"}

// command executes a line that begins with /.
func (t *talker) command(ctx context.Context, line string) error {
	name, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch name {
	case "/help", "/?":
		fmt.Fprint(t.notes, talkHelp)
	case "/exit", "/quit", "/bye":
		return errLeave
	case "/new", "/clear":
		t.messages = nil
	case "/system":
		t.setSystem(rest)
	case "/set":
		return t.set(rest)
	case "/history":
		for _, m := range t.messages {
			fmt.Fprintf(t.notes, "%s: %s\n", m.Role, visible(m.Content))
		}
	case "/again":
		n := len(t.messages)
		if n < 2 {
			return errors.New("nothing has been answered yet")
		}
		before := t.messages
		text := before[n-2].Content
		t.messages = before[: n-2 : n-2]
		err := t.say(ctx, text)
		if len(t.messages) < n { // no new answer: the old one stays
			t.messages = before
		}
		return err
	default:
		return fmt.Errorf("unknown command %q: /help lists those that there are", name)
	}
	return nil
}

func (t *talker) setSystem(text string) {
	switch text {
	case "":
		if t.system == "" {
			fmt.Fprintln(t.notes, "there is no system message")
			return
		}
		fmt.Fprintln(t.notes, visible(t.system))
	case "-":
		t.system = ""
	default:
		t.system = text
	}
}

// set shows or changes settings. It does not take a value that the service would refuse.
func (t *talker) set(rest string) error {
	if rest == "" {
		for _, s := range allSettings {
			fmt.Fprintf(t.notes, "%-20s%s\n", s.name, s.get(&t.settings))
		}
		return nil
	}
	name, value, _ := strings.Cut(rest, " ")
	value = strings.TrimSpace(value)
	names := make([]string, 0, len(allSettings))
	for _, s := range allSettings {
		names = append(names, s.name)
		if s.name != name {
			continue
		}
		switch value {
		case "":
			fmt.Fprintln(t.notes, s.get(&t.settings))
			return nil
		case "-":
			value = ""
		}
		changed := t.settings
		if err := s.set(&changed, value); err != nil {
			return err
		}
		t.settings = changed
		return nil
	}
	return fmt.Errorf("unknown setting %q; known settings: %s", name, strings.Join(names, ", "))
}
