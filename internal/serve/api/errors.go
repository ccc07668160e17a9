package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
	"github.com/hxp-enterprise/mixtral/internal/serve/upstream"
)

// statusClientClosed is nginx's code for a client that left before its answer. It appears only in logs and metrics.
const statusClientClosed = 499

// OpenAI's types of errors.
const (
	typeInvalid = "invalid_request_error"
	typeLimit   = "rate_limit_error"
	typeServer  = "server_error"
)

// httpError is an error with its HTTP answer.
type httpError struct {
	status     int
	typ        string
	code       string // null when empty
	param      string // null when empty
	message    string
	retryAfter int    // seconds; 0 means no header
	allow      string // methods, for 405
	quotes     bool   // message quotes the client: it may be sent to the client, but not logged
}

// Error returns a text that may be logged.
func (e *httpError) Error() string {
	if e.quotes {
		return e.code
	}
	return e.message
}

// errPanic stands for a panic while a request was handled.
var errPanic = errors.New("panic while the request was handled")

// toHTTP decides what a client is told about an error; it is the only place that maps errors to HTTP. An error that is
// not meant for clients becomes a 500 without a detail. retryAfter is the advice when the service has no room.
func toHTTP(err error, retryAfter int) *httpError {
	var (
		known   *httpError
		refused *body.Error
		field   *llm.FieldError
		tooLong *http.MaxBytesError
		quota   *access.QuotaError
		param   string
	)
	if errors.As(err, &known) {
		return known
	}
	if errors.As(err, &refused) {
		return &httpError{status: http.StatusBadRequest, typ: typeInvalid, code: refused.Code, param: refused.Param,
			message: refused.Message, quotes: refused.Quotes}
	}
	if errors.As(err, &field) {
		param = field.Field
	}
	switch {
	case errors.Is(err, access.ErrHost):
		return &httpError{status: http.StatusForbidden, typ: typeInvalid, code: "host_not_allowed",
			message: err.Error()}
	case errors.Is(err, access.ErrKeyMissing), errors.Is(err, access.ErrKeyUnknown):
		return &httpError{status: http.StatusUnauthorized, typ: typeInvalid, code: "invalid_api_key",
			message: err.Error()}
	case errors.As(err, &quota):
		return quotaAnswer(quota)
	case errors.As(err, &tooLong):
		return &httpError{status: http.StatusRequestEntityTooLarge, typ: typeInvalid, code: "request_too_large",
			message: fmt.Sprintf("the request's body is larger than %d bytes", tooLong.Limit)}
	case errors.Is(err, llm.ErrContextLength):
		return &httpError{status: http.StatusBadRequest, typ: typeInvalid, code: "context_length_exceeded",
			param: param, message: err.Error()}
	case errors.Is(err, llm.ErrModelNotFound):
		return &httpError{status: http.StatusNotFound, typ: typeInvalid, code: "model_not_found", param: "model",
			message: err.Error()}
	case errors.Is(err, llm.ErrGrammar):
		return &httpError{status: http.StatusBadRequest, typ: typeInvalid, code: "invalid_grammar", param: param,
			message: err.Error(), quotes: true}
	case errors.Is(err, llm.ErrBadRequest):
		return &httpError{status: http.StatusBadRequest, typ: typeInvalid, param: param, message: err.Error()}
	case errors.Is(err, llm.ErrQueueFull):
		return &httpError{status: http.StatusTooManyRequests, typ: typeLimit, code: "queue_full",
			retryAfter: retryAfter,
			message:    "the service has as many requests as it can hold: try again later"}
	case errors.Is(err, access.ErrConnections):
		return &httpError{status: http.StatusServiceUnavailable, typ: typeServer, code: "too_many_connections",
			retryAfter: retryAfter, message: err.Error()}
	case errors.Is(err, llm.ErrNotReady), errors.Is(err, llm.ErrClosed):
		return &httpError{status: http.StatusServiceUnavailable, typ: typeServer, code: "not_ready",
			retryAfter: retryAfter, message: err.Error()}
	case errors.Is(err, llm.ErrUnsupported):
		return &httpError{status: http.StatusNotImplemented, typ: typeServer, code: "not_supported", param: param,
			message: err.Error()}
	case errors.Is(err, llm.ErrNumeric):
		return &httpError{status: http.StatusInternalServerError, typ: typeServer, code: "non_finite_logits",
			message: "the model's output is not finite"}
	case errors.Is(err, upstream.ErrRefused):
		return &httpError{status: http.StatusUnauthorized, typ: typeInvalid, code: "invalid_api_key",
			message: err.Error()}
	case errors.Is(err, upstream.ErrUnreachable):
		return &httpError{status: http.StatusBadGateway, typ: typeServer, code: "upstream_unreachable",
			message: "no upstream server answered"}
	case errors.Is(err, context.Canceled):
		return &httpError{status: statusClientClosed, typ: typeInvalid, code: "client_closed_request",
			message: "the client closed the request"}
	case errors.Is(err, context.DeadlineExceeded):
		return &httpError{status: http.StatusGatewayTimeout, typ: typeServer, code: "timeout",
			message: "the request took too long"}
	}
	return &httpError{status: http.StatusInternalServerError, typ: typeServer, code: "internal_error",
		message: "internal error"}
}

// quotaAnswer is the answer above a key's limits. OpenAI's type is the name of the limit.
func quotaAnswer(q *access.QuotaError) *httpError {
	e := &httpError{status: http.StatusTooManyRequests, typ: string(q.Kind), code: "rate_limit_exceeded",
		retryAfter: int((q.Wait + time.Second - 1) / time.Second), message: q.Error()}
	if q.Kind == access.KindConcurrent {
		e.typ, e.code, e.retryAfter = string(access.KindRequests), "concurrency_limit_exceeded", 1
	}
	return e
}

// countRefusal counts a refusal, which is the answer to a request of which nothing was computed. It does not count a
// client that left, a time limit or a failure.
func (s *Server) countRefusal(e *httpError) {
	if e.status == statusClientClosed || e.status >= 500 && e.status != http.StatusServiceUnavailable &&
		e.status != http.StatusNotImplemented {
		return
	}
	reason := e.code
	switch readiness := s.gate.readiness(); {
	case reason == "":
		reason = telemetry.ReasonInvalid
	case reason == "not_ready" && readiness != ready:
		reason = readiness.String()
	}
	s.metrics.Refused(reason)
}

// body returns the error in OpenAI's form.
func (e *httpError) body() []byte {
	null := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	return encode(openai.ErrorResponse{Error: openai.Error{Message: e.message, Type: e.typ, Param: null(e.param),
		Code: null(e.code)}})
}

// mistralBody returns body with the fields that Mistral's clients read of an error.
func (e *httpError) mistralBody() []byte {
	var both struct {
		Object string `json:"object"`
		openai.Error
		openai.ErrorResponse
	}
	_ = json.Unmarshal(e.body(), &both.ErrorResponse) // it was encoded here
	both.Object, both.Error = "error", both.ErrorResponse.Error
	return encode(both)
}

func (e *httpError) write(w http.ResponseWriter, body []byte) {
	h := w.Header()
	if e.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(e.retryAfter))
	}
	if e.allow != "" {
		h.Set("Allow", e.allow)
	}
	if e.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	writeBody(w, e.status, body)
}

// encode returns v's JSON without HTML escapes.
func encode(v any) []byte { return openai.Marshal(v) }

func writeBody(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // an error means that the client has left
}
