package api

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
)

func TestKeysAreAsked(t *testing.T) {
	keys := keysOf(t, "alice alice-key-0123456789\n")
	f := start(t, func(c *Config, _ *llmtest.Fake) { c.Callers = access.NewCallers(keys) })
	for _, header := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "alice-key-0123456789",
		"Basic alice-key-0123456789"} {
		for _, path := range []string{"/v1/chat/completions", "/tokenize"} {
			resp, e := f.wantError("POST", path, chatBody, 401, "", "Authorization", header)
			if *e.Code != "invalid_api_key" || resp.Header.Get("WWW-Authenticate") != "Bearer" ||
				strings.Contains(e.Message, "wrong") {
				t.Errorf("%q: %+v", header, e)
			}
		}
		f.wantError("GET", "/v1/models", "", 401, "", "Authorization", header)
	}
	for _, header := range []string{"Bearer alice-key-0123456789", "bearer  alice-key-0123456789"} {
		if resp, data := f.do("POST", "/v1/chat/completions", chatBody, "Authorization",
			header); resp.StatusCode != 200 {
			t.Errorf("%q: %d %s", header, resp.StatusCode, data)
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/version", "/metrics"} {
		if resp, _ := f.do("GET", path, ""); resp.StatusCode != 200 {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	other := keysOf(t, "bob bob-key-0123456789\n")
	f.server.c.Callers.Set(other)
	f.wantError("POST", "/v1/chat/completions", chatBody, 401, "", "Authorization", "Bearer alice-key-0123456789")
	if resp, _ := f.do("POST", "/v1/chat/completions", chatBody, "Authorization",
		"Bearer bob-key-0123456789"); resp.StatusCode != 200 {
		t.Errorf("new key: %s", resp.Status)
	}
	if log := f.log.String(); !strings.Contains(log, "key=alice") || strings.Contains(log, "alice-key") ||
		strings.Contains(log, "wrong") {
		t.Error(log)
	}
}

// TestKeyFileChanges: a changed file is used from the first request that checks it, at most a second later; one that
// is not valid removes no keys.
func TestKeyFileChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	log := &syncBuffer{}
	write(t, path, []byte("alice alice-key-0123456789\n"))
	callers, err := access.OpenCallers(path, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	var later atomic.Int64 // nanoseconds
	f := start(t, func(c *Config, _ *llmtest.Fake) {
		c.Callers, c.Now = callers, func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	want := func(what string, status map[string]int) {
		t.Helper()
		for name, want := range status {
			if resp, _ := f.do("GET", "/v1/models", "", "Authorization",
				"Bearer "+name+"-key-0123456789"); resp.StatusCode != want {
				t.Errorf("%s: %s gets %d, want %d", what, name, resp.StatusCode, want)
			}
		}
	}
	want("at first", map[string]int{"alice": 200, "bob": 401})
	write(t, path, []byte("bob bob-key-0123456789\n"))
	later.Add(int64(2 * time.Second))
	want("after it", map[string]int{"alice": 401, "bob": 200})
	write(t, path, []byte("carol short\n"))
	later.Add(int64(2 * time.Second))
	want("a bad file", map[string]int{"alice": 401, "bob": 200})
	if !strings.Contains(log.String(), "the old keys stay") || strings.Contains(log.String(), "short") {
		t.Errorf("logged %s", log)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	later.Add(int64(2 * time.Second))
	want("no file", map[string]int{"alice": 401, "bob": 200})
	write(t, path+".new", []byte("alice alice-key-0123456789\n"))
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	later.Add(int64(2 * time.Second))
	want("back again", map[string]int{"alice": 200, "bob": 401})
}
