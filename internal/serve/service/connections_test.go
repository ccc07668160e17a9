package service

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// crowded is a service with keys, with and without TLS, on which only few connections may be open.
type crowded struct {
	t       *testing.T
	s       *Service
	address string
	tls     *tls.Config // nil: plain HTTP
	log     lockedLog
}

type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newCrowded(t *testing.T, encrypted bool, most int) *crowded {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if err := os.WriteFile(keys, []byte("test sk-test-0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &crowded{t: t}
	readTimeout = time.Hour // a request that has begun waits for whatever the test does meanwhile
	t.Cleanup(func() { readTimeout = 0 })
	c.s = openTiny(t, func(o *Options) {
		o.MaxConnections, o.APIKeyFile = most, keys
		o.Logger = slog.New(slog.NewTextHandler(&c.log, nil))
		if encrypted {
			o.TLSCertFile, o.TLSKeyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
			trusted := x509.NewCertPool()
			trusted.AddCert(writeCertificate(t, o.TLSCertFile, o.TLSKeyFile, 1))
			c.tls = &tls.Config{RootCAs: trusted}
		}
	})
	c.address = serveTiny(t, c.s, c.s.Serve)
	return c
}

// connect opens a connection that is used only up to a certain point; the test closes it.
func (c *crowded) connect(from string, protocol string) net.Conn {
	c.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: llmtest.Limit}
	conn, err := d.DialContext(c.t.Context(), "tcp", c.address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	if protocol == "" || c.tls == nil {
		return conn
	}
	config := c.tls.Clone()
	config.ServerName, config.NextProtos = "127.0.0.1", []string{protocol}
	encrypted := tls.Client(conn, config)
	if err := encrypted.HandshakeContext(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	return encrypted
}

// write writes to a connection; it is no error if that is closed meanwhile.
func write(conn net.Conn, text string) { io.WriteString(conn, text) }

const withKey = "Host: localhost\r\nAuthorization: Bearer sk-test-0123456789abcdef\r\n"

// holders are ways to occupy a connection without a key.
var holders = map[string]func(c *crowded, from string){
	"silence":      func(c *crowded, from string) { c.connect(from, "") },
	"half a hello": func(c *crowded, from string) { write(c.connect(from, ""), "\x16\x03\x01\x02\x00\x01\x00") },
	"half a header": func(c *crowded, from string) {
		write(c.connect(from, "http/1.1"), "POST /v1/chat/completions HTTP/1.1\r\nHo")
	},
	"kept alive, refused": func(c *crowded, from string) {
		write(c.connect(from, "http/1.1"), "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
	},
	"body without a key": func(c *crowded, from string) {
		write(c.connect(from, "http/1.1"),
			"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
	},
	"HTTP/2 without a request": func(c *crowded, from string) { write(c.connect(from, "h2"), http2Hello) },
	"HTTP/2, half a header": func(c *crowded, from string) {
		// HEADERS of stream 1 with only ":method: GET", and without an end
		write(c.connect(from, "h2"), http2Hello+"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82")
	},
}

// http2Hello is what a client of HTTP/2 sends first: the preface and an empty SETTINGS frame.
const http2Hello = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// healthy makes a health check as a new client, from an address of its own.
func (c *crowded) healthy(http2 bool) error {
	transport := &http.Transport{TLSClientConfig: c.tls, ForceAttemptHTTP2: http2, DisableKeepAlives: true,
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.9")}}).DialContext}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: llmtest.Limit}
	scheme := "http"
	if c.tls != nil {
		scheme = "https"
	}
	resp, err := client.Get(scheme + "://" + c.address + "/livez")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if want := 1 + map[bool]int{true: 1}[http2 && c.tls != nil]; resp.StatusCode != 200 || resp.ProtoMajor != want {
		return fmt.Errorf("%s %s, want HTTP/%d", resp.Proto, resp.Status, want)
	}
	return nil
}

// work begins a request with a key whose body is incomplete, and waits until the service knows its key.
func (c *crowded) work() *bufio.ReadWriter {
	c.t.Helper()
	conn := c.connect("127.0.0.1", "http/1.1")
	write(conn, "POST /v1/completions HTTP/1.1\r\n"+withKey+"Expect: 100-continue\r\nContent-Length: 42\r\n\r\n")
	rw := bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
	conn.SetReadDeadline(time.Now().Add(llmtest.Limit))
	line, err := rw.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	if strings.Contains(line, " 100 ") {
		rw.ReadString('\n')
		return rw
	}
	rest, _ := io.ReadAll(io.LimitReader(rw, 600))
	c.t.Fatalf("%s%s", line, rest)
	return nil
}

// finish sends the rest of the body that work began and reads the answer.
func finish(rw *bufio.ReadWriter) (*http.Response, error) {
	rw.WriteString(`{"prompt":"Paris is","max_tokens":2     }`[:41] + "\n")
	if err := rw.Flush(); err != nil {
		return nil, err
	}
	return http.ReadResponse(rw.Reader, nil)
}

// TestConnectionsWithoutAKey: whatever occupies the connections without a key, from any number of addresses, health
// checks and clients with a key get through, a request under way ends normally, and the log tells the operator.
func TestConnectionsWithoutAKey(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		for name, hold := range holders {
			if !encrypted && strings.HasPrefix(name, "HTTP/2") {
				continue
			}
			t.Run(fmt.Sprintf("TLS %v/%s", encrypted, name), func(t *testing.T) {
				c := newCrowded(t, encrypted, 8)
				begun := c.work()
				for i := range 40 {
					hold(c, fmt.Sprintf("127.0.0.%d", 1+i%3))
				}
				for _, http2 := range []bool{false, true} {
					if err := c.healthy(http2); err != nil {
						t.Errorf("a health check (HTTP/2: %v): %v", http2, err)
					}
				}
				for what, rw := range map[string]*bufio.ReadWriter{"begun before": begun, "new": c.work()} {
					resp, err := finish(rw)
					if err != nil || resp.StatusCode != 200 {
						t.Errorf("a request with a key, %s: %v %v", what, resp, err)
					}
				}
				open, most := metricOf(t, c.s, telemetry.Connections), metricOf(t, c.s, telemetry.ConnectionsLimit)
				if out := metricOf(t, c.s, telemetry.Evicted); open > 8 || most != 8 ||
					out < 34-7 { // on a busy machine the seven that are open may end by their own time limit
					t.Errorf("%v connections of %v are open, %v had to go", open, most, out)
				}
				if log := c.log.String(); strings.Count(log, "idle ones are closed for new ones") == 0 ||
					!strings.Contains(log, "from=127.0.0.") {
					t.Errorf("the log says nothing: %s", log)
				}
			})
		}
	}
}

// TestConnectionsThatWork: if requests with a key occupy all connections that may work, one more is refused at once,
// and health checks still get through. When one of them ends, the next may work.
func TestConnectionsThatWork(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		c := newCrowded(t, encrypted, 4)
		held := []*bufio.ReadWriter{c.work(), c.work(), c.work()}
		conn := c.connect("127.0.0.1", "http/1.1")
		write(conn, "GET /v1/models HTTP/1.1\r\n"+withKey+"\r\n")
		conn.SetReadDeadline(time.Now().Add(llmtest.Limit))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" ||
			!bytes.Contains(body, []byte(`"too_many_connections"`)) {
			t.Errorf("%s %s", resp.Status, body)
		}
		for _, http2 := range []bool{false, true} {
			if err := c.healthy(http2); err != nil {
				t.Errorf("a health check: %v", err)
			}
		}
		for _, rw := range held {
			if resp, err := finish(rw); err != nil || resp.StatusCode != 200 {
				t.Errorf("%v %v", resp, err)
			}
		}
		for range 3 {
			c.work()
		}
	}
}

// TestMaxConnections: a client that leaves makes its place free.
func TestMaxConnections(t *testing.T) {
	c := newCrowded(t, false, 8)
	for range 100 {
		conn := c.connect("127.0.0.1", "")
		write(conn, "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		conn.SetReadDeadline(time.Now().Add(llmtest.Limit))
		if answer, err := io.ReadAll(conn); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) {
			t.Fatalf("%s %v", answer, err)
		}
		conn.Close()
	}
	llmtest.Until(t, "all to be counted as closed", func() bool {
		return metricOf(t, c.s, telemetry.Connections) == 0
	})
	if out := metricOf(t, c.s, telemetry.Evicted); out != 0 {
		t.Errorf("%v connections had to go", out)
	}
}
