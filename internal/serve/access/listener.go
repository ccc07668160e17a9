package access

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// LimitListener lets at most n connections be open at a time, or 2 if n is smaller. Beyond them, a new connection
// takes the place of one that has no request under way: see connections. So clients that come in any number cannot
// use up the process's files and memory, and cannot keep others out. evicted, which may be nil, is called for each
// connection that had to go.
func LimitListener(l net.Listener, n int, log *slog.Logger, evicted func()) *LimitedListener {
	return &LimitedListener{Listener: l, log: log, evicted: evicted, state: newConnections(n)}
}

// LimitedListener is what LimitListener makes.
type LimitedListener struct {
	net.Listener
	log     *slog.Logger
	evicted func()

	// Hold, if not nil, says how long what was read from a connection has to wait before anything is done with it. Set
	// it before Accept. Requests cost little before they are understood, but there is no end to frames of HTTP/2.
	Hold func() time.Duration

	mu    sync.Mutex
	state *connections

	// of Accept alone
	told  time.Time // when the log last had a line about evictions
	quiet int       // evictions since
}

// Accept waits for a connection. One that has to go for it is closed.
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
		out.close() // its server notices
		l.tell(now, out)
	}
	return c, nil
}

// tell counts an eviction and logs it, a line in ten seconds at most.
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

// Open is the number of connections that are open.
func (l *LimitedListener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.open
}

// Most is how many connections may be open.
func (l *LimitedListener) Most() int { return l.state.most }

// ConnContext is for http.Server: requests find the connection that they came on.
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

// Work says that the request of a context was let in: its connection stays open until Place.End. Without room for
// one more, the error is ErrConnections. Requests that came through no LimitedListener need no place.
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

// Place is what a request holds of the connections that may work. A nil one is of a request that needs none.
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

// Touch says that the request of a context asks for what everybody may have.
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

// addressOf is where a connection comes from; not valid where that is not an IP address.
func addressOf(c net.Conn) netip.Addr {
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr()
	}
	return netip.Addr{}
}
