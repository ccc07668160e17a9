package loadgen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// http2 sends requests over HTTP/2, for servers that speak nothing else. Requests share connections. Times are those
// at which reads return: one packet has frames of many answers, so the kernel's stamps would be of little use.
type http2 struct {
	transport *http.Transport
	url       string
	header    http.Header
}

// newHTTP2 sends requests to a URL, with TLS or, by prior knowledge, without it.
func newHTTP2(url string, secure bool, header http.Header, o ClientOptions) *http2 {
	var only http.Protocols
	only.SetHTTP2(secure)
	only.SetUnencryptedHTTP2(!secure)
	t := &http.Transport{Protocols: &only, DialContext: o.Dial, DisableCompression: true,
		MaxResponseHeaderBytes: maxHeader}
	if o.TLS != nil {
		t.TLSClientConfig = o.TLS.Clone()
	}
	return &http2{transport: t, url: url, header: header}
}

// warm opens a connection with a HEAD request.
func (h *http2) warm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, RaceWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, h.url, http.NoBody)
	if err != nil {
		return err
	}
	req.Header = h.header
	resp, err := h.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// finish sends a request and fills its record.
func (h *http2) finish(ctx context.Context, c *Client, epoch time.Time, q *request, r *evidence.Request) {
	if q.trace.On() {
		defer c.record(epoch, q, r)
	}
	reading, cancel := context.WithDeadline(ctx, epoch.Add(time.Duration(r.Issued)+c.o.Timeout))
	defer cancel()
	begun, err := h.exchange(reading, cancel, c, epoch, q, r)
	if err != nil {
		r.Fail, r.Detail = Classify(ctx, inHTTP2(reading, err), begun), Detail(err)
		if r.Done == 0 {
			r.Done = c.since(epoch)
		}
	}
}

func (h *http2) exchange(ctx context.Context, cancel context.CancelFunc, c *Client, epoch time.Time, q *request,
	r *evidence.Request) (begun bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(q.body))
	if err != nil {
		return false, err
	}
	req.Header = h.header.Clone()
	if name, value, ok := strings.Cut(string(q.trace.AppendHeader(nil)), ":"); ok {
		req.Header.Set(name, strings.TrimSpace(value))
	}
	resp, err := h.transport.RoundTrip(req)
	if err != nil {
		return false, err
	}
	cn := &conn{Conn: &deadlines{cancel: cancel}, clock: c.clock, buf: make([]byte, 4096), at: c.clock.Now()}
	resp.Body = &stampedBody{resp.Body, cn}
	_, _, err = cn.answer(resp, epoch, q, r)
	return true, err
}

// stampedBody stores the time of each read in its connection.
type stampedBody struct {
	io.ReadCloser
	cn *conn
}

func (b *stampedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.cn.at = b.cn.clock.Now()
	return n, err
}

// deadlines cancels a request's context when a read deadline passes. In HTTP/1.1 the deadlines are those of the
// request's own connection.
type deadlines struct {
	net.Conn
	cancel context.CancelFunc
}

// SetReadDeadline cancels the request at t.
func (d *deadlines) SetReadDeadline(t time.Time) error {
	time.AfterFunc(time.Until(t), d.cancel)
	return nil
}

// inHTTP2 converts an error of HTTP/2 to one that Classify knows, because net/http does not export the types.
func inHTTP2(ctx context.Context, err error) error {
	switch text := err.Error(); {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", os.ErrDeadlineExceeded, err)
	case strings.Contains(text, "stream error"), strings.Contains(text, "GOAWAY"),
		strings.Contains(text, "connection error"), strings.Contains(text, "client connection lost"):
		return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
	return err
}
