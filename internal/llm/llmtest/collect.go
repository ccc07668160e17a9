package llmtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// Result is a whole answer.
type Result struct {
	Text   string
	Calls  []llm.Call
	Tokens []llm.Token
	Prompt []llm.Token
	Finish llm.Finish
	Stop   string
	Usage  llm.Usage
	Events int
}

// errLate ends a request that has no end within Limit.
var errLate = fmt.Errorf("llmtest: the request had no end within %v", Limit)

// Collect generates to the end, within Limit, and checks what holds for every list of events.
func Collect(ctx context.Context, b llm.Backend, r *llm.Request) (Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, Limit, errLate)
	defer cancel()
	var (
		out     Result
		text    strings.Builder
		nTokens int
		broken  error
	)
	err := b.Generate(ctx, r, func(e llm.Event) error {
		switch {
		case out.Finish != llm.FinishNone:
			broken = errors.New("an event after the last")
		case !utf8.ValidString(e.Text):
			broken = errors.New("text that is not valid UTF-8")
		case (e.Finish == llm.FinishNone) != (e.Usage == nil):
			broken = errors.New("finish and usage must come together")
		case e.Stop != "" && (e.Finish != llm.FinishStop || !slices.Contains(r.Stop, e.Stop)):
			broken = fmt.Errorf("stopped by %q, which was not asked for, or went on", e.Stop)
		case e.Prompt != nil && (out.Events > 0 || !r.PromptLogprobs):
			broken = errors.New("the prompt's tokens, which were not asked for, or not in the first event")
		case e.NTokens < 0 || r.Logprobs && len(e.Tokens) != e.NTokens || !r.Logprobs && len(e.Tokens) > 0:
			broken = errors.New("tokens and NTokens do not fit")
		case len(out.Calls) > 0 && e.Text != "":
			broken = errors.New("text behind a call")
		}
		for _, p := range e.Calls {
			if r.Tools == nil || p.Index != len(out.Calls) && p.Index != len(out.Calls)-1 ||
				(p.Index == len(out.Calls)) != (p.ID != "" && p.Name != "") {
				broken = fmt.Errorf("a piece of a call that does not follow: %+v", p)
				continue
			}
			out.Calls = llm.JoinCalls(out.Calls, p)
		}
		text.WriteString(e.Text)
		out.Tokens = append(out.Tokens, e.Tokens...)
		if e.Prompt != nil {
			out.Prompt = e.Prompt
		}
		out.Finish, out.Stop = e.Finish, e.Stop
		out.Events++
		nTokens += e.NTokens
		if e.Usage != nil {
			out.Usage = *e.Usage
		}
		return nil
	})
	if err != nil && context.Cause(ctx) == errLate {
		err = errLate
	}
	out.Text = text.String()
	good := out.Finish == llm.FinishStop || out.Finish == llm.FinishLength || out.Finish == llm.FinishCalls
	switch {
	case broken != nil:
		return out, broken
	case good != (err == nil):
		return out, errors.Join(errors.New("must return nil exactly if the last event says stop, length or calls"),
			err)
	case (out.Finish == llm.FinishCalls) != (good && len(out.Calls) > 0) && out.Finish != llm.FinishLength:
		return out, errors.New("must finish with calls exactly if there are some, unless its length was over")
	case good && nTokens != out.Usage.CompletionTokens:
		return out, errors.New("the events' tokens do not add up to the usage")
	}
	return out, err
}

// must is Collect for a request that has to succeed.
func must(t *testing.T, b llm.Backend, r *llm.Request) Result {
	t.Helper()
	out, err := Collect(t.Context(), b, r)
	if err != nil {
		t.Fatalf("%v after %+v", err, out)
	}
	return out
}
