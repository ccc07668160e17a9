package service

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// leaver is a client that speaks raw HTTP and can close the connection at any time.
type leaver struct {
	t      *testing.T
	s      *Service
	server *countedServer
	conn   net.Conn
	in     *bufio.Reader
	before map[string]float64 // the metrics before it came
}

// countedServer counts the connections that clients opened to it, and those that it is done with: the handlers of
// their requests have returned.
type countedServer struct {
	*httptest.Server
	opened int
	done   atomic.Int64
}

func newCountedServer(h http.Handler) *countedServer {
	c := &countedServer{Server: httptest.NewUnstartedServer(h)}
	c.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			c.done.Add(1)
		}
	}
	c.Start()
	return c
}

func (c *countedServer) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", c.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.opened++
	return conn
}

func (l *leaver) send(text string) {
	l.t.Helper()
	if _, err := io.WriteString(l.conn, text); err != nil {
		l.t.Fatal(err)
	}
}

// ask sends a whole request.
func (l *leaver) ask(body string) { l.t.Helper(); l.send(rawPost(body)) }

func rawPost(body string) string {
	return fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: "+
		"application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// read reads bytes of the answer.
func (l *leaver) read(n int) {
	l.t.Helper()
	l.conn.SetReadDeadline(time.Now().Add(llmtest.Limit))
	if _, err := io.CopyN(io.Discard, l.in, int64(n)); err != nil {
		l.t.Fatalf("the answer's first %d bytes: %v", n, err)
	}
}

// until waits for a state of the service, or until the answers have ended by themselves.
func (l *leaver) until(what string, ok func(llm.Status) bool) {
	l.t.Helper()
	llmtest.Until(l.t, what, func() bool { return ok(l.s.backend.Status()) || l.rose("length") > 0 })
}

// rose returns how many more completions than before have ended for a reason.
func (l *leaver) rose(reason string) float64 {
	series := fmt.Sprintf("mixtral_requests_total{finish_reason=%q}", reason)
	return chaosMetrics(l.t, l.s)[series] - l.before[series]
}

// endless is a request that takes longer than a client here waits, unless its machine stands still: three answers that
// fill the context.
func endless(prompt string, streamed bool) string {
	return fmt.Sprintf(`{"messages":[{"role":"user","content":%q}],"n":3,"max_tokens":900,"ignore_eos":true,"temperature":1,"stream":%v}`, prompt, streamed)
}

// short is a request whose answer comes whole.
const short = `{"messages":[{"role":"user","content":"hi"}],"max_tokens":3,"ignore_eos":true,"stream":true}`

// leavings are the points of a request, in order, at which its client may leave. aborts is the number of completions
// that the service must have ended because of it; −1 means that it may have been too late.
var leavings = []struct {
	name   string
	aborts int
	act    func(*leaver)
}{
	{"before a byte", 0, func(*leaver) {}},
	{"in the request line", 0, func(l *leaver) { l.send("POST /v1/ch") }},
	{"in a header", 0, func(l *leaver) { l.send("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Le") }},
	{"before the body", 0, func(l *leaver) { l.send(rawPost(short)[:len(rawPost(short))-len(short)]) }},
	{"in the body", 0, func(l *leaver) { l.send(rawPost(short)[:len(rawPost(short))-len(short)/2]) }},
	{"before the body's last byte", 0, func(l *leaver) { l.send(rawPost(short)[:len(rawPost(short))-1]) }},
	{"in the body of a chunked request", 0, func(l *leaver) {
		l.send("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"mes")
	}},
	{"with the request sent", -1, func(l *leaver) { l.ask(endless("hi", true)) }},
	{"in the queue", 3, func(l *leaver) {
		l.ask(endless("hi", true)) // three that run, as many as may
		l.read(1)
		second := *l
		second.conn = l.server.dial(l.t)
		defer second.conn.Close()
		second.ask(endless("hi", false))
		l.until("three to wait", func(st llm.Status) bool { return st.Waiting == 3 })
	}},
	{"in the prompt", 3, func(l *leaver) {
		l.ask(endless(strings.Repeat("long ", 100), false))
		l.until("it to run", func(st llm.Status) bool { return st.Running > 0 })
	}},
	{"while the whole answer is made", 3, func(l *leaver) {
		l.ask(endless("hi", false))
		l.until("it to hold blocks", func(st llm.Status) bool { return st.KVUsed > 3 })
	}},
	{"at the first byte", 3, func(l *leaver) { l.ask(endless("hi", true)); l.read(1) }},
	{"in the header of the answer", 3, func(l *leaver) { l.ask(endless("hi", true)); l.read(40) }},
	{"in the stream", 3, func(l *leaver) { l.ask(endless("hi", true)); l.read(5000) }},
	{"before the last byte", -1, func(l *leaver) {
		l.ask(short)
		for line := ""; !strings.Contains(line, "[DONE]"); {
			var err error
			if line, err = l.in.ReadString(']'); err != nil {
				l.t.Fatal(err)
			}
		}
	}},
	{"with the next request begun", -1, func(l *leaver) { l.ask(short); l.read(100); l.send("POST /v1/chat") }},
}

// leave opens a connection, and closes or resets it at a point of a request. It returns false if the answers ended by
// themselves before.
func (l *leaver) leave(how string, aborts int, act func(*leaver)) bool {
	l.t.Helper()
	l.before = chaosMetrics(l.t, l.s)
	l.conn = l.server.dial(l.t)
	defer l.conn.Close()
	l.in = bufio.NewReader(l.conn)
	act(l)
	var err error
	if how == "resets" {
		err = l.conn.(*net.TCPConn).SetLinger(0)
	}
	if err = errors.Join(err, l.conn.Close()); err != nil {
		l.t.Fatal(err)
	}
	// Until then a request may be counted, even where the backend has let it go.
	llmtest.Until(l.t, "the handlers to return", func() bool { return l.server.done.Load() == int64(l.server.opened) })
	awaitIdle(l.t, l.s)
	if aborts > 0 && l.rose("length") > 0 {
		return false
	}
	if got := l.rose("abort"); aborts == 0 && got != 0 || got < float64(aborts) {
		l.t.Errorf("%v aborts, want %d", got, aborts)
	}
	return true
}

// TestClientLeavesAnywhere: at any point at which a client closes or resets its connection, its completions end, their
// blocks are freed, each is counted once, and the next client gets its answer.
func TestClientLeavesAnywhere(t *testing.T) {
	s := openTiny(t, func(c *Options) { c.MaxTokens, c.MaxConcurrentRequests, c.MaxQueuedRequests = 1000, 3, 8 })
	server := newCountedServer(s.Handler())
	defer server.Close()
	for _, how := range []string{"closes", "resets"} {
		for _, at := range leavings {
			t.Run(how+" "+at.name, func(t *testing.T) {
				l := &leaver{t: t, s: s, server: server}
				llmtest.Until(t, "the client to leave before its answers end", func() bool {
					return l.leave(how, at.aborts, at.act)
				})
				if _, usage, err := generate(t.Context(), s, ask("hi", 2)); err != nil || usage.CompletionTokens == 0 {
					t.Errorf("the next one: %+v, %v", usage, err)
				}
			})
		}
	}
	m := chaosMetrics(t, s)
	if m[`mixtral_requests_total{finish_reason="error"}`] != 0 || m["mixtral_panics_total"] != 0 {
		t.Errorf("errors where clients left: %v", m)
	}
}
