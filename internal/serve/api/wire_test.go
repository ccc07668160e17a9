package api

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
)

// TestShaped: what net/http refuses by itself has OpenAI's shape, and other answers go out as they are.
func TestShaped(t *testing.T) {
	f := start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := f.server.HTTPServer()
	done := make(chan error, 1)
	go func() { done <- server.Serve(Shaped(l)) }()
	defer func() { server.Close(); <-done }()
	for _, c := range []struct {
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
	} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(conn, c.send)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%.60q: %v", c.send, err)
		}
		data, _ := io.ReadAll(resp.Body)
		conn.Close()
		var e openai.ErrorResponse
		bad := json.Unmarshal(data, &e) != nil
		if c.code != "" {
			bad = bad || e.Error.Code == nil || *e.Error.Code != c.code || e.Error.Message == ""
		}
		if bad || resp.StatusCode != c.status || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%.60q: %s %s %s", c.send, resp.Status, resp.Header.Get("Content-Type"), data)
		}
	}
}

// TestNotShaped: an answer that only looks like a refusal of net/http's stays as it is.
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
