package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
)

// limited starts a service with one key and its limits, and a clock that the test controls.
func limited(t *testing.T, limits string, change ...func(*Config, *llmtest.Fake)) (f *fixture,
	later func(time.Duration)) {
	keys := keysOf(t, "alice alice-key-0123456789 "+limits+"\nbob bob-key-0123456789\n")
	var mu sync.Mutex
	now := time.Now()
	f = start(t, append([]func(*Config, *llmtest.Fake){func(c *Config, _ *llmtest.Fake) {
		c.Callers = access.NewCallers(keys)
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	}}, change...)...)
	return f, func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
}

const alice = "Bearer alice-key-0123456789"

// wantLimits compares the x-ratelimit headers, in the order limit, remaining, reset.
func wantLimits(t *testing.T, h http.Header, kind, want string) {
	t.Helper()
	var got []string
	for _, part := range []string{"limit", "remaining", "reset"} {
		got = append(got, h.Get("x-ratelimit-"+part+"-"+kind))
	}
	if s := strings.TrimSpace(strings.Join(got, " ")); s != want {
		t.Errorf("%s: %q, want %q", kind, s, want)
	}
}

// TestRateLimit: a key gets no more than its line allows, answers say what is left as OpenAI's do, and other keys have
// their own limits.
func TestRateLimit(t *testing.T) {
	f, later := limited(t, "requests_per_minute=2")
	for _, want := range []string{"2 1 30s", "2 0 1m0s"} {
		resp, data := f.do("POST", "/v1/chat/completions", chatBody, "Authorization", alice)
		if resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, data)
		}
		wantLimits(t, resp.Header, "requests", want)
		wantLimits(t, resp.Header, "tokens", "")
	}
	resp, e := f.wantError("POST", "/v1/chat/completions", chatBody, 429, "", "Authorization", alice)
	if *e.Code != "rate_limit_exceeded" || e.Type != "requests" ||
		!strings.Contains(e.Message, "2 requests a minute: try again in 30s") ||
		resp.Header.Get("Retry-After") != "30" {
		t.Errorf("%+v %v", e, resp.Header)
	}
	wantLimits(t, resp.Header, "requests", "2 0 1m0s")
	f.wantError("POST", "/tokenize", `{"prompt":"a"}`, 429, "", "Authorization", alice)
	if resp, _ := f.do("GET", "/v1/models", "", "Authorization", alice); resp.StatusCode != 200 {
		t.Errorf("reading the list of models: %s", resp.Status)
	}
	if resp, _ := f.do("POST", "/v1/chat/completions", chatBody, "Authorization",
		"Bearer bob-key-0123456789"); resp.StatusCode != 200 || resp.Header.Get("x-ratelimit-limit-requests") != "" {
		t.Errorf("bob: %s %v", resp.Status, resp.Header)
	}
	later(30*time.Second - time.Millisecond)
	f.wantError("POST", "/v1/chat/completions", chatBody, 429, "", "Authorization", alice)
	later(time.Millisecond)
	if resp, _ := f.do("POST", "/v1/chat/completions", chatBody, "Authorization", alice); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	// A reload changes the limits and keeps the state.
	keys := keysOf(t, "alice alice-key-0123456789 requests_per_minute=4\n")
	f.server.c.Callers.Set(keys)
	resp, _ = f.wantError("POST", "/v1/chat/completions", chatBody, 429, "", "Authorization", alice)
	wantLimits(t, resp.Header, "requests", "4 0 1m0s")
}

// TestTokenLimit: an answer costs its tokens, a refused request costs nothing, and one whose client leaves costs what
// was computed.
func TestTokenLimit(t *testing.T) {
	f, later := limited(t, "tokens_per_minute=100")
	ask := func(fields string, status int) *http.Response {
		t.Helper()
		resp, data := f.do("POST", "/v1/chat/completions", with(fields), "Authorization", alice)
		if resp.StatusCode != status {
			t.Fatalf("%s: %d %s", fields, resp.StatusCode, data)
		}
		return resp
	}
	remain := func(n int) string { return fmt.Sprint(n) }
	// An invalid request reserves its body's bytes / 4 and the tokens that it asks for, and shows what is left besides
	// that.
	const probe = `"temperature":9,"max_tokens":1`
	beside := len(with(probe))/bytesPerToken + 1
	left := func() string { return ask(probe, 400).Header.Get("x-ratelimit-remaining-tokens") }
	if got := left(); got != remain(100-beside) {
		t.Errorf("%s remain at first", got)
	}
	if got := left(); got != remain(100-beside) {
		t.Errorf("%s remain after one that was refused", got)
	}
	ask(`"max_tokens":2,"ignore_eos":true`, 200) // 29 + 2 tokens
	llmtest.Until(t, "it is settled", func() bool { return left() == remain(100-31-beside) })
	// 30 tokens would fit, but not with n = 2.
	resp := ask(`"max_tokens":30,"n":2`, 429)
	if resp.Header.Get("Retry-After") == "" || resp.Header.Get("Retry-After") == "0" {
		t.Errorf("%v", resp.Header)
	}
	wantLimits(t, resp.Header, "tokens", "100 69 18.6s")
	// Streams cost the same, and so does an answer whose client has left.
	reached := make(chan struct{})
	f.fake.Step = func(ctx context.Context, _ *llm.Request, i int) error {
		if i == 5 {
			close(reached)
			<-ctx.Done()
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	r, err := http.NewRequestWithContext(ctx, "POST", f.http.URL+"/v1/chat/completions",
		strings.NewReader(with(`"stream":true,"max_tokens":10`)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", alice)
	if resp, err := f.http.Client().Do(r); err == nil { // its headers are sent with the first token
		<-reached
		resp.Body.Close()
	}
	// Its prompt was counted by its bytes, since no usage came.
	prompt := len(with(`"stream":true,"max_tokens":10`)) / bytesPerToken
	llmtest.Until(t, "it is settled", func() bool { return left() == remain(100-31-prompt-5-beside) })
	f.fake.Step = nil
	later(time.Minute)
	ask(`"max_tokens":60`, 200)
}

// TestConcurrencyLimit: a key has only so many requests under way, and gets a place back however a request ends.
func TestConcurrencyLimit(t *testing.T) {
	f, _ := limited(t, "concurrent=2")
	release := make(chan struct{})
	f.fake.Step = func(ctx context.Context, _ *llm.Request, _ int) error {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	}
	var group sync.WaitGroup
	ctx, leave := context.WithCancel(t.Context())
	for i := range 2 {
		group.Go(func() {
			ctx := ctx
			if i == 1 {
				ctx = t.Context()
			}
			r, err := http.NewRequestWithContext(ctx, "POST", f.http.URL+"/v1/chat/completions",
				strings.NewReader(chatBody))
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Authorization", alice)
			if resp, err := f.http.Client().Do(r); err == nil {
				resp.Body.Close()
			}
		})
	}
	llmtest.Until(t, "both run", func() bool { return f.fake.Status().Running == 2 })
	for _, path := range []string{"/v1/chat/completions", "/v1/completions", "/tokenize"} {
		resp, e := f.wantError("POST", path, chatBody, 429, "", "Authorization", alice)
		if *e.Code != "concurrency_limit_exceeded" || resp.Header.Get("Retry-After") != "1" {
			t.Errorf("%+v", e)
		}
	}
	leave()
	llmtest.Until(t, "one has left", func() bool {
		resp, _ := f.do("POST", "/tokenize", `{"prompt":"a"}`, "Authorization", alice)
		return resp.StatusCode == 200
	})
	close(release)
	group.Wait()
	for range 5 {
		f.wantError("POST", "/v1/chat/completions", "{", 400, "", "Authorization", alice)
		if resp, _ := f.do("POST", "/v1/chat/completions", chatBody, "Authorization", alice); resp.StatusCode != 200 {
			t.Error(resp.Status)
		}
	}
}
