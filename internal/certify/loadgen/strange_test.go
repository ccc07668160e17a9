package loadgen

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

var streamed = Job{Prompt: "p", Body: []byte(`{"stream":true}`), KeepText: true}

// TestTheKeepAliveRaceIsNoFailure: a server that closes a kept connection just as the next request arrives never
// received the request. A server that closes a new connection, or closes later, did receive it.
func TestTheKeepAliveRaceIsNoFailure(t *testing.T) {
	var requests atomic.Int64
	fails := func(n int64) bool { return n == 2 }
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fails(requests.Add(1)) {
			panic(http.ErrAbortHandler) // before the first byte
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, word+finish+"data: [DONE]\n\n")
	}))
	defer h.Close()
	c := newClient(t, h.URL, ClientOptions{})
	ask := func() evidence.Request {
		q := c.Do(t.Context(), time.Now(), streamed)
		for end := time.Now().Add(time.Minute); c.open.Load() == 0 && q.OK() && time.Now().Before(end); {
			time.Sleep(time.Millisecond) // the connection rests
		}
		return q
	}
	if q := ask(); !q.OK() || q.Retried != 0 {
		t.Fatalf("a new connection: %+v", q)
	}
	if q := ask(); !q.OK() || q.Retried != 1 || requests.Load() != 3 {
		t.Errorf("a kept connection: %+v after %d requests", q, requests.Load())
	}
	fails = func(n int64) bool { return n >= 4 }
	if q := ask(); q.Fail != evidence.FailConnect || q.Retried != 1 || requests.Load() != 5 {
		t.Errorf("it fails again: %+v after %d requests", q, requests.Load())
	}
	if q := ask(); q.Fail != evidence.FailConnect || q.Retried != 0 {
		t.Errorf("a new connection that is closed: %+v", q)
	}
}

func TestTheClientsOwnLimitsAreItsOwn(t *testing.T) {
	for errno, name := range ownLimits {
		c := newClient(t, "http://127.0.0.1:1", ClientOptions{Dial: func(context.Context, string, string) (net.Conn,
			error) {
			return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", errno)}
		}})
		q := c.Do(t.Context(), time.Now(), streamed)
		if q.Fail != evidence.FailClient || !strings.Contains(q.Detail, name) {
			t.Errorf("%s: class %q, %q", name, q.Fail, q.Detail)
		}
	}
	c := newClient(t, "http://127.0.0.1:1", ClientOptions{Dial: func(context.Context, string, string) (net.Conn,
		error) {
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}})
	if q := c.Do(t.Context(), time.Now(), streamed); q.Fail != evidence.FailConnect {
		t.Errorf("refused: class %q", q.Fail)
	}
}

// inStep serves an answer whose parts the client reads one by one: step waits until the client has read what was
// written, and asks for more. Otherwise a client that gets no processor for a while would read several parts at once.
func inStep(t *testing.T, answer func(w http.ResponseWriter, step func())) *Client {
	t.Helper()
	var written, read atomic.Int64
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		answer(w, func() {
			for w.(http.Flusher).Flush(); read.Load() != written.Load() && r.Context().Err() == nil; {
				time.Sleep(time.Millisecond)
			}
		})
	}))
	h.Listener = &countingListener{h.Listener, &written}
	h.Start()
	t.Cleanup(h.Close)
	return newClient(t, h.URL, ClientOptions{Dial: func(ctx context.Context, network, address string) (net.Conn,
		error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &handledConn{Conn: conn, read: &read}, err
	}})
}

// handledConn counts what was read from it when the next read begins. The time of its arrival has been taken by then.
type handledConn struct {
	net.Conn
	read *atomic.Int64
	last int
}

func (c *handledConn) Read(p []byte) (n int, err error) {
	c.read.Add(int64(c.last))
	c.last, err = c.Conn.Read(p)
	return c.last, err
}

// countingListener counts what is written to its connections.
type countingListener struct {
	net.Listener
	written *atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &countingConn{c, l.written}, err
}

type countingConn struct {
	net.Conn
	written *atomic.Int64
}

func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// TestCompressedStreamsAreTimed: each chunk has the time at which it could be decoded.
func TestCompressedStreamsAreTimed(t *testing.T) {
	const pause = 60 * time.Millisecond
	c := inStep(t, func(w http.ResponseWriter, step func()) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for _, part := range []string{word, word, finish + "data: [DONE]\n\n"} {
			_, _ = io.WriteString(z, part)
			_ = z.Flush()
			step()
			time.Sleep(pause)
		}
		_ = z.Close()
	})
	q := c.Do(t.Context(), time.Now(), streamed)
	if !q.OK() || q.Chunks != 2 || time.Duration(q.Last-q.First) < pause*9/10 {
		t.Errorf("%+v", q)
	}
}

func TestReasoningIsTimedApart(t *testing.T) {
	think := "data: {\"choices\":[{\"delta\":{\"reasoning\":\"hm\"}}]}\n\n"
	c := inStep(t, func(w http.ResponseWriter, step func()) {
		for _, part := range []string{
			"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n", think, think, word,
			finish + "data: [DONE]\n\n"} {
			fmt.Fprint(w, part)
			step()
			time.Sleep(20 * time.Millisecond)
		}
	})
	q := c.Do(t.Context(), time.Now(), streamed)
	if !q.OK() || q.Thoughts != 2 || q.Thought != "hmhm" || q.Chunks != 1 || q.Opened == 0 ||
		q.Opened >= q.FirstAny || q.FirstAny >= q.First {
		t.Errorf("%+v", q)
	}
}

func TestHeadersAndQueriesAreSent(t *testing.T) {
	var got *http.Request
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, word+finish+"data: [DONE]\n\n")
	}))
	defer h.Close()
	c := newClient(t, h.URL+"/root", ClientOptions{Route: "/deployments/m/chat/completions", APIKey: "key",
		Header: http.Header{"api-key": {"hush"}, "authorization": {"Custom x"}},
		Query:  url.Values{"api-version": {"2024-10-21"}}})
	if q := c.Do(t.Context(), time.Now(), streamed); !q.OK() {
		t.Fatalf("%+v", q)
	}
	if got.URL.String() != "/deployments/m/chat/completions?api-version=2024-10-21" ||
		got.Header.Get("Api-Key") != "hush" || len(got.Header.Values("Authorization")) != 1 ||
		got.Header.Get("Authorization") != "Custom x" {
		t.Errorf("%s %v", got.URL, got.Header)
	}
	for _, bad := range []http.Header{{"a b": {"x"}}, {"x": {"1\r\nHost: y"}}, {"content-length": {"3"}},
		{"": {"x"}}} {
		if _, err := NewClient(h.URL, ClientOptions{Header: bad}); err == nil {
			t.Errorf("header %q is taken", bad)
		}
	}
}
