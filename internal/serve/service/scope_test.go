package service

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
)

const (
	aliceKey = "alice-key-0123456789"
	bobKey   = "bob-key-0123456789ab"
)

// withKeys is a service with two keys.
func withKeys(t *testing.T, change ...func(*Options)) *Service {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("alice "+aliceKey+"\nbob "+bobKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return openTiny(t, append(change, func(o *Options) { o.APIKeyFile = keys })...)
}

// cachedFor sends a request with a key and returns the answer's cached_tokens.
func cachedFor(t *testing.T, s *Service, key, path, body string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	r.Host = "localhost"
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	data, _ := io.ReadAll(w.Body)
	var answer struct {
		Usage openai.Usage `json:"usage"`
	}
	if err := json.Unmarshal(data, &answer); err != nil || w.Code != 200 || answer.Usage.PromptTokensDetails == nil {
		t.Fatalf("%d %s: %v", w.Code, data, err)
	}
	return answer.Usage.PromptTokensDetails.CachedTokens
}

// TestKeysShareNothing: a key that guesses what another has asked learns nothing from cached_tokens, on any route; its
// own requests are found in the cache. With the scope of the service, everybody's are.
func TestKeysShareNothing(t *testing.T) {
	secret := strings.Repeat("The patient's number is 4711. ", 8)
	text, _ := json.Marshal(secret)
	chat := fmt.Sprintf(`{"messages":[{"role":"user","content":%s}],"max_tokens":1}`, text)
	plain := fmt.Sprintf(`{"prompt":%s,"max_tokens":1}`, text)
	for _, perKey := range []bool{true, false} {
		s := withKeys(t, func(o *Options) { o.ScopePerKey = perKey })
		for path, body := range map[string]string{"/v1/chat/completions": chat, "/v1/completions": plain} {
			salted := strings.Replace(body, `"max_tokens"`, `"cache_salt":"pepper","max_tokens"`, 1)
			for i, step := range []struct {
				key, body string
				found     bool
			}{
				{aliceKey, body, false}, {bobKey, body, !perKey}, {aliceKey, body, true}, {bobKey, body, true},
				{aliceKey, salted, false}, {bobKey, salted, !perKey}, {aliceKey, salted, true}, {aliceKey, body, true},
			} {
				if got := cachedFor(t, s, step.key, path, step.body); (got > 0) != step.found {
					t.Errorf("per key: %v, %s, step %d: %d cached tokens, want some: %v", perKey, path, i, got,
						step.found)
				}
			}
		}
	}
}
