package service

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
)

// passing opens a service in front of one of the faulty servers, with an API key of its own.
func passing(t *testing.T, urls ...string) *httptest.Server {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("alice alice-key-0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options()
	o.APIKeyFile = keys
	o.Upstream = &Upstream{URLs: urls, Models: map[string]string{"mixtral": faults.ModelID}, Timeout: 10 * time.Minute}
	s, err := opened(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		h.Close()
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func send(t *testing.T, h *httptest.Server, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.URL+"/v1/chat/completions",
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer alice-key-0123456789")
	resp, err := h.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func metricsOf(t *testing.T, h *httptest.Server) string {
	t.Helper()
	resp, err := h.Client().Get(h.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestPassedRequestsAreCounted: requests that are passed on appear in the service's metrics as if computed here, and
// the client's key does not reach the upstream.
func TestPassedRequestsAreCounted(t *testing.T) {
	server := faults.New(faults.Config{TTFT: 5 * time.Millisecond, Gap: time.Millisecond})
	var leaked atomic.Bool
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "alice") {
			leaked.Store(true)
		}
		server.ServeHTTP(w, r)
	}))
	defer func() { back.Close(); server.Close() }()
	h := passing(t, back.URL)
	code, body := send(t, h, `{"model":"mixtral","messages":[{"role":"user","content":"What is 2 + 2?"}],"max_tokens":6,"stream":true}`)
	if code != 200 || !strings.HasSuffix(body, "data: [DONE]\n\n") || strings.Contains(body, `"usage"`) {
		t.Fatalf("%d %s", code, body)
	}
	code, body = send(t, h, `{"model":"mixtral","messages":[{"role":"user","content":"What is 2 + 2?"}],"max_tokens":6}`)
	if code != 200 || !strings.Contains(body, `"finish_reason":"length"`) {
		t.Fatalf("%d %s", code, body)
	}
	if leaked.Load() {
		t.Error("the client's key went upstream")
	}
	metrics := metricsOf(t, h)
	for _, want := range []string{`mixtral_requests_total{finish_reason="length"} 2`,
		"mixtral_generation_tokens_total 12", "mixtral_e2e_request_latency_seconds_count 2",
		`mixtral_http_requests_total{code="200",route="/v1/chat/completions"} 2`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
	if t.Failed() {
		t.Log(metrics)
	}
}

func TestNobodyUpstream(t *testing.T) {
	h := passing(t, "http://127.0.0.1:1")
	code, body := send(t, h, `{"messages":[{"role":"user","content":"hi"}]}`)
	if code != http.StatusBadGateway || !strings.Contains(body, "upstream_unreachable") ||
		strings.Contains(body, "127.0.0.1") {
		t.Errorf("%d %s", code, body)
	}
	metrics := metricsOf(t, h)
	if !strings.Contains(metrics, `mixtral_upstream_up{replica="127.0.0.1:1"}`) ||
		!strings.Contains(metrics, `mixtral_upstream_failures_total{replica="127.0.0.1:1"} 1`) {
		t.Error(metrics)
	}
	if strings.Contains(metrics, "\nmixtral_requests_running_limit ") {
		t.Error("limits of an upstream server are shown, which nobody knows")
	}
}
