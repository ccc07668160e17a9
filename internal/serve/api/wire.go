package api

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// Shaped returns a listener whose connections answer in OpenAI's form even where net/http refuses a request before a
// handler sees it; net/http would send plain text. ShapedTLS is for connections with TLS.
func Shaped(l net.Listener) net.Listener { return shapedListener{l} }

type shapedListener struct{ net.Listener }

func (l shapedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return shapedConn{c}, nil
}

type shapedConn struct{ net.Conn }

// NetConn returns the connection below, as tls.Conn does.
func (c shapedConn) NetConn() net.Conn { return c.Conn }

func (c shapedConn) Write(p []byte) (int, error) { return writeShaped(c.Conn, p) }

// writeShaped writes to a connection. It changes a refusal of net/http, which comes in one piece, to OpenAI's form.
func writeShaped(c net.Conn, p []byte) (int, error) {
	e := plainRefusal(p)
	if e == nil {
		return c.Write(p)
	}
	if err := writeRefusal(c, e); err != nil {
		return 0, err
	}
	return len(p), nil
}

// writeRefusal writes an error as the last answer of a connection.
func writeRefusal(c net.Conn, e *httpError) error {
	body := e.body()
	_, err := c.Write(fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"+
		"Connection: close\r\n\r\n%s", e.status, http.StatusText(e.status), len(body), body))
	return err
}

// refusalHeaders are all headers of a refusal that net/http writes by itself. No answer of a handler has only these.
const refusalHeaders = "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// plainRefusal reads a refusal of net/http. It is nil for every other answer, and for pieces of answers.
func plainRefusal(p []byte) *httpError {
	rest, ok := bytes.CutPrefix(p, []byte("HTTP/1.1 "))
	if !ok || len(rest) < 3 || rest[0] != '4' && rest[0] != '5' {
		return nil
	}
	line, headers, _ := bytes.Cut(rest, []byte("\r\n"))
	status, err := strconv.Atoi(string(line[:min(3, len(line))]))
	if err != nil {
		return nil
	}
	empty := status == http.StatusExpectationFailed && bytes.HasSuffix(headers, []byte("\r\n\r\n")) &&
		bytes.Contains(headers, []byte("Content-Length: 0\r\n"))
	if !empty && !bytes.HasPrefix(headers, []byte(refusalHeaders)) {
		return nil
	}
	e := &httpError{status: status, typ: typeInvalid, code: "malformed_request",
		message: "the request is not valid HTTP"}
	switch status {
	case http.StatusExpectationFailed:
		e.code, e.message = "expectation_failed", "Expect: only 100-continue can be met"
	case http.StatusRequestHeaderFieldsTooLarge:
		e.code = "headers_too_large"
		e.message = fmt.Sprintf("the request's headers have more than %d bytes", maxHeaders)
	case http.StatusNotImplemented:
		e.code, e.message = "unsupported_encoding", "Transfer-Encoding: only chunked is supported"
	case http.StatusHTTPVersionNotSupported:
		e.code, e.message = "http_version_not_supported", "the request's version of HTTP is not supported: use 1.1"
	default:
		if _, why, ok := strings.Cut(string(line), ": "); ok {
			e.message += ": " + why
		}
	}
	return e
}
