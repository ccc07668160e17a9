package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
	"github.com/hxp-enterprise/mixtral/internal/serve/upstream"
)

// passer is a backend that answers by passing requests on: bytes go through it unchanged, in both directions.
type passer interface {
	Forward(w http.ResponseWriter, r *http.Request, path string, body []byte,
		report func(*upstream.Outcome)) *upstream.Outcome
}

// pass passes a request to such a backend, and counts the result. The upstream checks the fields and refuses them with
// its own errors. With translatable, an upstream without the route is not a refusal: known is then false, and the
// client has no answer yet, except comments.
func (s *Server) pass(x *exchange, r *http.Request, p passer, o *object, arrived time.Time, translatable bool) (
	known bool, err error) {
	var out *upstream.Outcome
	r.Header.Set(headerID, x.id)
	if s.c.Callers != nil {
		r.Header.Del("Authorization") // the client's key is for this service only
		r.Header.Del("X-Api-Key")
	}
	if translatable && s.lacking.has(s.now(), r.URL.Path, o) {
		return false, nil
	}
	if x.caller.Name != "" {
		r = r.WithContext(upstream.WithCaller(r.Context(), x.caller.Name))
	}
	counted := false
	r, span := s.tracePassed(r, o, arrived)
	defer func() { span.endPassed(out) }()
	var w http.ResponseWriter = &deadlineWriter{&x.answer, http.NewResponseController(x), s.c.WriteTimeout}
	if o.Is("stream", "true") {
		waiting := newWaiter(w, &x.answer, s.c.KeepAlive)
		w = waiting
		defer func() {
			var e *httpError
			if out != nil && out.Err != nil {
				e = toHTTP(out.Err, s.advice.seconds())
			}
			waiting.end(e)
		}()
	}
	var missing *missingRoute
	if translatable {
		missing = &missingRoute{ResponseWriter: w, header: http.Header{}}
		w = missing
	}
	body := o.Bytes
	if completions(r.URL.Path) {
		body = s.salted(x, body)
	}
	out = p.Forward(w, r, r.URL.Path, body, func(out *upstream.Outcome) {
		counted = true
		x.result.replica, x.result.tries = out.Replica, out.Tries
		if translatable && lacks(out.Status) {
			return
		}
		if completions(r.URL.Path) || out.Err != nil || out.Usage != nil && out.Usage.CompletionTokens > 0 {
			s.countPassed(x, arrived, out)
		} else if out.Usage != nil { // embeddings, or another answer without tokens
			x.grant.Use(0, out.Usage.PromptTokens)
		}
	})
	if !counted && out.Err != nil && !refused(out.Err) { // its client left, or no server answered
		s.countPassed(x, arrived, out)
	}
	x.result.replica, x.result.tries = out.Replica, out.Tries
	if missing != nil && missing.is {
		s.lacking.note(s.now(), r.URL.Path, o)
		return false, nil
	}
	if errors.Is(out.Err, llm.ErrModelNotFound) {
		name, _ := o.Text("model")
		return true, notServed(name, s.served(s.backend.Load()))
	}
	if out.Err != nil && out.Status == 0 {
		return true, out.Err
	}
	x.result.err = out.Err
	return true, nil
}

// lackTime is how long an upstream without a route is not asked for it again. After that it may have been replaced.
const lackTime = time.Minute

// lackingRoutes remembers which routes the servers of a model do not have, so that a request which is translated is
// not sent twice each time.
type lackingRoutes struct {
	mu    sync.Mutex
	until map[[2]string]time.Time // by path and model
}

// maxLacking bounds the entries, since clients choose the names of models.
const maxLacking = 256

func (l *lackingRoutes) has(now time.Time, path string, o *object) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Before(l.until[[2]string{path, modelIn(o)}])
}

func (l *lackingRoutes) note(now time.Time, path string, o *object) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until == nil || len(l.until) >= maxLacking {
		l.until = map[[2]string]time.Time{}
	}
	l.until[[2]string{path, modelIn(o)}] = now.Add(lackTime)
}

// modelIn returns the model's name in a body; empty if there is none that is valid.
func modelIn(o *object) (name string) {
	const most = 512
	if v := o.Fields["model"]; len(v) > most || json.Unmarshal(v, &name) != nil {
		return ""
	}
	return name
}

// lacks says whether a status means that a server does not have a route.
func lacks(status int) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed ||
		status == http.StatusNotImplemented
}

// missingRoute holds back an answer that says that the route does not exist.
type missingRoute struct {
	http.ResponseWriter
	header http.Header
	is     bool
}

// Header is the upstream's header until WriteHeader.
func (m *missingRoute) Header() http.Header { return m.header }

// WriteHeader implements http.ResponseWriter.
func (m *missingRoute) WriteHeader(status int) {
	if m.is = lacks(status); !m.is {
		maps.Copy(m.ResponseWriter.Header(), m.header)
		m.ResponseWriter.WriteHeader(status)
	}
}

func (m *missingRoute) Write(p []byte) (int, error) {
	if m.is {
		return len(p), nil
	}
	return m.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (m *missingRoute) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// completions says whether the service itself has a route, or only passes it on.
func completions(path string) bool {
	return path == "/v1/chat/completions" || path == "/v1/completions" || path == "/v1/responses" ||
		path == "/v1/messages"
}

// passedRoute is the metrics' label of all routes that only the upstream has.
const passedRoute = "/v1/"

// passable says whether a path may be requested from an upstream. A path that could lead out of /v1/, or that can be
// read in two ways, may not.
func passable(p string) bool {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:@/"
	return strings.HasPrefix(p, "/v1/") && path.Clean(p) == strings.TrimSuffix(p, "/") && strings.Trim(p,
		plain) == "" &&
		!strings.ContainsFunc(p, func(r rune) bool { return !strings.ContainsRune(plain, r) })
}

// passOther passes on a request for a route that this service does not have, unchanged.
func (s *Server) passOther(x *exchange, r *http.Request) error {
	arrived := s.now()
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	limit, err := headerLimit(r)
	if err != nil {
		return err
	}
	o := &object{}
	if r.Method != http.MethodGet && r.Method != http.MethodDelete {
		if o.Bytes, err = s.readBytes(x, r); err != nil {
			return err
		}
		if known, err := body.Parse(o.Bytes); err == nil { // the upstream handles a body that is not a JSON object
			o = known
		}
	}
	if err := x.grant.Reserve(s.now(), len(o.Bytes)/bytesPerToken, mostTokens(o, 1<<24)); err != nil {
		return err
	}
	x.body.light()
	ctx, cancel := s.within(r.Context(), arrived, limit)
	defer cancel()
	p, ok := s.backend.Load().Backend.(passer)
	if !ok {
		return llm.ErrUnsupported
	}
	_, err = s.pass(x, r.WithContext(ctx), p, o, arrived, false)
	return err
}

// countPassed counts a request as if it had been computed here. A chunk may contain several tokens: the tokens of the
// usage are spread evenly over the chunks.
func (s *Server) countPassed(x *exchange, arrived time.Time, out *upstream.Outcome) {
	if out.Status != http.StatusOK && out.Status < http.StatusInternalServerError && out.Err == nil {
		s.metrics.Refused(telemetry.ReasonUpstream)
		return
	}
	seen := s.metrics.Begin(arrived)
	seen.Trace(x.trace)
	chunks := len(out.Gaps) + 1
	tokens := chunks
	if out.Usage != nil {
		tokens = out.Usage.CompletionTokens
		x.result.usage = *out.Usage
		s.metrics.Prompt(out.Usage.PromptTokens, out.Usage.CachedTokens)
		x.grant.Use(0, out.Usage.PromptTokens)
	}
	x.grant.Use(tokens, 0)
	if out.First > 0 {
		at := out.First
		for i := range chunks {
			if i > 0 {
				at += out.Gaps[i-1]
			}
			seen.Tokens(arrived.Add(at), tokens*(i+1)/chunks-tokens*i/chunks)
		}
	}
	x.result.finish = out.Finish
	if out.First > 0 {
		x.seen.first = arrived.Add(out.First)
	}
	reason := out.Finish
	switch {
	case gone(out.Err):
		reason = llm.FinishAbort
	case out.Err != nil || reason == llm.FinishNone:
		reason = llm.FinishError
	case reason != llm.FinishLength:
		// tool_calls, and reasons of the upstream's own: the answer ended by itself, and the label must be a known one
		reason = llm.FinishStop
	}
	seen.End(arrived.Add(out.Total), string(reason), 0)
	if out.Err == nil {
		s.advice.add(out.Total)
	}
}

// deadlineWriter sets a deadline for every write: a client that reads nothing is given up.
type deadlineWriter struct {
	*answer
	control *http.ResponseController
	limit   time.Duration
}

func (d *deadlineWriter) Write(p []byte) (int, error) {
	defer d.writing(d.control, d.limit)()
	n, err := d.answer.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", errClient, err)
	}
	return n, err
}

// FlushError is called by http.ResponseController. A write to a slow client waits here.
func (d *deadlineWriter) FlushError() error {
	defer d.writing(d.control, d.limit)()
	if err := d.control.Flush(); err != nil {
		return clientError(err)
	}
	return nil
}
