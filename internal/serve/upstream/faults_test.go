package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// silence is how long an upstream may be silent in these tests: long for servers that answer at once, short for tests
// that wait.
const silence = 2 * time.Second

// hang writes a text and nothing more until its client leaves.
func hang(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if text != "" {
			io.WriteString(w, text)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}
}

// patiently forwards a request to servers of which one begins to answer at once, with longer silences until it did so
// in time, which a busy machine may prevent.
func patiently(send func(silence time.Duration) (*httptest.ResponseRecorder, *Outcome, int),
	began func(*Outcome) bool) (w *httptest.ResponseRecorder, out *Outcome, reports int) {
	for limit := silence; ; limit *= 4 {
		if w, out, reports = send(limit); began(out) || limit >= llmtest.Limit {
			return w, out, reports
		}
	}
}

// TestSilence: a silent upstream is given up: before its answer another one is asked, and within it the answer ends.
func TestSilence(t *testing.T) {
	const stream = `{"stream":true,"stream_options":{"include_usage":true}}`
	t.Run("before the answer", func(t *testing.T) {
		t.Parallel()
		first, second := newFake(t, hang("")), newFake(t, sendWhole(200, wholeAnswer))
		w, out, reports := patiently(func(silence time.Duration) (*httptest.ResponseRecorder, *Outcome, int) {
			return forward(t, connect(t, Config{Silence: silence}, first, second), `{}`)
		}, func(out *Outcome) bool { return out.Err == nil })
		if w.Body.String() != wholeAnswer || out.Tries != 2 || out.Err != nil || reports != 1 {
			t.Errorf("%s %+v", w.Body, out)
		}
	})
	t.Run("with nobody else", func(t *testing.T) {
		t.Parallel()
		u := connect(t, Config{Silence: silence}, newFake(t, hang("")))
		if w, out, reports := forward(t, u, `{}`); !errors.Is(out.Err, ErrUnreachable) || out.Status != 0 ||
			w.Body.Len() > 0 || reports != 0 {
			t.Errorf("%s %+v", w.Body, out)
		}
		if s := u.Status(); s.Running != 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("in a stream", func(t *testing.T) {
		t.Parallel()
		w, out, reports := patiently(func(silence time.Duration) (*httptest.ResponseRecorder, *Outcome, int) {
			return forward(t, connect(t, Config{Silence: silence}, newFake(t, hang(streamed))), stream)
		}, func(out *Outcome) bool { return out.Status != 0 })
		if !errors.Is(out.Err, ErrUnreachable) || !errors.Is(out.Err, errSilence) || out.Status != 200 ||
			reports != 1 {
			t.Errorf("%+v", out)
		}
		if rest, ok := strings.CutPrefix(w.Body.String(), streamed); !ok ||
			!strings.HasPrefix(rest, `data: {"error":`) {
			t.Errorf("the client got %q", w.Body)
		}
	})
	t.Run("in a whole answer", func(t *testing.T) {
		t.Parallel()
		w, out, _ := patiently(func(silence time.Duration) (*httptest.ResponseRecorder, *Outcome, int) {
			return forward(t, connect(t, Config{Silence: silence}, newFake(t, hang(wholeAnswer[:9]))), `{}`)
		}, func(out *Outcome) bool { return errors.Is(out.Err, errSilence) })
		if !errors.Is(out.Err, errSilence) || out.Status != 0 || w.Body.Len() > 0 {
			t.Errorf("%s %+v", w.Body, out)
		}
	})
}

// TestGarbage: data that is not an answer does not reach the client as one, and no error page of a gateway reaches it.
func TestGarbage(t *testing.T) {
	const page = "<html>Traceback (most recent call last): File \"/srv/vllm/server.py\"</html>"
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		status int    // 0: nothing may be written
		body   string // what the client must get
	}{
		"a page for an answer": {sendWhole(200, page), 0, ""},
		"nothing":              {sendWhole(200, ""), 0, ""},
		"null":                 {sendWhole(200, "null"), 0, ""},
		"half an answer":       {sendWhole(200, wholeAnswer[:30]), 0, ""},
		"binary":               {sendWhole(200, "\x00\xff\xfe{}"), 0, ""},
		"other types":          {sendWhole(200, `{"choices":7}`), 0, ""},
		"its own error":        {sendWhole(400, `{"detail":"no"}`), 400, `{"detail":"no"}`},
		"a page for an error": {sendWhole(500, page), 500,
			`{"error":{"message":"the upstream server answered with status 500","type":"server_error","param":null,"code":"upstream_error"}}`},
		"a page for a bad field": {sendWhole(422, page), 422,
			`{"error":{"message":"the upstream server answered with status 422","type":"server_error","param":null,"code":"upstream_error"}}`},
	} {
		w, out, _ := forward(t, connect(t, Config{}, newFake(t, c.answer)), `{}`)
		if out.Status != c.status || w.Body.String() != c.body || (out.Err != nil) != (c.status == 0) {
			t.Errorf("%s: %d %q, %+v", name, w.Code, w.Body, out)
		}
		if c.status == 0 && !errors.Is(out.Err, ErrUnreachable) {
			t.Errorf("%s: %v", name, out.Err)
		}
	}
	for name, stream := range map[string]string{"page": page, "binary": "\x00\x01\x02"} {
		w, out, reports := forward(t, connect(t, Config{}, newFake(t, sendStream(stream, 1))), `{"stream":true}`)
		if !errors.Is(out.Err, errForm) || out.Status != 0 || w.Body.Len() > 0 || reports != 0 {
			t.Errorf("%s: %q, %+v, %d reports", name, w.Body, out.Err, reports)
		}
	}
	for name, stream := range map[string]string{"page in it": ": hello\n\n" + page, "cut": streamed[:70],
		"no end":       streamed[:strings.LastIndex(streamed, "data:")],
		"endless line": "data: " + strings.Repeat("x", 3*maxEvent)} {
		w, out, reports := forward(t, connect(t, Config{}, newFake(t, sendStream(stream, 64<<10))), `{"stream":true}`)
		if !errors.Is(out.Err, ErrUnreachable) || reports != 1 ||
			!strings.HasSuffix(w.Body.String(), "\"code\":\"upstream_error\"}}\n\n") {
			t.Errorf("%s: %.100q, %+v, %d reports", name, w.Body, out.Err, reports)
		}
	}
}

// TestAWholeAnswerWithoutDone: a stream whose choices have all ended is complete, and gets the end that clients wait
// for. If one of its choices has not ended, it broke off.
func TestAWholeAnswerWithoutDone(t *testing.T) {
	const other = "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"x\"}}]}\n\n"
	const otherEnd = "data: {\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n"
	for text, whole := range map[string]bool{streamed: true, streamed + usageChunk: true, other + streamed: false,
		other + streamed + otherEnd: true, streamed + "data: {": false, "": false, ": hello\n\n": false} {
		w, out, reports := forward(t, connect(t, Config{}, newFake(t, sendStream(text, 50))),
			`{"stream":true,"stream_options":{"include_usage":true}}`)
		if (out.Err == nil) != whole || whole && (w.Body.String() != text+"data: [DONE]\n\n" || reports != 1 ||
			out.Finish != llm.FinishStop || out.Total == 0) {
			t.Errorf("%q: %q, %+v, %d reports", text, w.Body, out, reports)
		}
	}
}

// TestNotEvenHTTP: a server that speaks another protocol counts as one that does not answer.
func TestNotEvenHTTP(t *testing.T) {
	for _, says := range []string{"SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 999999999999 X\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 2<<20), ""} {
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
				c.Read(make([]byte, 64<<10))
				io.WriteString(c, says)
				c.Close()
			}
		}()
		bad := &fake{Server: &httptest.Server{URL: "http://" + l.Addr().String()}}
		good := newFake(t, sendWhole(200, wholeAnswer))
		if w, out, _ := forward(t, connect(t, Config{}, bad, good), `{}`); w.Body.String() != wholeAnswer ||
			out.Tries != 2 {
			t.Errorf("%.20q: %s %+v", says, w.Body, out)
		}
		l.Close()
		llmtest.Await(t, "the listener's end", done)
	}
}

// deafWriter is a client that has left when its answer comes.
type deafWriter struct{ http.ResponseWriter }

func (deafWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestAClientThatLeavesIsNotTheReplicasFault: clients that leave, however many, do not eject a replica.
func TestAClientThatLeavesIsNotTheReplicasFault(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") == "text/event-stream" {
			sendStream(streamed+"data: [DONE]\n\n", 1000)(w, r)
		} else {
			sendWhole(200, wholeAnswer)(w, r)
		}
	})
	u := connect(t, Config{}, f)
	for i := range 9 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions", nil)
		body := `{}`
		if i%2 == 0 {
			r.Header.Set("Accept", "text/event-stream")
			body = `{"stream":true}`
		}
		out := u.Forward(deafWriter{httptest.NewRecorder()}, r, "/v1/chat/completions", []byte(body),
			func(*Outcome) {})
		if !errors.Is(out.Err, context.Canceled) {
			t.Errorf("%+v", out)
		}
	}
	if s := u.Status(); !s.Ready || s.Running != 0 {
		t.Errorf("%+v", s)
	}
}
