package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// Generate implements llm.Backend for programs that embed the service: the request goes out as a streamed chat or text
// completion, and its chunks come back as events.
func (u *Upstream) Generate(ctx context.Context, r *llm.Request, sink func(llm.Event) error) error {
	if err := llm.CheckStop(r.Stop); err != nil {
		return err
	}
	path, body, err := encode(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if r.ID != "" {
		req.Header.Set("X-Request-Id", r.ID)
	}
	w := &eventWriter{sink: sink, header: http.Header{}, stops: llm.NewStops(r.Stop)}
	out := u.Forward(w, req, path, body, func(o *Outcome) { w.out = o })
	switch {
	case w.err != nil:
		return w.err
	case ctx.Err() != nil:
		return ctx.Err()
	case w.status != 0 && w.status != http.StatusOK:
		return refusal(w.status, w.rest)
	case out.Err != nil:
		return out.Err
	}
	return w.end(out)
}

// encode writes a request as the API spells it.
func encode(r *llm.Request) (path string, body []byte, err error) {
	s := r.Sampling
	m := map[string]any{"model": r.Model, "stream": true, "stream_options": map[string]any{"include_usage": true},
		"temperature": s.Temperature}
	set := func(key string, v any, ok bool) {
		if ok {
			m[key] = v
		}
	}
	set("max_tokens", r.MaxTokens, r.MaxTokens > 0)
	set("top_p", s.TopP, s.TopP > 0)
	set("top_k", s.TopK, s.TopK > 0)
	set("min_p", s.MinP, s.MinP > 0)
	set("repetition_penalty", s.RepetitionPenalty, s.RepetitionPenalty > 0)
	set("presence_penalty", s.PresencePenalty, s.PresencePenalty != 0)
	set("frequency_penalty", s.FrequencyPenalty, s.FrequencyPenalty != 0)
	set("seed", s.Seed, s.Seed != nil)
	set("logit_bias", s.LogitBias, len(s.LogitBias) > 0)
	set("stop", r.Stop, len(r.Stop) > 0)
	set("ignore_eos", true, r.IgnoreEOS)
	set("parse_special", true, r.ParseSpecial)
	set("add_special_tokens", false, r.NoSpecial)
	if r.Grammar != nil {
		return "", nil, fmt.Errorf("a grammar through an upstream's events: %w", llm.ErrUnsupported)
	}
	if r.Tools != nil {
		return "", nil, fmt.Errorf("tools through an upstream's events: %w", llm.ErrUnsupported)
	}
	if r.Logprobs {
		return "", nil, fmt.Errorf("log-probabilities through an upstream's events: %w", llm.ErrUnsupported)
	}
	path = "/v1/completions"
	switch {
	case len(r.Messages) > 0:
		path = "/v1/chat/completions"
		m["messages"] = messages(r.Messages)
	case len(r.PromptTokens) > 0:
		m["prompt"] = r.PromptTokens
	default:
		m["prompt"] = r.Prompt
	}
	body, err = json.Marshal(m)
	return path, body, err
}

// messages writes a conversation as the API spells it.
func messages(list []llm.Message) []map[string]any {
	var out []map[string]any
	for _, msg := range list {
		m := map[string]any{"role": msg.Role, "content": msg.Content}
		var calls []openai.ToolCall
		for _, c := range msg.Calls {
			calls = append(calls, openai.ToolCall{ID: c.ID, Type: openai.TypeFunction,
				Function: openai.FunctionCall{Name: c.Name, Arguments: c.Arguments}})
		}
		if calls != nil {
			m["tool_calls"] = calls
		}
		if msg.CallID != "" {
			m["tool_call_id"] = msg.CallID
		}
		if msg.Name != "" {
			m["name"] = msg.Name
		}
		out = append(out, m)
	}
	return out
}

// functions writes tools as the API spells them.
func functions(t *llm.Tools) []map[string]any {
	var out []map[string]any
	for _, tool := range t.List {
		f := json.RawMessage(tool.Definition())
		out = append(out, map[string]any{"type": openai.TypeFunction, "function": f})
	}
	return out
}

// refusal turns an upstream's error answer into the seam's.
func refusal(status int, body []byte) error {
	var e openai.ErrorResponse
	msg := http.StatusText(status)
	if json.Unmarshal(body, &e) == nil && e.Error.Message != "" {
		msg = e.Error.Message
	}
	base := ErrUnreachable
	switch {
	case status == http.StatusNotFound:
		base = llm.ErrModelNotFound
	case status == http.StatusTooManyRequests:
		base = llm.ErrQueueFull
	case status == http.StatusServiceUnavailable:
		base = llm.ErrNotReady
	case status >= 400 && status < 500:
		base = llm.ErrBadRequest
	}
	return fmt.Errorf("%w: upstream answers %d: %s", base, status, msg)
}

// eventWriter is the client's end of Forward inside the process: it parses the stream that is written to it.
type eventWriter struct {
	sink   func(llm.Event) error
	stops  *llm.Stops // the upstream's own idea of a stop string may be another: bytes, or tokens
	hit    bool       // a stop string was found: what still comes is not sent
	header http.Header
	status int
	rest   []byte // of an event that is not complete yet, or the body of a refusal
	out    *Outcome
	err    error // from sink
}

func (w *eventWriter) Header() http.Header    { return w.header }
func (w *eventWriter) WriteHeader(status int) { w.status = status }
func (w *eventWriter) Flush()                 {}

func (w *eventWriter) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	if w.status != http.StatusOK {
		return len(b), nil
	}
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		line := bytes.TrimSpace(w.rest[:i])
		w.rest = w.rest[i+1:]
		data, ok := bytes.CutPrefix(line, []byte("data:"))
		var c chunk
		if !ok || json.Unmarshal(data, &c) != nil {
			continue
		}
		for _, ch := range c.Choices {
			if text := ch.Delta.Content + ch.Text; text != "" {
				text, w.hit = w.stops.Write(text)
				if w.err = w.sink(llm.Event{Text: text, NTokens: 1}); w.err != nil {
					return 0, io.ErrClosedPipe // ends the request upstream
				}
			}
		}
	}
}

// end sends the last event.
func (w *eventWriter) end(out *Outcome) error {
	e := llm.Event{Text: w.stops.Flush(), Finish: out.Finish, Usage: out.Usage}
	switch {
	case e.Finish == llm.FinishNone:
		return fmt.Errorf("%w: the stream had no finish_reason", ErrUnreachable)
	case e.Finish == llm.FinishLength && !w.hit:
	default: // whatever else an upstream says, the answer ended by itself
		e.Finish = llm.FinishStop
	}
	if e.Usage == nil {
		e.Usage = &llm.Usage{}
	}
	return w.sink(e)
}

// Tokenize asks the upstream, where it has vLLM's route.
func (u *Upstream) Tokenize(text string, addSpecial bool) ([]int32, error) {
	return u.tokens(map[string]any{"prompt": text, "add_special_tokens": addSpecial})
}

// TokenizeChat asks the upstream to apply its chat template and tokenise.
func (u *Upstream) TokenizeChat(list []llm.Message, tools *llm.Tools) ([]int32, error) {
	body := map[string]any{"messages": messages(list)}
	if tools != nil {
		body["tools"] = functions(tools)
	}
	return u.tokens(body)
}

func (u *Upstream) tokens(body map[string]any) ([]int32, error) {
	var out struct {
		Tokens []int32 `json:"tokens"`
	}
	err := u.post("/tokenize", body, &out)
	return out.Tokens, err
}

// Detokenize asks the upstream.
func (u *Upstream) Detokenize(ids []int32) (string, error) {
	var out struct {
		Prompt string `json:"prompt"`
	}
	err := u.post("/detokenize", map[string]any{"tokens": ids}, &out)
	return out.Prompt, err
}

// post sends a small request through Forward, so that it has the same choice of replicas.
func (u *Upstream) post(path string, body map[string]any, into any) error {
	if models := u.Models(); len(models) > 0 {
		body["model"] = models[0].ID
	}
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	w := &bodyWriter{header: http.Header{}}
	out := u.Forward(w, req, path, data, func(*Outcome) {})
	switch {
	case out.Err != nil:
		return out.Err
	case w.status == http.StatusNotFound || w.status == http.StatusMethodNotAllowed:
		return fmt.Errorf("%s: %w", path, llm.ErrUnsupported)
	case w.status != http.StatusOK:
		return refusal(w.status, w.body.Bytes())
	}
	return json.Unmarshal(w.body.Bytes(), into)
}

// bodyWriter keeps an answer.
type bodyWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *bodyWriter) Header() http.Header         { return w.header }
func (w *bodyWriter) WriteHeader(status int)      { w.status = status }
func (w *bodyWriter) Write(b []byte) (int, error) { return w.body.Write(b) }
