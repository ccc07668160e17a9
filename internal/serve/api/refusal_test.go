package api

import (
	"context"
	"maps"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
)

// refusals returns the number of refused requests by reason, without the reasons that did not occur.
func refusals(t *testing.T, s *Server) map[string]float64 {
	t.Helper()
	families, err := s.metrics.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		if f.GetName() != telemetry.Refused {
			continue
		}
		for _, m := range f.Metric {
			if n := m.Counter.GetValue(); n > 0 {
				counts[m.Label[0].GetValue()] = n
			}
		}
	}
	return counts
}

func wantRefusals(t *testing.T, s *Server, want map[string]float64) {
	t.Helper()
	if got := refusals(t, s); !maps.Equal(got, want) {
		t.Errorf("refused: %v, want %v", got, want)
	}
}

// TestRefusals: every refusal is counted once, under the reason in the client's error. Answers, health checks and
// failures are not counted.
func TestRefusals(t *testing.T) {
	f := start(t, func(c *Config, _ *llmtest.Fake) { c.MaxBody, c.Hosts = 8<<10, []string{"known"} })
	want := map[string]float64{}
	for _, test := range []struct {
		reason, method, path, body string
		header                     []string
	}{
		{"context_length_exceeded", "POST", "/v1/completions", `{"prompt":"` + strings.Repeat("x", 5000) + `"}`, nil},
		{"request_too_large", "POST", "/v1/chat/completions", with(`"user":"` + strings.Repeat("x", 9000) + `"`), nil},
		{"invalid_json", "POST", "/v1/chat/completions", "{", nil},
		{telemetry.ReasonInvalid, "POST", "/v1/chat/completions", with(`"n":0`), nil},
		{telemetry.ReasonInvalid, "POST", "/v1/chat/completions", with(`"stream":true,"temperature":9`), nil},
		{"unsupported_parameter", "POST", "/v1/chat/completions", with(`"audio":{"voice":"x"}`), nil},
		{"unsupported_encoding", "POST", "/v1/chat/completions", chatBody, []string{"Content-Encoding", "gzip"}},
		{"model_not_found", "POST", "/v1/chat/completions", with(`"model":"other"`), nil},
		{"model_not_found", "GET", "/v1/models/other", "", nil},
		{"not_found", "POST", "/v1/audio/speech", "{}", nil},
		{"method_not_allowed", "GET", "/v1/completions", "", nil},
		{"cross_origin", "POST", "/v1/chat/completions", chatBody, []string{"Sec-Fetch-Site", "cross-site"}},
		{"", "POST", "/v1/chat/completions", chatBody, []string{"Content-Encoding", "identity"}},
		{"", "POST", "/v1/chat/completions", with(`"stream":true`), nil},
		{"", "GET", "/v1/models", "", nil},
	} {
		resp, data := f.do(test.method, test.path, test.body, test.header...)
		if (resp.StatusCode != 200) != (test.reason != "") {
			t.Errorf("%s %s: %d %s", test.path, test.body, resp.StatusCode, data)
		}
		if test.reason != "" {
			want[test.reason]++
		}
		wantRefusals(t, f.server, want)
	}
	req := llmtest.Chat("a", 10)
	req.Model = "other"
	if err := f.server.Generate(t.Context(), req, func(llm.Event) error { return nil }); err == nil {
		t.Error("no error")
	}
	want["model_not_found"]++
	f.fake.Step = func(context.Context, *llm.Request, int) error { return llm.ErrNumeric }
	if resp, _ := f.do("POST", "/v1/chat/completions", chatBody); resp.StatusCode != 500 {
		t.Errorf("status %d", resp.StatusCode)
	}
	wantRefusals(t, f.server, want)

	f.server.Drain(t.Context())
	for _, path := range []string{"/v1/chat/completions", "/v1/completions", "/tokenize"} {
		f.wantError("POST", path, chatBody, 503, "")
		want["draining"]++
	}
	if err := f.server.Generate(t.Context(), req, func(llm.Event) error { return nil }); err == nil {
		t.Error("no error")
	}
	want["draining"]++
	f.wantError("GET", "/readyz", "", 503, "")
	wantRefusals(t, f.server, want)
	f.wantMetrics(map[string]float64{telemetry.Ready: 0})
}

// TestRefusalsWithKeys: refusals because of keys and their limits have their own reasons.
func TestRefusalsWithKeys(t *testing.T) {
	keys := keysOf(t, "a key-of-a-0123456789 requests_per_minute=1\nb key-of-b-0123456789 "+
		"concurrent=1")
	release := make(chan struct{})
	f := start(t, func(c *Config, fake *llmtest.Fake) {
		c.Callers = access.NewCallers(keys)
		fake.Step = holdUntil(release)
	})
	f.wantMetrics(map[string]float64{telemetry.Ready: 1})
	f.wantError("POST", "/v1/chat/completions", chatBody, 401, "")
	f.wantError("GET", "/v1/models", "", 401, "", "Authorization", "Bearer wrong")
	done := make(chan int, 2)
	for _, key := range []string{"key-of-a-0123456789", "key-of-b-0123456789"} {
		go func() {
			resp, _ := f.do("POST", "/v1/chat/completions", chatBody, "Authorization", "Bearer "+key)
			done <- resp.StatusCode
		}()
	}
	llmtest.Until(t, "both run", func() bool { return f.fake.Status().Running == 2 })
	f.wantError("POST", "/v1/chat/completions", chatBody, 429, "", "Authorization", "Bearer key-of-a-0123456789")
	f.wantError("POST", "/v1/chat/completions", chatBody, 429, "", "Authorization", "Bearer key-of-b-0123456789")
	close(release)
	for range 2 {
		if status := llmtest.Await(t, "an answer", done); status != 200 {
			t.Errorf("status %d", status)
		}
	}
	wantRefusals(t, f.server, map[string]float64{"invalid_api_key": 2, "rate_limit_exceeded": 1,
		"concurrency_limit_exceeded": 1})
}

// TestRefusalsWhileStarting: frequent health checks are not counted while the service starts.
func TestRefusalsWhileStarting(t *testing.T) {
	s := New(Config{Metrics: telemetry.NewMetrics("v")})
	for _, path := range []string{"/v1/chat/completions", "/readyz", "/livez"} {
		method := "GET"
		if path == "/v1/chat/completions" {
			method = "POST"
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(chatBody)))
	}
	wantRefusals(t, s, map[string]float64{"starting": 1})
}
