package loadgen

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// Time limits for reading what only matters for reusing the connection, or for the text of an error.
const (
	tailWait  = 100 * time.Millisecond // what follows [DONE]
	errorWait = time.Second            // the body of an error response
)

var errTooLarge = fmt.Errorf("%w: the response is too large", ErrProtocol)

// conn is a connection that keeps the arrival times of what it reads.
type conn struct {
	net.Conn
	in    arrivalConn     // the socket, below TLS
	raw   syscall.RawConn // the socket; nil if there is none
	tls   bool
	clock Clock
	br    *bufio.Reader
	buf   []byte
	at    time.Time // when the last bytes arrived
	last  time.Time // when the bytes before them arrived
	end   error     // error of the last read
	reads int       // number of reads so far
	bytes int       // bytes read since the last request
	// number of responses received: a server may close a kept connection between two
	answers int
	budget  int // bytes that may still be received
	room    int // bytes that can be written without waiting
}

// newConn makes a connection of c, which is in itself or TLS over it. raw is the socket, if there is one.
func newConn(c net.Conn, in arrivalConn, raw syscall.RawConn, clock Clock) *conn {
	cn := &conn{Conn: c, in: in, raw: raw, tls: c != net.Conn(in), clock: clock, buf: make([]byte, 4096)}
	cn.br = bufio.NewReaderSize(cn, 4096)
	return cn
}

// Read also stores when the bytes arrived.
func (cn *conn) Read(p []byte) (int, error) {
	if cn.budget <= 0 {
		return 0, errTooLarge
	}
	n, err := cn.Conn.Read(p)
	cn.last, cn.at = cn.at, cn.in.arrived()
	cn.reads++
	cn.budget -= n
	cn.bytes += n
	cn.end = err
	return n, err
}

func (cn *conn) write(wire []byte, deadline time.Time) error {
	if err := cn.SetDeadline(deadline); err != nil {
		return err
	}
	cn.bytes = 0
	_, err := cn.Conn.Write(wire)
	return err
}

// quiet says whether nothing arrives on the connection for d, and it is not closed. A goroutine that gets a core only
// after the deadline has read nothing, so the socket is looked at once more, without a deadline.
func (cn *conn) quiet(d time.Duration) bool {
	if cn.SetReadDeadline(cn.clock.Now().Add(d)) != nil {
		return false
	}
	cn.budget = 1
	_, err := cn.br.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded) && cn.SetReadDeadline(time.Time{}) == nil && cn.alive()
}

// receive reads the response into r. begun says whether a response had begun, and reusable whether the connection can
// be used again.
func (cn *conn) receive(epoch time.Time, q *request, r *evidence.Request) (begun, reusable bool, err error) {
	resp, err := cn.header()
	if err != nil {
		return false, false, err
	}
	return cn.answer(resp, epoch, q, r)
}

// answer reads the body of a response into r. Its results are those of receive.
func (cn *conn) answer(resp *http.Response, epoch time.Time, q *request,
	r *evidence.Request) (begun, reusable bool, err error) {
	defer resp.Body.Close()
	cn.answers++
	r.Status = resp.StatusCode
	cn.budget = maxStream
	if err := decompress(resp); err != nil {
		return true, false, err
	}
	a := newAnswer(r, q)
	defer a.record()
	kind, sse := contentType(resp)
	location, later := resp.Header.Get("Location"), resp.Header.Get("Retry-After")
	resp.Header = nil // for many answers under way, headers would use more memory than texts
	var ended bool
	switch {
	case resp.StatusCode/100 != 2: // some gateways answer 201
		ended, err = cn.refused(resp, location, later)
	case sse && !q.stream:
		err = fmt.Errorf("%w: a stream that was not asked for", ErrProtocol)
	case q.stream && !sse && kind != "" && kind != "application/json":
		err = fmt.Errorf("%w: content type %.60q where a stream of events was asked for", ErrProtocol, kind)
	case q.stream:
		ended, err = cn.stream(resp.Body, epoch, a)
	default:
		ended, err = cn.whole(resp.Body, nil, epoch, a)
	}
	if err == nil {
		err = a.check()
	}
	if r.Done == 0 && err != nil {
		r.Done = int64(cn.at.Sub(epoch))
	}
	return true, ended && !resp.Close && (cn.br == nil || cn.br.Buffered() == 0), err
}

// contentType is the media type of a response. kind is empty for a response without a type or with a generic one,
// which is taken for what was asked for, because some servers and gateways do not label their streams.
func contentType(resp *http.Response) (kind string, sse bool) {
	kind, _, _ = strings.Cut(resp.Header.Get("Content-Type"), ";")
	switch kind = strings.ToLower(strings.TrimSpace(kind)); kind {
	case "text/plain", "application/octet-stream":
		kind = ""
	}
	return kind, kind == "text/event-stream"
}

// header reads the response's head. It skips interim responses.
func (cn *conn) header() (*http.Response, error) {
	cn.budget = maxHeader
	for {
		resp, err := http.ReadResponse(cn.br, nil)
		if err != nil && cn.end != nil {
			return nil, cn.end // ReadResponse reports an incomplete head like a malformed one
		}
		if err != nil || resp.StatusCode >= 200 {
			return resp, err
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return nil, fmt.Errorf("%w: the server switches protocols", ErrProtocol)
		}
	}
}

// stream reads events to the end of the body. ended says that the body is complete, so nothing of it is left on the
// connection. Because the media type may be wrong, the first byte decides what the body is: with a brace it is an
// unstreamed answer, otherwise a stream.
func (cn *conn) stream(body io.Reader, epoch time.Time, a *answer) (ended bool, err error) {
	ev := events{share: a.share}
	joins := newJoins(cn)
	each := func(data []byte) error {
		before := a.r.Chunks + a.r.Thoughts
		err := a.event(ev.name, data, int64(cn.at.Sub(epoch)))
		if a.r.Chunks+a.r.Thoughts > before && joins.chunk() {
			a.r.Blurred++
		}
		return err
	}
	for total := 0; ; {
		n, readErr := body.Read(cn.buf)
		if total += n; total > maxStream { // after decompression
			return false, errTooLarge
		}
		if total == n && n > 0 && bytes.HasPrefix(bytes.TrimLeft(cn.buf[:n], " \t\r\n"), []byte("{")) {
			begun := bytes.Clone(cn.buf[:n])
			if readErr != nil && !errors.Is(readErr, io.EOF) {
				return false, readErr
			}
			if ended, err = cn.whole(body, begun, epoch, a); err == nil {
				err = fmt.Errorf("%w: a whole answer where a stream was asked for", ErrProtocol)
			}
			return ended, err
		}
		if n > 0 && !a.done {
			if err := ev.feed(cn.buf[:n], each); err != nil {
				return false, err
			}
			if a.done { // the answer is complete; what follows only matters for reusing the connection
				cn.budget = maxTail
				if err := cn.SetReadDeadline(cn.clock.Now().Add(tailWait)); err != nil {
					return false, nil
				}
			}
		}
		switch {
		case readErr == nil:
		case errors.Is(readErr, io.EOF): // a stream with a finish_reason is complete even without [DONE]
			err := ev.finish(each)
			if a.r.Done == 0 && err == nil {
				a.r.Done = int64(cn.at.Sub(epoch))
			}
			return true, err
		case a.done:
			return false, nil
		default:
			return false, readErr
		}
	}
}

// whole reads an unstreamed response. begun is the part that was already read.
func (cn *conn) whole(body io.Reader, begun []byte, epoch time.Time, a *answer) (ended bool, err error) {
	data, err := cn.readWhole(body, begun, a.share)
	if err != nil {
		return false, err
	}
	return true, a.whole(data, int64(cn.at.Sub(epoch)))
}

// readWhole reads the rest of a body, up to maxWhole bytes in all.
func (cn *conn) readWhole(body io.Reader, data []byte, held *share) ([]byte, error) {
	for {
		n, err := body.Read(cn.buf)
		if err := held.take(n); err != nil {
			return nil, err
		}
		if data = append(data, cn.buf[:n]...); len(data) > maxWhole {
			return nil, errTooLarge
		}
		if errors.Is(err, io.EOF) {
			return data, nil
		} else if err != nil {
			return nil, err
		}
	}
}

// refused returns the error of a response that is not a success. location and later are the values of the headers
// Location and Retry-After.
func (cn *conn) refused(resp *http.Response, location, later string) (ended bool, err error) {
	if err := cn.SetReadDeadline(cn.clock.Now().Add(errorWait)); err != nil {
		return false, err
	}
	body, readErr := io.ReadAll(io.LimitReader(resp.Body, maxError)) // a part of the body is enough
	p, err := slowPiece(body, "message")
	text := p.fault
	if err != nil || text == "" {
		text = string(bytes.TrimSpace(body))
	}
	if location != "" {
		text = "to " + bounded.Short(location, evidence.MaxName) // the body of a redirect says no more
	}
	if later != "" {
		text = bounded.Short(text, evidence.MaxDetail-60) + retryAfter + bounded.Short(later, 32) + ")"
	}
	return readErr == nil && len(body) < maxError, failure{evidence.FailStatus,
		fmt.Errorf("status %d: %s", resp.StatusCode, text)}
}
