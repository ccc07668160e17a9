package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

func TestRoutes(t *testing.T) {
	f := start(t)
	for _, path := range []string{"/", "/v1", "/v1/chat/completions/", "/v2/models", "/%00", "/" +
		strings.Repeat("x", 5000)} {
		f.wantError("GET", path, "", 404, "")
	}
	for _, test := range [][3]string{
		{"GET", "/v1/chat/completions", "POST"}, {"PUT", "/v1/completions", "POST"},
		{"DELETE", "/v1/models/fake", "GET, HEAD"}, {"POST", "/livez", "GET, HEAD"}, {"GET", "/tokenize", "POST"},
	} {
		resp, _ := f.wantError(test[0], test[1], "", 405, "")
		if resp.Header.Get("Allow") != test[2] {
			t.Errorf("%v: Allow %q", test, resp.Header.Get("Allow"))
		}
	}
	for path, want := range map[string]string{"/livez": `{"status":"ok"}`, "/readyz": `{"status":"ready"}`,
		"/version": `{"version":"v-test"}`} {
		if resp, data := f.do("GET", path, ""); resp.StatusCode != 200 || string(data) != want {
			t.Errorf("%s: %d %s", path, resp.StatusCode, data)
		}
		if resp, data := f.do("HEAD", path, ""); resp.StatusCode != 200 || len(data) > 0 {
			t.Errorf("HEAD %s: %d %s", path, resp.StatusCode, data)
		}
	}
	f.wantMetrics(map[string]float64{telemetry.HTTPRequests + ",404,other": 6, telemetry.HTTPRequests +
		",405,/v1/models/": 1, telemetry.HTTPRequests + ",200,/livez": 2})
}

func TestRequestID(t *testing.T) {
	f := start(t)
	for given, kept := range map[string]bool{"abc-123": true, "": false, "has space": false,
		strings.Repeat("x", 129): false, "ü": false} {
		resp, _ := f.do("GET", "/livez", "", "X-Request-Id", given)
		got := resp.Header.Get("X-Request-Id")
		if (got == given) != kept || got == "" {
			t.Errorf("%q became %q", given, got)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	f := start(t, func(c *Config, _ *llmtest.Fake) { c.MaxBody, c.MaxMessages = 1000, 3 })
	_, e := f.wantError("POST", "/v1/chat/completions", with(`"user":"`+strings.Repeat("x", 1000)+`"`), 413, "")
	if *e.Code != "request_too_large" {
		t.Errorf("%+v", e)
	}
	f.wantError("POST", "/v1/chat/completions", `{"messages":[{},{},{},{}]}`, 400, "messages")
}

// TestLargeBodies: the memory of large bodies together is bounded, and small ones are not delayed by them.
func TestLargeBodies(t *testing.T) {
	const size = 256 << 10
	f := start(t, func(c *Config, fake *llmtest.Fake) {
		c.MaxBody = size
		*fake = *llmtest.NewFake("fake", 4096, 32, 0)
	})
	release := make(chan struct{})
	f.fake.Step = holdUntil(release)
	large := with(`"user":"` + strings.Repeat("x", size-200) + `"`)
	var group sync.WaitGroup
	var answered atomic.Int32
	ask := func(body string) {
		group.Go(func() {
			if resp, _ := f.do("POST", "/v1/chat/completions", body); resp.StatusCode == 200 {
				answered.Add(1)
			}
		})
	}
	for range largeBodies {
		ask(large)
	}
	llmtest.Until(t, "they run", func() bool { return f.fake.Status().Running == largeBodies })
	resp, e := f.wantError("POST", "/v1/chat/completions", large, 429, "")
	if *e.Code != "queue_full" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%+v", e)
	}
	f.wantError("POST", "/tokenize", `{"prompt":"`+strings.Repeat("x", size-200)+`"}`, 429, "")
	for range 4 {
		ask(chatBody)
	}
	llmtest.Until(t, "small ones run too", func() bool { return f.fake.Status().Running == largeBodies+4 })
	close(release)
	llmtest.Await(t, "all requests", llmtest.Done(group.Wait))
	if answered.Load() != largeBodies+4 {
		t.Errorf("%d answered", answered.Load())
	}
	for range 2 * largeBodies { // the budget is given back, also after errors
		if resp, _ := f.do("POST", "/tokenize", `{"prompt":"`+strings.Repeat("x",
			size-200)+`"}`); resp.StatusCode != 200 {
			t.Fatal(resp.Status)
		}
		f.wantError("POST", "/v1/chat/completions", with(`"user":"`+strings.Repeat("x", size)+`"`), 413, "")
		f.wantError("POST", "/v1/chat/completions", strings.Repeat("x", size-200), 400, "")
	}
}

// TestSlowBody: a body that does not come in time is given up.
func TestSlowBody(t *testing.T) {
	f := start(t, func(c *Config, _ *llmtest.Fake) { c.ReadTimeout = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", f.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 408 || !strings.Contains(string(body), "request_timeout") {
		t.Errorf("%s %s", resp.Status, body)
	}
}

// TestHeaderLimits: headers that are too large, or do not end in time, cost only their connection.
func TestHeaderLimits(t *testing.T) {
	for _, test := range []struct {
		limit      time.Duration
		head, want string
	}{
		{llmtest.Limit, "GET /livez HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "431 "},
		{50 * time.Millisecond, "GET /livez HTTP/1.1\r\nHost: x\r\nA: slow", ""},
	} {
		s := New(Config{Metrics: telemetry.NewMetrics("v")}).HTTPServer()
		if s.ReadHeaderTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
			t.Errorf("no limits: %+v", s)
		}
		s.ReadHeaderTimeout = test.limit // like the real limit, but shorter
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, test.head)
		answer, _ := io.ReadAll(conn) // until the server closes
		conn.Close()
		if !strings.Contains(string(answer), test.want) || strings.Contains(string(answer), "200") {
			t.Errorf("%.40q: %s", test.head, answer)
		}
		s.Close()
		llmtest.Await(t, "the server's end", served)
	}
}

func TestCrossOrigin(t *testing.T) {
	f := start(t)
	f.wantError("POST", "/v1/chat/completions", chatBody, 403, "", "Sec-Fetch-Site", "cross-site")
	f.wantError("POST", "/v1/chat/completions", chatBody, 403, "", "Origin", "https://example.org")
	if resp, _ := f.do("POST", "/v1/chat/completions", chatBody, "Sec-Fetch-Site",
		"same-origin"); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
}

// TestPanic: a panic is a 500 for one request, and a metric.
func TestPanic(t *testing.T) {
	f := start(t)
	f.fake.Step = func(context.Context, *llm.Request, int) error { panic("broken model") }
	for _, body := range []string{chatBody, with(`"n":2`), with(`"stream":true`)} {
		_, e := f.wantError("POST", "/v1/chat/completions", body, 500, "")
		if strings.Contains(e.Message, "broken") {
			t.Errorf("%+v", e)
		}
	}
	f.fake.Step = nil
	post[openai.ChatResponse](f, "/v1/chat/completions", chatBody)
	if m := f.metrics(); m[telemetry.Panics] < 3 ||
		m[telemetry.Requests+",error"]+m[telemetry.Requests+",abort"] != 4 ||
		!strings.Contains(f.log.String(), "broken model") {
		t.Errorf("%v", m)
	}
	before := f.metrics()[telemetry.Panics] // 3 or 4: the second choice may be cancelled before it can panic
	f.server.routes["/version"] = route{method: "GET", open: true,
		handle: func(*exchange, *http.Request) error { panic("handler") }}
	f.server.routes["/livez"] = route{method: "GET", open: true,
		handle: func(w *exchange, _ *http.Request) error { w.Write([]byte("half")); panic("late") }}
	f.wantError("GET", "/version", "", 500, "")
	once := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // else the client retries
	// nothing was flushed yet, so not even the header came
	if resp, err := once.Get(f.http.URL + "/livez"); err == nil {
		resp.Body.Close()
		t.Error("half an answer looks whole")
	}
	f.wantMetrics(map[string]float64{telemetry.Panics: before + 2})
}

func TestErrorMap(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		param  string
		retry  int
	}{
		{llm.ErrQueueFull, 429, "", 7},
		{fmt.Errorf("wrapped: %w", llm.ErrQueueFull), 429, "", 7},
		{llm.ErrNotReady, 503, "", 7},
		{llm.ErrClosed, 503, "", 7},
		{llm.ErrUnsupported, 501, "", 0},
		{llm.ErrNumeric, 500, "", 0},
		{llm.ErrModelNotFound, 404, "model", 0},
		{llm.BadField("top_k", "is odd"), 400, "top_k", 0},
		{&llm.FieldError{Field: "messages", Reason: "long", Err: llm.ErrContextLength}, 400, "messages", 0},
		{&llm.FieldError{Field: "logit_bias", Reason: "no", Err: llm.ErrUnsupported}, 400, "logit_bias", 0},
		{&http.MaxBytesError{Limit: 5}, 413, "", 0},
		{context.Canceled, 499, "", 0},
		{context.DeadlineExceeded, 504, "", 0},
		{errors.New("open /etc/secret: permission denied"), 500, "", 0},
	} {
		e := toHTTP(test.err, 7)
		if e.status != test.status || e.param != test.param || e.retryAfter != test.retry ||
			strings.Contains(e.message, "secret") {
			t.Errorf("%v: %+v", test.err, e)
		}
	}
}

func TestRetryAdvice(t *testing.T) {
	var a retryAdvice
	if a.seconds() != 1 {
		t.Error(a.seconds())
	}
	a.add(4500 * time.Millisecond)
	if a.seconds() != 5 {
		t.Error(a.seconds())
	}
	for range 100 {
		a.add(time.Hour)
	}
	if a.seconds() != 60 {
		t.Error(a.seconds())
	}
	for range 200 {
		a.add(time.Millisecond)
	}
	if a.seconds() != 1 {
		t.Error(a.seconds())
	}
}

// TestLifecycle follows the states of services.
func TestLifecycle(t *testing.T) {
	for _, test := range []struct{ trace, want string }{
		{"enter", "refused"},
		{"open enter leave enter", "in out in"},
		{"open enter enter drain enter leave leave", "in in waiting refused out drained"},
		{"open drain enter", "drained refused"},
		{"drain open enter", "drained refused"},
		{"open enter leave drain", "in out drained"},
		{"open enter drain drain leave", "in waiting waiting drained"},
	} {
		var l lifecycle
		var got []string
		say := func(b bool, yes, no string) {
			if b {
				got = append(got, yes)
			} else {
				got = append(got, no)
			}
		}
		for _, step := range strings.Fields(test.trace) {
			switch step {
			case "open":
				l.open()
			case "enter":
				say(l.enter() == nil, "in", "refused")
			case "leave":
				say(l.leave(), "drained", "out")
			case "drain":
				say(l.drain(), "drained", "waiting")
			}
		}
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("%s: %s, want %s", test.trace, s, test.want)
		}
	}
}

func TestStarting(t *testing.T) {
	s := New(Config{Metrics: telemetry.NewMetrics("v")})
	f := start(t)
	f.http.Config.Handler = s
	for _, path := range []string{"/v1/models", "/readyz", "/v1/models/fake"} {
		resp, e := f.wantError("GET", path, "", 503, "")
		if resp.Header.Get("Retry-After") == "" || !strings.Contains(e.Message, "starting") {
			t.Errorf("%s: %+v", path, e)
		}
	}
	for _, path := range []string{"/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"} {
		f.wantError("POST", path, chatBody, 503, "")
	}
	if resp, _ := f.do("GET", "/livez", ""); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	f.wantMetrics(map[string]float64{telemetry.Running: 0})
	s.SetBackend(f.fake)
	post[openai.ChatResponse](f, "/v1/chat/completions", chatBody)
	f.fake.SetReady(false)
	f.wantError("GET", "/readyz", "", 503, "")
}

// TestDrain: requests under way end normally, new ones are refused, and Drain returns after the last one.
func TestDrain(t *testing.T) {
	f := start(t)
	release := make(chan struct{})
	f.fake.Step = holdUntil(release)
	answered := make(chan string, 1)
	go func() {
		resp, data := f.do("POST", "/v1/chat/completions", chatBody)
		answered <- fmt.Sprint(resp.StatusCode, strings.Contains(string(data), "one two three"))
	}()
	llmtest.Until(t, "it runs", func() bool { return f.fake.Status().Running == 1 })
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.server.Drain(short); !errors.Is(err, context.Canceled) ||
		!strings.Contains(err.Error(), "1 request is") {
		t.Error(err)
	}
	drained := make(chan error, 1)
	go func() { drained <- f.server.Drain(t.Context()) }()
	for _, path := range []string{"/readyz", "/v1/models"} {
		if resp, _ := f.wantError("GET", path, "", 503, ""); resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %v", path, resp.Header)
		}
	}
	f.wantError("POST", "/v1/chat/completions", chatBody, 503, "")
	select {
	case err := <-drained:
		t.Fatalf("drained with a request under way: %v", err)
	default:
	}
	close(release)
	if got := llmtest.Await(t, "the answer under way", answered); got != "200true" && got != "200 true" {
		t.Error(got)
	}
	if err := llmtest.Await(t, "Drain", drained); err != nil {
		t.Error(err)
	}
	if resp, _ := f.do("GET", "/livez", ""); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
}

// TestQueueFull: requests beyond the queue are refused at once, with a time to retry, and all others are answered.
func TestQueueFull(t *testing.T) {
	f := start(t)
	release := make(chan struct{})
	f.fake.Step = holdUntil(release)
	var group sync.WaitGroup
	var answered atomic.Int32
	for range 8 {
		group.Go(func() {
			if resp, _ := f.do("POST", "/v1/chat/completions", chatBody); resp.StatusCode == 200 {
				answered.Add(1)
			}
		})
	}
	llmtest.Until(t, "it is full", func() bool { s := f.fake.Status(); return s.Running == 4 && s.Waiting == 4 })
	f.wantMetrics(map[string]float64{telemetry.Running: 4, telemetry.Waiting: 4, telemetry.KVCacheUsage: 1})
	for _, body := range []string{chatBody, with(`"stream":true`), with(`"n":2`)} {
		resp, e := f.wantError("POST", "/v1/chat/completions", body, 429, "")
		if resp.Header.Get("Retry-After") == "" || *e.Code != "queue_full" {
			t.Errorf("%v %+v", resp.Header, e)
		}
	}
	close(release)
	llmtest.Await(t, "all requests", llmtest.Done(group.Wait))
	if answered.Load() != 8 {
		t.Errorf("%d of 8 answered", answered.Load())
	}
	f.wantMetrics(map[string]float64{telemetry.Requests + ",stop": 8, telemetry.Requests + ",error": 0,
		telemetry.Requests + ",abort":                        0,
		telemetry.HTTPRequests + ",200,/v1/chat/completions": 8, telemetry.HTTPRequests +
			",429,/v1/chat/completions": 3})
}

// TestManyAtOnce: under load from many clients every request is answered once, and the metrics agree with the clients.
func TestManyAtOnce(t *testing.T) {
	f := start(t, func(_ *Config, fake *llmtest.Fake) { *fake = *llmtest.NewFake("fake", 4096, 8, 8) })
	var ok, full, prompt, generated atomic.Int64
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			for k := range 10 {
				n := 1 + (i+k)%3
				resp, data := f.do("POST", "/v1/chat/completions",
					with(fmt.Sprintf(`"n":%d,"stream":%v,"stream_options":%s`, n, k%2 == 0,
						map[bool]string{true: `{"include_usage":true}`, false: "null"}[k%2 == 0])))
				switch resp.StatusCode {
				case 429:
					full.Add(1)
				case 200:
					var u openai.Usage
					if k%2 == 0 {
						s := readStream(t, strings.NewReader(string(data)))
						if s.err != nil { // the queue was full for one choice after another one had begun
							full.Add(1)
							continue
						}
						u = *s.usage
					} else {
						u = *decode[openai.ChatResponse](t, data).Usage
					}
					ok.Add(int64(n))
					prompt.Add(int64(u.PromptTokens))
					generated.Add(int64(u.CompletionTokens))
				default:
					t.Errorf("%d %s", resp.StatusCode, data)
				}
			}
		})
	}
	llmtest.Await(t, "all requests", llmtest.Done(group.Wait))
	m := f.metrics()
	if m[telemetry.Requests+",stop"] < float64(ok.Load()) ||
		m[telemetry.GenerationTokens] < float64(generated.Load()) || ok.Load() == 0 {
		t.Errorf("clients: %d answers, %d full, %d tokens; server: %v", ok.Load(), full.Load(), generated.Load(), m)
	}
	if full.Load() == 0 && (m[telemetry.Requests+",stop"] != float64(ok.Load()) ||
		m[telemetry.PromptTokens] != float64(prompt.Load()) ||
		m[telemetry.GenerationTokens] != float64(generated.Load())) {
		t.Errorf("clients: %d answers, %d + %d tokens; server: %v", ok.Load(), prompt.Load(), generated.Load(), m)
	}
	if s := f.fake.Status(); s.Running != 0 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}
