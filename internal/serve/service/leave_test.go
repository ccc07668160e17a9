package service

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// leaver is a client that speaks raw HTTP and can close the connection at any time.
type leaver struct {
	t    *testing.T
	s    *Service
	conn net.Conn
	in   *bufio.Reader
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

// until waits for a state of the service.
func (l *leaver) until(what string, ok func(llm.Status) bool) {
	l.t.Helper()
	llmtest.Until(l.t, what, func() bool { return ok(l.s.backend.Status()) })
}

// endless is a request that takes longer than any client here waits: three answers that fill the context.
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
		var err error
		if second.conn, err = net.Dial("tcp", l.conn.RemoteAddr().String()); err != nil {
			l.t.Fatal(err)
		}
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

// TestClientLeavesAnywhere: at any point at which a client closes or resets its connection, its completions end, their
// blocks are freed, each is counted once, and the next client gets its answer.
func TestClientLeavesAnywhere(t *testing.T) {
	s := openTiny(t, func(c *Options) { c.MaxTokens, c.MaxConcurrentRequests, c.MaxQueuedRequests = 1000, 3, 8 })
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	for _, how := range []string{"closes", "resets"} {
		for _, at := range leavings {
			t.Run(how+" "+at.name, func(t *testing.T) {
				before := chaosMetrics(t, s)
				conn, err := net.Dial("tcp", server.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				l := &leaver{t: t, s: s, conn: conn, in: bufio.NewReader(conn)}
				at.act(l)
				if how == "resets" {
					err = errors.Join(conn.(*net.TCPConn).SetLinger(0), conn.Close())
				} else {
					err = conn.Close()
				}
				if err != nil {
					t.Fatal(err)
				}
				l.until("everything to be let go",
					func(st llm.Status) bool { return st.Running+st.Waiting+st.KVUsed == 0 })
				aborts := func() float64 {
					const series = `mixtral_requests_total{finish_reason="abort"}`
					return chaosMetrics(t, s)[series] - before[series]
				}
				switch {
				case at.aborts > 0:
					llmtest.Until(t, "the aborts to be counted", func() bool { return aborts() >= float64(at.aborts) })
				case at.aborts == 0 && aborts() != 0:
					t.Errorf("%v aborts of a request that never came", aborts())
				}
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
