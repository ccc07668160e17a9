package access

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// LimitListener lets at most n connections be open at a time, or 2 if n is smaller. Above that, a new connection takes
// the place of one without a request under way: see connections. So clients cannot use up the process's files and
// memory, or keep others out, however many connections they open. evicted is called for each connection that was
// closed to make room; it may be nil.
func LimitListener(l net.Listener, n int, log *slog.Logger, evicted func()) *LimitedListener {
	return &LimitedListener{Listener: l, log: log, evicted: evicted, state: newConnections(n)}
}

// LimitedListener is what LimitListener makes.
type LimitedListener struct {
	net.Listener
	log     *slog.Logger
	evicted func()

	// Hold, if not nil, says how long data that was read from a connection must wait before it is processed. Set it
	// before Accept. A single request costs little until it is understood, but an HTTP/2 connection can send frames
	// without end.
	Hold func() time.Duration

	mu    sync.Mutex
	state *connections

	// used only by Accept
	told  time.Time // when the log last had a line about evictions
	quiet int       // evictions since
}

// Accept waits for a connection. Where it needs the place of another connection, it closes that one.
func (l *LimitedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	c := &limitConn{Conn: conn, l: l}
	l.mu.Lock()
	state, out := l.state.add(now, addressOf(conn))
	c.state, state.close = state, conn.Close
	l.mu.Unlock()
	if out != nil {
		out.close() // its server sees the error
		l.tell(now, out)
	}
	return c, nil
}

// tell counts an eviction and logs at most one line in ten seconds.
func (l *LimitedListener) tell(now time.Time, out *connection) {
	const every = 10 * time.Second
	if l.evicted != nil {
		l.evicted()
	}
	l.quiet++
	if l.quiet > 1 && now.Sub(l.told) < every {
		return
	}
	l.log.Warn("as many connections as may be are open: idle ones are closed for new ones", "limit", l.state.most,
		"closed", l.quiet, "idle_for", now.Sub(out.since), "from", out.peer.network.String())
	l.told, l.quiet = now, 0
}

// Open returns the number of open connections.
func (l *LimitedListener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.open
}

// Most returns the maximum number of open connections.
func (l *LimitedListener) Most() int { return l.state.most }

// ConnContext is for http.Server: it lets a request find its connection.
func (l *LimitedListener) ConnContext(ctx context.Context, c net.Conn) context.Context {
	for {
		switch t := c.(type) {
		case *limitConn:
			return context.WithValue(ctx, connKey{}, t)
		case interface{ NetConn() net.Conn }: // TLS
			c = t.NetConn()
		default:
			return ctx
		}
	}
}

type connKey struct{}

// Work says that the request of a context was admitted: its connection stays open until Place.End. If no more
// connections may work, the error is ErrConnections. Requests that did not come through a LimitedListener need no
// place.
func Work(ctx context.Context) (*Place, error) {
	c, ok := ctx.Value(connKey{}).(*limitConn)
	if !ok {
		return nil, nil
	}
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if err := c.l.state.enter(c.state); err != nil {
		return nil, err
	}
	return &Place{c}, nil
}

// Place is a request's place among the connections that may work. A nil Place belongs to a request that needs none.
type Place struct{ c *limitConn }

// End gives the place back.
func (p *Place) End() {
	if p == nil {
		return
	}
	p.c.l.mu.Lock()
	defer p.c.l.mu.Unlock()
	p.c.l.state.leave(time.Now(), p.c.state)
}

// Touch says that the request of a context asks for something that needs no key.
func Touch(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*limitConn); ok {
		c.l.mu.Lock()
		defer c.l.mu.Unlock()
		c.l.state.touch(time.Now(), c.state)
	}
}

type limitConn struct {
	net.Conn
	l     *LimitedListener
	state *connection
}

func (c *limitConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.l.Hold != nil {
		time.Sleep(c.l.Hold())
	}
	return n, err
}

func (c *limitConn) Close() error {
	c.l.mu.Lock()
	c.l.state.remove(c.state)
	c.l.mu.Unlock()
	return c.Conn.Close()
}

// addressOf returns the address that a connection comes from; it is not valid if that is not an IP address.
func addressOf(c net.Conn) netip.Addr {
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr()
	}
	return netip.Addr{}
}
