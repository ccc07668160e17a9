package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// ShapedTLS is Shaped with TLS: its connections have completed their handshake, and answer in OpenAI's form inside
// TLS. A client that speaks plain HTTP instead gets an error that says so. A handshake that fails, or takes longer
// than the limit, is logged.
//
// net/http speaks HTTP/2 only on a *tls.Conn, and its own refusals over HTTP/1.1 cannot be seen there before they are
// encrypted. So the handshake happens here: a connection that agreed on HTTP/2 stays a *tls.Conn, and every other one
// is wrapped in a connection that sees what is written.
func ShapedTLS(l net.Listener, config *tls.Config, limit time.Duration, log *log.Logger) net.Listener {
	ctx, cancel := context.WithCancel(context.Background())
	t := &tlsListener{Listener: l, config: config, limit: limit, log: log, ctx: ctx, cancel: cancel,
		accepted: make(chan accepted)}
	t.running.Go(t.run)
	return t
}

type tlsListener struct {
	net.Listener
	config *tls.Config
	limit  time.Duration
	log    *log.Logger

	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	accepted chan accepted
	running  sync.WaitGroup
}

// accepted is what Accept returns next.
type accepted struct {
	conn net.Conn
	err  error
}

// Accept waits for a connection that has completed its handshake.
func (l *tlsListener) Accept() (net.Conn, error) {
	select {
	case a := <-l.accepted:
		return a.conn, a.err
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close ends the listener, and the connections that Accept has not returned yet.
func (l *tlsListener) Close() error {
	l.cancel()
	err := l.Listener.Close()
	l.running.Wait()
	return err
}

// run accepts connections until Close. It does not go on after an error until Accept has returned it, so that a caller
// which pauses after an error really does pause.
func (l *tlsListener) run() {
	for {
		conn, err := l.Listener.Accept()
		if err == nil {
			l.running.Go(func() { l.shake(conn) })
			continue
		}
		if !l.give(accepted{err: err}) || errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// give passes something to Accept, and says whether Accept took it.
func (l *tlsListener) give(a accepted) bool {
	select {
	case l.accepted <- a:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// shake does the handshake of a connection and passes the connection to Accept.
func (l *tlsListener) shake(raw net.Conn) {
	ctx, cancel := context.WithTimeout(l.ctx, l.limit)
	defer cancel()
	conn := tls.Server(raw, l.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		if e, ok := errors.AsType[tls.RecordHeaderError](err); ok && e.Conn != nil && beginsHTTP(e.RecordHeader) {
			err = errPlainHTTP
			e.Conn.SetWriteDeadline(time.Now().Add(time.Second))
			writeRefusal(e.Conn, errPlainHTTP)
		}
		raw.Close()
		if l.ctx.Err() == nil {
			l.log.Printf("TLS handshake with %s: %v", raw.RemoteAddr(), err)
		}
		return
	}
	var next net.Conn = conn
	if conn.ConnectionState().NegotiatedProtocol != "h2" {
		next = shapedTLSConn{conn}
	}
	if !l.give(accepted{conn: next}) {
		raw.Close()
	}
}

var errPlainHTTP = &httpError{status: http.StatusBadRequest, typ: typeInvalid, code: "tls_required",
	message: "the request is plain HTTP, and this port speaks TLS: use https://"}

// beginsHTTP says whether the bytes in place of a TLS record's header begin an HTTP request.
func beginsHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "PATCH", "OPTIO", "DELET", "TRACE", "CONNE", "PRI *":
		return true
	}
	return false
}

// shapedTLSConn is a connection that speaks HTTP/1.1. net/http reads the ConnectionState of its requests from it.
type shapedTLSConn struct{ *tls.Conn }

func (c shapedTLSConn) Write(p []byte) (int, error) { return writeShaped(c.Conn, p) }
