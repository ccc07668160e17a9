package api

import (
	"net/http"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
)

// exchange is one HTTP request with its answer. Server.wrap makes it and hands it to everything that works on the
// request; when the request is over, the log, the observer and the trace read what became of it.
type exchange struct {
	answer
	id     string // as in X-Request-Id
	route  string // from the table of routes, or "other"
	trace  string // id of the trace that shows the request; empty: none
	caller access.Caller
	grant  *access.Grant // of the key's limits; nil: none
	place  *access.Place // of the connections that may work; nil: none
	body   bodyShare
	result result
	seen   sighting
}

// bodyShare is what a large body takes from the others until its request has ended.
type bodyShare struct {
	held   int64  // bytes of Server.bodies
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
	err        error      // that ended it
	completion string     // id of the completion, as in the answer
	finish     llm.Finish // of the first choice
	usage      llm.Usage  // of all choices
	replica    string     // the upstream server that it came from; empty: none
	tries      int        // of upstream servers
}

// note keeps what the choices of a job came to.
func (r *result) note(j *job, choices []choice) {
	u := j.sum(choices)
	r.usage = llm.Usage{PromptTokens: u.PromptTokens, CompletionTokens: u.CompletionTokens}
	if d := u.PromptTokensDetails; d != nil {
		r.usage.CachedTokens = d.CachedTokens
	}
	r.finish = choices[0].finish
}

// answer is the ResponseWriter of an exchange. It knows the status, and how long its client has made it wait.
type answer struct {
	http.ResponseWriter
	begin func(status int) // called once, before the client can have seen a byte; nil: nobody wants to know
	// the body of an error in the route's own shape; nil: OpenAI's
	shape   func(e *httpError) []byte
	event   func(e *httpError) []byte // an error event in the route's own shape; nil: OpenAI's of chats
	waited  bool                      // only comments came so far, in a stream that has no event yet
	status  int                       // 0 until the header is written
	blocked time.Duration             // in writes to the client; see writing
}

// WriteHeader notes the status. Those below 200 are not the answer's own.
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

// patience is how many write timeouts a client may make an answer wait in all its writes together. One that takes a
// few bytes just before each timeout would otherwise hold its place for hours.
const patience = 4

// writing gives a write its deadline. The caller calls done when the write is over.
func (a *answer) writing(control *http.ResponseController, limit time.Duration) (done func()) {
	began := time.Now()
	control.SetWriteDeadline(began.Add(min(limit, patience*limit-a.blocked))) // not supported by all writers in tests
	return func() { a.blocked += time.Since(began) }
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// errorEvent is the event with which a stream breaks off that has no other.
func (a *answer) errorEvent(e *httpError) []byte {
	if a.event != nil {
		return a.event(e)
	}
	return openai.AppendEvent(nil, e.body())
}

// fail answers with an error if nothing was answered yet. Behind comments it is an event.
func (a *answer) fail(e *httpError) {
	if a.waited {
		a.Write(a.errorEvent(e)) // whether the client still reads makes no difference now
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
