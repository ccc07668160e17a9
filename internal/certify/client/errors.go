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

// ErrSetup is matched by every error of a server that could not be started, reached or understood.
var ErrSetup = errors.New("set-up failed")

// ErrUnauthorized is matched where the server refuses the key, or wants one.
var ErrUnauthorized = errors.New("the server refuses the API key")

// ErrUnreadable is matched where an answer came in a form that the load's client does not read.
var ErrUnreadable = errors.New("the answer cannot be read")

// StatusError is an answer that is not a success.
type StatusError struct {
	URL     string
	Status  int
	Message string // of the body, shortened
	// the request carried a key, or a header that may be one
	KeyGiven bool
	Retry    time.Duration // after which the server asks to be asked again; 0: it does not say
}

// Later says that a server is there and wants to be asked again, and in what time: it starts, or has too much to do.
func Later(err error) (in time.Duration, ok bool) {
	var status *StatusError
	if !errors.As(err, &status) || status.Status != http.StatusServiceUnavailable &&
		status.Status != http.StatusTooManyRequests {
		return 0, false
	}
	return cmp.Or(status.Retry, time.Second), true
}

// Error names the address and the status.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s answers %d %s", e.URL, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// Is makes 401 and 403 match ErrUnauthorized, and all of them ErrSetup.
func (e *StatusError) Is(target error) bool {
	return target == ErrSetup || target == ErrUnauthorized &&
		(e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden)
}

// NotOffered says that a server answers and has no such route.
func NotOffered(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && slices.Contains([]int{http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusNotImplemented}, status.Status)
}

// Hint says what to do about an error of this package; empty where there is nothing to say.
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
