package upstream

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/route"
)

// Forward sends a request to the best replica and passes its answer on. It may try other replicas until the first byte
// of an answer has come; after that an error ends the answer. path is the route ("/v1/chat/completions"), body the
// whole body of the request. The returned outcome says what happened; if its Err is set and Status is 0, nothing was
// written to w yet.
//
// report is called before the last bytes are written, so that a client which has its whole answer finds it counted. It
// is not called if nothing was answered.
func (u *Upstream) Forward(w http.ResponseWriter, r *http.Request, path string, body []byte,
	report func(*Outcome)) *Outcome {
	f := &passage{u: u, w: w, r: r, path: path, start: u.now(), out: &Outcome{}, report: report}
	if f.p, f.out.Err = prepare(path, body); f.out.Err != nil {
		return f.out
	}
	f.p.model = u.known(f.p.model)
	f.ask = u.ask(r.Context(), f.p)
	for f.next() {
	}
	if f.out.Status == 0 && f.out.Err == nil {
		f.out.Err = ErrUnreachable
	}
	return f.out
}

// ask returns what the choice of a request's replica depends on.
func (u *Upstream) ask(ctx context.Context, p *prepared) route.Ask {
	a := route.Ask{Model: p.model}
	if u.c.Policy == route.NameAffinity || u.c.CanaryBy == CanaryByConversation {
		a.Key = p.key()
	}
	switch u.c.CanaryBy {
	case CanaryByConversation:
		a.Draw = a.Key
	case CanaryByCaller:
		if name, ok := ctx.Value(callerKey{}).(string); ok {
			a.Draw = route.Hash(name)
		}
	}
	return a
}

type callerKey struct{}

// WithCaller returns a context that names the caller of a request, for CanaryByCaller.
func WithCaller(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, callerKey{}, name)
}

// passage is a request that has no complete answer yet.
type passage struct {
	u      *Upstream
	w      http.ResponseWriter
	r      *http.Request
	path   string
	p      *prepared
	ask    route.Ask
	start  time.Time
	tried  []*route.Replica
	out    *Outcome
	report func(*Outcome)
	heard  func() // called at the first byte of an answer
}

// next tries one replica, and says whether another one should be tried.
func (f *passage) next() (again bool) {
	u := f.u
	u.mu.Lock()
	t, err := u.pool.Begin(u.now(), f.ask, f.tried)
	var s *server
	if err == nil {
		s = u.servers[t.Replica.Name()]
	}
	u.mu.Unlock()
	if err != nil {
		switch {
		case f.out.Tries > 0: // the error of the last try says more
		case errors.Is(err, route.ErrModel):
			f.out.Err = u.errModel(f.p.model)
		default: // all replicas are draining
			f.out.Err = fmt.Errorf("%w: no replica takes requests now", llm.ErrNotReady)
		}
		return false
	}
	f.tried = append(f.tried, t.Replica)
	f.out.Tries++
	traced, span := u.traceTry(f.r, s, f.out.Tries)
	o, pause, again := f.try(traced, s)
	endTry(span, o, f.out)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.changing(s, t.Replica, f.out.Err, func(now time.Time) { u.pool.End(now, t, o, pause) })
	u.forget()
	if o == route.Broken || o == route.Refused {
		s.hurry()
	}
	return again
}

// again says whether the request may be tried at another replica; see route.Pool.Again.
func (f *passage) again(free, usable bool) bool {
	u := f.u
	u.mu.Lock()
	defer u.mu.Unlock()
	return f.out.Tries < u.c.MaxTries && u.pool.Again(u.now(), f.ask, f.tried, free, usable)
}

// try asks one replica. again says that another replica should be tried: there is no answer, and the request may be
// tried again.
func (f *passage) try(r *http.Request, s *server) (o route.Outcome, pause time.Duration, again bool) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	req, err := f.request(ctx, r, s)
	if err != nil {
		f.out.Err = err
		return route.Ignored, 0, false
	}
	f.out.Replica = s.label
	begun := f.u.now()
	resp, err := f.u.http.Do(req)
	if err != nil {
		if r.Context().Err() != nil {
			f.out.Err = r.Context().Err()
			return route.Ignored, 0, false
		}
		o = route.Broken
		if errors.Is(err, syscall.ECONNREFUSED) {
			o = route.Refused
		}
		f.out.Err = fmt.Errorf("%w: %w", ErrUnreachable, err)
		again = f.again(o == route.Refused, false)
		f.u.log.Warn("upstream failed", "replica", s.label, "err", err, "again", again)
		return o, 0, again
	}
	defer resp.Body.Close()
	resp.Body = watchSilence(resp.Body, f.u.c.Silence, cancel)
	if err := checkHead(resp, f.p); err != nil {
		f.out.Err = fmt.Errorf("%w: %w", ErrUnreachable, err)
		again = f.again(false, false)
		f.u.log.Warn("upstream failed", "replica", s.label, "err", err, "again", again)
		return route.Broken, 0, again
	}
	if o, pause = judge(resp, f.u.now()); resp.StatusCode == http.StatusServiceUnavailable {
		s.hurry() // it may be about to stop
	}
	if elsewhere(resp.StatusCode) && f.again(false, true) {
		f.out.Err = fmt.Errorf("%w: status %d", ErrUnreachable, resp.StatusCode)
		io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
		return o, pause, true
	}
	f.out.Err = nil
	if err := f.pass(resp, s, begun); err != nil {
		f.out.Err = err
		if r.Context().Err() != nil || errors.Is(err, errGone) {
			return route.Ignored, 0, false
		}
		return route.Broken, 0, f.out.Status == 0 && f.again(false, false)
	}
	return o, pause, false
}

// request returns the request that is sent to a replica.
func (f *passage) request(ctx context.Context, r *http.Request, s *server) (*http.Request, error) {
	if err := f.p.as(s.name(f.p.model, f.u.c.Models)); err != nil {
		return nil, err
	}
	target := s.base.JoinPath(f.path)
	target.RawQuery = r.URL.RawQuery
	req, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader(f.p.body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	copyHeaders(req.Header, r.Header, requestHeaders)
	f.u.authorize(s, req.Header)
	return req, nil
}

// elsewhere says whether another replica may be able to answer after a status.
func elsewhere(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		return true
	}
	return false
}

// judge says what the status of an answer tells about the replica. A 429, and a 503 with Retry-After, ask for a pause
// and are not failures. A server that does not support the request has not failed either.
func judge(resp *http.Response, now time.Time) (o route.Outcome, pause time.Duration) {
	asks, wished := retryAfter(resp.Header, now)
	switch s := resp.StatusCode; {
	case s == http.StatusTooManyRequests, s == http.StatusServiceUnavailable && wished:
		return route.Busy, min(max(asks, time.Second), time.Minute) // a replica cannot ask for a longer pause
	case s >= http.StatusInternalServerError && s != http.StatusNotImplemented:
		return route.Broken, 0
	}
	return route.Served, 0
}

// Headers that are passed on. All others concern only the connection between the client and this service, or between
// this service and the upstream.
var (
	requestHeaders = []string{"Content-Type", "Accept", "Authorization", "X-Api-Key", "X-Request-Id", "Traceparent",
		"Tracestate", "Baggage", "User-Agent", "Openai-Beta", "Anthropic-Version", "Anthropic-Beta"}
	responseHeaders = []string{"Content-Type", "Retry-After", "X-Ratelimit-Limit-Requests",
		"X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Requests",
		"X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Requests", "X-Ratelimit-Reset-Tokens",
		"Openai-Processing-Ms", "Traceparent"}
)

func copyHeaders(dst, src http.Header, names []string) {
	for _, n := range names {
		if v, ok := src[n]; ok {
			dst[n] = v
		}
	}
}

// pass copies an answer to the client.
func (f *passage) pass(resp *http.Response, s *server, begun time.Time) error {
	f.heard = sync.OnceFunc(func() {
		f.u.mu.Lock()
		defer f.u.mu.Unlock()
		s.first.add(f.u.now().Sub(begun))
	})
	kind := mediaType(resp.Header)
	if resp.StatusCode == http.StatusOK && (f.p.stream && !f.p.other && kind != typeJSON || kind == typeEvents) {
		return f.passStream(resp)
	}
	return f.passWhole(resp)
}

// errGone says that the client does not read any more, which is no failure of the upstream.
var errGone = fmt.Errorf("the client is gone: %w", context.Canceled)

// errSilence ends an answer that stopped coming while its connection stayed open.
var errSilence = errors.New("the upstream stopped sending")

// watchedBody is the body of an answer that may not be silent for longer than a limit.
type watchedBody struct {
	io.ReadCloser
	limit time.Duration
	timer *time.Timer
	quiet atomic.Bool
}

// watchSilence wraps an answer's body: a read fails with errSilence if nothing comes within the limit.
func watchSilence(body io.ReadCloser, limit time.Duration, cancel context.CancelCauseFunc) io.ReadCloser {
	w := &watchedBody{ReadCloser: body, limit: limit}
	w.timer = time.AfterFunc(limit, func() {
		w.quiet.Store(true)
		cancel(errSilence)
	})
	return w
}

// Read counts only the time in which it waits as silence: a client that reads slowly is no failure of the upstream.
func (w *watchedBody) Read(p []byte) (int, error) {
	w.timer.Reset(w.limit)
	n, err := w.ReadCloser.Read(p)
	w.timer.Stop()
	if err != nil && w.quiet.Load() {
		err = errSilence
	}
	return n, err
}

func (w *watchedBody) Close() error {
	w.timer.Stop()
	return w.ReadCloser.Close()
}

// maxAnswer bounds an answer that is not streamed: 8 choices of 32k tokens with alternatives are far smaller.
const maxAnswer = 64 << 20

// passWhole reads the whole answer before it passes it on, so that an answer that breaks off still becomes an error
// with its own status.
func (f *passage) passWhole(resp *http.Response) error {
	w, out := f.w, f.out
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%w: the answer broke off: %w", ErrUnreachable, err)
	}
	if len(data) > maxAnswer {
		return fmt.Errorf("%w: an answer of more than %d bytes", ErrUnreachable, maxAnswer)
	}
	f.heard()
	out.Status = resp.StatusCode
	out.Total = f.u.now().Sub(f.start)
	kind := typeJSON
	if f.p.other && resp.StatusCode < http.StatusBadRequest {
		if kind = mediaType(resp.Header); kind == "" {
			kind = "application/octet-stream" // so that no client guesses the type
		} else {
			kind = "" // the upstream's own header stays
		}
		readWhole(data, out)
		out.First, out.Finish = out.Total, llm.FinishStop
	} else if resp.StatusCode == http.StatusOK {
		c := readWhole(data, out)
		if err := c.check(f.path); err != nil {
			out.Status = 0
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		out.First = out.Total
		if r, ok := w.(chunkReader); ok {
			r.chunk(c)
		}
	} else if !isObject(data) { // the page of a gateway, or a stack trace: not for clients
		data = fmt.Appendf(nil,
			`{"error":{"message":"the upstream server answered with status %d","type":"server_error","param":null,"code":"upstream_error"}}`, resp.StatusCode)
	}
	answerHeaders(w.Header(), resp.Header, f.u.now())
	if kind != "" {
		w.Header().Set("Content-Type", kind)
	}
	f.report(out)
	w.WriteHeader(resp.StatusCode)
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if _, err := w.Write(data); err != nil {
		return errGone
	}
	return nil
}

// chunkReader is a client within the process that reads chunks instead of their bytes.
type chunkReader interface{ chunk(c *chunk) }

// maxStream bounds a stream in bytes: a million chunks of a kilobyte.
const maxStream = 1 << 30

// passStream passes bytes on as they come. It holds back only the usage chunk that the client did not ask for.
func (f *passage) passStream(resp *http.Response) error {
	w, out := f.w, f.out
	control := http.NewResponseController(w)
	clock := func() time.Duration { return f.u.now().Sub(f.start) }
	s := &splitter{hide: f.p.hide, other: f.p.other, out: out, clock: clock}
	if r, ok := w.(chunkReader); ok {
		s.each = r.chunk
	}
	buf := make([]byte, 16<<10)
	var begun []byte // until it is certain that this is a stream
	for left := int64(maxStream); ; {
		n, err := resp.Body.Read(buf)
		if left -= int64(n); left < 0 || len(s.out.Gaps) >= maxTokens {
			err = fmt.Errorf("%w: it does not end", errForm)
			return s.finish(w, err, out, clock(), f.report)
		}
		data := buf[:n]
		if out.Status == 0 {
			begun = append(begun, data...)
			events, sure := beginsEvents(begun)
			if !events {
				return fmt.Errorf("%w: %w: it is not a stream of events", ErrUnreachable, errForm)
			}
			if !sure && err == nil {
				continue
			}
			data, begun = begun, nil
		}
		if len(data) > 0 {
			pass := s.take(data)
			f.heard()
			if out.Status == 0 {
				out.Status = resp.StatusCode
				answerHeaders(w.Header(), resp.Header, f.u.now())
				w.Header().Set("Content-Type", typeEvents)
				w.Header().Set("Cache-Control", "no-cache")
				w.Header().Set("X-Accel-Buffering", "no")
				w.WriteHeader(resp.StatusCode)
			}
			if s.ended && !s.reported {
				s.reported = true
				out.Total = clock()
				f.report(out)
			}
			if len(pass) > 0 {
				if _, err := w.Write(pass); err != nil {
					return errGone
				}
				control.Flush()
			}
		}
		if err != nil {
			return s.finish(w, err, out, clock(), f.report)
		}
	}
}

// finish ends a stream. The end is regular after [DONE], or if all choices have ended; otherwise it is an error event.
// Streams of other routes may end in any way.
func (s *splitter) finish(w http.ResponseWriter, err error, out *Outcome, total time.Duration,
	report func(*Outcome)) error {
	if s.ended && err == io.EOF {
		return nil
	}
	out.Total = total
	if err == io.EOF && out.Status != 0 && (s.whole() || s.other) {
		if s.other {
			out.Finish = cmp.Or(out.Finish, llm.FinishStop)
		}
		if !s.reported {
			report(out)
		}
		if !s.other { // clients wait for [DONE]
			if _, err := io.WriteString(w, "data: "+openai.Done+"\n\n"); err != nil {
				return errGone
			}
		}
		return nil
	}
	if out.Status == 0 {
		return fmt.Errorf("%w: no answer: %w", ErrUnreachable, err)
	}
	broken := fmt.Errorf("%w: the stream broke off: %w", ErrUnreachable, err)
	if !s.reported {
		out.Err = broken
		report(out)
	}
	io.WriteString(w, "data: {\"error\":{\"message\":\"the upstream server's stream broke "+
		"off\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_error\"}}\n\n")
	return broken
}
