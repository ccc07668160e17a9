package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// Served is the result of one completion request, for a request log. It contains no key, and only the text Prompt, if
// that is configured.
type Served struct {
	ID         string // as in X-Request-Id
	Completion string // the answer's id; empty if the request was passed on, or refused before it had one
	Route      string // RouteGo for a program that embeds the service
	Model      string // as requested, or the model that answered
	Key        string // the API key's name
	Received   time.Time
	Status     int
	Finish     llm.Finish // of the first choice; abort or error if the answer broke off, empty if it was refused
	Streamed   bool
	Gone       bool          // the client left before the end
	Usage      llm.Usage     // of all choices; if the answer broke off, the tokens until then
	First      time.Duration // until the first token; 0: none came
	Total      time.Duration
	Prompt     string // JSON of messages or prompt, shortened; empty unless Config.KeepPrompts
}

// RouteGo is the route of a call by a program that embeds the service.
const RouteGo = "go"

const (
	maxModel  = 100      // maximum bytes of a model's name that are kept: a client may send any
	maxPrompt = 32 << 10 // maximum bytes of a prompt that are kept
)

// sighting collects what Served contains and the log line does not. Only the first choice sets its fields, except for
// the number of tokens.
type sighting struct {
	model    string
	prompt   string
	streamed bool
	first    time.Time
	queued   time.Duration
	tokens   atomic.Int64
}

// asked reads what the client asked for. A field of the wrong type is ignored: other code refuses it.
func (g *sighting) asked(o *object, keepPrompt bool) {
	var name string
	if json.Unmarshal(o.Fields["model"], &name) == nil {
		g.model = shorten(name, maxModel)
	}
	g.streamed = o.Is("stream", "true")
	if keepPrompt {
		for _, field := range []string{"messages", "prompt", "input"} {
			if raw := o.Fields[field]; raw != nil && string(raw) != "null" {
				g.prompt = shorten(string(raw), maxPrompt)
			}
		}
	}
}

// shorten cuts a text that a client sent, and keeps no more of its memory.
func shorten(s string, most int) string { return strings.Clone(s[:min(len(s), most)]) }

// event takes an event of a choice.
func (g *sighting) event(choice int, now time.Time, e llm.Event) {
	if g == nil {
		return
	}
	g.tokens.Add(int64(e.NTokens))
	if choice > 0 {
		return
	}
	if g.first.IsZero() && e.NTokens > 0 {
		g.first = now
	}
	if e.Usage != nil {
		g.queued = e.Usage.Queued
	}
}

// served builds the Served of a request that ends now.
func (g *sighting) served(start, now time.Time, finish llm.Finish, usage llm.Usage, status int, err error) Served {
	v := Served{Model: g.model, Received: start, Status: status, Finish: finish, Streamed: g.streamed,
		Gone:  err != nil && gone(err),
		Usage: usage, Total: now.Sub(start), Prompt: g.prompt}
	v.Usage.Queued = max(g.queued, usage.Queued)
	if v.Usage.CompletionTokens == 0 {
		v.Usage.CompletionTokens = int(g.tokens.Load())
	}
	if !g.first.IsZero() {
		v.First = g.first.Sub(start)
	}
	if err != nil {
		v.Finish = broken(status, err)
	}
	return v
}

// broken returns the finish of an answer that has an error; none if there was to be no answer.
func broken(status int, err error) llm.Finish {
	switch {
	case refused(err):
		return llm.FinishNone
	case gone(err) || errors.Is(err, context.DeadlineExceeded):
		return llm.FinishAbort
	case status == http.StatusOK || status >= http.StatusInternalServerError:
		return llm.FinishError
	}
	return llm.FinishNone
}

// observe reports a completion request to Config.Observe.
func (s *Server) observe(x *exchange, start time.Time) {
	if s.c.Observe == nil || !completions(x.route) {
		return
	}
	v := x.seen.served(start, s.now(), x.result.finish, x.result.usage, x.status, x.result.err)
	v.ID, v.Completion, v.Route, v.Key = x.id, x.result.completion, x.route, x.caller.Name
	s.c.Observe(v)
}

// observeGo is observe for Generate.
func (s *Server) observeGo(g *sighting, r *llm.Request, start time.Time, end llm.Event, err error) {
	if s.c.Observe == nil {
		return
	}
	status, usage := http.StatusOK, llm.Usage{}
	if err != nil {
		status = toHTTP(err, 0).status
	}
	if end.Usage != nil {
		usage = *end.Usage
	}
	v := g.served(start, s.now(), end.Finish, usage, status, err)
	v.ID, v.Completion, v.Route, v.Model = r.ID, r.ID, RouteGo, shorten(r.Model, maxModel)
	s.c.Observe(v)
}
