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

// object is what the fields of a request are read from.
type object = body.Object

// freeBody is how much of a body every request may hold. What goes beyond it comes out of the budget of all large
// ones.
const freeBody = 64 << 10

// largeBodies is that budget, in bodies of the largest size. Reading and tokenising one takes about six times its
// size, so that all together stay within 200 MB at the default of 4 MiB.
const largeBodies = 8

// readBody reads a request's body, which must be a JSON object.
func (s *Server) readBody(x *exchange, r *http.Request) (*object, error) {
	data, err := s.readBytes(x, r)
	if err != nil {
		return nil, err
	}
	// a byte order mark, as some editors and shells write one
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
	control.SetReadDeadline(time.Now().Add(s.c.ReadTimeout)) // not supported by all writers in tests
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
	// The deadline must go: the server keeps on reading, to see whether the client goes away.
	control.SetReadDeadline(time.Time{})
	if len(data) >= freeBody {
		if err := s.heavy(r.Context(), &x.body); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// parseShare is how many times as long as a large body took nobody parses the next, while the model computes: parsing
// 4 MiB takes some 50 ms, and must not take more than a quarter of a core from those who wait for tokens.
const parseShare = 3

// heavy waits until no other large body is parsed. It ends with b.light.
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
	if length < 0 || length > s.c.MaxBody { // not said, or about to be refused
		length = s.c.MaxBody
	}
	if !s.bodies.TryAcquire(length) {
		return llm.ErrQueueFull
	}
	b.held = length
	return nil
}

// bodyError sorts out why a body could not be read.
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

// mostTokens gives the tokens that a request for completions asks for at most, of which each choice gets no more than
// limit, 0 if it does not say. What is not valid is not counted: whoever reads the fields will say so.
func mostTokens(o *object, limit int) int {
	peek := func(field string, most int) int {
		n, ok := body.Whole(o.Fields[field])
		switch {
		case ok && n == -1 && field != "n": // as many as there may be
			return most
		case !ok || n < 1:
			return 0
		}
		return int(min(n, int64(most)))
	}
	return max(peek("max_tokens", limit), peek("max_completion_tokens", limit)) * max(peek("n", maxChoices), 1)
}
