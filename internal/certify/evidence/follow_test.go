package evidence

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/testcases"
)

func headEvent() Event {
	return Event{Header: &Header{SchemaVersion: SchemaVersion, Case: &testcases.Case{ID: "TC"}, Profile: "quick"}}
}

// TestFollow: a reader that follows a record gets each event soon after it was flushed, and the end when the record is
// closed.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.events.jsonl.gz")
	if s := StateOf(path); s != Missing {
		t.Errorf("before it exists its state is %d", s)
	}
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(headEvent()); err != nil {
		t.Fatal(err)
	}
	var seen atomic.Int64
	type result struct {
		info Info
		err  error
	}
	done := make(chan result, 1)
	go func() {
		info, err := Follow(t.Context(), path, func(*Event) error { seen.Add(1); return nil })
		done <- result{info, err}
	}()
	saw := func(n int64) {
		t.Helper()
		for end := time.Now().Add(time.Minute); seen.Load() != n; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d events were seen, want %d", seen.Load(), n)
			}
		}
	}
	saw(1)
	for i := range int64(3) {
		if err := errors.Join(w.Add(Event{At: i, Sample: &Sample{RSS: 1}}), w.Flush()); err != nil {
			t.Fatal(err)
		}
		saw(i + 2)
		// a held lock shows that the writer is alive, however long it writes nothing
		if err := os.Chtimes(path+partSuffix, time.Now().Add(-time.Hour), time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		if s := StateOf(path); s != Writing {
			t.Fatalf("while it is written its state is %d", s)
		}
	}
	if err := errors.Join(w.Add(Event{At: 9, End: &End{}}), w.Close()); err != nil {
		t.Fatal(err)
	}
	r := <-done
	if r.err != nil || r.info.Count != 5 || !r.info.Ended || r.info.Cut || StateOf(path) != Closed {
		t.Errorf("%+v, %v, state %d", r.info, r.err, StateOf(path))
	}
	whole, err := ReadFile(path)
	if err != nil || whole.SHA256 != r.info.SHA256 {
		t.Errorf("the digest is %s, want %s, %v", r.info.SHA256, whole.SHA256, err)
	}
	// a record that is already complete is followed to its end at once
	if info, err := Follow(t.Context(), path, func(*Event) error { return nil }); err != nil || info.Count != 5 {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestFollowAKilledRun: a record whose writer has died is read to its end, compressed or not, even if it ends with
// half a line.
func TestFollowAKilledRun(t *testing.T) {
	head := headEvent()
	first, err := Encode(&head)
	if err != nil {
		t.Fatal(err)
	}
	lines := append(append(first, []byte(`{"at":5,"sample":{"source":"self","rss":7,"cpu_s":1,"load":2}}`+"\n")...),
		[]byte(`{"at":6,"sample":{"so`)...)
	var packed bytes.Buffer
	gz := gzip.NewWriter(&packed)
	_, _ = gz.Write(lines)
	_ = gz.Flush() // never closed
	for name, data := range map[string][]byte{"packed": packed.Bytes(), "plain": lines,
		"cut": packed.Bytes()[:packed.Len()-3]} {
		path := filepath.Join(t.TempDir(), "a.events.jsonl.gz")
		if err := os.WriteFile(path+partSuffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-time.Minute)
		if err := os.Chtimes(path+partSuffix, old, old); err != nil {
			t.Fatal(err)
		}
		if s := StateOf(path); s != Left {
			t.Errorf("%s: its state is %d", name, s)
		}
		n := 0
		info, err := Follow(t.Context(), path, func(*Event) error { n++; return nil })
		if err != nil || n < 1 || n > 2 || !info.Cut || info.Ended {
			t.Errorf("%s: %d events, %+v, %v", name, n, info, err)
		}
		if name != "cut" && n != 2 {
			t.Errorf("%s: %d events, want 2", name, n)
		}
	}
	// shortly after the last byte a killed writer cannot be told from a slow one, so the reader waits until ctx ends
	path := filepath.Join(t.TempDir(), "b.events.jsonl.gz")
	if err := os.WriteFile(path+partSuffix, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Follow(ctx, path, func(*Event) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a reader that is told to stop gave %v", err)
	}
	if _, err := Follow(t.Context(), filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is not there gave %v", err)
	}
}

// TestSweep: a later run removes the empty record of a run that was killed in its first moment. It keeps records that
// a process may still write, and records that are not empty.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-time.Hour)
	for name, data := range map[string]string{"left.part": "", "said.part": "x", "new.part": "", "other": ""} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if name != "new.part" {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	w, err := Create(filepath.Join(dir, "held"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := os.Chtimes(filepath.Join(dir, "held.part"), old, old); err != nil {
		t.Fatal(err)
	}
	Sweep(dir)
	var got []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if want := []string{"held.part", "new.part", "other", "said.part"}; !slices.Equal(got, want) {
		t.Errorf("%q are left, want %q", got, want)
	}
	_, err = ReadFile(filepath.Join(dir, "new"))
	if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty record: %v", err)
	}
}
