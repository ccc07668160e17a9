package loadgen

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// failure is an error with its class of failure.
type failure struct {
	class evidence.Failure
	err   error
}

func (f failure) Error() string { return f.err.Error() }
func (f failure) Unwrap() error { return f.err }

// Classify returns the class of a request's error. A lost connection is evidence.FailConnect until a response has
// begun, and evidence.FailTruncated afterwards. ctx must be the context by which a caller cancels requests, without
// the request's own timeout.
func Classify(ctx context.Context, err error, begun bool) evidence.Failure {
	var own failure
	var dns *net.DNSError
	switch {
	case ctx.Err() != nil:
		return evidence.FailCanceled
	case exhausted(err):
		return evidence.FailClient
	case errors.As(err, &own):
		return own.class
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return evidence.FailTimeout
	case errors.Is(err, ErrProtocol), errors.Is(err, errLongLine):
		return evidence.FailProtocol
	case lost(err) && begun:
		return evidence.FailTruncated
	case lost(err), errors.As(err, &dns):
		return evidence.FailConnect
	}
	return evidence.FailProtocol
}

// ownLimits are the names of errors that mean that this machine ran out of a resource.
var ownLimits = map[syscall.Errno]string{
	syscall.EMFILE: "EMFILE", syscall.ENFILE: "ENFILE", syscall.EADDRNOTAVAIL: "EADDRNOTAVAIL",
	syscall.ENOBUFS: "ENOBUFS", syscall.ENOMEM: "ENOMEM",
}

// exhausted says whether this machine, and not the server, ran out of files, ports or memory.
func exhausted(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && ownLimits[errno] != ""
}

// lost says whether the connection was lost, as opposed to a bad response.
func lost(err error) bool {
	var op *net.OpError
	var errno syscall.Errno
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || errors.As(err, &op) || errors.As(err, &errno)
}

// Detail is an error's text on one line, shortened to evidence.MaxDetail bytes.
func Detail(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) && ownLimits[errno] != "" {
		return bounded.Short("this machine: "+ownLimits[errno]+": "+err.Error(), evidence.MaxDetail)
	}
	return bounded.Short(err.Error(), evidence.MaxDetail)
}

// retryAfter is how a failure's detail begins the value of the header Retry-After.
const retryAfter = " (Retry-After: "

// RetryAfter is how long a server asks its client to wait, according to the detail of a failure; 0 if it does not say.
func RetryAfter(detail string) time.Duration {
	i := strings.LastIndex(detail, retryAfter)
	if i < 0 {
		return 0
	}
	return openai.RetryAfter(strings.TrimSuffix(detail[i+len(retryAfter):], ")"))
}
