package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	RaceWait = time.Minute
	leak.Main(m)
}

const (
	head  = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	plain = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" // the body ends with the connection
)

var (
	word   = string(nullEvent)
	finish = nullFinish
)

func jsonReply(status, body string) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status,
		len(body), body)
}

// responder is a server that reads requests, and calls answer to write the responses.
func responder(t *testing.T, answer func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for br := bufio.NewReader(c); ; {
					req, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					if _, err := io.Copy(io.Discard, req.Body); err != nil {
						return
					}
					answer(c)
				}
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

func newClient(t *testing.T, url string, o ClientOptions) *Client {
	t.Helper()
	c, err := NewClient(url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func hang(c net.Conn) { // until the client closes the connection
	_, _ = c.Read(make([]byte, 1))
	c.Close()
}

func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// send writes text; then the server reads the next request.
func send(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, text) }
}

// then writes text and calls next.
func then(text string, next func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		next(c)
	}
}

func closing(c net.Conn) { c.Close() }

func endless(head, part string) func(net.Conn) {
	return func(c net.Conn) {
		for _, err := io.WriteString(c, head); err == nil; _, err = io.WriteString(c, part) {
		}
	}
}

// TestFailureClasses: each way to fail has its class, and what is not a failure passes.
func TestFailureClasses(t *testing.T) {
	tail := "0\r\n\r\n"
	done := event("[DONE]") + tail
	late := func(c net.Conn) {
		time.Sleep(100 * time.Millisecond)
		send(head + word + finish + done)(c)
	}
	for _, c := range []struct {
		name   string
		answer func(net.Conn)
		class  evidence.Failure
		detail string // part of it
		whole  bool   // the request does not ask for a stream
	}{
		{name: "good", answer: send(head + word + word + finish + done)},
		{name: "slow first byte", answer: late},
		{name: "no usage", answer: send(head + word + finish + done)},
		{name: "interim response", answer: send("HTTP/1.1 100 Continue\r\n\r\n" + head + word + finish + done)},
		{name: "body ends with the connection", answer: then(plain+"data: "+pieces[0]+"\n\ndata: [DONE]\n\n",
			closing)},
		{name: "open behind [DONE]", answer: then(head+word+finish+event("[DONE]"), hang)},
		{name: "cut behind [DONE]", answer: then(head+word+finish+event("[DONE]"), reset)},
		{name: "whole", answer: send(jsonReply("200 OK", pieces[11])), whole: true},

		{name: "reset before a response", answer: reset, class: evidence.FailConnect},
		{name: "closed before a response", answer: closing, class: evidence.FailConnect},
		{name: "closed within the head", answer: then("HTTP/1.1 200 OK\r\nContent-", closing),
			class: evidence.FailConnect},
		{name: "hang", answer: hang, class: evidence.FailTimeout},
		{name: "hang within a stream", answer: then(head+word, hang), class: evidence.FailTimeout},
		{name: "hang within a whole answer", answer: then("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", hang),
			class: evidence.FailTimeout, whole: true},
		{name: "status 500", answer: send(jsonReply("500 Internal Server Error",
			`{"error":{"message":"out of memory"}}`)), class: evidence.FailStatus,
			detail: "status 500: out of memory"},
		{name: "status 429 in HTML",
			answer: send("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 9\r\n\r\n<b>no</b>"),
			class:  evidence.FailStatus, detail: "status 429: <b>no</b>"},
		{name: "status 503 without a body",
			answer: send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), class: evidence.FailStatus,
			detail: "status 503"},
		{name: "redirect", answer: send("HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: " +
			"0\r\n\r\n"), class: evidence.FailStatus, detail: "307"},
		{name: "status 200 with an error", answer: send(jsonReply("200 OK", `{"error":{"message":"no such model"}}`)),
			class: evidence.FailProtocol, detail: "no such model"},
		{name: "no HTTP", answer: then("SSH-2.0-OpenSSH\r\n\r\n", closing), class: evidence.FailProtocol},
		{name: "switching protocols", answer: send("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
			class: evidence.FailProtocol},
		{name: "garbage in the stream", answer: send(head + event("{garbage") + done), class: evidence.FailProtocol,
			detail: "broken JSON"},
		{name: "error in the stream", answer: send(head + word + event(`{"error":{"message":"engine died"}}`) + done),
			class: evidence.FailProtocol, detail: "engine died"},
		{name: "broken framing", answer: then(head+"zz\r\n", closing), class: evidence.FailProtocol},
		{name: "no [DONE]", answer: send(head + word + finish + tail)},
		{name: "events without data", answer: send(head + event("") + word + event("") + finish + done)},
		{name: "another content type", answer: send(strings.Replace(head, "text/event-stream", "application/x-ndjson",
			1) + word + finish + done), class: evidence.FailProtocol, detail: "application/x-ndjson"},
		{name: "thought without an answer", answer: send(head +
			event(`{"choices":[{"delta":{"reasoning_content":"hm"}}]}`) +
			event(`{"choices":[{"delta":{},"finish_reason":"length"}]}`) + done), class: evidence.FailThinking,
			detail: "larger max_tokens"},
		{name: "no choices", answer: send(head + event(`{"choices":[]}`) + done), class: evidence.FailProtocol,
			detail: "no choices"},
		{name: "whole instead of a stream", answer: send(jsonReply("200 OK", pieces[11])),
			class: evidence.FailProtocol, detail: "whole answer"},
		{name: "stream instead of whole", answer: send(head + word + finish + done), class: evidence.FailProtocol,
			detail: "not asked for", whole: true},
		{name: "whole garbage", answer: send(jsonReply("200 OK", "<html>")), class: evidence.FailProtocol,
			whole: true},
		{name: "whole without choices", answer: send(jsonReply("200 OK", `{"choices":[]}`)),
			class: evidence.FailProtocol, detail: "no choices", whole: true},
		{name: "endless head", answer: endless("HTTP/1.1 200 OK\r\n", "X-Pad: "+strings.Repeat("x", 1000)+"\r\n"),
			class: evidence.FailProtocol, detail: "too large"},
		{name: "endless line", answer: endless(plain+"data: ", strings.Repeat("x", 1000)),
			class: evidence.FailProtocol, detail: "1 MiB"},
		{name: "endless whole answer", answer: endless("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n\"",
			strings.Repeat("x", 100000)), class: evidence.FailProtocol, detail: "too large", whole: true},
		{name: "reset within a stream", answer: then(head+word,
			func(c net.Conn) { time.Sleep(20 * time.Millisecond); reset(c) }), class: evidence.FailTruncated},
		{name: "closed within a stream", answer: then(head+word, closing), class: evidence.FailTruncated},
		{name: "stream ends early", answer: send(head + word + tail), class: evidence.FailTruncated,
			detail: "finish_reason"},
		{name: "closed within a whole answer", answer: then("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
			closing), class: evidence.FailTruncated, whole: true},
		{name: "empty content", answer: send(head + finish + done), class: evidence.FailEmpty},
		{name: "whole with empty content", answer: send(jsonReply("200 OK",
			`{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}`)), class: evidence.FailEmpty,
			whole: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			timeout := time.Minute
			if c.class == evidence.FailTimeout {
				timeout = 150 * time.Millisecond
			}
			client := newClient(t, responder(t, c.answer), ClientOptions{Timeout: timeout})
			r := client.Do(t.Context(), time.Now(), Job{Prompt: "p",
				Body: fmt.Appendf(nil, `{"stream":%v}`, !c.whole), KeepText: true})
			if r.Fail != c.class || !strings.Contains(r.Detail, c.detail) || (r.Fail == "") != (r.Detail == "") {
				t.Fatalf("class %q, detail %q; want %q, %q", r.Fail, r.Detail, c.class, c.detail)
			}
			if r.Done < r.Last || r.Last < r.First || r.Issued < r.Scheduled || r.Done < r.Issued {
				t.Errorf("times out of order: %+v", r)
			}
			if c.class == "" && (r.First < r.Issued && !c.whole || r.Last < r.Issued || r.Text == "" ||
				r.TextHash == "" || r.TextBytes != len(r.Text) || r.Finish == "" &&
				!strings.Contains(c.name, "connection") || r.Status != 200) {
				t.Errorf("incomplete record: %+v", r)
			}
			if c.name == "whole" && (r.Chunks != 0 || r.First != 0 || r.Last != r.Done || r.OutputTokens != 1) {
				t.Errorf("record of a whole answer: %+v", r)
			}
			if c.name == "slow first byte" && r.First-r.Issued < int64(100*time.Millisecond) {
				t.Errorf("first byte after %v", time.Duration(r.First-r.Issued))
			}
		})
	}
}

func TestNoConnection(t *testing.T) {
	c := newClient(t, "http://127.0.0.1:1", ClientOptions{}) // nothing listens on this port
	if r := c.Do(t.Context(), time.Now(), Job{}); r.Fail != evidence.FailConnect || r.Done == 0 {
		t.Errorf("refused: %+v", r)
	}
	if err := c.Warm(t.Context(), 3); err == nil {
		t.Error("Warm opens connections to nobody")
	}
	never := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c = newClient(t, "http://10.0.0.1", ClientOptions{Dial: never, Timeout: 50 * time.Millisecond})
	if r := c.Do(t.Context(), time.Now(), Job{}); r.Fail != evidence.FailTimeout {
		t.Errorf("no answer to a dial: %+v", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	c = newClient(t, "http://10.0.0.1", ClientOptions{Dial: never})
	if r := c.Do(ctx, time.Now(), Job{}); r.Fail != evidence.FailCanceled {
		t.Errorf("cancelled while dialling: %+v", r)
	}
	unknown := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "nowhere"}}
	}
	c = newClient(t, "http://nowhere", ClientOptions{Dial: unknown})
	if r := c.Do(t.Context(), time.Now(), Job{}); r.Fail != evidence.FailConnect ||
		!strings.Contains(r.Detail, "nowhere") {
		t.Errorf("unknown host: %+v", r)
	}
}

func TestCancelledWhileWaiting(t *testing.T) {
	c := newClient(t, responder(t, then(head+word, hang)), ClientOptions{})
	var ctx context.Context
	for after := 50 * time.Millisecond; ; after *= 4 { // until the time limit is long enough for the first chunk
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(after, cancel)
		r := c.Do(ctx, time.Now(), Job{Body: []byte(`{"stream":true}`)})
		if r.Fail != evidence.FailCanceled || r.Chunks != 1 && after > 10*time.Second {
			t.Errorf("after %v: %+v", after, r)
		}
		if r.Chunks == 1 || t.Failed() {
			break
		}
	}
	if r := c.Do(ctx, time.Now(), Job{}); r.Fail != evidence.FailCanceled {
		t.Errorf("after the end: %+v", r)
	}
}

// TestConnectionsAreReused counts the connections of requests that succeed and fail.
func TestConnectionsAreReused(t *testing.T) {
	var conns, requests atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if requests.Add(1)%2 == 0 {
			http.Error(w, `{"error":{"message":"busy"}}`, http.StatusTooManyRequests)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: %s\n\ndata: %s\n\ndata: [DONE]\n\n", pieces[0], pieces[3])
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	c := newClient(t, s.URL+"/v1/", ClientOptions{})
	for i := range 10 {
		r := c.Do(t.Context(), time.Now(), Job{Body: []byte(`{"stream":true}`)})
		if want := []evidence.Failure{"", evidence.FailStatus}[i%2]; r.Fail != want {
			t.Fatalf("request %d: %+v", i, r)
		}
		waitIdle(t, c, 1)
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for 10 requests one after the other", n)
	}
	s.CloseClientConnections() // as servers close idle connections
	time.Sleep(50 * time.Millisecond)
	if r := c.Do(t.Context(), time.Now(), Job{Body: []byte(`{"stream":true}`)}); !r.OK() {
		t.Errorf("on a connection that the server closed while it was idle: %+v", r)
	}
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections after one was closed", n)
	}
	c.Close()
	if r := c.Do(t.Context(), time.Now(), Job{Body: []byte(`{"stream":true}`)}); r.Fail != evidence.FailStatus ||
		c.open.Load() != 0 {
		t.Errorf("after Close: %+v, %d idle", r, c.open.Load())
	}
}

// waitIdle waits until n connections are idle.
func waitIdle(t *testing.T, c *Client, n int64) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(settle) {
		if c.open.Load() == n {
			return
		}
	}
	t.Fatalf("%d connections are idle, want %d", c.open.Load(), n)
}

// TestServersThatCloseWithoutSaying: llama.cpp closes a connection 0.1 ms after a stream, and other servers after a
// number of requests. Neither is a failure.
func TestServersThatCloseWithoutSaying(t *testing.T) {
	for _, every := range []int{1, 4} {
		requests := 0
		over := make(chan bool, 1) // the server has finished what it does after an answer
		url := responder(t, func(c net.Conn) {
			_, _ = io.WriteString(c, head+word+finish+event("[DONE]")+"0\r\n\r\n")
			if requests++; requests%every == 0 {
				c.Close()
			}
			over <- true
		})
		c := newClient(t, url, ClientOptions{})
		for i := range 20 {
			q := c.prepare(Job{Body: []byte(`{"stream":true}`)})
			var r evidence.Request
			epoch := time.Now()
			cn, err := c.send(t.Context(), epoch, q, &r)
			cn = c.finish(t.Context(), epoch, q, &r, cn, err)
			if !r.OK() || cn == nil {
				t.Fatalf("closing every %d, request %d: %s: %s", every, i, r.Fail, r.Detail)
			}
			<-over
			c.rest(cn)
		}
		kept, dropped := c.kept.Load(), c.dropped.Load()
		if every == 1 && (kept != 0 || dropped != 3 || c.open.Load() != 0) {
			t.Errorf("a server that closes each: %d kept, %d found dropped, %d idle", kept, dropped, c.open.Load())
		}
		if every == 4 && (kept != 15 || dropped != 5) {
			t.Errorf("a server that closes one in four: %d kept, %d dropped", kept, dropped)
		}
	}
}

func TestTLSAndHeaders(t *testing.T) {
	var got *http.Request
	var body []byte
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, pieces[11])
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake below
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c := newClient(t, s.URL+"/openai", ClientOptions{APIKey: "secret", TLS: &tls.Config{RootCAs: roots}})
	if err := c.Warm(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	long := `{"stream":false,"pad":"` + strings.Repeat("x", 3*inlineWrite) + `"}`
	for _, want := range []string{`{}`, long} {
		if r := c.Do(t.Context(), time.Now(), Job{Body: []byte(want)}); !r.OK() {
			t.Fatalf("%+v", r)
		}
		if string(body) != want || got.URL.Path != "/openai/v1/chat/completions" ||
			got.Header.Get("Authorization") != "Bearer secret" || got.Host == "" ||
			got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%d bytes at %s with %v", len(body), got.URL, got.Header)
		}
	}
	basic := newClient(t, strings.Replace(s.URL, "https://", "https://me:secret@", 1),
		ClientOptions{TLS: &tls.Config{RootCAs: roots}})
	if r := basic.Do(t.Context(), time.Now(), Job{Body: []byte(`{}`)}); !r.OK() {
		t.Fatalf("%+v", r)
	}
	if user, password, _ := got.BasicAuth(); user != "me" || password != "secret" {
		t.Errorf("sent as %q with %q", user, password)
	}
	unknown := newClient(t, s.URL, ClientOptions{})
	if r := unknown.Do(t.Context(), time.Now(), Job{}); r.Fail != evidence.FailConnect ||
		!strings.Contains(r.Detail, "certificate") {
		t.Errorf("with an unknown certificate: %+v", r)
	}
}

func TestBadAddresses(t *testing.T) {
	for _, u := range []string{"", "localhost:80", "ftp://x", "http://", "http://[::1", "/v1"} {
		if _, err := NewClient(u, ClientOptions{}); !errors.Is(err, ErrURL) {
			t.Errorf("%q: %v", u, err)
		}
	}
	if _, err := NewClient("http://x", ClientOptions{APIKey: "a\r\nX-Injected: b"}); err == nil {
		t.Error("a key with a line break passes")
	}
}

func TestDetail(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s") + string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		s = strings.Repeat(s, rapid.IntRange(1, 30).Draw(t, "times"))
		d := bounded.Short(s, evidence.MaxDetail)
		if len(d) > evidence.MaxDetail || !utf8.ValidString(d) || strings.ContainsAny(d, "\r\n") {
			t.Fatalf("%q becomes %q", s, d)
		}
	})
}

// canned is a connection whose other side has sent everything that it will send.
type canned struct {
	net.Conn
	in *bytes.Reader
}

func (c *canned) Read(p []byte) (int, error)      { return c.in.Read(p) }
func (c *canned) SetReadDeadline(time.Time) error { return nil }

// FuzzResponse: whatever a server sends, the record is consistent and bounded, and a request without a failure has an
// answer.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		head + word + word + finish + event("[DONE]") + "0\r\n\r\n", head + word + "0\r\n\r\n", head + "zz\r\n",
		head + event("{") + "0\r\n\r\n",
		plain + "data: " + pieces[0] + "\r\n\r\ndata: [DONE]", jsonReply("200 OK", pieces[11]),
		jsonReply("500 X", `{"error":"e"}`),
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\ndata: [DONE]\n\n", "HTTP/1.1 101 X\r\n\r\n", "",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}",
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, response []byte, stream bool) {
		epoch := time.Now()
		in := stampArrivals(&canned{in: bytes.NewReader(response)}, TimerClock{})
		cn := newConn(in, in, nil, TimerClock{})
		var r evidence.Request
		begun, reusable, err := cn.receive(epoch, &request{stream: stream, keepText: true, bounds: boundsOf(0)}, &r)
		if err == nil && (r.TextBytes == 0 || r.Status != 200 || r.Done == 0 || r.Done < r.Last ||
			stream != (r.Chunks > 0)) {
			t.Fatalf("success: %+v", r)
		}
		if r.TextBytes != len(r.Text) || len(r.Gaps) != max(r.Chunks-1, 0) || r.Last < r.First ||
			(r.TextBytes > 0) != (r.TextHash != "") {
			t.Fatalf("record: %+v", r)
		}
		if class := Classify(t.Context(), err, begun); err != nil &&
			(class == evidence.FailCanceled || class == evidence.FailTimeout || class == "") {
			t.Fatalf("%v is called %q", err, class)
		}
		if reusable && cn.br.Buffered() > 0 {
			t.Fatal("a connection with something left on it would be used again")
		}
	})
}
