package api

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
	"github.com/hxp-enterprise/mixtral/internal/serve/upstream"
)

// completed is an event of /v1/responses.
const completed = "event: response.completed\n" +
	`data: {"response":{"usage":{"input_tokens":3,"output_tokens":4}}}` + "\n\n"

// behind starts a service in front of a server whose answers far writes.
func behind(t *testing.T, far http.HandlerFunc, models map[string]string, change ...func(*Config,
	*llmtest.Fake)) *fixture {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models" {
			io.WriteString(w, `{"data":[{"id":"there"}]}`)
			return
		}
		far(w, r)
	}))
	t.Cleanup(server.Close)
	backend, err := upstream.New(upstream.Config{URLs: []string{server.URL}, Models: models})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { backend.Close() })
	f := start(t, change...)
	f.server.SetBackend(backend)
	llmtest.Until(t, "the upstream is healthy", func() bool { return backend.Status().Ready })
	return f
}

// TestAnyRoutePasses: a route that only the upstream has is passed on unchanged, and its answer comes back.
func TestAnyRoutePasses(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	f := behind(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		asked = append(asked, fmt.Sprintf("%s %s %s %s %s", r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"),
			r.Header.Get("Authorization"), body))
		mu.Unlock()
		switch r.URL.Path {
		case "/v1/audio/speech":
			w.Header().Set("Content-Type", "audio/mpeg")
			w.Write([]byte{0xff, 0xfb, 0})
		case "/v1/responses":
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w,
				completed)
		case "/v1/missing":
			w.WriteHeader(404)
			io.WriteString(w, `{"error":{"message":"no"}}`)
		default:
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"data":[1],"usage":{"prompt_tokens":5}}`)
		}
	}, map[string]string{"here": "there"}, func(c *Config, _ *llmtest.Fake) {
		c.Callers = access.NewCallers(keysOf(t, "a key-of-a-0123456789"))
	})
	const key = "Bearer key-of-a-0123456789"
	for _, c := range []struct {
		method, path, body, typ string
		status                  int
		sent, got               string
	}{
		{"POST", "/v1/embeddings", `{"model":"here","input":"a"}`, "application/json", 200,
			`POST /v1/embeddings application/json  {"input":"a","model":"there"}`,
			`{"data":[1],"usage":{"prompt_tokens":5}}`},
		{"POST", "/v1/rerank", `{ "x" : 1 }`, "application/json", 200, `POST /v1/rerank application/json  { "x" : 1 }`,
			`{"data":[1],"usage":{"prompt_tokens":5}}`},
		{"POST", "/v1/audio/speech", `{}`, "application/json", 200, `POST /v1/audio/speech application/json  {}`,
			"\xff\xfb\x00"},
		{"POST", "/v1/audio/transcriptions", "--b\r\nx", "multipart/form-data; boundary=b", 200,
			"POST /v1/audio/transcriptions multipart/form-data; boundary=b  --b\r\nx",
			`{"data":[1],"usage":{"prompt_tokens":5}}`},
		{"GET", "/v1/files?limit=2", "", "", 200, "GET /v1/files?limit=2   ",
			`{"data":[1],"usage":{"prompt_tokens":5}}`},
		{"DELETE", "/v1/files/file-1", "", "", 200, "DELETE /v1/files/file-1   ",
			`{"data":[1],"usage":{"prompt_tokens":5}}`},
		{"POST", "/v1/responses", `{"stream":true}`, "application/json", 200,
			`POST /v1/responses application/json  {"stream":true}`,
			completed},
		{"POST", "/v1/missing", `{}`, "application/json", 404, `POST /v1/missing application/json  {}`,
			`{"error":{"message":"no"}}`},
	} {
		resp, data := f.do(c.method, c.path, c.body, "Content-Type", c.typ, "Authorization", key)
		mu.Lock()
		sent := strings.Join(asked, "|")
		asked = nil
		mu.Unlock()
		if resp.StatusCode != c.status || string(data) != c.got || sent != c.sent {
			t.Errorf("%s %s: %d %q, and the upstream got %q", c.method, c.path, resp.StatusCode, data, sent)
		}
	}
	f.wantError("POST", "/v1/embeddings", `{}`, 401, "")
	for _, path := range []string{"/v1/../metrics", "/v1/%2e%2e/metrics", "/v1/a/%252e%252e/b", "/v2/x",
		"/v1/a%2f..%2fb", "/v1/%00"} {
		f.wantError("POST", path, `{}`, 404, "", "Authorization", key)
	}
	f.wantMetrics(map[string]float64{telemetry.HTTPRequests + ",200,/v1/": 6,
		telemetry.HTTPRequests + ",200,/v1/responses": 1,
		telemetry.HTTPRequests + ",404,/v1/":          1})
	mu.Lock()
	defer mu.Unlock()
	if len(asked) > 0 {
		t.Errorf("the upstream got %q", asked)
	}
}

// TestWaitingForTheUpstream: a stream without events sends comments, before and within the upstream's answer.
func TestWaitingForTheUpstream(t *testing.T) {
	const every = 30 * time.Millisecond
	begin, goOn := make(chan struct{}), make(chan struct{})
	f := behind(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		<-begin
		if strings.Contains(string(body), "refuse") {
			w.WriteHeader(400)
			io.WriteString(w, "{\n\"error\":{\"message\":\"no\"}}")
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n")
		w.(http.Flusher).Flush()
		<-goOn
		io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n")
	}, nil, func(c *Config, _ *llmtest.Fake) { c.KeepAlive = every })
	resp := f.request(t.Context(), "POST", "/v1/chat/completions", with(`"stream":true`))
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func(want string) {
		t.Helper()
		for lines.Scan() {
			if line := lines.Text(); strings.HasPrefix(line, want) {
				return
			} else if line != "" && line != ": waiting" {
				t.Fatalf("%q, want %q", line, want)
			}
		}
		t.Fatalf("the end, want %q", want)
	}
	next(": waiting")
	close(begin)
	next(`data: {"choices":[{"index":0,"delta":{"content":"a"}`)
	next(": waiting")
	close(goOn)
	next(`data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}`)
	next("data: [DONE]") // the upstream left it out
	for lines.Scan() {   // an empty line ends the last event
		if lines.Text() != "" {
			t.Errorf("behind the end: %q", lines.Text())
		}
	}
	if n := f.metrics()[telemetry.Requests+",stop"]; n != 1 {
		t.Errorf("%v answers", n)
	}
}

// TestNoCommentBehindTheEnd: however long the handler needs to return, nothing follows the event that ends a stream.
func TestNoCommentBehindTheEnd(t *testing.T) {
	const chunk, comment = "data: {}\n\n", ": waiting\n\n"
	for _, test := range []struct{ sent, want string }{
		{chunk, chunk + comment},
		{"data: {\"a\":\"data: [DONE]", "data: {\"a\":\"data: [DONE]"}, // within an event
		{"data: {\"a\":\"data: [DONE]\"}\n\n", "data: {\"a\":\"data: [DONE]\"}\n\n" + comment},
		{"data: [DONE]\n\n", "data: [DONE]\n\n"},
		{chunk + "data: [DONE]\n\n", chunk + "data: [DONE]\n\n"},
		{"data: {}\r\n\r\ndata: [DONE]\r\n\r\n", "data: {}\r\n\r\ndata: [DONE]\r\n\r\n"},
	} {
		client := httptest.NewRecorder()
		a := &answer{ResponseWriter: client}
		w := newWaiter(a, a, time.Hour)
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		for _, b := range []byte(test.sent) { // a read may end anywhere
			w.Write([]byte{b})
		}
		w.keepAlive()
		w.end(nil)
		if got := client.Body.String(); got != test.want {
			t.Errorf("%q became %q", test.sent, got)
		}
	}
}

// TestRefusalBehindAComment: an error that comes too late for a status is an event, in the form that the route's
// clients know.
func TestRefusalBehindAComment(t *testing.T) {
	const chat, message, response = `{"messages":[{"role":"user","content":"a"}],"stream":true}`,
		`{"messages":[{"role":"user","content":"a"}],"max_tokens":4,"stream":true}`, `{"input":"a","stream":true}`
	for _, test := range []struct {
		name, path, body string
		status           int // of the upstream; 0: none, it closes the connection
		answer, want     string
	}{
		{"chat", "/v1/chat/completions", chat, 400, "{\n\"error\":{\"message\":\"no\"}}",
			`data: {"error":{"message":"no"}}`},
		{"chat, hung up", "/v1/chat/completions", chat, 0, "",
			`data: {"error":{"message":"no upstream server answered","type":"server_error",` +
				`"param":null,"code":"upstream_unreachable"}}`},
		{"message", "/v1/messages", message, 400, `{"type":"error","error":{"type":"x","message":"no"}}`,
			"event: error\ndata: " + `{"type":"error","error":{"type":"invalid_request_error","message":"no"},"request_id":"R"}`},
		{"message, error of another shape", "/v1/messages", message, 429, `{"message":"slow down","code":429}`,
			"event: error\ndata: " + `{"type":"error","error":{"type":"rate_limit_error","message":"Too Many Requests"},"request_id":"R"}`},
		{"message, hung up", "/v1/messages", message, 0, "",
			"event: error\ndata: " + `{"type":"error","error":{"type":"api_error","message":"no upstream server answered"},"request_id":"R"}`},
		{"message, no route and no chats", "/v1/messages", message, 404, `{"error":{"message":"no such model"}}`,
			"event: error\ndata: " + `{"type":"error","error":{"type":"not_found_error","message":"model not found: upstream ` +
				`answers 404: no such model"},"request_id":"R"}`},
		{"message that cannot be translated", "/v1/messages", `{"messages":[],"max_tokens":4,"stream":true}`, 404, `{}`,
			"event: error\ndata: " + `{"type":"error","error":{"type":"invalid_request_error","message":"messages: at least ` +
				`one message is needed"},"request_id":"R"}`},
		{"response", "/v1/responses", response, 400, `{"error":{"message":"no","code":"bad"}}`,
			"event: error\ndata: " + `{"type":"error","sequence_number":0,"code":"bad","message":"no","param":null}`},
		{"response, hung up", "/v1/responses", response, 0, "", "event: error\ndata: " + `{"type":"error","sequence_number":0,` +
			`"code":"upstream_unreachable","message":"no upstream server answered","param":null}`},
		{"response, no route and no chats", "/v1/responses", response, 501, `{"error":{"message":"never"}}`,
			"event: error\ndata: " + `{"type":"error","sequence_number":0,"code":"not_supported","message":"not supported here: ` +
				`upstream answers 501: never","param":null}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			release := make(chan struct{})
			f := behind(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				<-release
				if test.status == 0 {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(test.status)
				io.WriteString(w, test.answer)
			}, nil, func(c *Config, _ *llmtest.Fake) { c.KeepAlive = 10 * time.Millisecond })
			resp := f.request(t.Context(), "POST", test.path, test.body)
			defer resp.Body.Close()
			close(release)
			data, err := io.ReadAll(resp.Body)
			got := strings.ReplaceAll(strings.ReplaceAll(string(data), ": waiting\n\n", ""),
				resp.Header.Get("X-Request-Id"), "R")
			if resp.StatusCode != 200 || err != nil || !strings.HasPrefix(string(data), ": waiting\n\n") ||
				got != test.want+"\n\n" {
				t.Errorf("%s %v\n got %q\nwant %q", resp.Status, err, got, test.want+"\n\n")
			}
		})
	}
}

// TestNoAnswerOfAnUpstream: if an upstream switches protocols, or answers with a status without an answer, no client
// waits for it: the client gets a 502, or an error event if its stream has begun.
func TestNoAnswerOfAnUpstream(t *testing.T) {
	for _, status := range []string{"101", "204", "304", "042", "777"} {
		begun := make(chan struct{})
		f := behind(t, func(w http.ResponseWriter, r *http.Request) {
			if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), `"stream"`) {
				<-begun // the stream begins with a comment
			}
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 "+status+" X\r\nUpgrade: x\r\nConnection: close, Upgrade\r\n\r\n")
			conn.Read(make([]byte, 1))
		}, nil, func(c *Config, _ *llmtest.Fake) { c.KeepAlive = time.Millisecond })
		f.wantError("POST", "/v1/chat/completions", chatBody, 502, "")
		resp := f.request(t.Context(), "POST", "/v1/chat/completions", with(`"stream":true`))
		close(begun)
		data, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(string(data), ": waiting\n\n") ||
			!strings.Contains(string(data), "upstream_unreachable") {
			t.Errorf("%s: %q", status, data)
		}
	}
}
