package certify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/client"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/testcases"
)

const (
	// proofTries is how often a request of the proof is sent. A server that fails one request in a hundred can be
	// measured; by chance it fails all tries here in one run of a million.
	proofTries = 3

	// proofPhase is the range of salts of the proof. No phase has it.
	proofPhase = 18

	// proofPatience is how long a server may answer the proof with 429 or 503: it may be starting, or a rate limit may
	// have to pass.
	proofPatience = 2 * time.Minute
)

// answers proves before the load that the model answers: it sends one streamed and one plain request with the load's
// client and body. A field that the server refuses is left out of both and of the load.
func (r *runner) answers(ctx context.Context) result {
	said := []string{r.server.model + " answers"}
	streams := r.plan.c.Request.Stream
	for _, stream := range []bool{streams, !streams} {
		q, err := r.proveForm(ctx, stream)
		form := map[bool]string{true: "streamed", false: "plain"}[stream]
		switch {
		case ctx.Err() != nil:
			return result{err: ctx.Err()}
		case err != nil && stream == streams:
			return result{err: fmt.Errorf("model %s: %w", r.server.model, err)}
		case err != nil: // the load does not send this form
			said = append(said, fmt.Sprintf("a %s request, which the load does not send, fails: %v", form, err))
		case q.Thoughts > 0 && stream == streams:
			said = append(said, "its answers hold reasoning")
		}
	}
	for _, x := range r.requests.form.leftOut {
		text := fmt.Sprintf("the server refuses %q (%s): ", x.Field, x.Message)
		if x.Instead != "" {
			text += x.Instead + " is sent in its place"
		} else {
			text += "the load goes without it"
		}
		said = append(said, text)
		r.progress.note(text)
	}
	return result{detail: strings.Join(said, "; ")}
}

// proveForm sends one request, without the fields that the server refuses.
func (r *runner) proveForm(ctx context.Context, stream bool) (evidence.Request, error) {
	ph := r.firstLoad()
	c, err := r.server.loadClient(r.plan.c, ph)
	if err != nil {
		return evidence.Request{}, fmt.Errorf("%w: %w", target.ErrSetup, err)
	}
	defer func() { c.Close() }()
	waited := time.Duration(0)
	for try := 1; ; {
		q := c.Do(ctx, time.Now(), r.requests.proof(ph, try, stream))
		switch {
		case q.OK(), ctx.Err() != nil, q.Fail == evidence.FailEmpty, q.Fail == evidence.FailThinking:
			return q, ctx.Err() // the client can read the answer; the verdict judges its content
		case q.Status == http.StatusNotFound && r.server.route != "":
			r.server.route = "" // the URL is a base like /v1, not the route itself
			c.Close()
			if c, err = r.server.loadClient(r.plan.c, ph); err != nil {
				return q, fmt.Errorf("%w: %w", target.ErrSetup, err)
			}
		case !r.server.http2 && client.OtherVersion(q.Detail) && r.server.overHTTP2(ctx, r, ph, try, stream):
			c.Close()
			if c, err = r.server.loadClient(r.plan.c, ph); err != nil {
				return q, fmt.Errorf("%w: %w", target.ErrSetup, err)
			}
		case refusal(q) && namesContext(q.Detail):
			return q, fmt.Errorf("%w: the lengths of the case do not fit the model: a request of phase %s, with at "+
				"most %d tokens of answer, is refused: %s", target.ErrSetup, ph.ID, r.plan.c.MaxTokens(ph), q.Detail)
		case r.requests.form.leave(q):
		case r.later(ctx, q, &waited):
		case try == proofTries || hopeless(q):
			return q, r.server.proofError(q, stream)
		default:
			try++
		}
	}
}

// later waits as long as an overloaded server demands; the first time, it tells the user. It returns false if the
// server is not overloaded or the waits would take longer than proofPatience.
func (r *runner) later(ctx context.Context, q evidence.Request, waited *time.Duration) bool {
	if q.Status != http.StatusTooManyRequests && q.Status != http.StatusServiceUnavailable {
		return false
	}
	pause := cmp.Or(loadgen.RetryAfter(q.Detail), time.Second)
	if *waited+pause > proofPatience {
		return false
	}
	if *waited == 0 {
		r.progress.note(fmt.Sprintf("the first request gets %s; it is sent again for up to %s", q.Detail,
			proofPatience))
	}
	*waited += pause
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
	return true
}

// overHTTP2 sends a request over HTTP/2 after it failed over HTTP/1.1. If there is an answer of any kind, HTTP/2 is
// used from then on.
func (s *server) overHTTP2(ctx context.Context, r *runner, ph testcases.Phase, try int, stream bool) bool {
	s.http2 = true
	c, err := s.loadClient(r.plan.c, ph)
	if err == nil {
		q := c.Do(ctx, time.Now(), r.requests.proof(ph, try, stream))
		c.Close()
		if q.OK() || q.Status != 0 {
			return true
		}
	}
	s.http2 = false
	return false
}

// firstLoad is the first phase that sends requests.
func (r *runner) firstLoad() testcases.Phase {
	for _, ph := range r.plan.phases {
		if ph.Kind != testcases.KindIdle && ph.Kind != testcases.KindAudit {
			return ph
		}
	}
	return testcases.Phase{Kind: testcases.KindQuality}
}

// hopeless says whether it is useless to send a request again.
func hopeless(q evidence.Request) bool {
	return q.Fail == evidence.FailTimeout || q.Fail == evidence.FailProtocol || q.Fail == evidence.FailStatus &&
		q.Status < 500 && q.Status != http.StatusTooManyRequests
}

// proofError says why a server cannot be measured. It is not a verdict.
func (s *server) proofError(q evidence.Request, stream bool) error {
	message := strings.TrimPrefix(q.Detail, fmt.Sprintf("status %d: ", q.Status))
	form := map[bool]string{true: "a streamed request", false: "a request"}[stream]
	switch {
	case strings.Contains(q.Detail, "no application protocol"), strings.Contains(q.Detail, "malformed HTTP"):
		return fmt.Errorf("%w: %s was answered neither in HTTP/1.1 nor in HTTP/2: %s",
			errors.Join(target.ErrSetup, client.ErrUnreadable), form, message)
	}
	switch q.Fail {
	case evidence.FailStatus:
		return &client.StatusError{URL: client.Redact(s.URL + cmp.Or(s.route, "/v1/chat/completions")),
			Status: q.Status, Message: message, KeyGiven: s.key != "" || len(s.extra.Header) > 0}
	case evidence.FailProtocol:
		return fmt.Errorf("%w: %s was answered with what this client cannot read: %s", errors.Join(target.ErrSetup,
			client.ErrUnreadable), form, message)
	}
	return fmt.Errorf("%w: %s was not answered (%s): %s", target.ErrSetup, form, q.Fail, message)
}

// form says how requests differ from those of the case.
type form struct {
	extra   map[string]any // fields that the case or the caller adds; they are never left out
	leftOut []evidence.LeftOut
}

// optional lists the fields that may be left out of a request. The earlier one is left out first if a message does not
// decide.
var optional = []string{"stream_options", "ignore_eos", "max_tokens", "seed", "temperature"}

// refusal says whether a server refused a request because of its content, instead of failing.
func refusal(q evidence.Request) bool {
	return q.Status == http.StatusBadRequest || q.Status == http.StatusUnprocessableEntity ||
		q.Status == http.StatusOK && q.Fail == evidence.FailProtocol && strings.Contains(q.Detail, loadgen.Reports)
}

// leave leaves out the optional field that a refusal names first. ok is false if it names none.
func (f *form) leave(q evidence.Request) (ok bool) {
	if !refusal(q) {
		return false
	}
	message := strings.TrimPrefix(q.Detail, fmt.Sprintf("status %d: ", q.Status))
	at, field := len(message), ""
	for _, name := range optional {
		if f.left(name) || f.extra[name] != nil {
			continue
		}
		word := name
		if name == "stream_options" {
			word = "(?:stream_options|include_usage)"
		}
		if m := regexp.MustCompile(`(?:^|\W)` + word + `(?:\W|$)`).FindStringIndex(message); m != nil && m[0] < at {
			at, field = m[0], name
		}
	}
	if field == "" {
		return false
	}
	x := evidence.LeftOut{Field: field, Message: message}
	if field == "max_tokens" {
		x.Instead = "max_completion_tokens"
	}
	f.leftOut = append(f.leftOut, x)
	return true
}

func (f *form) left(field string) bool {
	return slices.ContainsFunc(f.leftOut, func(x evidence.LeftOut) bool { return x.Field == field })
}

// apply changes a request's JSON to this form.
func (f *form) apply(data []byte) []byte {
	if len(f.extra) == 0 && len(f.leftOut) == 0 {
		return data
	}
	var fields map[string]any
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	if err := dec.Decode(&fields); err != nil {
		panic("certify: " + err.Error()) // cannot happen: the JSON was made here
	}
	for _, x := range f.leftOut {
		if v, ok := fields[x.Field]; ok && x.Instead != "" {
			fields[x.Instead] = v
		}
		delete(fields, x.Field)
	}
	for k, v := range f.extra {
		fields[k] = v
	}
	data, err := json.Marshal(fields)
	if err != nil {
		panic("certify: " + err.Error()) // cannot happen: the plan has checked the fields
	}
	return data
}
