package service

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// loud is a log that can be read while it is being written.
type loud struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *loud) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *loud) says(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), text)
}

// TestFileOfServersIsFollowed: a change of the file is used soon, and at once after a reload; a file that is not valid
// changes nothing and is logged. Models have their own servers, and an unknown name gets a 404 with the known ones.
func TestFileOfServersIsFollowed(t *testing.T) {
	var urls []string
	for range 2 {
		server := faults.New(faults.Config{TTFT: time.Millisecond})
		back := httptest.NewServer(server)
		t.Cleanup(func() { back.Close(); server.Close() })
		urls = append(urls, back.URL)
	}
	path := filepath.Join(t.TempDir(), "upstreams.yaml")
	write := func(format string, args ...any) {
		t.Helper()
		if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := &loud{}
	o := options()
	o.Upstream = &Upstream{File: path, Timeout: time.Minute, HealthEvery: 20 * time.Millisecond,
		HealthPath: "/v1/models", Retries: 0.2}
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	write("replicas:\n- url: nowhere\n")
	if _, err := New(o); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "upstream_file") ||
		!strings.Contains(err.Error(), "upstreams.yaml:2: replicas[0].url") {
		t.Fatalf("a file that is not valid: %v", err)
	}
	write("replicas:\n- {url: %q, models: [one=%s]}\n", urls[0], faults.ModelID)
	s, err := opened(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		h.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	ask := func(model string) (int, string) {
		t.Helper()
		resp, err := h.Client().Post(h.URL+"/v1/chat/completions", "application/json", strings.NewReader(
			`{"model":"`+model+`","messages":[{"role":"user","content":"hi"}],"max_tokens":2}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(data)
	}
	if code, body := ask("one"); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	if code, body := ask("two"); code != http.StatusNotFound || !strings.Contains(body, "model_not_found") ||
		!strings.Contains(body, `this service has \"one\"`) {
		t.Errorf("%d %s", code, body)
	}
	if !strings.Contains(metricsOf(t, h), `mixtral_refused_requests_total{reason="model_not_found"} 1`) {
		t.Error("the refusal is not counted")
	}
	write("replicas:\n- {url: %q, models: [two=%s]}\n", urls[1], faults.ModelID)
	llmtest.Until(t, "the file to be read", func() bool { code, _ := ask("two"); return code == http.StatusOK })
	if code, _ := ask("one"); code != http.StatusNotFound {
		t.Errorf("a model whose server is gone: %d", code)
	}
	write("replicas:\n- {url: %q, wait: 2}\n", urls[1])
	llmtest.Until(t, "the fault to be said", func() bool { return log.says("replicas[0].wait") })
	if err := s.ReloadUpstreams(); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
	if code, _ := ask("two"); code != http.StatusOK {
		t.Errorf("a file that is not valid changed something: %d", code)
	}
	write("replicas:\n- {url: %q, models: [three=%s]}\n", urls[1], faults.ModelID)
	if err := s.ReloadUpstreams(); err != nil {
		t.Error(err)
	}
	if code, _ := ask("three"); code != http.StatusOK {
		t.Errorf("after a reload: %d", code)
	}
	if !log.says("replica=" + strings.TrimPrefix(urls[0], "http://")) {
		t.Error("the log of requests names no replica")
	}
}
