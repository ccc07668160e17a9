package api

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// startHTTP2 is start with TLS and HTTP/2, where limits apply to streams and not to connections.
func startHTTP2(t *testing.T, change ...func(*Config, *llmtest.Fake)) *fixture {
	f := start(t, change...)
	f.http.Close()
	f.http = httptest.NewUnstartedServer(nil)
	f.http.Config = f.server.HTTPServer()
	f.http.EnableHTTP2 = true
	f.http.StartTLS() // start closes it
	return f
}

// TestSlowReaderHTTP2 is TestSlowReader with HTTP/2; another stream of the same connection goes on.
func TestSlowReaderHTTP2(t *testing.T) {
	f := startHTTP2(t, endless)
	if major := takeNothing(t, f); major != 2 {
		t.Fatal(major)
	}
	served(t, f)
}

// TestSlowBodyHTTP2 is TestSlowBody with HTTP/2.
func TestSlowBodyHTTP2(t *testing.T) {
	f := startHTTP2(t, func(c *Config, _ *llmtest.Fake) { c.ReadTimeout = 50 * time.Millisecond })
	body, slow := io.Pipe()
	defer slow.Close()
	go fmt.Fprint(slow, "{")
	r, err := http.NewRequestWithContext(t.Context(), "POST", f.http.URL+"/v1/chat/completions", body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := f.http.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if data, _ := io.ReadAll(resp.Body); resp.StatusCode != 408 || !strings.Contains(string(data), "request_timeout") {
		t.Errorf("%s %s", resp.Status, data)
	}
}
