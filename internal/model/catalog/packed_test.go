package catalog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/filelock"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// writeModel writes a model of a seed that looks an hour old.
func writeModel(t *testing.T, path string, seed uint64) {
	t.Helper()
	shape := synth.Tiny()
	shape.Seed = seed
	if err := WriteSynth(t.Context(), path, shape, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
}

// packedOpening opens a model that may be packed, and gives what it is and what was said.
type packedOpening struct {
	*Opened
	said []string
}

func openPacked(t *testing.T, path string, o Options) packedOpening {
	t.Helper()
	got := packedOpening{}
	o.Packed, o.PackFrom, o.Say = true, 1, func(text string) { got.said = append(got.said, text) }
	m, err := OpenWith(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	got.Opened = m
	return got
}

func (p *packedOpening) pack(t *testing.T, o Options) error {
	t.Helper()
	o.PackFrom = 1
	return p.Pack(t.Context(), o, nil, nil)
}

// copies gives the names in the directory of packed copies.
func copies(t *testing.T, o Options) []string {
	t.Helper()
	var names []string
	for _, path := range glob(t, filepath.Join(o.CacheDir, "packed"), "*") {
		names = append(names, filepath.Base(path))
	}
	for _, path := range glob(t, filepath.Join(o.CacheDir, "packed"), ".*") {
		names = append(names, filepath.Base(path))
	}
	return names
}

// TestPackedCopy: a copy is the model that it was made of, under its name, path and hash.
func TestPackedCopy(t *testing.T) {
	o := Options{CacheDir: t.TempDir()}
	path := filepath.Join(t.TempDir(), "a model.gguf")
	writeModel(t, path, 1)
	plain := openPacked(t, path, o)
	if moe.IsPacked(plain.File) || len(plain.said) > 0 {
		t.Fatalf("packed before it was: %q", plain.said)
	}
	var began string
	var size, done int64
	err := plain.Pack(t.Context(), Options{CacheDir: o.CacheDir, PackFrom: 1},
		func(path string, n int64) { began, size = path, n }, func(n int64) { done = n })
	if err != nil {
		t.Fatal(err)
	}
	packed := openPacked(t, path, o)
	if !moe.IsPacked(packed.File) || packed.File.Paths()[0] != began || packed.File.Size() != size || done != size {
		t.Errorf("not from the copy: %q, %d of %d bytes, %q", packed.File.Paths(), done, size, began)
	}
	if len(packed.said) != 1 || !strings.Contains(packed.said[0], began) {
		t.Errorf("said %q", packed.said)
	}
	want, err1 := plain.SHA256()
	got, err2 := packed.SHA256()
	if err := errors.Join(err1, err2); err != nil || got != want || packed.ID != plain.ID || packed.Path != path {
		t.Errorf("%s %q %q is no longer %s %q; %v", got, packed.ID, packed.Path, want, plain.ID, err)
	}
	all, err := PackedCopies(o)
	if err != nil || len(all) != 1 || all[0].Source != path || all[0].Bytes != size || !all[0].Current() {
		t.Errorf("copies %+v, %v", all, err)
	}
	if err := plain.pack(t, o); !errors.Is(err, ErrNotPacked) {
		t.Errorf("packed twice: %v", err)
	}
	if err := packed.pack(t, o); !errors.Is(err, ErrNotPacked) || !strings.Contains(err.Error(), "packed already") {
		t.Errorf("packed a packed one: %v", err)
	}
	if ordinary, err := Open(path); err != nil || moe.IsPacked(ordinary.File) {
		t.Errorf("who does not ask for a copy got one: %v", err)
	} else if err := ordinary.Close(); err != nil {
		t.Error(err)
	}
}

// TestPackedCopyOfAnotherModel: a file that was replaced is not served from the copy of the old one, and that copy
// goes with the next that is written. So do copies of files that have gone.
func TestPackedCopyOfAnotherModel(t *testing.T) {
	o := Options{CacheDir: t.TempDir()}
	dir := t.TempDir()
	path, other := filepath.Join(dir, "a.gguf"), filepath.Join(dir, "b.gguf")
	writeModel(t, path, 1)
	writeModel(t, other, 3)
	first, second := openPacked(t, path, o), openPacked(t, other, o)
	if err := errors.Join(first.pack(t, o), second.pack(t, o)); err != nil {
		t.Fatal(err)
	}
	writeModel(t, path, 2) // as large, and as old
	now := openPacked(t, path, o)
	if moe.IsPacked(now.File) {
		t.Fatal("the old model")
	}
	if all, err := PackedCopies(o); err != nil || len(all) != 2 || all[0].Current() || !all[1].Current() {
		t.Errorf("copies %+v, %v", all, err)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	if err := now.pack(t, o); err != nil {
		t.Fatal(err)
	}
	if all, err := PackedCopies(o); err != nil || len(all) != 1 || !all[0].Current() || len(copies(t, o)) != 2 {
		t.Errorf("copies %+v in %q, %v", all, copies(t, o), err)
	}
	want, _ := now.SHA256()
	again := openPacked(t, path, o)
	if got, _ := again.SHA256(); got != want || !moe.IsPacked(again.File) {
		t.Error("another model")
	}
}

// TestPackedCopyDamaged: a copy that is not a whole model is deleted, and the model starts without.
func TestPackedCopyDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.gguf")
	writeModel(t, path, 1)
	plain, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(copy string) error{
		"cut":        func(copy string) error { return os.Truncate(copy, 10000) },
		"empty":      func(copy string) error { return os.Truncate(copy, 0) },
		"not packed": func(copy string) error { return os.WriteFile(copy, plain, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{CacheDir: t.TempDir()}
			first := openPacked(t, path, o)
			if err := first.pack(t, o); err != nil {
				t.Fatal(err)
			}
			copy := openPacked(t, path, o).File.Paths()[0]
			if err := damage(copy); err != nil {
				t.Fatal(err)
			}
			second := openPacked(t, path, o)
			if moe.IsPacked(second.File) || len(second.said) != 1 || !strings.Contains(second.said[0], "damaged") {
				t.Errorf("opened %q, said %q", second.File.Paths(), second.said)
			}
			if left := copies(t, o); len(left) > 0 {
				t.Errorf("left %q", left)
			}
			if err := second.pack(t, o); err != nil {
				t.Error("not again", err)
			}
		})
	}
}

// TestPackedCopyNot: whatever stands in the way is an error of Pack alone, which leaves nothing.
func TestPackedCopyNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.gguf")
	writeModel(t, path, 1)
	t.Run("locked", func(t *testing.T) {
		o := Options{CacheDir: t.TempDir()}
		m := openPacked(t, path, o)
		p, err := identify([]string{path})
		if err != nil {
			t.Fatal(err)
		}
		lock, err := filelock.Try(filepath.Join(o.CacheDir, "packed", p.name()+".lock"))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.pack(t, o); !errors.Is(err, ErrNotPacked) || !errors.Is(err, filelock.ErrBusy) {
			t.Errorf("got %v", err)
		}
		if err := errors.Join(lock.Release(), m.pack(t, o)); err != nil {
			t.Error(err)
		}
	})
	t.Run("no directory", func(t *testing.T) {
		o := Options{CacheDir: path} // a file
		m := openPacked(t, path, o)
		if err := m.pack(t, o); err == nil || errors.Is(err, ErrNotPacked) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("written just now", func(t *testing.T) {
		o := Options{CacheDir: t.TempDir()}
		fresh := filepath.Join(t.TempDir(), "b.gguf")
		if err := WriteSynth(t.Context(), fresh, synth.Tiny(), nil); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(fresh, time.Time{}, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		m := openPacked(t, fresh, o)
		if err := m.pack(t, o); !errors.Is(err, ErrNotPacked) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("small", func(t *testing.T) {
		o := Options{CacheDir: t.TempDir()}
		m := openPacked(t, path, o)
		if err := m.Pack(t.Context(), o, nil, nil); !errors.Is(err, ErrNotPacked) ||
			!strings.Contains(err.Error(), "starts at once below") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		o := Options{CacheDir: t.TempDir(), PackFrom: 1}
		m := openPacked(t, path, o)
		ctx, cancel := context.WithCancel(t.Context())
		if err := m.Pack(ctx, o, nil, func(int64) { cancel() }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if left := copies(t, o); len(left) > 0 {
			t.Errorf("left %q", left)
		}
	})
	t.Run("changed meanwhile", func(t *testing.T) {
		o := Options{CacheDir: t.TempDir(), PackFrom: 1}
		mine := filepath.Join(t.TempDir(), "c.gguf")
		writeModel(t, mine, 1)
		m := openPacked(t, mine, o)
		err := m.Pack(t.Context(), o, func(string, int64) { writeModel(t, mine, 2) }, nil)
		if err == nil || len(copies(t, o)) > 0 {
			t.Errorf("got %v, left %q", err, copies(t, o))
		}
	})
}

// TestPackedCopyLeftovers: what a killed writer left, a record and a temporary file, goes with the next copy.
func TestPackedCopyLeftovers(t *testing.T) {
	o := Options{CacheDir: t.TempDir()}
	path := filepath.Join(t.TempDir(), "a.gguf")
	writeModel(t, path, 1)
	m := openPacked(t, path, o)
	dir := filepath.Join(o.CacheDir, "packed")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old-0123456789abcdef.packed.json", ".old-0123456789abcdef.packed.gguf.mixtral-123",
		"old-0123456789abcdef.lock", "stray-0123456789abcdef.packed.gguf"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.pack(t, o); err != nil {
		t.Fatal(err)
	}
	if left := copies(t, o); len(left) != 2 {
		t.Errorf("left %q", left)
	}
}
