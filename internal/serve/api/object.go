package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// object reads the fields of a JSON object one by one, so that an error can name the field. The first error stays;
// after it every read gives a zero value. A null counts as an absent field.
type object struct {
	path   string // of the object itself, "" for the body
	fields map[string]json.RawMessage
	read   map[string]bool   // fields that were asked for
	given  map[string]string // names that the client used for fields, where they are others; see rename
	body   []byte            // the whole body, as it came
	err    error
}

// freeBody is how much of a body every request may hold. What goes beyond it comes out of the budget of all large
// ones.
const freeBody = 64 << 10

// largeBodies is that budget, in bodies of the largest size. Reading and tokenising one takes about six times its
// size, so that all together stay within 200 MB at the default of 4 MiB.
const largeBodies = 8

// readBody reads a request's body, which must be a JSON object.
func (s *Server) readBody(x *exchange, r *http.Request) (*object, error) {
	body, err := s.readBytes(x, r)
	if err != nil {
		return nil, err
	}
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) // a byte order mark, as some editors and shells write one
	o, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	o.body = body
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
	body, err := io.ReadAll(io.LimitReader(limited, freeBody))
	if err == nil && len(body) == freeBody {
		if err := s.take(&x.body, r.ContentLength); err != nil {
			return nil, err
		}
		var rest []byte
		rest, err = io.ReadAll(limited)
		body = append(body, rest...)
	}
	if err != nil {
		return nil, bodyError(r, err)
	}
	// The deadline must go: the server keeps on reading, to see whether the client goes away.
	control.SetReadDeadline(time.Time{})
	if len(body) >= freeBody {
		if err := s.heavy(r.Context(), &x.body); err != nil {
			return nil, err
		}
	}
	return body, nil
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

func parseObject(body []byte) (*object, error) {
	o := &object{}
	if err := json.Unmarshal(body, &o.fields); err != nil || o.fields == nil {
		message := "the body must be a JSON object"
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			message = fmt.Sprintf("the body is not valid JSON: %v at byte %d", syntax, syntax.Offset)
		}
		return nil, &httpError{status: http.StatusBadRequest, typ: typeInvalid, code: "invalid_json", message: message}
	}
	return o, nil
}

// name is a field's full name, "messages[1].role".
func (o *object) name(field string) string {
	if given, ok := o.given[field]; ok {
		field = given
	}
	if o.path == "" {
		return field
	}
	return o.path + "." + field
}

func (o *object) fail(field, format string, args ...any) {
	if o.err == nil {
		o.err = badParam(o.name(field), format, args...)
	}
}

// unsupported refuses a field that asks for what this service does not do, with OpenAI's code for it.
func (o *object) unsupported(field string) {
	if o.err == nil {
		o.err = &httpError{status: http.StatusBadRequest, typ: typeInvalid, code: "unsupported_parameter",
			param:   o.name(field),
			message: o.name(field) + ": is not supported by this service"}
	}
}

// raw gives a field's JSON, nil where it is absent or null.
func (o *object) raw(field string) json.RawMessage {
	if o.read == nil {
		o.read = map[string]bool{}
	}
	o.read[field] = true
	v := o.fields[field]
	if o.err != nil || string(v) == "null" {
		return nil
	}
	return v
}

// is tells whether a field has this JSON.
func (o *object) is(field, value string) bool {
	return string(bytes.TrimSpace(o.fields[field])) == value
}

// mostTokens gives the tokens that a request for completions asks for at most, of which each choice gets no more than
// limit, 0 if it does not say. What is not valid is not counted: whoever reads the fields will say so.
func (o *object) mostTokens(limit int) int {
	peek := func(field string, most int) int {
		n, ok := whole(o.fields[field])
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

// kind names a JSON value's type for error messages: the value itself may be long or private.
func kind(v json.RawMessage) string {
	switch v = bytes.TrimSpace(v); {
	case len(v) == 0:
		return "nothing"
	case v[0] == '"':
		return "a string"
	case v[0] == '{':
		return "an object"
	case v[0] == '[':
		return "an array"
	case v[0] == 't' || v[0] == 'f':
		return "a boolean"
	case v[0] == 'n':
		return "null"
	}
	return "a number"
}

func (o *object) text(field string) (s string, ok bool) {
	v := o.raw(field)
	if v == nil {
		return "", false
	}
	if json.Unmarshal(v, &s) != nil {
		o.fail(field, "must be a string, got %s", kind(v))
		return "", false
	}
	return s, true
}

func (o *object) flag(field string) (b bool) {
	if v := o.raw(field); v != nil && json.Unmarshal(v, &b) != nil {
		o.fail(field, "must be true or false, got %s", kind(v))
		return false
	}
	return b
}

// whole gives an integer. Languages without integers write 8.0 for 8.
func whole(v json.RawMessage) (int64, bool) {
	if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
		return n, true
	}
	const exact = 1 << 53 // beyond it, a float64 has no fraction to tell by
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= exact || kind(v) != "a number" {
		return 0, false
	}
	return int64(f), true
}

// integer reads a number without a fraction from lo to hi.
func (o *object) integer(field string, lo, hi int64) (n int64, ok bool) {
	v := o.raw(field)
	if v == nil {
		return 0, false
	}
	n, ok = whole(v)
	if !ok {
		got := kind(v)
		if got == "a number" {
			got = short(string(v))
		}
		o.fail(field, "must be an integer, got %s", got)
		return 0, false
	}
	if n < lo || n > hi {
		o.fail(field, "must be between %d and %d, got %d", lo, hi, n)
		return 0, false
	}
	return n, true
}

func (o *object) number(field string, allowed llm.Range) (f float64, ok bool) {
	v := o.raw(field)
	if v == nil {
		return 0, false
	}
	if kind(v) != "a number" {
		o.fail(field, "must be a number, got %s", kind(v))
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || math.IsNaN(f) || !allowed.Has(f) {
		o.fail(field, "must be %v, got %s", allowed, short(string(v)))
		return 0, false
	}
	return f, true
}

// list splits an array of at most most values.
func (o *object) list(field string, most int) (items []json.RawMessage, ok bool) {
	v := o.raw(field)
	if v == nil {
		return nil, false
	}
	if json.Unmarshal(v, &items) != nil {
		o.fail(field, "must be an array, got %s", kind(v))
		return nil, false
	}
	if len(items) > most {
		o.fail(field, "has %d entries, at most %d are allowed", len(items), most)
		return nil, false
	}
	return items, true
}

// child reads an object within this one; its errors count as this one's after adopt.
func (o *object) child(field string, v json.RawMessage) *object {
	c := &object{path: o.name(field)}
	if json.Unmarshal(v, &c.fields) != nil || c.fields == nil {
		o.fail(field, "must be an object, got %s", kind(v))
	}
	c.err = o.err
	return c
}

func (o *object) adopt(c *object) {
	if o.err == nil {
		o.err = c.err
	}
}

// short cuts what a message quotes.
func short(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
