package api

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// malformed are requests with their answers. net/http itself gives most of the answers.
var malformed = []struct {
	send   string
	status int
	code   string
}{
	{"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, ""},
	{"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "not_found"},
	{"nonsense\r\n\r\n", 400, "malformed_request"},
	{"GET / HTTP/1.1\r\n\r\n", 400, "malformed_request"},
	{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "malformed_request"},
	{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "malformed_request"},
	{"GET / HTTP/1.1\r\nHost: a\r\n b c\r\nx y: z\r\n\r\n", 400, "malformed_request"},
	{"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "http_version_not_supported"},
	{"POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "unsupported_encoding"},
	{"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: the-worst\r\n\r\n{}", 417,
		"expectation_failed"},
	{"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 431, "headers_too_large"},
}

// TestShaped: refusals of net/http have OpenAI's form, also inside TLS, and other answers stay unchanged.
func TestShaped(t *testing.T) {
	f := start(t)
	config := tlsConfig(t)
	for name, encrypted := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := f.server.HTTPServer()
			shaped := Shaped(l)
			if encrypted {
				server.TLSConfig = config
				shaped = ShapedTLS(l, config, llmtest.Limit, server.ErrorLog)
			}
			done := make(chan error, 1)
			go func() { done <- server.Serve(shaped) }()
			defer func() { server.Close(); <-done }()
			for _, c := range malformed {
				conn, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				if encrypted {
					conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
				}
				checkShape(t, conn, c.send, c.status, c.code)
			}
		})
	}
}

// tlsConfig is the configuration of a server, with a certificate for this machine.
func tlsConfig(t *testing.T) *tls.Config {
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	return &tls.Config{Certificates: server.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}
}

// checkShape sends a request and checks the answer: its status, and the code of its error unless that is empty.
func checkShape(t *testing.T, conn net.Conn, send string, status int, code string) {
	t.Helper()
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(llmtest.Limit))
	io.WriteString(conn, send)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%.60q: %v", send, err)
	}
	data, _ := io.ReadAll(resp.Body)
	var e openai.ErrorResponse
	bad := json.Unmarshal(data, &e) != nil
	if code != "" {
		bad = bad || e.Error.Code == nil || *e.Error.Code != code || e.Error.Message == ""
	}
	if bad || resp.StatusCode != status || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%.60q: %s %s %s", send, resp.Status, resp.Header.Get("Content-Type"), data)
	}
}

// TestShapedTLS: connections have agreed on a protocol when Accept returns them; a client that speaks plain HTTP is
// told so; and handshakes end with the listener and at their limit.
func TestShapedTLS(t *testing.T) {
	listen := func(limit time.Duration) (net.Listener, func() net.Conn) {
		raw, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l := ShapedTLS(raw, tlsConfig(t), limit, log.New(io.Discard, "", 0))
		t.Cleanup(func() { l.Close() })
		return l, func() net.Conn {
			conn, err := net.Dial("tcp", raw.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(llmtest.Limit))
			t.Cleanup(func() { conn.Close() })
			return conn
		}
	}
	l, dial := listen(time.Minute)
	silent := dial()
	checkShape(t, dial(), "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "tls_required")
	checkShape(t, dial(), "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "tls_required")
	for _, protos := range [][]string{{"h2"}, {"http/1.1"}, nil} { // the silent connection does not delay them
		client := tls.Client(dial(), &tls.Config{InsecureSkipVerify: true, NextProtos: protos})
		go client.Handshake()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if _, ok := conn.(*tls.Conn); ok != (len(protos) > 0 && protos[0] == "h2") {
			t.Errorf("%q came as %T", protos, conn)
		}
	}
	waiting := tls.Client(dial(), &tls.Config{InsecureSkipVerify: true}) // Accept is not called for this connection
	if err := waiting.Handshake(); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	_, short := listen(time.Millisecond)
	for name, conn := range map[string]net.Conn{"silent": silent, "not accepted": waiting, "slow": short()} {
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
}

// TestNotShaped: an answer that only looks like a refusal of net/http stays unchanged.
func TestNotShaped(t *testing.T) {
	for _, answer := range []string{"", "HTTP/1.1 4", "HTTP/1.1 400 Bad Request\r\n",
		"HTTP/1.1 200 OK\r\n" + refusalHeaders,
		"data: HTTP/1.1 400 Bad Request\r\n" + refusalHeaders, "HTTP/1.1 4xx\r\n" + refusalHeaders,
		"HTTP/1.1 400 Bad Request\r\nDate: x\r\n" + refusalHeaders,
		"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\n{}"} {
		if e := plainRefusal([]byte(answer)); e != nil {
			t.Errorf("%q became %v", answer, e)
		}
	}
}
