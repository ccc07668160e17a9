package whole

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

// TestWrite: a file appears when it is complete, and not before; a failed write leaves the old file, and nothing
// beside it.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.gguf")
	write := func(text string, err error) error {
		return Write(path, 0o640, func(f *os.File) error {
			if old, _ := os.ReadFile(path); string(old) == text {
				t.Errorf("%q is there before it is whole", text)
			}
			f.WriteString(text)
			return err
		})
	}
	if err := write("first", nil); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := write("half", broken); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	data, err := os.ReadFile(path)
	info, _ := os.Stat(path)
	if err != nil || string(data) != "first" || info.Mode().Perm() != 0o640 || names(t, dir) != "out.gguf" {
		t.Errorf("%q, %v, %v: %s", data, err, info.Mode(), names(t, dir))
	}
	if err := Write(filepath.Join(dir, "none", "x"), 0o600, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestSweep: files that a killed writer left are removed by the next write into the directory. Files that are being
// written, and others with similar names, stay.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".a.gguf.mixtral-123", ".b.mixtral-9", ".c.mixtral-x", "d.mixtral-1", ".e-123"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".f.mixtral-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := Write(filepath.Join(dir, "g"), 0o600, func(f *os.File) error {
		if n := Sweep(dir); n != 0 {
			t.Errorf("%d files swept under their writers: %s", n, names(t, dir))
		}
		return nil
	})
	if want := ".c.mixtral-x .e-123 .f.mixtral-1 d.mixtral-1 g"; err != nil || names(t, dir) != want {
		t.Errorf("%v: %s, want %s", err, names(t, dir), want)
	}
}

// TestManyWriters: writers of one directory, and of one file, do not remove each other's files.
func TestManyWriters(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 50 {
				path := filepath.Join(dir, string(rune('a'+i/2)))
				err := Write(path, 0o600, func(f *os.File) error {
					_, err := f.WriteString("whole")
					return err
				})
				if data, _ := os.ReadFile(path); err != nil || string(data) != "whole" {
					t.Errorf("%q, %v", data, err)
				}
			}
		})
	}
	group.Wait()
	if got := names(t, dir); got != "a b c d" {
		t.Errorf("%s is left", got)
	}
}

// TestHold: one process writes a file at a time.
func TestHold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	first, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := Hold(first); err != nil {
		t.Fatal(err)
	}
	if err := Hold(second); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	first.Close()
	if err := Hold(second); err != nil {
		t.Errorf("got %v", err)
	}
}
