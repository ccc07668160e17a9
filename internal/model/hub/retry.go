package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
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

// maxWait is the longest wait that a server may ask for: Hugging Face's windows of requests last five minutes. Who
// asks for more is not waited for at all.
const maxWait = 10 * time.Minute

var remaining = regexp.MustCompile(`(?:^|[;,\s])t\s*=\s*(\d{1,9})`)

// waitAsked is how long a server wants to be left alone; 0 if it does not say. It reads Retry-After, in seconds or as
// a date, and where that is missing the RateLimit header ("api";r=0;t=55) or its older forms.
func waitAsked(r *http.Response) time.Duration {
	v := strings.TrimSpace(r.Header.Get("Retry-After"))
	if n, err := strconv.ParseFloat(v, 64); err == nil && n >= 0 {
		return time.Duration(min(n, 1e6) * float64(time.Second))
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(time.Until(t), 0)
	}
	if r.StatusCode != http.StatusTooManyRequests && r.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	if m := remaining.FindStringSubmatch(r.Header.Get("RateLimit")); m != nil {
		n, _ := strconv.Atoi(m[1])
		return time.Duration(n) * time.Second
	}
	for _, name := range []string{"RateLimit-Reset", "X-RateLimit-Reset"} {
		n, err := strconv.ParseInt(strings.TrimSpace(r.Header.Get(name)), 10, 64)
		switch {
		case err != nil || n < 0 || n > 1e11:
		case n > 1e9: // a time, in seconds since 1970
			return max(time.Until(time.Unix(n, 0)), 0)
		default:
			return time.Duration(n) * time.Second
		}
	}
	return 0
}

// final says that trying again cannot help.
func final(err error) bool {
	for _, e := range []error{ErrDenied, ErrNotFound, ErrRef, ErrSpace, ErrChecksum, ErrChanged, ErrWrite, ErrAnswer,
		ErrOffline} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// retry calls f until it succeeds, fails for good, or has failed too often: in a row without progress, or sixteen
// times as often in all. f says whether it made any progress.
func (c *Client) retry(ctx context.Context, what string, f func() (progress bool, err error)) error {
	for failures, all := 0, 0; ; {
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
		failures++
		if all++; failures >= c.attempts() || all >= 16*c.attempts() {
			if !errors.Is(err, ErrTransfer) {
				err = fmt.Errorf("%w: %w", ErrTransfer, err)
			}
			return err
		}
		delay := min(500*time.Millisecond<<min(failures-1, 6), 30*time.Second)
		var w *waitError
		if errors.As(err, &w) && w.after > 0 {
			if delay = w.after; delay > maxWait {
				return fmt.Errorf("%w; the server asks to wait for %v", err, delay.Round(time.Second))
			}
		}
		c.log().Info("trying again", "what", what, "err", err, "in", delay.Round(time.Millisecond))
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
