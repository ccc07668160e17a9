package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
)

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

// TestAServerThatNeverAnswers: neither a server that sends nothing nor one that never ends its answer may hold up a
// run.
func TestAServerThatNeverAnswers(t *testing.T) {
	for name, begins := range map[string]bool{"no answer": false, "no end": true} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			c := New("http://host", "")
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
	c := New(h.URL, "")
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
	c := New(h.URL, "")
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
	c := New(h.URL, "")
	defer c.Close()
	if v := c.Version(t.Context()); v != "0.9.1" {
		t.Errorf("version %q", v)
	}
	if n, err := c.Tokenize(t.Context(), "m", "a b c"); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if a, err := c.Chat(t.Context(), openai.ChatRequest{}); err != nil || a.Choices[0].Message.Text() != "4" {
		t.Errorf("%v, %v", a, err)
	}
}

// TestTokenizersOfOthers: the client knows the forms of /tokenize of vLLM, llama.cpp and TGI. Each server of the test
// knows only one form. A server without a tokenizer, or that counts nothing, gives an error.
func TestTokenizersOfOthers(t *testing.T) {
	for name, c := range map[string]struct {
		field, answer string
		want          int
	}{
		"vLLM":      {"prompt", `{"count":3,"max_model_len":512,"tokens":[1,2,3]}`, 3},
		"llama.cpp": {"content", `{"tokens":[1,2,3,4]}`, 4},
		"TGI":       {"inputs", `[{"id":1,"text":"a","start":0,"stop":1},{"id":2,"text":"b","start":1,"stop":2}]`, 2},
		"nothing":   {"prompt", `{"tokens":[]}`, 0},
		"none":      {"", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var in map[string]any
				_ = json.NewDecoder(r.Body).Decode(&in)
				switch {
				case c.field == "":
					http.NotFound(w, r)
				case in[c.field] == "a b c":
					fmt.Fprint(w, c.answer)
				case c.field == "inputs":
					http.Error(w, `{"error":"missing field inputs"}`, http.StatusUnprocessableEntity)
				default:
					fmt.Fprint(w, `{"tokens":[]}`)
				}
			}))
			defer h.Close()
			client := New(h.URL, "")
			defer client.Close()
			n, err := client.Tokenize(t.Context(), "m", "a b c")
			if n != c.want || (err == nil) != (c.want > 0) || err != nil && !errors.Is(err, ErrSetup) {
				t.Errorf("%d, %v; want %d", n, err, c.want)
			}
		})
	}
}
