package api

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
)

// TestCacheSalt: cache_salt is read as in vLLM, and no salt that a client can send leads into the scope of another
// key.
func TestCacheSalt(t *testing.T) {
	f := start(t, func(c *Config, _ *llmtest.Fake) {
		c.Callers = access.NewCallers(keysOf(t, "alice key-of-alice-012345\na key-of-a-0123456789"))
		c.ScopePerKey = true
	})
	scope := func(key, salt string) string {
		body := chatBody
		if salt != "" {
			body = with(`"cache_salt":` + salt)
		}
		resp, data := f.do("POST", "/v1/chat/completions", body, "Authorization", "Bearer "+key)
		if resp.StatusCode != 200 {
			t.Fatalf("%s %s", resp.Status, data)
		}
		calls := f.fake.Requests()
		return calls[len(calls)-1].CacheScope
	}
	seen := map[string]string{}
	for _, key := range []string{"key-of-alice-012345", "key-of-a-0123456789"} {
		for _, salt := range []string{"", `"x"`, `"lice"`, `"\"alice\""`, `"\""`, `"alice\""`, `"\u0000x"`} {
			got := scope(key, salt)
			if before, known := seen[got]; known {
				t.Errorf("%s with the salt %s has the scope of %s", key, salt, before)
			}
			seen[got] = key + " with " + salt
			if again := scope(key, salt); again != got {
				t.Errorf("%s with the salt %s has the scopes %q and %q", key, salt, got, again)
			}
		}
	}
	auth := []string{"Authorization", "Bearer key-of-a-0123456789"}
	for _, bad := range []string{`""`, `1`, `["x"]`, `"` + strings.Repeat("x", maxSalt+1) + `"`} {
		f.wantError("POST", "/v1/chat/completions", with(`"cache_salt":`+bad), 400, "cache_salt", auth...)
	}
	if got := scope("key-of-a-0123456789", "null"); got != scope("key-of-a-0123456789", "") {
		t.Errorf("null is a salt: %q", got)
	}
}

// TestSaltForAnUpstream: with a scope per key, the upstream gets a different salt for each key, and a client's own
// salt changes it; without, the bytes are passed on unchanged.
func TestSaltForAnUpstream(t *testing.T) {
	for _, perKey := range []bool{true, false} {
		var mu sync.Mutex
		var sent string
		f := behind(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			mu.Lock()
			sent = string(body)
			mu.Unlock()
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"choices":[{"index":0,"message":{},"finish_reason":"stop"}]}`)
		}, nil, func(c *Config, _ *llmtest.Fake) {
			c.Callers = access.NewCallers(keysOf(t, "alice key-of-alice-012345\nbob key-of-bob-0123456789"))
			c.ScopePerKey = perKey
		})
		salts := map[string]bool{}
		for _, key := range []string{"key-of-alice-012345", "key-of-bob-0123456789"} {
			for _, body := range []string{chatBody, with(`"cache_salt":"x"`)} {
				resp, data := f.do("POST", "/v1/chat/completions", body, "Authorization", "Bearer "+key)
				if resp.StatusCode != 200 {
					t.Fatalf("%s %s", resp.Status, data)
				}
				mu.Lock()
				got := decode[struct {
					Salt string `json:"cache_salt"`
				}](t, []byte(sent)).Salt
				if !perKey && sent != body || perKey && (len(got) != 64 || salts[got]) {
					t.Errorf("per key: %v: the upstream gets %s", perKey, sent)
				}
				mu.Unlock()
				salts[got] = true
			}
		}
	}
}
