package loadgen

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
)

// TestTrace: a traced request sends its server the ids of the span that the collector gets. An untraced one has no
// such header.
func TestTrace(t *testing.T) {
	var collected bytes.Buffer
	var mu sync.Mutex
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		io.Copy(&collected, r.Body)
	}))
	defer collector.Close()
	headers := make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"choices":[{"message":{"content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}`)
	}))
	defer server.Close()
	tracer, err := telemetry.NewTracer(telemetry.TracerConfig{URL: collector.URL, Service: "certify",
		Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range []*telemetry.Tracer{nil, tracer} {
		c, err := NewClient(server.URL, ClientOptions{Tracer: tr})
		if err != nil {
			t.Fatal(err)
		}
		r := c.Do(t.Context(), time.Now(), Job{Prompt: "key", Body: []byte(`{"model":"m"}`)})
		c.Close()
		if !r.OK() {
			t.Fatal(r.Fail, r.Detail)
		}
		got := (<-headers)["Traceparent"]
		if tr == nil {
			if got != nil {
				t.Errorf("untraced, but %v", got)
			}
			continue
		}
		if len(got) != 1 || len(got[0]) != 55 {
			t.Fatalf("traceparent %v", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := tracer.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		ids, err := hex.DecodeString(got[0][3:35] + got[0][36:52])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(collected.Bytes(), ids[:16]) || !bytes.Contains(collected.Bytes(), ids[16:]) ||
			!bytes.Contains(collected.Bytes(), []byte("chat m")) {
			t.Errorf("announced %s, collected %q", got[0], collected.Bytes())
		}
	}
}
