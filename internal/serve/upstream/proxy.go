package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// Forward sends a request to the best replica and passes its answer on. Until the first byte of an answer it may try
// others; after that what breaks is broken. path is the route ("/v1/chat/completions"), body the request's whole
// body. The returned outcome says what happened; if its Err is set and Status is 0, nothing was written to w yet.
//
// report is called before the last bytes are written, so that a client which has its answer finds it counted; it is
// not called when nothing was answered.
func (u *Upstream) Forward(w http.ResponseWriter, r *http.Request, path string, body []byte,
	report func(*Outcome)) *Outcome {
	start := u.now()
	out := &Outcome{}
	p, err := u.prepare(path, body)
	if err != nil {
		out.Err = err
		return out
	}
	tried := make([]bool, len(u.bases))
	for out.Tries < min(u.c.MaxTries, len(tried)) {
		u.mu.Lock()
		i := u.pool.begin(u.now(), tried)
		u.mu.Unlock()
		if i < 0 {
			break
		}
		tried[i] = true
		out.Tries++
		more := out.Tries < min(u.c.MaxTries, len(tried))
		traced, span := u.traceTry(r, i, out.Tries)
		o, pause, done := u.try(w, traced, i, path, p, start, more, out, report)
		endTry(span, o, out)
		u.mu.Lock()
		u.pool.end(u.now(), i, o, pause)
		u.mu.Unlock()
		if done {
			break
		}
	}
	if out.Status == 0 && out.Err == nil {
		out.Err = ErrUnreachable
	}
	return out
}

// try asks one replica. done says that the request needs no other: it was answered, or cannot be.
func (u *Upstream) try(w http.ResponseWriter, r *http.Request, i int, path string, p prepared, start time.Time,
	more bool, out *Outcome, report func(*Outcome)) (o outcome, pause time.Duration, done bool) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	target := u.bases[i].JoinPath(path)
	target.RawQuery = r.URL.RawQuery
	req, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader(p.body))
	if err != nil {
		out.Err = fmt.Errorf("%w: %w", ErrURL, err)
		return ignored, 0, true
	}
	copyHeaders(req.Header, r.Header, requestHeaders)
	u.authorize(req.Header)
	out.Replica = u.bases[i].Host
	resp, err := u.http.Do(req)
	if err != nil {
		if r.Context().Err() != nil {
			out.Err = r.Context().Err()
			return ignored, 0, true
		}
		u.log.Warn("upstream failed", "replica", out.Replica, "err", err, "again", more)
		out.Err = fmt.Errorf("%w: %w", ErrUnreachable, err)
		return broken, 0, false
	}
	defer resp.Body.Close()
	resp.Body = watchSilence(resp.Body, u.c.Silence, cancel)
	if err := checkHead(resp, p); err != nil {
		u.log.Warn("upstream failed", "replica", out.Replica, "err", err, "again", more)
		out.Err = fmt.Errorf("%w: %w", ErrUnreachable, err)
		return broken, 0, false
	}
	asks, wished := retryAfter(resp.Header, u.now())
	asks = min(max(asks, time.Second), time.Minute) // a replica cannot leave itself out for longer
	switch s := resp.StatusCode; {
	case (s == http.StatusBadGateway || s == http.StatusServiceUnavailable || s == http.StatusGatewayTimeout ||
		s == http.StatusTooManyRequests) && more:
		// Another may be able to. A 429 and a 503 with Retry-After are a wish, not a failure.
		out.Err = fmt.Errorf("%w: status %d", ErrUnreachable, s)
		io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
		if s == http.StatusTooManyRequests || wished {
			return busy, asks, false
		}
		return broken, 0, false
	case s >= 500:
		o = broken
	case s == http.StatusTooManyRequests:
		o, pause = busy, asks
	}
	out.Err = nil
	if err := u.pass(w, resp, p, start, out, report); err != nil {
		out.Err = err
		if r.Context().Err() != nil || errors.Is(err, errGone) {
			return ignored, 0, true
		}
		return broken, 0, true
	}
	return o, pause, true
}

// Headers that are passed on. Everything else is between us and our client, or between us and the upstream.
var (
	requestHeaders = []string{"Content-Type", "Accept", "Authorization", "X-Request-Id", "Traceparent", "Tracestate",
		"Baggage", "User-Agent", "Openai-Beta", "Anthropic-Version", "Anthropic-Beta"}
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
func (u *Upstream) pass(w http.ResponseWriter, resp *http.Response, p prepared, start time.Time, out *Outcome,
	report func(*Outcome)) error {
	h := w.Header()
	answerHeaders(h, resp.Header, u.now())
	kind := mediaType(resp.Header)
	if resp.StatusCode == http.StatusOK && (p.stream && !p.other && kind != typeJSON || kind == typeEvents) {
		if kind != typeEvents {
			h.Set("Content-Type", typeEvents)
		}
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Accel-Buffering", "no")
		return u.passStream(w, resp, p, start, out, report)
	}
	return u.passWhole(w, resp, p, start, out, report)
}

// errGone says that the client does not read any more, which is no fault of the upstream's.
var errGone = fmt.Errorf("the client is gone: %w", context.Canceled)

// errSilence ends an answer that has stopped to come while its connection lives on.
var errSilence = errors.New("the upstream fell silent")

// watchedBody is an answer that may not be silent for longer than a limit.
type watchedBody struct {
	io.ReadCloser
	limit time.Duration
	timer *time.Timer
	quiet atomic.Bool
}

// watchSilence gives an answer's body whose reads fail with errSilence when nothing comes for so long.
func watchSilence(body io.ReadCloser, limit time.Duration, cancel context.CancelCauseFunc) io.ReadCloser {
	w := &watchedBody{ReadCloser: body, limit: limit}
	w.timer = time.AfterFunc(limit, func() {
		w.quiet.Store(true)
		cancel(errSilence)
	})
	return w
}

// Read counts as silence only the time that it waits: a client that reads slowly is no fault of the upstream's.
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

// passWhole reads the whole answer first: what is cut off on the way is still an error with its own status.
func (u *Upstream) passWhole(w http.ResponseWriter, resp *http.Response, p prepared, start time.Time, out *Outcome,
	report func(*Outcome)) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%w: the answer broke off: %w", ErrUnreachable, err)
	}
	if len(data) > maxAnswer {
		return fmt.Errorf("%w: an answer of more than %d bytes", ErrUnreachable, maxAnswer)
	}
	out.Status = resp.StatusCode
	out.Total = u.now().Sub(start)
	if p.other && resp.StatusCode < http.StatusBadRequest {
		if w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", "application/octet-stream") // not what it looks like
		}
		readWhole(data, out)
		out.First, out.Finish = out.Total, llm.FinishStop
	} else if resp.StatusCode == http.StatusOK {
		if err := checkBody(p.path, data); err != nil {
			out.Status = 0
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		readWhole(data, out)
		out.First = out.Total
		w.Header().Set("Content-Type", typeJSON)
	} else if !isObject(data) { // a gateway's page, or a stack trace: not for the client's eyes
		data = fmt.Appendf(nil,
			`{"error":{"message":"the upstream server answered with status %d","type":"server_error","param":null,"code":"upstream_error"}}`, resp.StatusCode)
		w.Header().Set("Content-Type", typeJSON)
	} else {
		w.Header().Set("Content-Type", typeJSON)
	}
	report(out)
	w.WriteHeader(resp.StatusCode)
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if _, err := w.Write(data); err != nil {
		return errGone
	}
	return nil
}

// maxStream bounds a stream in bytes: a million chunks of a kilobyte.
const maxStream = 1 << 30

// passStream passes bytes on as they come. Only the usage chunk that the client did not ask for is kept back.
func (u *Upstream) passStream(w http.ResponseWriter, resp *http.Response, p prepared, start time.Time, out *Outcome,
	report func(*Outcome)) error {
	control := http.NewResponseController(w)
	s := &splitter{hide: p.hide, other: p.other, out: out, clock: func() time.Duration { return u.now().Sub(start) }}
	buf := make([]byte, 16<<10)
	var begun []byte // while it is not sure that this is a stream
	for left := int64(maxStream); ; {
		n, err := resp.Body.Read(buf)
		if left -= int64(n); left < 0 || len(s.out.Gaps) >= maxTokens {
			err = fmt.Errorf("%w: it does not end", errForm)
			return s.finish(w, err, out, u.now().Sub(start), report)
		}
		data := buf[:n]
		if out.Status == 0 {
			begun = append(begun, data...)
			events, sure := beginsEvents(begun)
			if !events {
				return fmt.Errorf("%w: %w: it is no stream of events", ErrUnreachable, errForm)
			}
			if !sure && err == nil {
				continue
			}
			data, begun = begun, nil
		}
		if len(data) > 0 {
			pass := s.take(data)
			if out.Status == 0 {
				out.Status = resp.StatusCode
				w.WriteHeader(resp.StatusCode)
			}
			if s.ended && !s.reported {
				s.reported = true
				out.Total = u.now().Sub(start)
				report(out)
			}
			if len(pass) > 0 {
				if _, err := w.Write(pass); err != nil {
					return errGone
				}
				control.Flush()
			}
		}
		if err != nil {
			return s.finish(w, err, out, u.now().Sub(start), report)
		}
	}
}

// finish ends a stream: regularly after [DONE], or where all its choices have ended without one, and with an error
// event otherwise. Streams of other routes end as they like.
func (s *splitter) finish(w http.ResponseWriter, err error, out *Outcome, total time.Duration,
	report func(*Outcome)) error {
	if s.ended && err == io.EOF {
		return nil
	}
	out.Total = total
	if err == io.EOF && out.Status != 0 && (s.whole() || s.other) {
		if s.other {
			out.Finish = llm.FinishStop
		}
		if !s.reported {
			report(out)
		}
		if !s.other { // clients wait for it
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
