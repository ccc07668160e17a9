package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestOneAtATime: many that want the lock get it one after another, and no file is left.
func TestOneAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	var inside, most, waited atomic.Int32
	var all sync.WaitGroup
	first, err := Try(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		all.Go(func() {
			l, err := Acquire(t.Context(), path, func() { waited.Add(1) })
			if err != nil {
				t.Error(err)
				return
			}
			if n := inside.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(2 * time.Millisecond)
			inside.Add(-1)
			if err := l.Release(); err != nil {
				t.Error(err)
			}
		})
	}
	for end := time.Now().Add(time.Minute); waited.Load() < 8 && time.Now().Before(end); { // all are told
		time.Sleep(time.Millisecond)
	}
	if most.Load() != 0 {
		t.Error("somebody got a lock that is held")
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if most.Load() != 1 || waited.Load() != 8 {
		t.Errorf("%d held it together, %d of 8 were told to wait", most.Load(), waited.Load())
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file of the lock is left")
	}
}

// TestBusy: a caller that does not want to wait gets an error, and a context ends the wait.
func TestBusy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	l, err := Try(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Try(path); !errors.Is(err, ErrBusy) {
		t.Errorf("a second one got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Acquire(ctx, path, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting without end: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil { // a killed process leaves this
		t.Fatal(err)
	}
	l, err = Try(path)
	if err != nil {
		t.Fatalf("after a kill: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if Clear(path); exists(path) {
		t.Error("what a killed process left stays")
	}
	if l, err = Try(path); err != nil {
		t.Fatal(err)
	}
	if Clear(path); !exists(path) {
		t.Error("a lock that is held was removed")
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := Try(filepath.Join(t.TempDir(), "none", "x.lock")); err == nil {
		t.Error("a lock in a directory that does not exist")
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestHold: Held shows whether the writer of a file has it open, and does not prevent anybody from writing.
func TestHold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if Held(path) {
		t.Error("what is not there is held")
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Hold(f); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if !Held(path) {
			t.Error("what is held seems free")
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if Held(path) {
		t.Error("what was closed seems held")
	}
	other, err := os.Open(path) // another process checks it at this moment
	if err != nil {
		t.Fatal(err)
	}
	if err := share(other); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	time.AfterFunc(50*time.Millisecond, func() { other.Close(); close(closed) })
	if f, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	began := time.Now()
	if err = Hold(f); errors.Is(err, ErrBusy) && time.Since(began) >= time.Second { // the machine was suspended
		<-closed
		err = Hold(f)
	}
	if err != nil {
		t.Errorf("while somebody looks: %v", err)
	}
}
