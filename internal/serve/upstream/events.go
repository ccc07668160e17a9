package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// eventWriter is the client of Forward inside this process: it turns the chunks that pass into events.
type eventWriter struct {
	r       *llm.Request
	sink    func(llm.Event) error
	stops   *llm.Stops // the upstream may search for stop strings in bytes or tokens, with another result
	hit     bool       // a stop string was found: what follows is not sent
	stop    string     // the stop string that the upstream reports
	call    int        // index of the last call; −1: none
	nTokens int        // tokens that events have reported
	header  http.Header
	status  int
	body    bytes.Buffer // of an error answer
	err     error        // from sink
}

func (w *eventWriter) Header() http.Header    { return w.header }
func (w *eventWriter) WriteHeader(status int) { w.status = status }
func (w *eventWriter) Flush()                 {}

func (w *eventWriter) Write(b []byte) (int, error) {
	switch {
	case w.err != nil:
		return 0, io.ErrClosedPipe // this ends the upstream request
	case w.status != http.StatusOK:
		w.body.Write(b)
	}
	return len(b), nil
}

// chunk takes the content of a chunk, or of a whole answer.
func (w *eventWriter) chunk(c *chunk) {
	for i := range c.Choices {
		if w.err == nil && c.Choices[i].Index == 0 {
			w.err = w.choice(&c.Choices[i])
		}
	}
}

func (w *eventWriter) choice(c *chunkChoice) error {
	said := &c.Delta
	if c.Message != nil {
		said = c.Message
	}
	text := said.Content
	if c.Text != nil {
		text += *c.Text
	}
	var e llm.Event
	var stop string
	if json.Unmarshal(c.StopReason, &stop) == nil && slices.Contains(w.r.Stop, stop) {
		w.stop = stop
	}
	if w.r.Logprobs {
		e.Tokens = tokensOf(c.Logprobs, w.r.TopLogprobs)
		e.NTokens = len(e.Tokens)
	} else if text != "" || holds(said.Tools) {
		e.NTokens = 1
	}
	if text != "" && w.call < 0 {
		e.Text, w.hit = w.stops.Write(text)
	}
	calls, err := w.calls(said.Tools)
	if err != nil {
		return err
	}
	if len(calls) > 0 { // no stop string can be completed after this
		e.Text += w.stops.Flush()
		e.Calls = calls
	}
	if e.Text == "" && e.NTokens == 0 && len(e.Calls) == 0 {
		return nil
	}
	w.nTokens += e.NTokens
	return w.sink(e)
}

// calls reads pieces of tool calls. Arguments that an upstream leaves out are an empty object.
func (w *eventWriter) calls(raw json.RawMessage) (pieces []llm.CallPiece, err error) {
	if w.r.Tools == nil || !holds(raw) {
		return nil, nil
	}
	var list []struct {
		Index    *int   `json:"index"`
		ID       string `json:"id"`
		Function struct {
			Name      string `json:"name"`
			Arguments string `json:"arguments"`
		} `json:"function"`
	}
	if json.Unmarshal(raw, &list) != nil {
		return nil, fmt.Errorf("%w: %w: its tool calls have no known form", ErrUnreachable, errForm)
	}
	for i, c := range list {
		index := i // in a whole answer
		if c.Index != nil {
			index = *c.Index
		}
		begins := index == w.call+1
		if !begins && index != w.call || begins && c.Function.Name == "" {
			return nil, fmt.Errorf("%w: %w: its tool calls do not follow each other", ErrUnreachable, errForm)
		}
		p := llm.CallPiece{Index: index, Arguments: c.Function.Arguments}
		if begins {
			w.call = index
			if p.ID, p.Name = c.ID, c.Function.Name; p.ID == "" {
				p.ID = "call_" + strconv.Itoa(index)
			}
		}
		pieces = append(pieces, p)
	}
	return pieces, nil
}

// end sends the last event.
func (w *eventWriter) end(out *Outcome) error {
	e := llm.Event{Text: w.stops.Flush(), Finish: out.Finish, Stop: w.stops.Found(), Usage: out.Usage}
	switch {
	case e.Finish == llm.FinishNone:
		return fmt.Errorf("%w: the stream had no finish_reason", ErrUnreachable)
	case e.Finish == llm.FinishLength && !w.hit:
	case w.call >= 0: // some servers say stop
		e.Finish = llm.FinishCalls
	default: // whatever an upstream says instead, the answer ended by itself
		e.Finish = llm.FinishStop
		if e.Stop == "" {
			e.Stop = w.stop
		}
	}
	if e.Usage == nil {
		e.Usage = &llm.Usage{CompletionTokens: w.nTokens}
	}
	// tokens without a text of their own, such as the end of the answer
	e.NTokens = max(0, e.Usage.CompletionTokens-w.nTokens)
	if w.r.Logprobs {
		for range min(e.NTokens, maxTokens) {
			e.Tokens = append(e.Tokens, llm.Token{TokenProb: llm.TokenProb{ID: llm.UnknownID}})
		}
	}
	return w.sink(e)
}

// tokensOf reads the log-probabilities of a chunk, in the form of chats or of texts. The API does not send ids: each
// token has UnknownID, except its own entry among its alternatives.
func tokensOf(raw json.RawMessage, top int) []llm.Token {
	var l struct {
		openai.ChatLogprobs
		openai.TextLogprobs
	}
	if !holds(raw) || json.Unmarshal(raw, &l) != nil {
		return nil
	}
	var list []llm.Token
	for _, t := range l.Content {
		token := llm.Token{TokenProb: prob(t.TopLogprob)}
		for _, a := range t.TopLogprobs {
			token.Top = append(token.Top, prob(a))
		}
		list = append(list, ranked(token, top))
	}
	for i, text := range l.Tokens {
		token := llm.Token{TokenProb: prob(openai.TopLogprob{Token: text})}
		if i < len(l.TokenLogprobs) && l.TokenLogprobs[i] != nil {
			token.Logprob = *l.TokenLogprobs[i]
		}
		if i < len(l.TopLogprobs) {
			for text, p := range l.TopLogprobs[i] {
				token.Top = append(token.Top, prob(openai.TopLogprob{Token: text, Logprob: p}))
			}
		}
		list = append(list, ranked(token, top))
	}
	return list
}

func prob(p openai.TopLogprob) llm.TokenProb {
	b := []byte(p.Bytes)
	if len(b) == 0 {
		b = []byte(p.Token)
	}
	return llm.TokenProb{ID: llm.UnknownID, Bytes: b, Logprob: p.Logprob}
}

// ranked sorts the alternatives of a token, gives the token and them ids that tell them apart, and drops those that
// were not asked for.
func ranked(t llm.Token, top int) llm.Token {
	slices.SortStableFunc(t.Top, func(a, b llm.TokenProb) int {
		switch {
		case a.Logprob > b.Logprob:
			return -1
		case a.Logprob < b.Logprob:
			return 1
		}
		return bytes.Compare(a.Bytes, b.Bytes)
	})
	t.Top = t.Top[:min(top, len(t.Top))]
	for i := range t.Top {
		if t.Top[i].ID = llm.UnknownID - int32(i) - 1; bytes.Equal(t.Top[i].Bytes, t.Bytes) && t.ID == llm.UnknownID {
			t.ID = t.Top[i].ID
		}
	}
	return t
}

// refusal turns an upstream's error answer into an error of package llm. Fields get the names that they have in the
// request.
func refusal(r *llm.Request, status int, body []byte) error {
	e := readError(status, body)
	text := fmt.Sprintf("upstream answers %d: %s", status, e.message)
	switch {
	case status == http.StatusNotFound:
		return fmt.Errorf("%w: %s", llm.ErrModelNotFound, text)
	case status == http.StatusTooManyRequests:
		return fmt.Errorf("%w: %s", llm.ErrQueueFull, text)
	case status == http.StatusServiceUnavailable:
		return fmt.Errorf("%w: %s", llm.ErrNotReady, text)
	case status == http.StatusNotImplemented:
		return fmt.Errorf("%w: %s", llm.ErrUnsupported, text)
	case status < 400 || status >= 500:
		return fmt.Errorf("%w: %s", ErrUnreachable, text)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fmt.Errorf("%w: %s", ErrRefused, text)
	}
	field, reason := e.param, strings.TrimPrefix(e.message, e.param+": ")
	var base error
	switch {
	case e.code == "context_length_exceeded", strings.Contains(e.message, "maximum context length"):
		field, base = "prompt", llm.ErrContextLength
	case r.Grammar != nil && isForm(field):
		return r.Grammar.Fail(reason)
	case r.Tools != nil && strings.HasPrefix(field, "tools["):
		field = toolField(r.Tools, field)
		if e.code == "invalid_grammar" {
			base = llm.ErrGrammar
		}
	}
	if field == "" {
		return fmt.Errorf("%w: %s", llm.ErrBadRequest, text)
	}
	return &llm.FieldError{Field: field, Reason: reason, Err: base}
}

// isForm says whether form sets a field.
func isForm(field string) bool {
	return strings.HasPrefix(field, "response_format") || strings.HasPrefix(field, "structured_outputs") ||
		strings.HasPrefix(field, "guided_")
}

var sentTool = regexp.MustCompile(`^tools\[(\d+)\](?:\.function)?`)

// toolField returns the name that a field of a tool has in the request.
func toolField(t *llm.Tools, field string) string {
	m := sentTool.FindStringSubmatch(field)
	if m == nil {
		return field
	}
	i, err := strconv.Atoi(m[1])
	if list := t.Callable(); err == nil && i < len(list) && list[i].Field != "" {
		return list[i].Field + field[len(m[0]):]
	}
	return field
}

// ErrRefused is matched when an upstream does not accept the key, this service's or the client's.
var ErrRefused = errors.New("the upstream refuses the key")

type upstreamError struct{ message, param, code string }

// readError reads an error in OpenAI's form, or in vLLM's older one without the object around it. Codes may be
// numbers.
func readError(status int, body []byte) upstreamError {
	type inner struct {
		Message string          `json:"message"`
		Param   string          `json:"param"`
		Code    json.RawMessage `json:"code"`
	}
	var e struct {
		Error *inner `json:"error"`
		inner
	}
	_ = json.Unmarshal(body, &e) // fields that cannot be read stay empty
	found := &e.inner
	if e.Error != nil {
		found = e.Error
	}
	out := upstreamError{message: found.Message, param: found.Param}
	_ = json.Unmarshal(found.Code, &out.code)
	if out.message == "" {
		out.message = http.StatusText(status)
	}
	return out
}
