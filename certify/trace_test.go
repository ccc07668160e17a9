package certify_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// TestARunIsTraced checks that every request of the load announces a trace to the server, and that the collector
// receives all traces with their phases.
func TestARunIsTraced(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var collected bytes.Buffer
	var announced [][]byte
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		spans, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		collected.Write(spans)
	}))
	defer collector.Close()
	healthy := server(t, faults.Healthy)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := r.Header.Get("Traceparent"); len(h) == 55 {
			id, err := hex.DecodeString(h[3:35])
			if err != nil {
				t.Errorf("traceparent %q", h)
			}
			mu.Lock()
			announced = append(announced, id)
			mu.Unlock()
		}
		healthy.ServeHTTP(w, r)
	})
	rep, err := certify.Run(t.Context(), certify.Options{Case: short, Launch: target.Handler(handler),
		ReportDir: t.TempDir(), Seed: 42, TracingURL: collector.URL})
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	requests := 0
	for _, p := range rep.Phases {
		if p.Kind == testcases.KindAudit { // its requests are not part of the load
			continue
		}
		requests += p.Issued
		if p.Issued > 0 && !bytes.Contains(collected.Bytes(), []byte(p.ID)) {
			t.Errorf("no span is of the phase %s", p.ID)
		}
	}
	if len(announced) < requests || requests == 0 {
		t.Errorf("%d requests in the report, %d of the server's had a trace", requests, len(announced))
	}
	for _, id := range announced {
		if !bytes.Contains(collected.Bytes(), id) {
			t.Fatalf("the trace %x was announced and never sent", id)
		}
	}
}
