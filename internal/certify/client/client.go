package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// Bounds of an answer that is not part of the load. The list of a gateway with a thousand models has half a megabyte.
const (
	maxAnswer  = 4 << 20
	maxHead    = 64 << 10 // bytes of headers
	mostValues = 1 << 18  // JSON values; a model has ten to fifty
)

// patience is the time limit of requests that are not part of the load, except completions. A server that accepts
// connections and never answers must not hold up a run for ever.
const patience = 30 * time.Second

var (
	errSilent = errors.New("no answer in time")
	errNoJSON = errors.New("no JSON")
)

// Client sends the requests that are not part of the load: for the server's models, its tokenizer, and single
// completions. It is safe for concurrent use.
type Client struct {
	root, key string
	extra     Extra
	http      *http.Client
}

// Extra is what requests have in addition to their body and the key.
type Extra struct {
	Header http.Header
	Query  url.Values
}

// With adds extra to every request. It must be called before the first one.
func (c *Client) With(extra Extra) *Client {
	c.extra = extra
	return c
}

// New returns a client for the server at root. key may be empty. Like the client that makes the load, it uses no proxy
// and follows no redirect, so that both reach the same servers.
func New(root, key string) *Client {
	return &Client{root: root, key: key, http: &http.Client{
		Transport:     &http.Transport{ResponseHeaderTimeout: 2 * time.Minute, MaxResponseHeaderBytes: maxHead},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// HTTP2 makes the client speak HTTP/2 by prior knowledge if there is no TLS. With TLS the version is negotiated.
func (c *Client) HTTP2() {
	t := c.http.Transport.(*http.Transport)
	t.CloseIdleConnections()
	t.Protocols = PriorKnowledge()
}

// PriorKnowledge returns protocols with HTTP/2, also without TLS and without negotiation.
func PriorKnowledge() *http.Protocols {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	p.SetHTTP2(true)
	return &p
}

// OtherVersion says whether the text of an error may come from a server that does not speak HTTP/1.1.
func OtherVersion(text string) bool {
	return slices.ContainsFunc([]string{"malformed HTTP", "no application protocol", "unexpected ALPN",
		"HTTP/1.x transport connection broken", "HTTP2", "505", "EOF", "connection reset"},
		func(s string) bool { return strings.Contains(text, s) })
}

// NewRemote is New for a server that is not under test. The client uses the proxy of the environment.
func NewRemote(root, key string) *Client {
	c := New(root, key)
	c.http.Transport.(*http.Transport).Proxy = http.ProxyFromEnvironment
	return c
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Send sends a request and returns the response if its status is 2xx; the caller must close its body. Errors match
// ErrSetup, and are a *StatusError for any other status.
func (c *Client) Send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.root+path, in)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	for name, values := range c.extra.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.URL.RawQuery = c.extra.Query.Encode()
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unanswered(path, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	if to, err := resp.Location(); err == nil {
		return nil, &StatusError{URL: Redact(c.root + path), Status: resp.StatusCode,
			Message: "to " + bounded.Short(to.Redacted(), evidence.MaxName)}
	}
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // the message helps, but may be missing
	return nil, &StatusError{URL: Redact(c.root + path), Status: resp.StatusCode, Message: message(data),
		Retry:    openai.RetryAfter(resp.Header.Get("Retry-After")),
		KeyGiven: c.key != "" || len(c.extra.Header) > 0}
}

// unanswered is the error of a request without a complete answer. It replaces the text of net/http, which would repeat
// the address.
func (c *Client) unanswered(path string, err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", errSilent, err)
	}
	if len(err.Error()) > evidence.MaxMessage { // the error quotes a malformed header in full
		return fmt.Errorf("%w: %s: %s", ErrSetup, Redact(c.root+path), bounded.Short(err.Error(), evidence.MaxMessage))
	}
	return fmt.Errorf("%w: %s: %w", ErrSetup, Redact(c.root+path), err)
}

// message finds the message in an error body of OpenAI's format. Any other body is returned if it is short.
func message(body []byte) string {
	var e openai.ErrorResponse
	if json.Unmarshal(body, &e) == nil && e.Error.Message != "" {
		return bounded.Short(e.Error.Message, evidence.MaxMessage)
	}
	const most = 200
	text := string(bytes.ToValidUTF8(bytes.TrimSpace(body), nil))
	if len(text) > most {
		return ""
	}
	return text
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.Send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil { // only the status matters; reading a short body keeps the connection usable
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return c.unanswered(path, err)
	case len(data) > maxAnswer:
		return fmt.Errorf("%w: %s answers with more than %d MiB", ErrSetup, Redact(c.root+path), maxAnswer>>20)
	case bounded.Values(data) > mostValues:
		return fmt.Errorf("%w: %s answers with more than %d values", ErrSetup, Redact(c.root+path), mostValues)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%w: %s answers with %w (%s): %s", ErrSetup, Redact(c.root+path), errNoJSON,
			contentType(resp), bounded.Short(err.Error(), evidence.MaxMessage))
	}
	return nil
}

// contentType is the media type of a response, for an error message.
func contentType(resp *http.Response) string {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || len(kind) > 40 {
		return "of no known type"
	}
	return kind
}

// ask is call with the time limit patience, for requests that a server answers at once.
func (c *Client) ask(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.call(ctx, method, path, in, out)
}

// Models lists the server's models. Errors match ErrSetup; an empty list is an error.
func (c *Client) Models(ctx context.Context) ([]openai.Model, error) {
	var list modelList
	if err := c.ask(ctx, http.MethodGet, "/v1/models", nil, &list); err != nil {
		return nil, err
	}
	if len(list.Data) == 0 {
		return nil, fmt.Errorf("%w: %s names no model", ErrSetup, Redact(c.root+"/v1/models"))
	}
	for _, m := range list.Data {
		if len(m.ID) > evidence.MaxName {
			return nil, fmt.Errorf("%w: %s names a model by %d bytes, at most %d are allowed: %s", ErrSetup,
				Redact(c.root+"/v1/models"), len(m.ID), evidence.MaxName, bounded.Short(m.ID, 80))
		}
	}
	return list.Data, nil
}

// modelList is OpenAI's list, or the bare array that some gateways return.
type modelList struct{ openai.ModelList }

// UnmarshalJSON reads either form.
func (l *modelList) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("[")) {
		return json.Unmarshal(data, &l.Data)
	}
	return json.Unmarshal(data, &l.ModelList)
}

// Version is the version from GET /version, which vLLM and this project's server have; "" if there is none.
func (c *Client) Version(ctx context.Context) string {
	var out struct {
		Version string `json:"version"`
	}
	if err := c.ask(ctx, http.MethodGet, "/version", nil, &out); err != nil ||
		len(out.Version) > evidence.MaxName {
		return ""
	}
	return strings.ToValidUTF8(out.Version, "")
}

// Chat asks for one completion without streaming. Errors match ErrSetup.
func (c *Client) Chat(ctx context.Context, r openai.ChatRequest) (*openai.ChatResponse, error) {
	r.Stream, r.StreamOptions = false, nil
	var out openai.ChatResponse
	if err := c.call(ctx, http.MethodPost, "/v1/chat/completions", r, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// Tokenize counts the tokens of a text, without the special tokens at the beginning of a prompt. It knows the forms of
// POST /tokenize of vLLM, which SGLang and this project's server share, of llama.cpp and of TGI. Errors match
// ErrSetup, also for a server without a tokenizer.
func (c *Client) Tokenize(ctx context.Context, model, text string) (int, error) {
	bare := false
	var counted openai.TokenizeResponse
	err := c.ask(ctx, http.MethodPost, "/tokenize", openai.TokenizeRequest{Model: model, Prompt: &text,
		AddSpecialTokens: &bare}, &counted)
	var refused *StatusError
	if n := max(counted.Count, len(counted.Tokens)); err == nil && (n > 0 || text == "") || NotOffered(err) ||
		err != nil && !errors.As(err, &refused) { // without an answer there is no point in trying other forms
		return n, err
	}
	var ids struct {
		Tokens []json.RawMessage `json:"tokens"`
	}
	if c.ask(ctx, http.MethodPost, "/tokenize", map[string]any{"content": text, "add_special": false},
		&ids) == nil && len(ids.Tokens) > 0 { // llama.cpp
		return len(ids.Tokens), nil
	}
	var pieces []json.RawMessage
	if c.ask(ctx, http.MethodPost, "/tokenize", map[string]any{"inputs": text, "add_special_tokens": false},
		&pieces) == nil && len(pieces) > 0 { // TGI
		return len(pieces), nil
	}
	if err == nil {
		err = fmt.Errorf("%w: %s counts no tokens in %d bytes of text", ErrSetup, Redact(c.root+"/tokenize"),
			len(text))
	}
	return 0, err
}

// Ready waits until the server answers GET /readyz, or GET /health, or GET /v1/models if it has neither. It gives up
// when ctx ends, when gone is closed, or when the server refuses the key. Errors match ErrSetup.
func (c *Client) Ready(ctx context.Context, gone <-chan struct{}) error {
	const pause = 50 * time.Millisecond
	for {
		err := c.ready(ctx)
		if err == nil || errors.Is(err, ErrUnauthorized) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: not ready in time: %w", ErrSetup, err)
		case <-gone:
			return fmt.Errorf("%w: the server ended before it was ready", ErrSetup)
		case <-time.After(pause):
		}
	}
}

func (c *Client) ready(ctx context.Context) error {
	for _, path := range []string{"/readyz", "/health"} {
		if err := c.ask(ctx, http.MethodGet, path, nil, nil); !NotOffered(err) {
			return err
		}
	}
	_, err := c.Models(ctx)
	if NotOffered(err) { // the server answers; a later request will show whether it has a model
		return nil
	}
	return err
}
