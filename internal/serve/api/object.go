package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
)

// object is a request's body.
type object = body.Object

// freeBody is how many bytes of a body every request may hold. The rest is taken from the shared budget of large
// bodies.
const freeBody = 64 << 10

// largeBodies is that budget, in bodies of the maximum size. Reading and tokenising one takes about six times its size
// in memory, so all together stay below 200 MB at the default of 4 MiB.
const largeBodies = 8

// readBody reads a request's body, which must be a JSON object.
func (s *Server) readBody(x *exchange, r *http.Request) (*object, error) {
	data, err := s.readBytes(x, r)
	if err != nil {
		return nil, err
	}
	// some editors and shells write a byte order mark
	o, err := body.Parse(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	if err != nil {
		return nil, err
	}
	o.Lenient = s.c.IgnoreUnknown
	return o, nil
}

// readBytes reads a request's body within its limits of size and time.
func (s *Server) readBytes(x *exchange, r *http.Request) ([]byte, error) {
	if r.ContentLength > s.c.MaxBody {
		return nil, &http.MaxBytesError{Limit: s.c.MaxBody} // not one byte of it is read
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, &httpError{status: http.StatusUnsupportedMediaType, typ: typeInvalid,
			code: "unsupported_encoding", message: "the request's body must not be compressed"}
	}
	control := http.NewResponseController(x)
	control.SetReadDeadline(time.Now().Add(s.c.ReadTimeout)) // some writers in tests do not support it
	limited := http.MaxBytesReader(x, r.Body, s.c.MaxBody)
	data, err := io.ReadAll(io.LimitReader(limited, freeBody))
	if err == nil && len(data) == freeBody {
		if err := s.take(&x.body, r.ContentLength); err != nil {
			return nil, err
		}
		var rest []byte
		rest, err = io.ReadAll(limited)
		data = append(data, rest...)
	}
	if err != nil {
		return nil, bodyError(r, err)
	}
	// Remove the deadline: the server keeps reading, to notice when the client leaves.
	control.SetReadDeadline(time.Time{})
	if len(data) >= freeBody {
		if err := s.heavy(r.Context(), &x.body); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// parseShare is the length of the pause after parsing a large body while the model computes, relative to the time of
// the parsing. Parsing 4 MiB takes about 50 ms, and must not take more than a quarter of a core from requests that
// wait for tokens.
const parseShare = 3

// heavy waits until no other large body is being parsed. b.light ends it.
func (s *Server) heavy(ctx context.Context, b *bodyShare) error {
	select {
	case s.parsing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	began := time.Now()
	b.parsed = func() {
		free := func() { <-s.parsing }
		if backend := s.backend.Load(); backend == nil || backend.Status().Running == 0 {
			free()
			return
		}
		time.AfterFunc(parseShare*time.Since(began), free)
	}
	return nil
}

// take takes a large body's bytes from the budget until the request has ended; see serve.
func (s *Server) take(b *bodyShare, length int64) error {
	if length < 0 || length > s.c.MaxBody { // unknown, or about to be refused
		length = s.c.MaxBody
	}
	if !s.bodies.TryAcquire(length) {
		return llm.ErrQueueFull
	}
	b.held = length
	return nil
}

// bodyError says why a body could not be read.
func bodyError(r *http.Request, err error) error {
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &httpError{status: http.StatusRequestTimeout, typ: typeInvalid, code: "request_timeout",
			message: "the request's body did not come in time"}
	case r.Context().Err() != nil:
		return r.Context().Err()
	}
	return &httpError{status: http.StatusBadRequest, typ: typeInvalid, code: "invalid_body",
		message: "the request's body could not be read"}
}

// mostTokens returns the maximum number of tokens that a completion request asks for. No choice gets more than limit,
// which is 0 if unknown. Invalid fields are not counted: they are refused when they are read.
func mostTokens(o *object, limit int) int {
	peek := func(field string, most int) int {
		n, ok := body.Whole(o.Fields[field])
		switch {
		case ok && n == -1 && field != "n": // as many as possible
			return most
		case !ok || n < 1:
			return 0
		}
		return int(min(n, int64(most)))
	}
	return max(peek("max_tokens", limit), peek("max_completion_tokens", limit)) * max(peek("n", maxChoices), 1)
}
