package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// Generate implements llm.Backend. The request is sent as a streamed chat or text completion, and its chunks come back
// as events; see scored for the log-probabilities of prompts. A request that the API cannot express is ErrUnsupported.
// The ids of generated tokens belong to no vocabulary, since the API returns only their texts.
func (u *Upstream) Generate(ctx context.Context, r *llm.Request, sink func(llm.Event) error) error {
	if r.PromptLogprobs || r.PromptOnly {
		return u.scored(ctx, r, sink)
	}
	return u.generate(ctx, r, sink)
}

func (u *Upstream) generate(ctx context.Context, r *llm.Request, sink func(llm.Event) error) error {
	path, body, err := encode(r)
	if err != nil {
		return err
	}
	w := &eventWriter{r: r, sink: sink, header: http.Header{}, stops: llm.NewStops(r.Stop), call: -1}
	out, err := u.send(ctx, r.ID, path, body, w)
	switch {
	case w.err != nil:
		return w.err
	case err != nil:
		return err
	case w.status != 0 && w.status != http.StatusOK:
		return refusal(r, w.status, w.body.Bytes())
	case out.Err != nil:
		return out.Err
	}
	return w.end(out)
}

// send sends a request of this process through Forward, until ctx or the Upstream ends. The error says that one of
// them has ended, or that nothing was sent.
func (u *Upstream) send(ctx context.Context, id, path string, body []byte, w http.ResponseWriter) (*Outcome, error) {
	done, err := u.begin()
	if err != nil {
		return nil, err
	}
	defer done()
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(u.alive, func() { cancel(llm.ErrClosed) })()
	req, err := http.NewRequestWithContext(within, http.MethodPost, path, nil)
	if err != nil {
		return nil, err
	}
	if h, ok := ctx.Value(headerKey{}).(http.Header); ok {
		copyHeaders(req.Header, h, requestHeaders)
		if key := h.Get("X-Api-Key"); key != "" && h.Get("Authorization") == "" { // as Anthropic's clients send it
			req.Header.Set("Authorization", "Bearer "+key)
		}
	}
	req.Header.Set("Content-Type", "application/json")
	if id != "" && req.Header.Get("X-Request-Id") == "" {
		req.Header.Set("X-Request-Id", id)
	}
	out := u.Forward(w, req, path, body, func(*Outcome) {})
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	return out, context.Cause(within)
}

// begin registers a request that Close waits for.
func (u *Upstream) begin() (done func(), err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil, llm.ErrClosed
	}
	u.stopped.Add(1)
	return u.stopped.Done, nil
}

type headerKey struct{}

// WithHeader returns a context whose requests carry those of a client's headers that are passed on.
func WithHeader(ctx context.Context, h http.Header) context.Context {
	return context.WithValue(ctx, headerKey{}, h)
}

// oneModel is an Upstream that tokenises for one model.
type oneModel struct {
	*Upstream
	model string
}

// Of returns a backend whose Tokenize, TokenizeChat and Detokenize use one model; those of the Upstream itself use the
// first model.
func (u *Upstream) Of(model string) llm.Backend { return oneModel{u, model} }

// Tokenize asks an upstream that has vLLM's route for it.
func (u *Upstream) Tokenize(text string, addSpecial bool) ([]int32, error) {
	return oneModel{u, u.first()}.Tokenize(text, addSpecial)
}

// TokenizeChat asks an upstream to apply its chat template and tokenise.
func (u *Upstream) TokenizeChat(messages []llm.Message, tools *llm.Tools) ([]int32, error) {
	return oneModel{u, u.first()}.TokenizeChat(messages, tools)
}

// Detokenize asks an upstream.
func (u *Upstream) Detokenize(ids []int32) (string, error) {
	return oneModel{u, u.first()}.Detokenize(ids)
}

// first names the model for requests without a model; empty: not known.
func (u *Upstream) first() string {
	if models := u.Models(); len(models) > 0 {
		return models[0].ID
	}
	return ""
}

// Tokenize asks an upstream that has the model.
func (u oneModel) Tokenize(text string, addSpecial bool) ([]int32, error) {
	return u.textTokens(context.Background(), text, addSpecial)
}

// TokenizeChat asks an upstream that has the model.
func (u oneModel) TokenizeChat(list []llm.Message, tools *llm.Tools) ([]int32, error) {
	return u.chatTokens(context.Background(), list, tools)
}

func (u oneModel) textTokens(ctx context.Context, text string, addSpecial bool) ([]int32, error) {
	return u.tokens(ctx, map[string]any{"prompt": text, "add_special_tokens": addSpecial})
}

func (u oneModel) chatTokens(ctx context.Context, list []llm.Message, tools *llm.Tools) ([]int32, error) {
	body := map[string]any{"messages": messages(list)}
	if tools != nil {
		body["tools"] = functions(tools.List)
	}
	return u.tokens(ctx, body)
}

func (u oneModel) tokens(ctx context.Context, body map[string]any) ([]int32, error) {
	var out struct {
		Tokens []int32 `json:"tokens"`
	}
	err := u.post(ctx, "/tokenize", body, &out)
	return out.Tokens, err
}

// Detokenize asks an upstream.
func (u oneModel) Detokenize(ids []int32) (string, error) {
	var out struct {
		Prompt string `json:"prompt"`
	}
	err := u.post(context.Background(), "/detokenize", map[string]any{"tokens": ids}, &out)
	return out.Prompt, err
}

// post sends a small request and reads its answer.
func (u oneModel) post(ctx context.Context, path string, body map[string]any, into any) error {
	if u.model != "" {
		body["model"] = u.model
	}
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w := &bodyWriter{header: http.Header{}}
	out, err := u.send(ctx, "", path, data, w)
	switch {
	case err != nil:
		return err
	case out.Err != nil:
		return out.Err
	case w.status == http.StatusNotFound || w.status == http.StatusMethodNotAllowed:
		return fmt.Errorf("%s: %w", path, llm.ErrUnsupported)
	case w.status != http.StatusOK:
		return refusal(&llm.Request{}, w.status, w.body.Bytes())
	}
	return json.Unmarshal(w.body.Bytes(), into)
}

// bodyWriter keeps the body of an answer.
type bodyWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *bodyWriter) Header() http.Header         { return w.header }
func (w *bodyWriter) WriteHeader(status int)      { w.status = status }
func (w *bodyWriter) Write(b []byte) (int, error) { return w.body.Write(b) }
