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

// ErrURL is matched by errors about a target's address.
var ErrURL = errors.New("invalid target URL")

// Defaults of ClientOptions.
const (
	DefaultConns   = 4096
	DefaultTimeout = 2 * time.Minute
)

// inlineWrite is the largest request, in bytes, that the thread of the schedule writes itself: it fits the socket's
// buffer, which is made as large (Linux counts its own overhead in, and doubles the size for it), so that the write
// cannot wait for the server. Larger ones, and those over sockets whose buffer is not known, are written by a
// goroutine of their own; it is started after their time was taken, and its start counts as the server's.
const (
	inlineWrite = 64 << 10
	smallWrite  = 8 << 10 // fits the smallest buffer of any system
)

// Job is one request to make.
type Job struct {
	Prompt   string // the prompt's key, for the record
	Body     []byte // the complete JSON request
	KeepText bool   // the record carries the answer's text

	MaxTokens int    // that the body asks for, for the record, where requests of a phase differ in it; 0: they do not
	Session   string // the conversation that it is a turn of, for the record
	Turn      int    // its place in it, from 0
	Forget    bool   // KeepText is for Plan.Then alone: the record goes without
}

// ClientOptions are optional in every field.
type ClientOptions struct {
	APIKey  string            // sent as a bearer token
	Conns   int               // most idle connections kept; 0: DefaultConns
	Timeout time.Duration     // from sending a request to its end; 0: DefaultTimeout
	Clock   Clock             // nil: the system's
	TLS     *tls.Config       // for https; nil: the system's roots
	Route   string            // path of chat completions, as it is escaped in a URL; empty: below /v1
	Header  http.Header       // sent with each request; one of the client's own names replaces what it sends
	Query   url.Values        // added to the route
	Tracer  *telemetry.Tracer // begins a trace with each request; nil: none
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	HTTP2   bool // speak HTTP/2, to servers that have nothing else
}

// Client speaks HTTP/1.1 to one server, a connection for each request in flight, or HTTP/2 where it must. It follows
// no redirects and uses no proxies: each of them would hide what the server did. It sends a request twice in one
// case, which the record tells: the server closed a kept connection just as the request came. It is safe for
// concurrent use.
type Client struct {
	o       ClientOptions
	clock   Clock
	address string
	secure  bool
	head    []byte // of every request, up to the value of Content-Length

	http2 *http2 // nil: HTTP/1.1

	idle   stack[*conn]
	open   atomic.Int64 // connections in idle
	closed atomic.Bool

	kept, dropped atomic.Int64 // by the server, after an answer
	held          atomic.Int64 // bytes of the answers under way
}

// settle is how long a connection rests after an answer before it takes the next request. Some servers (llama.cpp's)
// close it within 0.1 ms without having said so; a request sent meanwhile would be lost, and count as their failure.
const settle = 5 * time.Millisecond

// NewClient makes a client for the server at baseURL, with or without /v1 at its end.
func NewClient(baseURL string, o ClientOptions) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("%w: %q: want http://host:port or https://host", ErrURL, baseURL)
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

// Warm opens connections until n are idle and a few to spare, since each rests for 5 ms after an answer, so that a
// schedule does not measure their opening. A server that serves each connection by a thread of a small pool
// (llama.cpp's) is blocked by more idle ones than it has threads.
func (c *Client) Warm(ctx context.Context, n int) error {
	if c.http2 != nil {
		return c.http2.warm(ctx)
	}
	missing := min(n+n/4+2, c.o.Conns) - int(c.open.Load())
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(64) // a listener's queue is short on some systems
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

// Close closes the idle connections; the ones in use close when their requests end.
func (c *Client) Close() {
	c.closed.Store(true)
	if c.http2 != nil {
		c.http2.transport.CloseIdleConnections()
	}
	for cn := c.take(); cn != nil; cn = c.take() {
		cn.Close()
	}
}

// Do makes one request now, and returns when it has ended. Times in the record count from epoch.
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
	body     []byte // the end of wire
	stream   bool
	keepText bool
	tools    bool // some are offered
	bounds   bounds
	share    share // what its answer holds; whoever is done with its record gives it back
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
	_ = json.Unmarshal(job.Body, &asks) // a body that is not JSON is sent as it is, for servers to refuse
	trace := c.o.Tracer.Reserve()
	wire := make([]byte, 0, len(c.head)+len(job.Body)+24+80) // 80: of a trace's header
	wire = strconv.AppendInt(append(wire, c.head...), int64(len(job.Body)), 10)
	wire = append(trace.AppendHeader(append(wire, "\r\n"...)), "\r\n"...)
	wire = append(wire, job.Body...)
	return &request{wire: wire, body: wire[len(wire)-len(job.Body):], stream: asks.Stream, keepText: job.KeepText,
		trace: trace, model: asks.Model, tools: len(asks.Tools) > 0,
		bounds: boundsOf(max(asks.MaxTokens, asks.MaxCompletionTokens)), share: share{all: &c.held}}
}

// send writes a request on an idle connection if there is one and the request is small, and stamps it. Without a
// connection finish goes on from here: dialling must not hold up the schedule.
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

// finish brings a request to its end and its record with it. A connection that can take another request is returned,
// for the caller to let it rest.
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
	stop := context.AfterFunc(ctx, func() { _ = cn.SetDeadline(time.Unix(1, 0)) }) // ends the read
	begun, reusable, err = cn.receive(epoch, q, r)
	return begun, stop() && reusable, err
}

// raceWait bounds the keep-alive race: a close that crosses a request takes a round trip to show, and a second is that
// of the farthest server. What is lost later was lost by a server that had the request.
const raceWait = time.Second

// raced says that a request was lost because the server closed a kept connection while it was under way. The server
// never had it, so it may be sent again.
func (c *Client) raced(ctx context.Context, epoch time.Time, r *evidence.Request, cn *conn, begun bool,
	err error) bool {
	if err == nil || cn == nil || ctx.Err() != nil || c.since(epoch)-r.Issued >= int64(raceWait) {
		return false
	}
	if r.Status == http.StatusRequestTimeout { // HAProxy's farewell to a connection that rested, says RFC 9110 too
		return cn.answers > 1
	}
	return cn.answers > 0 && cn.bytes == 0 && !begun && lost(err) && !errors.Is(err, os.ErrDeadlineExceeded)
}

// rest waits until it is plain that the server keeps a connection, and makes it idle then. A server that drops most is
// not trusted with any: under load it may take longer to close.
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

// connect writes the request on a connection, which it dials where none is given.
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

// get takes the idle connection that was used last, and closes the ones it finds dead.
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
	c.open.Add(1)
	c.idle.push(cn)
	if c.closed.Load() { // meanwhile
		c.Close()
	}
}

func (c *Client) since(epoch time.Time) int64 { return int64(c.clock.Now().Sub(epoch)) }
