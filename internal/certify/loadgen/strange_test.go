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

// TestTheKeepAliveRaceIsNoFailure: a server that closes a kept connection as the next request comes never had it. One
// that closes a new connection had it, and so had one that closes late.
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
		for end := time.Now().Add(5 * time.Second); c.open.Load() == 0 && q.OK() && time.Now().Before(end); {
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
	c := newClient(t, "http://127.0.0.1:1", ClientOptions{Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}})
	if q := c.Do(t.Context(), time.Now(), streamed); q.Fail != evidence.FailConnect {
		t.Errorf("refused: class %q", q.Fail)
	}
}

// TestCompressedStreamsAreTimed: each chunk has the time at which it could be read.
func TestCompressedStreamsAreTimed(t *testing.T) {
	const pause = 60 * time.Millisecond
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for _, part := range []string{word, word, finish + "data: [DONE]\n\n"} {
			_, _ = io.WriteString(z, part)
			_ = z.Flush()
			w.(http.Flusher).Flush()
			time.Sleep(pause)
		}
		_ = z.Close()
	}))
	defer h.Close()
	q := newClient(t, h.URL, ClientOptions{}).Do(t.Context(), time.Now(), streamed)
	if !q.OK() || q.Chunks != 2 || time.Duration(q.Last-q.First) < pause*9/10 {
		t.Errorf("%+v", q)
	}
}

func TestReasoningIsTimedApart(t *testing.T) {
	think := "data: {\"choices\":[{\"delta\":{\"reasoning\":\"hm\"}}]}\n\n"
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, part := range []string{"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
			think, think, word, finish + "data: [DONE]\n\n"} {
			fmt.Fprint(w, part)
			w.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	}))
	defer h.Close()
	q := newClient(t, h.URL, ClientOptions{}).Do(t.Context(), time.Now(), streamed)
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
	for _, bad := range []http.Header{{"a b": {"x"}}, {"x": {"1\r\nHost: y"}}, {"content-length": {"3"}}, {"": {"x"}}} {
		if _, err := NewClient(h.URL, ClientOptions{Header: bad}); err == nil {
			t.Errorf("header %q is taken", bad)
		}
	}
}
