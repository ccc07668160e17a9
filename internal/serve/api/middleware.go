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

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

const headerID = "X-Request-Id"

// recorder is the ResponseWriter of every request: it counts the request when its status is known, and keeps what the
// log line says.
type recorder struct {
	http.ResponseWriter
	metrics *telemetry.Metrics
	route   string // from the table of routes, or "other"
	status  int    // 0 until the header is written
	id      string
	caller  string        // name of the API key
	grant   *grant        // of the key's limits; nil: none
	err     error         // that ended the request
	held    int64         // bytes of Server.bodies
	heavy   func()        // ends the parsing of a large body; see Server.heavy
	blocked time.Duration // in writes to the client; see writing
	trace   string        // id of the trace that shows the request; empty: none

	completion string // id of what was asked for, as in the answer
	usage      llm.Usage
	finish     llm.Finish // of the first choice
	seen       sighting
}

// WriteHeader counts the request before its client can have seen a byte of the answer.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
		r.metrics.HTTP(r.route, status)
		r.grant.header(r.Header())
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	return r.ResponseWriter.Write(p)
}

// patience is how many write timeouts a client may make an answer wait in all its writes together. One that takes a
// few bytes just before each timeout would otherwise hold its place for hours.
const patience = 4

// writing gives a write its deadline, and what is called when it is over.
func (r *recorder) writing(control *http.ResponseController, limit time.Duration) (done func()) {
	began := time.Now()
	control.SetWriteDeadline(began.Add(min(limit, patience*limit-r.blocked))) // not supported by all writers in tests
	return func() { r.blocked += time.Since(began) }
}

// light ends the parsing of a large body.
func (r *recorder) light() {
	if r.heavy != nil {
		r.heavy()
		r.heavy = nil
	}
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// fail answers with an error if nothing was answered yet.
func (r *recorder) fail(e *httpError) {
	if r.status == 0 {
		e.write(r)
	}
}

// wrap gives every request an id, a count, a log line and a net under its panics, and turns browsers away that were
// sent here by another site.
func (s *Server) wrap(routes map[string]route, names hosts) http.Handler {
	guard := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := s.now()
		rec := &recorder{ResponseWriter: w, metrics: s.metrics, route: "other", id: requestID(r.Header.Get(headerID))}
		rec.Header().Set(headerID, rec.id)
		r, span := s.trace(r, rec)
		defer func() {
			p := recover()
			if p != nil && p != http.ErrAbortHandler {
				s.caught(p, rec.id)
				rec.err = errPanic
				late := rec.status != 0
				rec.fail(toHTTP(errPanic, 0))
				if late { // half an answer is out: only a broken connection can tell the client
					p = http.ErrAbortHandler
				} else {
					p = nil
				}
			}
			s.logRequest(r, rec, start)
			s.observe(rec, start)
			endTrace(span, rec)
			if p != nil {
				panic(p)
			}
		}()
		if err := names.check(r); err != nil {
			s.turnAway(rec, err, errHost)
			return
		}
		if err := guard.Check(r); err != nil {
			s.turnAway(rec, err, errOrigin)
			return
		}
		s.serve(routes, rec, r)
	})
}

var errOrigin = &httpError{status: http.StatusForbidden, typ: typeInvalid, code: "cross_origin",
	message: "a page of another site may not use this service"}

// turnAway refuses a request whatever it asks for.
func (s *Server) turnAway(rec *recorder, err error, answer *httpError) {
	rec.err = err
	s.countRefusal(answer)
	rec.fail(answer)
}

// caught counts and logs a panic.
func (s *Server) caught(p any, id string) {
	s.metrics.Panic()
	s.log.Error("panic", "request", id, "panic", p, "stack", string(debug.Stack()))
}

// logRequest writes the request's line: no prompt, no answer, no key.
func (s *Server) logRequest(r *http.Request, rec *recorder, start time.Time) {
	level := slog.LevelInfo
	switch {
	case rec.route == "/livez" || rec.route == "/readyz" || rec.route == "/metrics":
		level = slog.LevelDebug // every few seconds, for ever
	case rec.status == http.StatusInternalServerError || rec.status == http.StatusOK && rec.err != nil &&
		!gone(rec.err):
		level = slog.LevelError // the second is half an answer
	}
	if !s.log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request", rec.id), slog.String("method", method(r.Method)), slog.String("route", rec.route),
		slog.Int("status", rec.status), slog.Duration("took", s.now().Sub(start)),
	}
	if rec.caller != "" {
		attrs = append(attrs, slog.String("key", rec.caller))
	}
	if rec.completion != "" {
		attrs = append(attrs, slog.String("id", rec.completion))
	}
	if rec.usage.PromptTokens > 0 {
		attrs = append(attrs, slog.Int("prompt_tokens", rec.usage.PromptTokens),
			slog.Int("completion_tokens", rec.usage.CompletionTokens), slog.String("finish", string(rec.finish)))
	}
	if rec.err != nil {
		attrs = append(attrs, slog.String("error", rec.err.Error()))
	}
	s.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// method shows a method that is known; a client may send any word.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions:
		return m
	}
	return "other"
}

// gone tells errors that are the client's own doing.
func gone(err error) bool { return errors.Is(err, context.Canceled) || errors.Is(err, errClient) }

// requestID takes over a client's id if it is short and plain, and makes one otherwise.
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

// newID gives a prefix and 96 random bits.
func newID(prefix string) string {
	var b [12]byte
	rand.Read(b[:]) // never fails
	return prefix + hex.EncodeToString(b[:])
}

// retryAdvice says when it may be worth to try again: after the time that a request takes now. Recent requests count
// most: a tenth of the weight goes to each new one.
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
