package service

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// TestServe tests a service over HTTP: not ready, ready, drained.
func TestServe(t *testing.T) {
	version := fmt.Sprint("v-of-process-", os.Getpid()) // another one may get the port as soon as it is free
	s, err := New(tinyOptions(func(o *Options) { o.Version = version }))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	address, cancel, served := serving(t, s.Serve)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: llmtest.Limit}
	url := "http://" + address
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := client.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if code, body := get("/readyz"); code != 503 || !strings.Contains(body, "starting") {
		t.Errorf("before: %d %s", code, body)
	}
	if _, _, err := generate(t.Context(), s, ask("a", 9)); !errors.Is(err, llm.ErrNotReady) {
		t.Error(err)
	}
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code, body := get("/readyz"); code != 200 {
		t.Errorf("ready: %d %s", code, body)
	}
	if code, body := get("/version"); code != 200 || !strings.Contains(body, version) {
		t.Errorf("version: %d %s", code, body)
	}
	started, body := make(chan struct{}), make(chan string, 1)
	go func() {
		resp, err := client.Post(url+"/v1/chat/completions", "application/json",
			strings.NewReader(`{"messages":[{"role":"user","content":"hi"}],"max_tokens":64,"ignore_eos":true,"stream":true}`))
		if err != nil {
			body <- err.Error()
			close(started)
			return
		}
		defer resp.Body.Close()
		close(started)
		all, _ := io.ReadAll(resp.Body)
		body <- string(all)
	}()
	llmtest.Await(t, "the answer's header", started)
	cancel()
	if got := llmtest.Await(t, "the answer", body); !strings.Contains(got, `"finish_reason":"length"`) ||
		!strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("the answer under way was cut off: %s", got)
	}
	if err := llmtest.Await(t, "Serve to return", served); err != nil {
		t.Errorf("drain: %v", err)
	}
	if resp, err := client.Get(url + "/version"); err == nil {
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); strings.Contains(string(body), version) {
			t.Error("still listens")
		}
	}
}

// TestClientLeaves: a closed connection ends the engine's work for it, long before it would be complete.
func TestClientLeaves(t *testing.T) {
	s := openTiny(t, func(c *Options) { c.MaxTokens = 1 << 20 })
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	const clients = 12 // more than run at once: some leave the queue
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			resp, err := http.Post(server.URL+"/v1/chat/completions", "application/json",
				strings.NewReader(`{"messages":[{"role":"user","content":"hi"}],"n":8,"max_tokens":1000,"ignore_eos":true,"stream":true}`))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Read(make([]byte, 10))
			resp.Body.Close()
		})
	}
	llmtest.Await(t, "all clients", llmtest.Done(group.Wait))
	awaitIdle(t, s)
	http.DefaultClient.CloseIdleConnections()
	llmtest.Until(t, "the aborts to be counted", func() bool { // the engine lets a request go before
		return chaosMetrics(t, s)[`mixtral_requests_total{finish_reason="abort"}`] > 0
	})
}

func TestClose(t *testing.T) {
	s := openTiny(t)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := generate(t.Context(), s, ask("a", 9)); err == nil {
		t.Error("answers after Close")
	}
	if s, err := New(tinyOptions()); err != nil || s.Close() != nil || !errors.Is(s.load(t.Context()), llm.ErrClosed) {
		t.Error("closed before it was loaded", err)
	}
}

// TestModelChangesWhileItLoads: weights of two files are not a model.
func TestModelChangesWhileItLoads(t *testing.T) {
	shape, _ := synth.Preset("tiny")
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := catalog.WriteSynth(t.Context(), path, shape, nil); err != nil {
		t.Fatal(err)
	}
	s, err := New(tinyOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	model, err := catalog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	if e, _, err := s.start(model); err != nil {
		t.Fatal(err)
	} else if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Now(), time.Unix(1700000000, 0)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.start(model); !errors.Is(err, gguf.ErrChanged) {
		t.Errorf("got %v", err)
	}
}

func TestReloadKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	write := func(content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("alice alice-key-0123456789\n")
	s := openTiny(t, func(c *Options) { c.APIKeyFile = path })
	status := func(key string) int {
		r := httptest.NewRequest("GET", "/v1/models", nil)
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Code
	}
	write("alice short\n")
	if err := s.ReloadKeys(); !errors.Is(err, ErrConfig) || status("alice-key-0123456789") != 200 {
		t.Errorf("a bad file took the keys away: %v", err)
	}
	write("bob bob-key-0123456789\n")
	if err := s.ReloadKeys(); err != nil || status("alice-key-0123456789") != 401 ||
		status("bob-key-0123456789") != 200 {
		t.Errorf("reload: %v", err)
	}
	if err := openTiny(t).ReloadKeys(); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
}
