package loadgen

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// ErrURL matches errors about a target's URL.
var ErrURL = errors.New("invalid target URL")

// Defaults of ClientOptions.
const (
	DefaultConns   = 4096
	DefaultTimeout = 2 * time.Minute
)

// inlineWrite is the largest request, in bytes, that the thread of the schedule writes itself. It fits the socket's
// send buffer, so the write does not wait for the server. Larger requests, and those on sockets with a smaller buffer,
// are written by a goroutine of their own. Their time is taken before that goroutine starts, so the start of the
// goroutine counts as part of the server's time.
const (
	inlineWrite = 64 << 10
	smallWrite  = 8 << 10 // fits the smallest buffer of all systems
)

// Job is one request to make.
type Job struct {
	Prompt   string // the prompt's key, for the record
	Body     []byte // the complete JSON request
	KeepText bool   // whether the record has the answer's text

	// max_tokens of the body, for the record, if it differs between the requests of a phase; otherwise 0
	MaxTokens int
	Session   string // the conversation of which it is a turn, for the record
	Turn      int    // position of the turn, from 0
	Forget    bool   // KeepText is only for Plan.Then: the record gets no text
}

// ClientOptions configure a Client. Every field is optional.
type ClientOptions struct {
	APIKey  string        // sent as a bearer token
	Conns   int           // most idle connections that are kept; 0: DefaultConns
	Timeout time.Duration // time limit from sending a request to its end; 0: DefaultTimeout
	Clock   Clock         // nil: the system's
	TLS     *tls.Config   // for https; nil: the system's roots
	// path of chat completions, escaped as in a URL; empty: the URL's path with /v1/chat/completions
	Route  string
	Header http.Header       // sent with each request; replaces the client's own headers of the same names
	Query  url.Values        // query added to the route
	Tracer *telemetry.Tracer // starts a trace with each request; nil: no traces
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	HTTP2  bool // speak HTTP/2, for servers that speak nothing else
}

// Client sends requests to one server, over HTTP/1.1 with a connection for each request in flight, or over HTTP/2. It
// follows no redirects and uses no proxies, because they would hide what the server did. It sends a request again in
// one case only, which the record shows: if the server closed a kept connection just as the request arrived. It is
// safe for concurrent use.
type Client struct {
	o       ClientOptions
	clock   Clock
	address string
	secure  bool
	head    []byte // beginning of every request, up to the value of Content-Length

	http2 *http2 // nil: HTTP/1.1

	idle   stack[*conn]
	open   atomic.Int64 // number of connections in idle
	closed atomic.Bool

	kept, dropped atomic.Int64 // connections that the server kept or closed after an answer
	held          atomic.Int64 // memory of the answers under way, in bytes
}

// settle is how long a connection rests after an answer before it is used for the next request. Some servers, such as
// llama.cpp's, close it within 0.1 ms without an announcement. A request that was sent in that time would be lost, and
// count as the server's failure.
const settle = 5 * time.Millisecond

// NewClient returns a client for the server at baseURL, which may end in /v1. The error for a bad URL matches ErrURL;
// bad options are errors too.
func NewClient(baseURL string, o ClientOptions) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("%w: must be http://host:port or https://host, got %q", ErrURL, baseURL)
	}
	if strings.ContainsAny(o.APIKey, "\r\n") {
		return nil, errors.New("the API key holds a line break")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if o.Conns <= 0 {
		o.Conns = DefaultConns
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	c := &Client{o: o, clock: o.Clock, secure: u.Scheme == "https", address: net.JoinHostPort(u.Hostname(), port)}
	if c.clock == nil {
		c.clock = SystemClock()
	}
	if err := CheckHeader(o.Header); err != nil {
		return nil, err
	}
	path, header := requestHead(u, o)
	c.head = headBytes(path, header)
	if o.HTTP2 {
		h := http.Header{}
		for _, x := range header {
			if x[0] != "Host" {
				h.Add(x[0], x[1])
			}
		}
		c.http2 = newHTTP2(u.Scheme+"://"+c.address+path, c.secure, h, o)
	}
	return c, nil
}

// Warm opens connections before a load, so that the load does not measure their opening. It opens a few more than n,
// because each rests for 5 ms after an answer. A server with a small pool of threads, one for each connection, such as
// llama.cpp's, is blocked if there are more idle connections than threads.
func (c *Client) Warm(ctx context.Context, n int) error {
	if c.http2 != nil {
		return c.http2.warm(ctx)
	}
	missing := min(n+n/4+2, c.o.Conns) - int(c.open.Load())
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(64) // the queue of a listener is short on some systems
	for range missing {
		g.Go(func() error {
			cn, err := c.dial(ctx)
			if err != nil {
				return err
			}
			c.put(cn)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("open %d connections to %s: %w", n, c.address, err)
	}
	return nil
}

// Close closes the idle connections. Those in use are closed when their requests end.
func (c *Client) Close() {
	c.closed.Store(true)
	if c.http2 != nil {
		c.http2.transport.CloseIdleConnections()
	}
	for cn := c.take(); cn != nil; cn = c.take() {
		cn.Close()
	}
}

// Do sends one request now, and returns its record when it has ended. Times in the record count from epoch.
func (c *Client) Do(ctx context.Context, epoch time.Time, job Job) evidence.Request {
	q := c.prepare(job)
	r := evidence.Request{Prompt: job.Prompt, Scheduled: c.since(epoch)}
	cn, err := c.send(ctx, epoch, q, &r)
	if cn = c.finish(ctx, epoch, q, &r, cn, err); cn != nil {
		go c.rest(cn)
	}
	q.share.back()
	return r
}

// request is a job ready to be sent.
type request struct {
	wire     []byte
	body     []byte // the body, which is the end of wire
	stream   bool
	keepText bool
	tools    bool // the request offers tools
	bounds   bounds
	share    share // memory of its answer; the code that uses the record last returns it
	trace    telemetry.Reserved
	model    string // for the trace
}

func (c *Client) prepare(job Job) *request {
	var asks struct {
		Stream              bool   `json:"stream"`
		Model               string `json:"model"`
		MaxTokens           int    `json:"max_tokens"`
		MaxCompletionTokens int    `json:"max_completion_tokens"`

		Tools []json.RawMessage `json:"tools"`
	}
	_ = json.Unmarshal(job.Body, &asks) // a body that is not JSON is sent unchanged, for the server to refuse
	trace := c.o.Tracer.Reserve()
	wire := make([]byte, 0, len(c.head)+len(job.Body)+24+80) // 80 bytes for the header of a trace
	wire = strconv.AppendInt(append(wire, c.head...), int64(len(job.Body)), 10)
	wire = append(trace.AppendHeader(append(wire, "\r\n"...)), "\r\n"...)
	wire = append(wire, job.Body...)
	return &request{wire: wire, body: wire[len(wire)-len(job.Body):], stream: asks.Stream, keepText: job.KeepText,
		trace: trace, model: asks.Model, tools: len(asks.Tools) > 0,
		bounds: boundsOf(max(asks.MaxTokens, asks.MaxCompletionTokens)), share: share{all: &c.held}}
}

// send takes the time of a request, and writes it to an idle connection if there is one and the request is small. If
// it returns no connection, finish dials one, because dialing must not delay the schedule.
func (c *Client) send(ctx context.Context, epoch time.Time, q *request, r *evidence.Request) (*conn, error) {
	var cn *conn
	if len(q.wire) <= inlineWrite && c.http2 == nil {
		if cn = c.get(); cn != nil && len(q.wire) > cn.room {
			c.put(cn)
			cn = nil
		}
	}
	r.Issued = c.since(epoch)
	if cn == nil || ctx.Err() != nil {
		return cn, ctx.Err()
	}
	return cn, cn.write(q.wire, epoch.Add(time.Duration(r.Issued)+c.o.Timeout))
}

// finish completes a request and its record. It returns the connection if it can be used again, after the caller has
// let it rest.
func (c *Client) finish(ctx context.Context, epoch time.Time, q *request, r *evidence.Request, cn *conn,
	err error) *conn {
	if c.http2 != nil {
		c.http2.finish(ctx, c, epoch, q, r)
		return nil
	}
	if q.trace.On() {
		defer c.record(epoch, q, r)
	}
	if cn == nil && err == nil {
		cn, err = c.connect(ctx, epoch, q, r, c.get())
	}
	begun, reusable, err := c.receive(ctx, epoch, q, r, cn, err)
	if c.raced(ctx, epoch, r, cn, begun, err) {
		cn.Close()
		r.Retried++
		r.Status, r.Done = 0, 0
		cn, err = c.connect(ctx, epoch, q, r, nil)
		begun, reusable, err = c.receive(ctx, epoch, q, r, cn, err)
	}
	if err != nil {
		r.Fail, r.Detail = Classify(ctx, err, begun), Detail(err)
		if r.Done == 0 {
			r.Done = c.since(epoch)
		}
	}
	if cn == nil || reusable {
		return cn
	}
	cn.Close()
	return nil
}

// receive reads the response, unless the request could not be sent.
func (c *Client) receive(ctx context.Context, epoch time.Time, q *request, r *evidence.Request, cn *conn,
	err error) (begun, reusable bool, _ error) {
	if err != nil {
		return false, false, err
	}
	// a deadline in the past ends the read
	stop := context.AfterFunc(ctx, func() { _ = cn.SetDeadline(time.Unix(1, 0)) })
	begun, reusable, err = cn.receive(epoch, q, r)
	return begun, stop() && reusable, err
}

// RaceWait bounds the race between a request and the server's closing of a kept connection. The close is noticed
// within a round trip, which takes less than a second to the farthest server. A connection that is lost later was lost
// by a server that had received the request. Tests have more patience.
var RaceWait = time.Second

// raced says whether a request was lost because the server closed a kept connection while the request was on its way.
// The server never received it, so it may be sent again.
func (c *Client) raced(ctx context.Context, epoch time.Time, r *evidence.Request, cn *conn, begun bool,
	err error) bool {
	if err == nil || cn == nil || ctx.Err() != nil || c.since(epoch)-r.Issued >= int64(RaceWait) {
		return false
	}
	// HAProxy sends it before closing an idle connection, as RFC 9110 allows
	if r.Status == http.StatusRequestTimeout {
		return cn.answers > 1
	}
	return cn.answers > 0 && cn.bytes == 0 && !begun && lost(err) && !errors.Is(err, os.ErrDeadlineExceeded)
}

// rest waits for a while whether the server closes a connection, and makes it idle if not. If the server has closed
// most connections, none is kept, because under load it may take longer to close them.
func (c *Client) rest(cn *conn) {
	dropped := c.dropped.Load()
	switch {
	case dropped >= 3 && dropped > c.kept.Load():
		cn.Close()
	case cn.quiet(settle):
		c.kept.Add(1)
		c.put(cn)
	default:
		c.dropped.Add(1)
		cn.Close()
	}
}

// connect writes the request to a connection, and dials one if none is given.
func (c *Client) connect(ctx context.Context, epoch time.Time, q *request, r *evidence.Request,
	cn *conn) (*conn, error) {
	deadline := epoch.Add(time.Duration(r.Issued) + c.o.Timeout)
	if cn == nil {
		dialCtx, cancel := context.WithTimeout(ctx, deadline.Sub(c.clock.Now()))
		defer cancel()
		var err error
		if cn, err = c.dial(dialCtx); err != nil {
			if dialCtx.Err() == nil && !exhausted(err) {
				err = failure{evidence.FailConnect, err}
			}
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = cn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return cn, cn.write(q.wire, deadline)
}

func (c *Client) dial(ctx context.Context) (*conn, error) {
	socket, err := c.o.Dial(ctx, "tcp", c.address)
	if err != nil {
		return nil, err
	}
	var raw syscall.RawConn
	if s, ok := socket.(syscall.Conn); ok {
		raw, _ = s.SyscallConn()
	}
	room := writeRoom(socket, raw)
	in := stampArrivals(socket, c.clock)
	if !c.secure {
		cn := newConn(in, in, raw, c.clock)
		cn.room = room
		return cn, nil
	}
	config := &tls.Config{}
	if c.o.TLS != nil {
		config = c.o.TLS.Clone()
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(c.address)
	}
	config.NextProtos = []string{"http/1.1"}
	secure := tls.Client(in, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		socket.Close()
		return nil, err
	}
	cn := newConn(secure, in, raw, c.clock)
	cn.room = room
	return cn, nil
}

// get takes the idle connection that was used last. It closes dead ones that it finds.
func (c *Client) get() *conn {
	for {
		cn := c.take()
		if cn == nil || cn.alive() {
			return cn
		}
		cn.Close()
	}
}

func (c *Client) take() *conn {
	cn, ok := c.idle.pop()
	if ok {
		c.open.Add(-1)
	}
	return cn
}

func (c *Client) put(cn *conn) {
	if c.closed.Load() || c.open.Load() >= int64(c.o.Conns) {
		cn.Close()
		return
	}
	c.idle.push(cn)
	c.open.Add(1)        // who reads the count finds the connection
	if c.closed.Load() { // Close was called meanwhile
		c.Close()
	}
}

func (c *Client) since(epoch time.Time) int64 { return int64(c.clock.Now().Sub(epoch)) }
