package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/serve/access"
)

const headerID = "X-Request-Id"

// wrap gives every request an id, a count, a log line and recovery from panics. It refuses requests that a browser
// sends for a page of another site.
func (s *Server) wrap(routes map[string]route, names access.Hosts) http.Handler {
	sites := newOrigins(s.c.Origins)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := s.now()
		x := s.exchange(w, r)
		r, span := s.trace(r, x)
		defer func() {
			p := recover()
			if p != nil && p != http.ErrAbortHandler {
				s.caught(p, x.id)
				x.result.err = errPanic
				late := x.status != 0
				x.fail(toHTTP(errPanic, 0))
				if late { // half an answer was sent: only a broken connection can tell the client
					p = http.ErrAbortHandler
				} else {
					p = nil
				}
			}
			s.logRequest(r, x, start)
			s.observe(x, start)
			endTrace(span, x)
			if p != nil {
				panic(p)
			}
		}()
		if err := names.Check(r); err != nil {
			s.turnAway(x, err, toHTTP(err, 0))
			return
		}
		if done, err := sites.admit(x, r); err != nil {
			s.turnAway(x, err, errOrigin)
			return
		} else if done {
			return
		}
		s.serve(routes, x, r)
	})
}

// exchange begins an exchange. Its status is counted, and its key's limits are set as headers, before its client can
// have read a byte of the answer.
func (s *Server) exchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{answer: answer{ResponseWriter: w}, route: "other", id: requestID(r.Header.Get(headerID))}
	x.Header().Set(headerID, x.id)
	x.begin = func(status int) {
		s.metrics.HTTP(x.route, status)
		x.grant.Header(x.Header())
	}
	return x
}

var errOrigin = &httpError{status: http.StatusForbidden, typ: typeInvalid, code: "cross_origin",
	message: "a page of another site may not use this service"}

// turnAway refuses a request without looking at its route.
func (s *Server) turnAway(x *exchange, err error, answer *httpError) {
	x.result.err = err
	s.countRefusal(answer)
	x.fail(answer)
}

// caught counts and logs a panic.
func (s *Server) caught(p any, id string) {
	s.metrics.Panic()
	s.log.Error("panic", "request", id, "panic", p, "stack", string(debug.Stack()))
}

// logRequest writes the request's log line, without prompt, answer or key.
func (s *Server) logRequest(r *http.Request, x *exchange, start time.Time) {
	level, end := slog.LevelInfo, &x.result
	switch {
	case x.route == "/livez" || x.route == "/health" || x.route == "/readyz" || x.route == "/metrics" ||
		x.route == PageMetrics:
		level = slog.LevelDebug // every few seconds, for ever
	case x.status == http.StatusInternalServerError || x.status == http.StatusOK && end.err != nil &&
		!gone(end.err):
		level = slog.LevelError // the second is half an answer
	}
	if !s.log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request", x.id), slog.String("method", method(r.Method)), slog.String("route", x.route),
		slog.Int("status", x.status), slog.Duration("took", s.now().Sub(start)),
	}
	if x.caller.Name != "" {
		attrs = append(attrs, slog.String("key", x.caller.Name))
	}
	if end.completion != "" {
		attrs = append(attrs, slog.String("id", end.completion))
	}
	if end.replica != "" {
		attrs = append(attrs, slog.String("replica", end.replica), slog.Int("tries", end.tries))
	}
	if end.usage.PromptTokens > 0 {
		attrs = append(attrs, slog.Int("prompt_tokens", end.usage.PromptTokens),
			slog.Int("completion_tokens", end.usage.CompletionTokens), slog.String("finish", string(end.finish)))
	}
	if end.err != nil {
		text := end.err.Error()
		if answer := toHTTP(end.err, 0); answer.quotes {
			text = answer.Error()
		}
		attrs = append(attrs, slog.String("error", text))
	}
	s.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// method returns a known method; a client may send any word.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions:
		return m
	}
	return "other"
}

// gone says whether an error means that the client left.
func gone(err error) bool { return errors.Is(err, context.Canceled) || errors.Is(err, errClient) }

// requestID takes a client's id if it is short and plain, and otherwise makes one.
func requestID(given string) string {
	const most = 128
	if given == "" || len(given) > most {
		return newID("req-")
	}
	for _, c := range []byte(given) {
		if c <= ' ' || c > '~' {
			return newID("req-")
		}
	}
	return given
}

// newID returns a prefix and 96 random bits.
func newID(prefix string) string {
	var b [12]byte
	rand.Read(b[:]) // never fails
	return prefix + hex.EncodeToString(b[:])
}

// retryAdvice says after what time a client should try again: the time that a request takes at present. Each new
// request gets a tenth of the weight.
type retryAdvice struct {
	mu      sync.Mutex
	average time.Duration
}

func (a *retryAdvice) add(took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.average == 0 {
		a.average = took
	}
	a.average += (took - a.average) / 10
}

func (a *retryAdvice) seconds() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	const most = 60
	return int(min(max((a.average+time.Second-1)/time.Second, 1), most))
}
