package access

import (
	"net"
	"sync"
	"sync/atomic"
)

// LimitListener lets at most n connections be open at a time; more wait in the operating system's queue until one
// closes. So clients that come in any number cannot use up the process's files and memory.
func LimitListener(l net.Listener, n int) *LimitedListener {
	return &LimitedListener{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

// LimitedListener is what LimitListener makes.
type LimitedListener struct {
	net.Listener
	slots  chan struct{} // holds one for each open connection, and one for that which Accept waits for
	open   atomic.Int64
	closed chan struct{}
	once   sync.Once
}

// Accept waits for a connection, and for one to close where there are as many as may be.
func (l *LimitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	l.open.Add(1)
	return &limitConn{Conn: conn, l: l}, nil
}

// Close ends Accept.
func (l *LimitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// Open is the number of connections that are open.
func (l *LimitedListener) Open() int { return int(l.open.Load()) }

type limitConn struct {
	net.Conn
	l    *LimitedListener
	once sync.Once
}

func (c *limitConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.l.open.Add(-1)
		<-c.l.slots
	})
	return err
}
