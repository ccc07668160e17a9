package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
)

// TestPagesMounted: pages are served by path for GET and HEAD, and without Pages their paths do not exist.
func TestPagesMounted(t *testing.T) {
	pages := map[string]http.Handler{"/": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "page")
	})}
	with := New(Config{Metrics: telemetry.NewMetrics("test"), Pages: pages})
	without := New(Config{Metrics: telemetry.NewMetrics("test")})
	for _, c := range []struct {
		server       *Server
		method, path string
		status       int
	}{
		{with, "GET", "/", 200}, {with, "HEAD", "/", 200}, {with, "POST", "/", 405}, {with, "GET", "/other", 404},
		{with, "GET", PageMetrics, 200}, {without, "GET", "/", 404}, {without, "GET", PageMetrics, 404},
	} {
		w := httptest.NewRecorder()
		c.server.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.status {
			t.Errorf("%s %s: status %d, want %d", c.method, c.path, w.Code, c.status)
		}
	}
}
