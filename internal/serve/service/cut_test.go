//go:build unix

package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// TestModelIsCutUnderService: the file of a packed model, which is mapped, is truncated while the service runs. The
// request under way gets an error, the log says what happened, and the service ends with an error.
func TestModelIsCutUnderService(t *testing.T) {
	defer func(d time.Duration) { lastAnswersTime = d }(lastAnswersTime)
	lastAnswersTime = llmtest.Limit
	dir := t.TempDir()
	plain, packed := filepath.Join(dir, "m.gguf"), filepath.Join(dir, "m.packed")
	shape, _ := synth.Preset("nano")
	if err := catalog.WriteSynth(t.Context(), plain, shape, nil); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := moe.NewRewriting(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := catalog.WriteRewritten(t.Context(), packed, r, 1, nil); err != nil {
		t.Fatal(err)
	}
	var log lockedLog
	s := openTiny(t, func(o *Options) { o.ModelPath, o.Logger = packed, slog.New(slog.NewTextHandler(&log, nil)) })
	address, _, served := serving(t, func(ctx context.Context, l net.Listener) error { return s.Serve(ctx, l) })
	ask := func() (int, string) {
		resp, err := http.Post("http://"+address+"/v1/completions", "application/json",
			strings.NewReader(`{"prompt":"Paris","max_tokens":3}`))
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if status, body := ask(); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	info, err := os.Stat(packed)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(packed, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	if status, body := ask(); status != 500 || strings.Contains(body, packed) {
		t.Errorf("%d %s", status, body)
	}
	select {
	case err := <-served:
		if !errors.Is(err, gguf.ErrChanged) || !strings.Contains(err.Error(), "m.packed") {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(llmtest.Limit):
		t.Fatal("the service goes on")
	}
	if said := log.String(); !strings.Contains(said, "can no longer be read") || strings.Contains(said, "goroutine") {
		t.Errorf("the log: %s", said)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestModelChangesUnderAnIdleService: if the file changes before all of it is packed, the service ends, also where
// nobody asks anything.
func TestModelChangesUnderAnIdleService(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	shape := synth.Nano()
	shape.Layers *= 2
	if err := catalog.WriteSynth(t.Context(), path, shape, nil); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() < 64<<20 {
		t.Fatalf("a file of %d bytes is packed at once (%v)", info.Size(), err)
	}
	s, err := New(tinyOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.model, err = catalog.OpenWith(t.Context(), path, s.opening()); err != nil {
		t.Fatal(err)
	}
	// It changes before the packing can have begun. Load would find that; after a change during the packing it is the
	// same.
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	e, _, err := s.startEngine(s.model)
	if err != nil {
		t.Fatal(errors.Join(err, s.model.Close()))
	}
	s.backend = e
	s.api.SetBackend(e)
	_, _, served := serving(t, func(ctx context.Context, l net.Listener) error { return s.Serve(ctx, l) })
	select {
	case err := <-served:
		if !errors.Is(err, gguf.ErrChanged) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(llmtest.Limit):
		t.Error("it goes on")
	}
}
