package target

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/certify/client"
)

// childMode is the variable that makes this test binary behave as a server program. Its value is "PORT MODE".
const childMode = "MIXTRAL_TEST_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		os.Exit(child(mode, os.Args[len(os.Args)-1]))
	}
	leak.Main(m)
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
	case "busy once": // behaves as if another program had taken the port
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
	case <-time.After(time.Minute):
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
	c := client.New(s.URL, "")
	defer c.Close()
	if list, err := c.Models(t.Context()); err != nil || list[0].ID != "m" {
		t.Errorf("%v, %v", list, err)
	}
	if !s.InProcess || s.PID != 0 {
		t.Errorf("a handler's server: %+v", s)
	}
	c.Close()
	if err := s.Stop(); err != nil || !closed {
		t.Errorf("stop: %v, closed %v", err, closed)
	}
}

func TestPasswordsAreHidden(t *testing.T) {
	h := httptest.NewServer(http.NotFoundHandler())
	defer h.Close()
	_, err := Existing(t.Context(), strings.Replace(h.URL, "http://", "http://user:hidden@", 1), "")
	if err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
	if got := client.Redact("http://user:hidden@host/v1"); strings.Contains(got, "hidden") ||
		client.Redact("::") != "::" {
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
