package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// maxRedirects bounds a chain: a renamed repository, its files' store and a mirror are three.
const maxRedirects = 10

// leastBytes is what a server must send within Client.Silence, so that one that sends a byte now and then does not
// keep a transfer going for ever: 16 KiB in 30 s are a hundredth of what a telephone line once carried.
const leastBytes = 16 << 10

// place is an address, and whether the token may be sent there.
type place struct {
	url  *url.URL
	auth bool
}

// start gives the place at which a chain of requests begins. Only the endpoint gets the token.
func (c *Client) start(target string) (place, error) {
	u, err := url.Parse(target)
	if err != nil {
		return place{}, fmt.Errorf("%w: %w", ErrRef, err)
	}
	e, err := url.Parse(c.endpoint())
	return place{u, err == nil && c.Token != "" && sameOrigin(u, e)}, nil
}

// sameOrigin compares scheme, host and port: another port is another server.
func sameOrigin(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		if p := u.Port(); p != "" {
			return p
		}
		return map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return a.Scheme == b.Scheme && a.Hostname() == b.Hostname() && port(a) == port(b)
}

// follow gives where a redirect leads. A chain that has left the endpoint never gets the token again, even if it comes
// back: then a stranger chose the address.
func (p place) follow(location string) (place, error) {
	u, err := p.url.Parse(location)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return place{}, fmt.Errorf("%w: redirect to %q", ErrRef, plain(location))
	case u.Scheme == "http" && p.url.Scheme == "https":
		return place{}, fmt.Errorf("%w: redirect from https to plain http at %q", ErrRef, u.Host)
	}
	u.User, u.Fragment = nil, ""
	return place{u, p.auth && sameOrigin(p.url, u)}, nil
}

// answer is a response behind all redirects. Close its body.
type answer struct {
	*http.Response
	at    place
	trail []http.Header // of the responses on the way, and of the last, as long as they came from the first server
}

// open sends a request and follows its redirects. The whole chain may take twice Client.Silence, and the body is cut
// off when the server sends nothing for that long, or next to nothing.
func (c *Client) open(ctx context.Context, method string, from place, header http.Header) (a *answer, err error) {
	if c.Offline {
		return nil, fmt.Errorf("%w: %s is not asked", ErrOffline, from.url.Host)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	silent := func() {
		cancel(fmt.Errorf("%w: %s: hardly anything came for %v", ErrTransfer, from.url.Host, c.silence()))
	}
	all, one := time.AfterFunc(2*c.silence(), silent), time.AfterFunc(c.silence(), silent)
	defer all.Stop()
	defer func() {
		if err != nil {
			one.Stop()
			err = because(ctx, err)
			cancel(nil)
		}
	}()
	a = &answer{at: from}
	for range maxRedirects + 1 {
		one.Reset(c.silence())
		resp, err := c.send(ctx, method, a.at, header)
		if err != nil {
			return nil, err
		}
		if sameOrigin(from.url, a.at.url) {
			a.trail = append(a.trail, resp.Header)
		}
		if !redirects(resp) {
			one.Reset(c.silence())
			resp.Body = &watched{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, timer: one, limit: c.silence()}
			a.Response = resp
			return a, nil
		}
		resp.Body.Close()
		if a.at, err = a.at.follow(resp.Header.Get("Location")); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: %s: more than %d redirects", ErrAnswer, from.url.Host, maxRedirects)
}

// send sends one request.
func (c *Client) send(ctx context.Context, method string, at place, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, at.url.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRef, err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", "mixtral-service")
	req.Header.Set("Accept-Encoding", "identity") // sizes, ranges and checksums are those of the file itself
	if at.auth {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	return c.client().Do(req)
}

func redirects(r *http.Response) bool {
	switch r.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect,
		http.StatusPermanentRedirect:
		return true
	}
	return false
}

// because puts a time limit's own error for the one of a context that it ended.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// watched is a body that ends with an error when the server is silent or slow.
type watched struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
	since  int // bytes since the timer was set
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if w.since += n; w.since >= leastBytes {
		w.since = 0
		w.timer.Reset(w.limit)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = because(w.ctx, err)
	}
	return n, err
}

func (w *watched) Close() error {
	w.timer.Stop()
	w.cancel(nil)
	return w.ReadCloser.Close()
}

// statusError turns a response that is not a success into an error. It closes nothing.
func statusError(r *http.Response, what string) error {
	detail := plain(r.Header.Get("X-Error-Message"))
	if detail == "" {
		detail = http.StatusText(r.StatusCode)
	}
	base := ErrTransfer
	switch r.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		base = ErrDenied
	case http.StatusNotFound, http.StatusGone:
		base = ErrNotFound
	}
	return fmt.Errorf("%w: %s: %d %s", base, what, r.StatusCode, detail)
}
