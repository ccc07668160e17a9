package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"time"
)

// ErrSetup matches every error about a server that could not be started, reached or understood.
var ErrSetup = errors.New("set-up failed")

// ErrUnauthorized matches errors that say that the server refuses the key, or requires one.
var ErrUnauthorized = errors.New("the server refuses the API key")

// ErrUnreadable matches errors about answers in a form that the client of the load cannot read.
var ErrUnreadable = errors.New("the answer cannot be read")

// StatusError is the error for a response whose status is not 2xx.
type StatusError struct {
	URL     string
	Status  int
	Message string // message of the body, shortened
	// whether the request had a key, or a header that may be one
	KeyGiven bool
	Retry    time.Duration // Retry-After of the response; 0 if it has none
}

// Later says whether a server asks its client to try again, because it is starting or overloaded. in is after how
// long; one second if the server does not say.
func Later(err error) (in time.Duration, ok bool) {
	var status *StatusError
	if !errors.As(err, &status) || status.Status != http.StatusServiceUnavailable &&
		status.Status != http.StatusTooManyRequests {
		return 0, false
	}
	return cmp.Or(status.Retry, time.Second), true
}

// Error formats the address, the status and the message.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s answers %d %s", e.URL, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// Is makes every StatusError match ErrSetup, and those with status 401 and 403 also ErrUnauthorized.
func (e *StatusError) Is(target error) bool {
	return target == ErrSetup || target == ErrUnauthorized &&
		(e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden)
}

// NotOffered says whether an error means that a server answers but does not have the route.
func NotOffered(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && slices.Contains([]int{http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusNotImplemented}, status.Status)
}

// Hint says what a user can do about an error of this package; "" if there is no advice.
func Hint(err error) string {
	const root = "the address must be the root of an OpenAI-compatible API, such as http://host:8000 or " +
		"http://host:8000/v1"
	var unknown *tls.CertificateVerificationError
	var status *StatusError
	switch {
	case errors.Is(err, ErrUnreadable):
		return "the client reads the OpenAI API: a stream of events (text/event-stream) whose lines have at " +
			"most 1 MiB, or one JSON object; a gateway before the server may change either"
	case errors.Is(err, ErrUnauthorized) && errors.As(err, &status) && status.KeyGiven:
		return "the key that was given is refused: is it whole, still valid, and for this server? Some gateways " +
			"want it in a header of their own, as --header 'api-key: @FILE'"
	case errors.Is(err, ErrUnauthorized):
		return "give the server's key with --api-key-file FILE"
	case NotOffered(err):
		return root + "; one that does not list its models needs --target-model NAME"
	case errors.Is(err, errNoJSON):
		return root
	case errors.As(err, &status) && status.Status/100 == 3:
		return "the server sends its clients elsewhere, which a measurement must not follow: give the address that " +
			"it names"
	case errors.As(err, &unknown):
		return "a certificate that no public authority signed is trusted with SSL_CERT_FILE=ca.pem"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: is the server started, and is the port right?"
	case errors.Is(err, context.DeadlineExceeded):
		return "the server may still be loading its model, or a firewall drops the connection"
	}
	return ""
}
