package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
)

// childMode makes this test binary behave as a server program: "PORT MODE".
const childMode = "MIXTRAL_TEST_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		os.Exit(child(mode, os.Args[len(os.Args)-1]))
	}
	goleak.VerifyTestMain(m)
}

// child is a server that behaves as mode says.
func child(mode, port string) int {
	switch mode {
	case "crash":
		fmt.Fprintln(os.Stderr, "no such model")
		return 3
	case "stubborn":
		ignore := make(chan os.Signal, 1)
		notify(ignore)
	case "busy once": // as if another program had taken the port
		if _, err := os.Stat(os.Getenv("MARK")); err != nil {
			_ = os.WriteFile(os.Getenv("MARK"), nil, 0o600)
			fmt.Fprintln(os.Stderr, "listen: address already in use")
			return 3
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	_ = http.Serve(l, models())
	return 0
}

func models() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"m","object":"model"}]}`)
	})
	return mux
}

func launcher() Launcher {
	return Child(os.Args[0], func(port int, _ Need) []string { return []string{strconv.Itoa(port)} })
}

func TestAChildIsAServerOfItsOwn(t *testing.T) {
	t.Setenv(childMode, "serve")
	s, err := launcher()(t.Context(), Need{})
	if err != nil {
		t.Fatal(err)
	}
	if s.PID == 0 || s.PID == os.Getpid() || s.InProcess {
		t.Errorf("%+v", s)
	}
	if runtime.GOOS == "linux" {
		source, err := Watch(s, 0, "", probe.NewScraper("", "", "", ""))
		if err != nil || source.Name() != "pid "+strconv.Itoa(s.PID) {
			t.Errorf("resources from %v, %v", source, err)
		}
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	<-s.Gone
	if err := s.Stop(); err != nil {
		t.Errorf("second Stop: %v", err)
	}
	if _, err := http.Get(s.URL); err == nil {
		t.Error("the stopped server still answers")
	}
}

func TestAChildThatCrashesSaysWhy(t *testing.T) {
	t.Setenv(childMode, "crash")
	_, err := launcher()(t.Context(), Need{})
	if !errors.Is(err, ErrSetup) || !strings.Contains(err.Error(), "no such model") {
		t.Errorf("got %v", err)
	}
	_, err = Child("/no/such/program", func(int, Need) []string { return nil })(t.Context(), Need{})
	if !errors.Is(err, ErrSetup) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestAPortThatWasTakenIsTriedAgain(t *testing.T) {
	t.Setenv(childMode, "busy once")
	t.Setenv("MARK", t.TempDir()+"/mark")
	s, err := launcher()(t.Context(), Need{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

func TestAChildThatDiesIsNoticed(t *testing.T) {
	t.Setenv(childMode, "serve")
	s, err := launcher()(t.Context(), Need{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(s.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Gone:
	case <-time.After(10 * time.Second):
		t.Error("nobody noticed")
	}
	if err := s.Stop(); err != nil {
		t.Errorf("Stop after the end: %v", err)
	}
}

func TestAStubbornChildIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the drain's bound")
	}
	t.Setenv(childMode, "stubborn")
	s, err := launcher()(t.Context(), Need{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("got %v", err)
	}
}

func TestCancelledWhileStarting(t *testing.T) {
	t.Setenv(childMode, "serve")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := launcher()(ctx, Need{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAHandlerInThisProcess(t *testing.T) {
	closed := false
	s, err := Handler(models())(t.Context(), Need{})
	if err != nil {
		t.Fatal(err)
	}
	s = s.After(func() error { closed = true; return nil })
	c := NewClient(s.URL, "")
	defer c.Close()
	if list, err := c.Models(t.Context()); err != nil || list[0].ID != "m" {
		t.Errorf("%v, %v", list, err)
	}
	if source, err := Watch(s, 0, "", nil); runtime.GOOS == "linux" && (err != nil || source.Name() != "self") {
		t.Errorf("resources from %v, %v", source, err)
	}
	c.Close()
	if err := s.Stop(); err != nil || !closed {
		t.Errorf("stop: %v, closed %v", err, closed)
	}
}

func TestRoots(t *testing.T) {
	for target, want := range map[string]string{
		"localhost:8000":                                "http://localhost:8000",
		"http://localhost:8000/":                        "http://localhost:8000",
		"https://host/v1":                               "https://host",
		"https://host/openai/v1/":                       "https://host/openai",
		"http://host:1/v1/chat/completions":             "http://host:1",
		"http://user:word@host/v1?x=1#y":                "http://user:word@host",
		"http://[::1]:11434/v1":                         "http://[::1]:11434",
		"https://gateway.example/team/chat/completions": "https://gateway.example/team",
	} {
		if got, err := Root(target); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", target, got, err, want)
		}
	}
	for _, target := range []string{"", "ftp://host", "http://", "http://ho st", "unix:///x"} {
		if got, err := Root(target); !errors.Is(err, ErrSetup) {
			t.Errorf("%q: %s, %v", target, got, err)
		}
	}
}

func TestPasswordsAreHidden(t *testing.T) {
	h := httptest.NewServer(http.NotFoundHandler())
	defer h.Close()
	_, err := Existing(t.Context(), strings.Replace(h.URL, "http://", "http://user:hidden@", 1), "")
	if err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
	if got := Redact("http://user:hidden@host/v1"); strings.Contains(got, "hidden") || Redact("::") != "::" {
		t.Errorf("got %s", got)
	}
}

func TestExistingServers(t *testing.T) {
	answers := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer secret" {
				models().ServeHTTP(w, r)
				return
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	for name, tt := range map[string]struct {
		h    http.Handler
		key  string
		says string
		hint string
	}{
		"good":     {h: models()},
		"with key": {h: answers(401, ""), key: "secret"},
		"no key": {h: answers(401, `{"error":{"message":"who are you?"}}`), says: "401 Unauthorized: who are you?",
			hint: "--api-key-file"},
		"forbidden": {h: answers(403, ""), says: "403", hint: "--api-key-file"},
		"elsewhere": {h: http.NotFoundHandler(), says: "404", hint: "the address must be the root"},
		"a page": {h: answers(200, "<html>"), says: "answers with no JSON (text/html)",
			hint: "the address must be the root"},
		"redirect": {h: http.RedirectHandler("https://elsewhere.example/v1/models", http.StatusPermanentRedirect),
			says: "308 Permanent Redirect: to https://elsewhere.example/v1/models", hint: "give the address"},
		"empty":  {h: answers(200, `{"data":[]}`), says: "names no model"},
		"broken": {h: answers(500, strings.Repeat("x", 9999)), says: "500 Internal Server Error"},
	} {
		h := httptest.NewServer(tt.h)
		s, err := Existing(t.Context(), h.URL, tt.key)
		switch {
		case tt.says == "" && (err != nil || s.PID != 0 || s.Stop() != nil):
			t.Errorf("%s: %v", name, err)
		case tt.says != "" && (!errors.Is(err, ErrSetup) || !strings.Contains(err.Error(), tt.says) ||
			len(err.Error()) > 300 || !strings.Contains(Hint(err), tt.hint)):
			t.Errorf("%s: %v, hint %q", name, err, Hint(err))
		}
		h.Close()
	}
	if err := fmt.Errorf("x: %w", syscall.ECONNREFUSED); Hint(err) == "" || Hint(errors.New("x")) != "" {
		t.Error("hints")
	}
}

// TestAServerThatNeverAnswers: neither one that sends nothing nor one that never ends its answer may hold a run.
func TestAServerThatNeverAnswers(t *testing.T) {
	for name, begins := range map[string]bool{"no answer": false, "no end": true} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			c := NewClient("http://host", "")
			c.http.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn,
				error) {
				return here, nil
			}}
			go func() {
				_, _ = there.Read(make([]byte, 4096))
				if begins {
					_, _ = io.WriteString(there, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
				}
			}()
			begun := time.Now()
			_, err := c.Models(t.Context())
			if took := time.Since(begun); !errors.Is(err, ErrSetup) ||
				!strings.Contains(err.Error(), "http://host/v1/models: no answer in time") || took != patience {
				t.Errorf("%s: %v after %s", name, err, took)
			}
			if Hint(err) == "" {
				t.Errorf("%s: no hint", name)
			}
			c.Close()
			there.Close()
		})
	}
}

func TestAServerWithoutAListOfModelsIsReady(t *testing.T) {
	h := httptest.NewServer(http.NotFoundHandler())
	defer h.Close()
	c := NewClient(h.URL, "")
	defer c.Close()
	if err := c.Ready(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestReadyWaits(t *testing.T) {
	asked := 0
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; r.URL.Path != "/readyz" || asked < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer h.Close()
	c := NewClient(h.URL, "")
	defer c.Close()
	if err := c.Ready(t.Context(), nil); err != nil || asked != 3 {
		t.Errorf("%v after %d questions", err, asked)
	}
	asked = -1 << 30
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.Ready(ctx, nil); !errors.Is(err, ErrSetup) || !strings.Contains(err.Error(), "not ready in time") {
		t.Errorf("got %v", err)
	}
	gone := make(chan struct{})
	close(gone)
	if err := c.Ready(t.Context(), gone); !errors.Is(err, ErrSetup) || !strings.Contains(err.Error(), "ended before") {
		t.Errorf("got %v", err)
	}
}

func TestTokenizeAndChat(t *testing.T) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/version":
			fmt.Fprint(w, `{"version":"0.9.1"}`)
		case "/tokenize":
			fmt.Fprint(w, `{"count":3,"tokens":[1,2,3]}`)
		case "/v1/chat/completions":
			fmt.Fprint(w, `{"choices":[{"message":{"content":"4"},"finish_reason":"stop"}]}`)
		}
	}))
	defer h.Close()
	c := NewClient(h.URL, "")
	defer c.Close()
	if v := c.Version(t.Context()); v != "0.9.1" {
		t.Errorf("version %q", v)
	}
	if n, err := c.Tokenize(t.Context(), "m", "a b c"); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if a, err := c.Chat(t.Context(), openai.ChatRequest{}); err != nil || a.Choices[0].Message.Content != "4" {
		t.Errorf("%v, %v", a, err)
	}
}
