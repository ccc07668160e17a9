package hub

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestTogether: two who download one file do not disturb each other; the second waits, and finds it there. Without a
// checksum, it believes only what came while it waited: so the first answer waits for all who wait.
func TestTogether(t *testing.T) {
	for _, bare := range []bool{false, true} {
		h := newHub(t, 50_000)
		h.files["model.gguf"] = append([]byte("GGUF"), h.files["model.gguf"][4:]...)
		h.bare, h.tag = bare, func() string { return `"1"` }
		dest := filepath.Join(t.TempDir(), "m.gguf")
		var all sync.WaitGroup
		var waiting atomic.Int64
		if bare {
			h.status = func(n int) int {
				for end := time.Now().Add(time.Minute); n == 1 && waiting.Load() < 3 && time.Now().Before(end); {
					time.Sleep(time.Millisecond)
				}
				return 0
			}
		}
		var mu sync.Mutex
		reused := 0
		for range 4 {
			all.Go(func() {
				res := fetchQuietly(t, h, dest, func(said string) {
					if bare && strings.Contains(said, "waiting for it") {
						waiting.Add(1)
					}
				})
				mu.Lock()
				defer mu.Unlock()
				if res.Reused {
					reused++
				}
			})
		}
		all.Wait()
		if h.downloads > 50 || reused != 3 {
			t.Errorf("bare %v: %d pieces downloaded, 50 in the file; %d of 4 found it there", bare, h.downloads,
				reused)
		}
		if left, _ := filepath.Glob(dest + ".*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// TestHereMeanwhile: a file that another process has brought since this one looked is not downloaded again, also where
// the other had ended before this one could see it at work.
func TestHereMeanwhile(t *testing.T) {
	h := newHub(t, 9000)
	dest := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(dest, make([]byte, 9000), 0o600); err != nil {
		t.Fatal(err)
	}
	c := h.client()
	var once sync.Once
	c.Progress = func(p Progress) { // the first look ends in a wrong checksum
		once.Do(func() {
			if err := errors.Join(os.Remove(dest), os.WriteFile(dest, h.files["model.gguf"], 0o600)); err != nil {
				t.Error(err)
			}
		})
	}
	if res := fetch(t, h, c, dest); !res.Reused || h.downloads > 0 {
		t.Errorf("%+v, %d downloads", res, h.downloads)
	}
}

// sayer calls itself with each line of a log.
type sayer func(line string)

func (s sayer) Write(line []byte) (int, error) {
	s(string(line))
	return len(line), nil
}

func fetchQuietly(t *testing.T, h *fakeHub, dest string, say sayer) Result {
	c := h.client()
	c.Logger = slog.New(slog.NewTextHandler(say, nil))
	res, err := c.Fetch(t.Context(), Ref{Owner: "o", Repo: "r", Revision: "main"}, File{Path: "model.gguf"},
		dest)
	if err != nil {
		t.Error(err)
	}
	got, err := os.ReadFile(dest)
	if err != nil || !bytes.Equal(got, h.files["model.gguf"]) {
		t.Errorf("what arrived is not the file: %v", err)
	}
	return res
}
