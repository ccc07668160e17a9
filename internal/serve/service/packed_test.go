package service

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// lines is a log that a test reads while it is being written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) await(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(llmtest.Limit); ; time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		text := l.text.String()
		l.mu.Unlock()
		if strings.Contains(text, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q in the log:\n%s", want, text)
		}
	}
}

// packing sets the wait before a service packs, and the size of a small model.
func packing(t *testing.T, after time.Duration) {
	oldAfter, oldFrom := packAfter, packFrom
	packAfter, packFrom = after, 1
	t.Cleanup(func() { packAfter, packFrom = oldAfter, oldFrom })
}

// tinyFile writes a model whose file looks an hour old.
func tinyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := catalog.WriteSynth(t.Context(), path, synth.Tiny(), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPacksInTheBackground: a service packs its model while it answers, and the next one starts from the copy, with
// the same answers and the same hash.
func TestPacksInTheBackground(t *testing.T) {
	packing(t, time.Millisecond)
	path, cache := tinyFile(t), t.TempDir()
	start := func(log *lines, packed bool) *Service {
		return openTiny(t, func(o *Options) {
			o.ModelPath, o.CacheDir, o.PackedCopy = path, cache, packed
			o.Logger = slog.New(slog.NewTextHandler(log, nil))
		})
	}
	var text, sum [3]string
	for i := range text {
		log := &lines{}
		s := start(log, i != 2)
		switch i {
		case 0:
			log.await(t, "writing a packed copy")
			log.await(t, "packed copy written")
		case 1:
			log.await(t, "starting from the packed copy")
		}
		var err error
		if text[i], _, err = generate(t.Context(), s, greedy("The", 12)); err != nil {
			t.Fatal(err)
		}
		if sum[i], err = s.ModelSHA256(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if i == 2 && strings.Contains(log.text.String(), "packed copy") {
			t.Errorf("not asked for:\n%s", log.text.String())
		}
	}
	if text[0] == "" || text[1] != text[0] || text[2] != text[0] || sum[1] != sum[0] || sum[2] != sum[0] {
		t.Errorf("answers %q of models %q", text, sum)
	}
}

// TestPackingEndsWithTheService: Close does not wait for a copy, and leaves nothing of it; a read-only directory is
// one line in the log.
func TestPackingEndsWithTheService(t *testing.T) {
	packing(t, time.Hour)
	path, cache := tinyFile(t), t.TempDir()
	s := openTiny(t, func(o *Options) { o.ModelPath, o.CacheDir, o.PackedCopy = path, cache, true })
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	if err := llmtest.Await(t, "Close", closed); err != nil {
		t.Error(err)
	}
	packing(t, time.Millisecond)
	log := &lines{}
	openTiny(t, func(o *Options) {
		o.ModelPath, o.CacheDir, o.PackedCopy = path, path, true
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
	})
	log.await(t, "the service goes on without")
}
