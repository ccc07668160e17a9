package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
)

// runCmd answers one prompt, or holds a conversation in a terminal.
type runCmd struct {
	serviceFlags
	Prompt      *string  `arg:"" optional:"" help:"The prompt, or - to read it from standard input; default: hold a conversation in the terminal."`
	System      string   `placeholder:"TEXT" help:"System message; default: none."`
	Raw         bool     `help:"Continue the text without the chat format."`
	MaxTokens   int      `range:"0.." placeholder:"N" help:"Maximum number of tokens in the answer; default: max_tokens of the configuration."`
	Temperature *float64 `placeholder:"T" help:"Sampling temperature, 0 to 2; 0 always takes the likeliest token. Default: temperature of the configuration."`
	Seed        *int64   `placeholder:"N" help:"Seed of the sampling; the same seed gives the same answer; default: random."`
	Stats       bool     `help:"At the end, print the number of tokens and the speed to standard error."`
	JSON        bool     `help:"Print the whole answer as JSON, as POST /v1/chat/completions gives it, instead of streaming it."`
}

// maxPrompt bounds what is read from standard input: the HTTP API has the same limit.
const maxPrompt = 4 << 20

func (r runCmd) Run(a *app) error {
	if t := r.Temperature; t != nil && !llm.TemperatureRange.Has(*t) {
		return usageError(fmt.Errorf("--temperature: must be %v, got %v", llm.TemperatureRange, *t))
	}
	talk := r.Prompt == nil
	var request mixtral.Request
	var err error
	if talk {
		err = r.checkTalk(isTerminal(os.Stdin))
	} else {
		request, err = r.request(os.Stdin)
	}
	if err != nil {
		return err
	}
	c, err := r.config()
	if err != nil {
		return err
	}
	c.Warnings = nil // printed already
	if r.LogLevel == nil {
		c.LogLevel = "warn" // standard error is for what the user asked for
	}
	unreachable(&c)
	if err := c.Validate(); err != nil {
		return usageError(a.placed(err))
	}
	if c.Logger, err = telemetry.NewLogger(a.stderr, c.LogLevel, c.LogFormat); err != nil {
		return usageError(err)
	}
	if err := prepare(a, c); err != nil {
		return err
	}
	service, err := mixtral.Open(a.ctx, c)
	if err != nil {
		return loadError(err)
	}
	if talk {
		return errors.Join(r.talk(a, service), service.Close())
	}
	return errors.Join(r.answer(a, service, request), service.Close())
}

// prepare shows the progress of the conversion of a directory, which the service would only log.
func prepare(a *app, c mixtral.Config) error {
	if info, err := os.Stat(c.ModelPath); err != nil || !info.IsDir() || c.Backend != mixtral.BackendEmbedded {
		return nil
	}
	o, err := openConfigured(a, c.ModelPath, c, func(*catalog.Options) {})
	if err != nil {
		return err
	}
	return o.Close()
}

// unreachable resets the settings for access by others. The configuration may be a server's, and this program does not
// listen, or only for itself.
func unreachable(c *mixtral.Config) {
	d := mixtral.DefaultConfig()
	c.Host, c.AllowedHosts, c.MetricsListen = d.Host, d.AllowedHosts, d.MetricsListen
	c.APIKeyFile, c.TLSCertFile, c.TLSKeyFile = d.APIKeyFile, d.TLSCertFile, d.TLSKeyFile
}

// request makes a request from the flags.
func (r runCmd) request(stdin io.Reader) (mixtral.Request, error) {
	text := *r.Prompt
	if text == "-" {
		data, err := io.ReadAll(io.LimitReader(stdin, maxPrompt+1))
		if err != nil {
			return mixtral.Request{}, setupError(fmt.Errorf("standard input: %w", err))
		}
		if len(data) > maxPrompt {
			return mixtral.Request{}, usageError(fmt.Errorf("standard input: more than %d bytes", maxPrompt))
		}
		text = strings.TrimRight(string(data), "\r\n")
	}
	if text == "" {
		return mixtral.Request{}, usageError(errors.New("the prompt is empty"))
	}
	out := mixtral.Request{MaxTokens: r.MaxTokens, Temperature: r.Temperature, Seed: r.Seed}
	switch {
	case r.Raw && r.System != "":
		return out, usageError(errors.New("--raw and --system cannot be used together: without the chat format " +
			"there is no system message"))
	case r.Raw:
		out.RawPrompt = text
	case r.System != "":
		out.Messages = []mixtral.Message{{Role: mixtral.RoleSystem, Content: r.System},
			{Role: mixtral.RoleUser, Content: text}}
	default:
		out.Prompt = text
	}
	return out, nil
}

// answer streams the answer to standard output, or prints it as JSON when it is complete.
func (r runCmd) answer(a *app, service *mixtral.Service, request mixtral.Request) error {
	start := time.Now()
	var first time.Time
	c, err := service.StreamCompletion(a.ctx, request, func(text string) error {
		if first.IsZero() {
			first = time.Now()
		}
		if r.JSON {
			return nil
		}
		_, err := io.WriteString(a.stdout, text)
		return err
	})
	switch {
	case r.JSON && err == nil:
		err = printJSON(a.stdout, c)
	case r.JSON:
	case err == nil || !first.IsZero():
		fmt.Fprintln(a.stdout)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return exitWith(exitInterrupted)
	case errors.Is(err, mixtral.ErrBadRequest):
		return usageError(err)
	case err != nil:
		return err
	}
	if r.Stats && !first.IsZero() {
		printStats(a.stderr, c, start, first)
	}
	return nil
}

// printStats prints the number of an answer's tokens and their speed.
func printStats(w io.Writer, c *mixtral.Completion, start, first time.Time) {
	u := c.Usage
	fmt.Fprintf(w, "%s, first text after %v; %s, finish reason %s, "+
		"%.1f tokens/s after the first\n",
		noun.Of(u.PromptTokens, "prompt token", "prompt tokens"), first.Sub(start).Round(time.Millisecond),
		noun.Of(u.CompletionTokens, "token", "tokens"), c.Choices[0].FinishReason,
		float64(u.CompletionTokens-1)/time.Since(first).Seconds())
}
