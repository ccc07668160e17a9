package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/grammar"
	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/sample"
	"github.com/hxp-enterprise/mixtral/internal/infer/schedule"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/model/chat"
)

// request is a sequence with everything the scheduler need not know. What the loop writes only the loop reads, but for
// the outbox.
type request struct {
	seq     *schedule.Seq
	ids     []int32 // the prompt
	max     int     // as asked for; the scheduler cuts it
	scope   kvcache.Key
	eos     int32 // −1: goes on to max
	tokens  *token.Tokenizer
	tops    int // alternatives to report; −1: no log-probabilities
	sampler *sample.Sampler
	decoder *token.Decoder
	stops   *llm.Stops
	out     outbox
	trust   trust
	guessed int32 // the first guess of this step, computed or not; −1: none

	grammar *grammar.Matcher // nil: the text is free
	forced  []int32          // tokens that come next whatever the model says
	field   *llm.Grammar     // where the grammar came from, for errors
	calls   *chat.Reader     // nil: nothing can be called
	trigger int32            // the control token that calls begin with; −1: they begin with text
	seed    uint64

	prompt     []llm.Token // to report with the first event; nil: nobody asked, or it has been reported
	promptTops int         // alternatives to each
	only       bool        // nothing is generated

	arrived time.Time
	started time.Time // first step that computed for it; zero before
}

// outbox takes events from the loop to the goroutine of Generate. The loop never waits for it: a slow reader's events
// pile up here, at most as many as the request may have tokens.
type outbox struct {
	mu        sync.Mutex
	events    []llm.Event
	err       error // ends the request without a last event
	ready     chan struct{}
	spanTimes *spanTimes // nil: nobody traces the request
}

// put adds an event.
func (o *outbox) put(e llm.Event) {
	o.mu.Lock()
	o.events = append(o.events, e)
	o.mu.Unlock()
	o.signal()
}

// fail ends the request behind the events so far.
func (o *outbox) fail(err error) {
	o.mu.Lock()
	o.err = err
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.ready <- struct{}{}:
	default: // it has been told already
	}
}

// take gives what is there; into is memory to reuse.
func (o *outbox) take(into []llm.Event) ([]llm.Event, error) {
	clear(into)
	o.mu.Lock()
	defer o.mu.Unlock()
	events := o.events
	o.events = into[:0]
	if len(events) > 0 {
		return events, nil
	}
	return events, o.err
}

// prepare checks a request and makes all it needs.
func (e *Engine) prepare(ctx context.Context, r *llm.Request) (*request, error) {
	if r.Model != "" && r.Model != e.model.ID {
		return nil, fmt.Errorf("%w: %q (this server has %q)", llm.ErrModelNotFound, r.Model, e.model.ID)
	}
	if err := e.checkRequest(r); err != nil {
		return nil, err
	}
	if err := e.checkLength(r); err != nil {
		return nil, err
	}
	q := &request{tokens: e.tok, max: r.MaxTokens, eos: -1, tops: -1, guessed: -1, arrived: time.Now(),
		scope: kvcache.Scope(r.CacheScope), stops: llm.NewStops(r.Stop)}
	q.out.ready = make(chan struct{}, 1)
	if !r.IgnoreEOS {
		q.eos = e.tok.EOS()
	}
	if r.Logprobs {
		q.tops = r.TopLogprobs
	}
	var err error
	switch {
	case r.Messages != nil:
		q.ids, err = e.TokenizeChat(r.Messages, r.Tools)
		q.decoder = e.tok.NewDecoder()
		if llm.Continues(r.Messages) {
			q.decoder = e.tok.NewContinuation()
		}
	case r.PromptTokens != nil:
		q.ids = r.PromptTokens
		q.decoder = e.tok.NewContinuation()
	default:
		q.ids = e.tokenize(r.Prompt, !r.NoSpecial, r.ParseSpecial)
		q.decoder = e.tok.NewContinuation()
	}
	if err != nil {
		return nil, err
	}
	q.only = r.PromptOnly
	if r.PromptLogprobs {
		q.prompt, q.promptTops = e.promptTokens(q.ids), r.PromptTopLogprobs
	}
	s := r.Sampling
	p := sample.Params{
		Temperature: s.Temperature, MinP: s.MinP, TopK: s.TopK, TopP: s.TopP, RepetitionPenalty: s.RepetitionPenalty,
		PresencePenalty: s.PresencePenalty, FrequencyPenalty: s.FrequencyPenalty, Bias: s.LogitBias,
		Seed: rand.Uint64(),
	}
	if s.Seed != nil {
		p.Seed = uint64(*s.Seed)
	}
	q.seed = p.Seed
	q.sampler = sample.New(p, e.model.Vocab, q.ids)
	return q, e.constrain(ctx, q, r)
}

// checkRequest holds a request to the ranges that package llm states.
func (e *Engine) checkRequest(r *llm.Request) error {
	if err := r.Tools.Check(); err != nil {
		return err
	}
	if r.Tools != nil && r.Messages == nil {
		return llm.BadField("tools", "are only allowed with messages")
	}
	forms := 0
	for _, given := range []bool{r.Messages != nil, r.Prompt != "", r.PromptTokens != nil} {
		if given {
			forms++
		}
	}
	if forms != 1 {
		return llm.BadField("prompt", "exactly one of messages, prompt and prompt tokens must be given, got %d", forms)
	}
	if err := e.checkTokens("prompt", r.PromptTokens); err != nil {
		return err
	}
	if err := llm.CheckStop(r.Stop); err != nil {
		return err
	}
	if r.MaxTokens < 0 || r.MaxTokens > math.MaxInt32 {
		return llm.BadField("max_tokens", "must be between 0 and %d, got %d", math.MaxInt32, r.MaxTokens)
	}
	if r.TopLogprobs < 0 || r.TopLogprobs > 20 {
		return llm.BadField("top_logprobs", "must be between 0 and 20, got %d", r.TopLogprobs)
	}
	if r.PromptTopLogprobs < 0 || r.PromptTopLogprobs > 20 {
		return llm.BadField("prompt_logprobs", "must be between 0 and 20, got %d", r.PromptTopLogprobs)
	}
	if err := r.Sampling.Check(); err != nil {
		return err
	}
	for id := range r.Sampling.LogitBias {
		if id < 0 || int(id) >= e.model.Vocab {
			return llm.BadField("logit_bias", "token %d is not in the vocabulary of %d", id, e.model.Vocab)
		}
	}
	return nil
}

// checkLength refuses texts that are far too long before they are encoded, which takes 50 ms a megabyte.
func (e *Engine) checkLength(r *llm.Request) error {
	bytes := len(r.Prompt)
	if r.ParseSpecial { // a control token may be spelled longer than any text
		bytes = 0
	}
	for _, m := range r.Messages {
		bytes += len(m.Content)
		for _, c := range m.Calls {
			bytes += len(c.Arguments)
		}
	}
	if n := e.tok.AtLeast(bytes); n >= e.model.ContextLength {
		return &llm.FieldError{Field: "prompt", Err: llm.ErrContextLength,
			Reason: fmt.Sprintf("has at least %d tokens, and the context of %d must hold at least one more", n,
				e.model.ContextLength)}
	}
	return nil
}

func (e *Engine) checkTokens(field string, ids []int32) error {
	for i, id := range ids {
		if id < 0 || int(id) >= e.model.Vocab {
			return llm.BadField(field, "token %d at index %d is not in the vocabulary of %d", id, i, e.model.Vocab)
		}
	}
	return nil
}

// Models gives the one model.
func (e *Engine) Models() []llm.Model { return []llm.Model{e.model} }

// Tokenize gives the ids of a text, with what the model adds to raw prompts if addSpecial says so: BOS, and EOS in the
// few files that want it.
func (e *Engine) Tokenize(text string, addSpecial bool) ([]int32, error) {
	return e.tokenize(text, addSpecial, false), nil
}

// TokenizeChat arranges messages and puts them into the model's chat format. What the format does not take is an
// llm.FieldError.
func (e *Engine) TokenizeChat(messages []llm.Message, tools *llm.Tools) ([]int32, error) {
	if e.format == nil {
		return nil, llm.BadField("messages", "%s; use /v1/completions, or start with a chat template", e.noChat)
	}
	messages, err := llm.Arrange(messages)
	if err != nil {
		return nil, err
	}
	ids, err := e.format.Encode(messages, tools)
	if err != nil { // the roles are in order: it is the template that does not take them
		return nil, llm.BadField("messages", "%v", err)
	}
	return ids, nil
}

// TokenizeSpecial is Tokenize for a text in which spellings of control tokens mean these.
func (e *Engine) TokenizeSpecial(text string, addSpecial bool) ([]int32, error) {
	return e.tokenize(text, addSpecial, true), nil
}

func (e *Engine) tokenize(text string, addSpecial, parse bool) []int32 {
	switch {
	case addSpecial:
		return e.tok.Prompt(text, parse)
	case parse:
		return e.tok.EncodeSpecial(text, false)
	}
	return e.tok.Encode(text, false)
}

// chooseFormat finds the chat format. That a file has none, or a template that cannot be used, is no reason not to
// start; that the one asked for cannot be used is.
func (e *Engine) chooseFormat(f *gguf.File, wanted string) error {
	spec, err := moe.TokenSpec(f)
	if err != nil {
		return err
	}
	format, err := chat.Choose(wanted, spec.Template, e.tok)
	switch {
	case err == nil:
		e.format = format
		if wanted == "" && spec.ToolTemplate != "" {
			if err := format.UseForTools(spec.ToolTemplate); err != nil {
				e.log.Warn("the file's chat template for tools cannot be used", "error", err)
			}
		}
	case wanted != "" && !errors.Is(err, chat.ErrNone):
		return fmt.Errorf("%w: ChatTemplate: %w", ErrConfig, err)
	default:
		e.noChat = err.Error()
	}
	return nil
}

func (e *Engine) chatName() string {
	if e.format == nil {
		return ""
	}
	return e.format.Name
}

// Detokenize gives the text of ids.
func (e *Engine) Detokenize(ids []int32) (string, error) {
	if err := e.checkTokens("tokens", ids); err != nil {
		return "", err
	}
	return e.tok.Decode(ids), nil
}
