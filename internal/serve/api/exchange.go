package api

import (
	"net/http"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
)

// exchange is one HTTP request with its answer. Server.wrap makes it and passes it to everything that works on the
// request. At the end, the log, the observer and the trace read the result from it.
type exchange struct {
	answer
	id     string // as in X-Request-Id
	route  string // from the table of routes, or "other"
	trace  string // id of the trace that shows the request; empty: none
	caller access.Caller
	grant  *access.Grant // from the key's limits; nil: none
	place  *access.Place // among the connections that may work; nil: none
	body   bodyShare
	result result
	seen   sighting
}

// bodyShare is the part of shared resources that a large body uses.
type bodyShare struct {
	held   int64  // bytes taken from Server.bodies
	parsed func() // ends the parsing; see Server.heavy
}

// light ends the parsing of a large body.
func (b *bodyShare) light() {
	if b.parsed != nil {
		b.parsed()
		b.parsed = nil
	}
}

// result is how a request ended.
type result struct {
	err        error      // the error that ended it
	completion string     // id of the completion, as in the answer
	finish     llm.Finish // of the first choice
	usage      llm.Usage  // of all choices
	replica    string     // the upstream server that answered; empty: none
	tries      int        // number of upstream servers tried
}

// note records the results of a job's choices.
func (r *result) note(j *job, choices []choice) {
	u := j.sum(choices)
	r.usage = llm.Usage{PromptTokens: u.PromptTokens, CompletionTokens: u.CompletionTokens}
	if d := u.PromptTokensDetails; d != nil {
		r.usage.CachedTokens = d.CachedTokens
	}
	r.finish = choices[0].finish
}

// answer is the ResponseWriter of an exchange. It records the status, and how long its client has made it wait.
type answer struct {
	http.ResponseWriter
	begin func(status int) // called once, before the client can have read a byte; nil: not needed
	// the body of an error in the route's own form; nil: OpenAI's
	shape   func(e *httpError) []byte
	event   func(e *httpError) []byte // an error event in the route's own form; nil: OpenAI's for chats
	waited  bool                      // only comments were sent so far, in a stream without an event yet
	status  int                       // 0 until the header is written
	blocked time.Duration             // total time of waiting for the client; see writing
}

// WriteHeader records the status. A status below 200 is not the final one.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
		if a.begin != nil {
			a.begin(status)
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	a.waited = false
	return a.ResponseWriter.Write(p)
}

// patience is the total time that a client may make an answer wait in all its writes, in write timeouts. Otherwise a
// client that takes a few bytes just before each timeout could hold its place for hours.
const patience = 4

// writing sets the deadline of a write. The caller calls done after the write.
func (a *answer) writing(control *http.ResponseController, limit time.Duration) (done func()) {
	began := time.Now()
	control.SetWriteDeadline(began.Add(min(limit, patience*limit-a.blocked))) // some writers in tests lack it
	return func() { a.blocked += time.Since(began) }
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// errorEvent returns the error event that ends a stream early.
func (a *answer) errorEvent(e *httpError) []byte {
	if a.event != nil {
		return a.event(e)
	}
	return openai.AppendEvent(nil, e.body())
}

// fail answers with an error if nothing was answered yet. After comments, the error is an event.
func (a *answer) fail(e *httpError) {
	if a.waited {
		a.Write(a.errorEvent(e)) // it makes no difference now whether the client still reads
		return
	}
	if a.status == 0 {
		body := e.body()
		if a.shape != nil {
			body = a.shape(e)
		}
		e.write(a, body)
	}
}
