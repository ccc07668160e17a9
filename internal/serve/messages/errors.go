package messages

import (
	"net/http"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
)

// Error returns the body of an error in Anthropic's form.
func Error(status int, message, requestID string) []byte {
	type inner struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	return openai.Marshal(struct {
		Type    string `json:"type"`
		Error   inner  `json:"error"`
		Request string `json:"request_id"`
	}{"error", inner{errorType(status), message}, requestID})
}

// AppendError appends the event of an error that ends a stream early.
func AppendError(dst []byte, status int, message, requestID string) []byte {
	dst = append(append(dst, "event: error\ndata: "...), Error(status, message, requestID)...)
	return append(dst, "\n\n"...)
}

// errorType returns Anthropic's name for the meaning of a status.
func errorType(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusServiceUnavailable:
		return "overloaded_error"
	case http.StatusGatewayTimeout, http.StatusRequestTimeout:
		return "timeout_error"
	}
	if status < http.StatusInternalServerError {
		return "invalid_request_error"
	}
	return "api_error"
}
