package api

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

func TestKeysAreAsked(t *testing.T) {
	keys, err := ParseKeys(strings.NewReader("alice alice-key-0123456789\n"))
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, func(c *Config, _ *llmtest.Fake) { c.Keys = keys })
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
	other, err := ParseKeys(strings.NewReader("bob bob-key-0123456789\n"))
	if err != nil {
		t.Fatal(err)
	}
	f.server.SetKeys(other)
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

// TestKeyFileChanges: a file that changes counts from the first request that looks, a second later at most; one that
// is not good takes no keys away.
func TestKeyFileChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	log := &syncBuffer{}
	write(t, path, []byte("alice alice-key-0123456789\n"))
	file, keys, err := OpenKeys(path, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	var later atomic.Int64 // nanoseconds
	f := start(t, func(c *Config, _ *llmtest.Fake) {
		c.Keys, c.KeyFile, c.Now = keys, file, func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
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
	later.Add(int64(2 * checkEvery))
	want("after it", map[string]int{"alice": 401, "bob": 200})
	write(t, path, []byte("carol short\n"))
	later.Add(int64(2 * checkEvery))
	want("a bad file", map[string]int{"alice": 401, "bob": 200})
	if !strings.Contains(log.String(), "the old keys stay") || strings.Contains(log.String(), "short") {
		t.Errorf("logged %s", log)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	later.Add(int64(2 * checkEvery))
	want("no file", map[string]int{"alice": 401, "bob": 200})
	write(t, path+".new", []byte("alice alice-key-0123456789\n"))
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	later.Add(int64(2 * checkEvery))
	want("back again", map[string]int{"alice": 200, "bob": 401})
}

func TestParseKeys(t *testing.T) {
	// The hash of "bob-key-0123456789" by sha256sum.
	const bob = "bob sha256:f8596239fe2c5a7d74a70da44c981f5459c078c0060e69b541814edc07d50699"
	k, err := ParseKeys(strings.NewReader("# keys\n\n alice  alice-key-0123456789 \n" + bob + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if name, _, ok := k.Find("alice-key-0123456789"); name != "alice" || !ok {
		t.Error(name, ok)
	}
	if name, _, ok := k.Find("bob-key-0123456789"); name != "bob" || !ok {
		t.Error(name, ok)
	}
	for _, wrong := range []string{"", "alice", "alice-key-012345678", bob} {
		if name, _, ok := k.Find(wrong); ok {
			t.Errorf("%q is %s's", wrong, name)
		}
	}
	for _, bad := range []string{"", "# only\n", "alice\n", "alice a b\n", "alice short\n",
		"a 0123456789abcdef\na 0123456789abcdef\n", "a sha256:12\n", "a sha256:" + strings.Repeat("zz", 32) + "\n"} {
		if _, err := ParseKeys(strings.NewReader(bad)); !errors.Is(err, ErrKeys) ||
			strings.Contains(err.Error(), "0123456789abcdef") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	for _, seed := range []string{"a 0123456789abcdef", "# x\n\na sha256:00", "a\tb\n", "\x00 \xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := ParseKeys(strings.NewReader(text)); (k == nil) != (err != nil) || err != nil &&
			!errors.Is(err, ErrKeys) {
			t.Errorf("%q: %v, %v", text, k, err)
		}
	})
}
