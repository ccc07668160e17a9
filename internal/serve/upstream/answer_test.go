package upstream

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// saying is a replica that answers each request with exactly these bytes and keeps the connection open.
func saying(t *testing.T, says string) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, says)
			conn.Read(make([]byte, 1)) // until the service is done with it
		})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return &fake{Server: &httptest.Server{URL: "http://" + l.Addr().String()}}
}

// TestStatusesThatCarryNoAnswer: an answer whose status cannot have a body is not passed on, whatever it contains.
// Another replica is asked; if there is none, the client gets an error of this service.
func TestStatusesThatCarryNoAnswer(t *testing.T) {
	for _, status := range []string{"000", "001", "042", "099", "101", "201", "202", "203", "204", "205", "206", "226",
		"299", "300", "301", "302", "304", "307", "308", "399", "600", "700", "999"} {
		for _, body := range []string{`{}`, `{"stream":true}`} {
			says := "HTTP/1.1 " + status + " X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
				"Location: http://[::1]:1/\r\nContent-Type: application/json\r\n\r\n"
			if status != "204" && status != "304" { // Go's client logs what comes behind these
				says += wholeAnswer
			}
			w, out, reports := forward(t, connect(t, Config{Silence: time.Minute}, saying(t, says)), body)
			if !errors.Is(out.Err, ErrUnreachable) || out.Status != 0 || w.Body.Len() > 0 || reports != 0 {
				t.Errorf("%s: %+v %q", status, out, w.Body)
			}
			good := newFake(t, sendWhole(200, wholeAnswer))
			w, out, _ = forward(t, connect(t, Config{Silence: time.Minute}, saying(t, says), good), `{}`)
			if out.Err != nil || w.Body.String() != wholeAnswer || out.Tries != 2 {
				t.Errorf("%s, and another replica: %+v %q", status, out, w.Body)
			}
		}
	}
}

// TestEndlessHints: informational answers are not an answer, however many there are.
func TestEndlessHints(t *testing.T) {
	f := saying(t, strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 100_000))
	if w, out, _ := forward(t, connect(t, Config{Silence: time.Minute}, f), `{}`); !errors.Is(out.Err, ErrUnreachable) ||
		w.Body.Len() > 0 {
		t.Errorf("%+v", out)
	}
	f = saying(t, "HTTP/1.1 199 X\r\n\r\nHTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "+
		fmt.Sprint(len(wholeAnswer))+"\r\n\r\n"+wholeAnswer)
	if w, out, _ := forward(t, connect(t, Config{Silence: time.Minute}, f), `{}`); out.Err != nil ||
		w.Body.String() != wholeAnswer {
		t.Errorf("an answer behind hints: %+v", out)
	}
}

// TestFormsOfAnswers: the client gets the media type that it asked for, or an error.
func TestFormsOfAnswers(t *testing.T) {
	const chunks = streamed + "data: [DONE]\n\n"
	for _, c := range []struct {
		name, path, body, typ, encoding, answer string
		want                                    string // type that the client sees; empty: an error
	}{
		{"as it should", "", `{}`, "application/json", "", wholeAnswer, typeJSON},
		{"charset", "", `{}`, "application/json; charset=utf-8", "", wholeAnswer, typeJSON},
		{"no type", "", `{}`, "", "", wholeAnswer, typeJSON},
		{"another type", "", `{}`, "text/plain", "", wholeAnswer, typeJSON},
		{"a page with JSON in it", "", `{}`, "text/html", "", wholeAnswer, ""},
		{"compressed", "", `{}`, "application/json", "gzip", wholeAnswer, ""},
		{"a stream that nobody asked for", "", `{}`, typeEvents, "", chunks, ""},
		{"a stream", "", `{"stream":true}`, typeEvents, "", chunks, typeEvents},
		{"a stream without a type", "", `{"stream":true}`, "", "", chunks, typeEvents},
		{"a stream of another type", "", `{"stream":true}`, "text/plain", "", chunks, typeEvents},
		{"whole in place of a stream", "", `{"stream":true}`, "application/json", "", wholeAnswer, typeJSON},
		{"a page in place of a stream", "", `{"stream":true}`, "text/html", "", chunks, ""},
		{"JSON as a stream", "", `{"stream":true}`, typeEvents, "", wholeAnswer, ""},
		{"no choices", "", `{}`, "application/json", "", `{"choices":[]}`, ""},
		{"an error as an answer", "", `{}`, "application/json", "", `{"error":{"message":"no"}}`, ""},
		{"a choice without an answer", "", `{}`, "application/json", "", `{"choices":[{"index":0}]}`, ""},
		{"a list", "", `{}`, "application/json", "", `[` + wholeAnswer + `]`, ""},
		{"two answers", "", `{}`, "application/json", "", wholeAnswer + wholeAnswer, ""},
		{"tokens", "/tokenize", `{}`, "application/json", "", `{"tokens":[1]}`, typeJSON},
		{"no tokens", "/tokenize", `{}`, "application/json", "", `[1]`, ""},
		{"another route", "/v1/audio/speech", `{}`, "audio/mpeg", "", "\xff\xfb", "audio/mpeg"},
		{"another route without a type", "/v1/audio/speech", `{}`, "", "", "<html>", "application/octet-stream"},
		{"another route, a page", "/v1/audio/speech", `{}`, "text/html; charset=utf-8", "", "<html>", ""},
		{"another route, broken type", "/v1/audio/speech", `{}`, "; x/y=", "", "<html>", "application/octet-stream"},
		{"another route, compressed", "/v1/audio/speech", `{}`, "audio/mpeg", "br", "\xff", ""},
	} {
		f := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{c.typ}
			if c.encoding != "" {
				w.Header().Set("Content-Encoding", c.encoding)
			}
			io.WriteString(w, c.answer)
		})
		w := httptest.NewRecorder()
		path := "/v1/chat/completions"
		if c.path != "" {
			path = c.path
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil)
		out := connect(t, Config{}, f).Forward(w, r, path, []byte(c.body), func(*Outcome) {})
		if c.want == "" {
			if !errors.Is(out.Err, errForm) || out.Status != 0 || w.Body.Len() > 0 {
				t.Errorf("%s: %+v %q", c.name, out, w.Body)
			}
			continue
		}
		if out.Err != nil || w.Header().Get("Content-Type") != c.want || w.Body.String() != c.answer ||
			w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %+v %v %q", c.name, out, w.Header(), w.Body)
		}
	}
}

// TestNoContentOfAnotherRoute: the answer to a deletion needs no body.
func TestNoContentOfAnotherRoute(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/v1/files/1", nil)
	if out := connect(t, Config{}, f).Forward(w, r, "/v1/files/1", nil, func(*Outcome) {}); out.Err != nil ||
		w.Code != http.StatusNoContent || w.Body.Len() > 0 {
		t.Errorf("%+v %d %q", out, w.Code, w.Body)
	}
}

// TestRetryAfter: clients get a reasonable number of seconds to wait, and other headers are short lines.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]string{"5": "5", " 5 ": "5", "0": "1", "3600": "3600", "3601": "3600",
		"99999999999999999999": "3600", "-5": "", "soon": "", "1.5": "", "": "", "5, 6": "",
		"Fri, 02 Jan 2026 03:04:35 GMT": "30", "Fri, 02 Jan 2026 03:00:00 GMT": "1",
		"Fri, 02 Jan 2099 03:00:00 GMT": "3600"} {
		h := http.Header{}
		answerHeaders(h, http.Header{"Retry-After": {value}}, now)
		if got := h.Get("Retry-After"); got != want {
			t.Errorf("%q becomes %q, want %q", value, got, want)
		}
	}
	h := http.Header{}
	answerHeaders(h, http.Header{"X-Ratelimit-Limit-Requests": {"60", "61"}, "Openai-Processing-Ms": {"1\x00"},
		"X-Ratelimit-Limit-Tokens": {strings.Repeat("9", 1000)}, "Set-Cookie": {"a=b"}, "Location": {"http://x"}}, now)
	if len(h) != 2 || len(h["X-Ratelimit-Limit-Requests"]) != 1 {
		t.Errorf("%v passes", h)
	}
}

// TestEndlessStream: the number of chunks in a stream is bounded, like everything that an upstream sends.
func TestEndlessStream(t *testing.T) {
	chunk := []byte("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n")
	out := &Outcome{Gaps: make([]time.Duration, maxTokens-10)}
	resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {typeEvents}},
		Body: io.NopCloser(iotest.OneByteReader(strings.NewReader(strings.Repeat(string(chunk), 100))))}
	w := httptest.NewRecorder()
	f := &passage{u: &Upstream{now: time.Now}, w: w, p: &prepared{stream: true}, start: time.Now(), out: out,
		report: func(*Outcome) {}}
	err := f.pass(resp, &server{first: &histogram{}}, time.Now())
	if !errors.Is(err, errForm) || len(out.Gaps) > maxTokens || !strings.Contains(w.Body.String(), "upstream_error") {
		t.Errorf("%v after %d chunks", err, len(out.Gaps))
	}
}

// TestModelsOfAnUpstream: an upstream's list of models cannot make an endless list, or names that nobody can type.
func TestModelsOfAnUpstream(t *testing.T) {
	var list strings.Builder
	list.WriteString(`{"data":[{"id":"good","created":7,"max_model_len":32768},{"id":""},{"id":"a\u001b[2Jb"},`)
	list.WriteString(`{"id":"` + strings.Repeat("x", 600) + `"},{"id":"odd","created":-1,"max_model_len":-5},`)
	list.WriteString(`{"id":"huge","created":9223372036854775807,"max_model_len":9223372036854775807}`)
	for i := range 5000 {
		fmt.Fprintf(&list, `,{"id":"m%d"}`, i)
	}
	list.WriteString("]}")
	models, err := readModels([]byte(list.String()))
	if err != nil || len(models) > maxModels {
		t.Fatalf("%d models: %v", len(models), err)
	}
	want := []llm.Model{{ID: "good", Created: time.Unix(7, 0), ContextLength: 32768},
		{ID: "odd", Created: time.Unix(0, 0)}, {ID: "huge", Created: time.Unix(0, 0)}}
	for i, m := range want {
		if models[i].ID != m.ID || !models[i].Created.Equal(m.Created) || models[i].ContextLength != m.ContextLength {
			t.Errorf("%+v, want %+v", models[i], m)
		}
	}
}

// FuzzBeginsEvents: what is known after the beginning of a stream does not change when more of it comes.
func FuzzBeginsEvents(f *testing.F) {
	for _, s := range []string{"data: x", ": hi", "\r\n\r\nevent: a", "<html>", "", "da", "\ufeffid: 1", "retry"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		events, sure := beginsEvents(text)
		if !sure {
			return
		}
		if later, still := beginsEvents(append(text[:len(text):len(text)], "data"...)); later != events || !still {
			t.Errorf("%q: %v, and with more behind it %v, %v", text, events, later, still)
		}
	})
}
