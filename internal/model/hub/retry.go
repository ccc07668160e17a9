package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/wait"
)

// waitError is a failure whose server said how long to wait.
type waitError struct {
	err   error
	after time.Duration
}

func (e *waitError) Error() string { return e.err.Error() }
func (e *waitError) Unwrap() error { return e.err }

// retryAfter reads the header in seconds or as a date; 0 if there is none, at most 5 minutes.
func retryAfter(r *http.Response) time.Duration {
	v := r.Header.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil {
		return min(time.Duration(max(n, 0))*time.Second, 5*time.Minute)
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(time.Until(t), 0), 5*time.Minute)
	}
	return 0
}

// final says that trying again cannot help.
func final(err error) bool {
	return errors.Is(err, ErrDenied) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrRef) ||
		errors.Is(err, ErrSpace) || errors.Is(err, ErrChecksum) || errors.Is(err, errDisk)
}

// retry calls f until it succeeds, fails for good, or has failed too often in a row without progress. f says whether
// it made any.
func (c *Client) retry(ctx context.Context, what string, f func() (progress bool, err error)) error {
	for failures := 0; ; {
		progress, err := f()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case final(err):
			return err
		case progress:
			failures = 0
		}
		if failures++; failures >= c.attempts() {
			if !errors.Is(err, ErrTransfer) {
				err = fmt.Errorf("%w: %w", ErrTransfer, err)
			}
			return err
		}
		delay := min(500*time.Millisecond<<min(failures-1, 6), 30*time.Second)
		var w *waitError
		if errors.As(err, &w) && w.after > 0 {
			delay = w.after
		}
		c.log().Info("trying again", "what", what, "err", err, "in", delay)
		if err := c.pause(ctx, delay); err != nil {
			return err
		}
	}
}

func (c *Client) pause(ctx context.Context, d time.Duration) error {
	if c.sleep != nil {
		return c.sleep(ctx, d)
	}
	return wait.For(ctx, d)
}
