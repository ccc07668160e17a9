package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/store/storetest"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func(context.Context) (*store.DB, error) {
		path := filepath.Join(t.TempDir(), "new dir", "what? #1.db") // with characters that have a meaning in URLs
		// A writer may have to wait longer for others than Open allows: under race, beside other programs.
		return func(ctx context.Context) (*store.DB, error) { return open(ctx, path, time.Minute) }
	})
}

func TestGarbageIsNotADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	if err := os.WriteFile(path, []byte("this is a text file, and long enough to be looked at as a database header"),
		0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil {
		t.Error("opened garbage")
	}
	if _, err := Open(t.Context(), filepath.Join(path, "below", "a file.db")); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// TestNewFileIsBusy: who opens a new file while another program writes it waits, and not for ever.
func TestNewFileIsBusy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	other, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		s, err := open(t.Context(), path, time.Minute)
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	const patience = 200 * time.Millisecond
	began := time.Now()
	_, err = open(t.Context(), path, patience)
	if took := time.Since(began); !errors.Is(err, store.ErrUnavailable) || took < patience {
		t.Errorf("busy all the time: %v after %v, allowed are %v", err, took, patience)
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("busy for a while: %v", err)
	}
}

// TestPatience: a writer waits for another as long as it was told to.
func TestPatience(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	for _, patience := range []time.Duration{time.Second, time.Minute} {
		db, err := sql.Open("sqlite", address(path, patience, []string{"max_page_count(60)"}))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var ms int64
		if err := db.QueryRowContext(t.Context(), "PRAGMA busy_timeout").Scan(&ms); err != nil ||
			ms != patience.Milliseconds() {
			t.Errorf("%d ms, %v, want %v", ms, err, patience)
		}
	}
}

// TestFull: on a full disk, writes fail with an error, stored rows stay complete and readable, and the request log
// waits. Once there is room again, everything continues.
func TestFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	full := func(ctx context.Context) (*store.DB, error) {
		return open(ctx, path, time.Minute, "max_page_count(60)") // of 4 KiB
	}
	db, err := full(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	prompt := strings.Repeat("a prompt ", 100)
	batch := func(n int) []store.Request {
		list := make([]store.Request, n)
		for i := range list {
			list[i] = store.Request{ID: fmt.Sprint(i), Received: time.Now(), Prompt: &prompt}
		}
		return list
	}
	stored := 0
	for ; err == nil; stored += 10 {
		if stored > 1000 {
			t.Fatal("never full")
		}
		err = db.AddRequests(t.Context(), batch(10))
	}
	stored -= 10
	if errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), "full") {
		t.Errorf("full: %v", err)
	}
	if err := db.SaveRun(t.Context(), &store.Run{ID: "r", Report: []byte(strings.Repeat("x", 100_000))}); err == nil {
		t.Error("a run was saved on a full disk")
	}
	if _, err := db.Run(t.Context(), "r"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("half a run: %v", err)
	}
	if list, err := db.Requests(t.Context(), time.Time{}, 1<<20); err != nil || len(list) != stored {
		t.Errorf("%d of %d requests, %v", len(list), stored, err)
	}
	l := store.NewLog(store.LogOptions{Connect: full, Every: time.Millisecond, Buffer: 100})
	for _, r := range batch(100) {
		l.Add(r)
	}
	for deadline := time.Now().Add(time.Minute); l.Failures() < 2 || l.Pending() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the log did not notice")
		}
	}
	if l.Dropped() > 0 {
		t.Errorf("%d pending, %d dropped, %d written", l.Pending(), l.Dropped(), l.Written())
	}
	if n, err := db.Forget(t.Context(), time.Now()); err != nil || n < int64(stored) { // this needs no room
		t.Errorf("forgot %d, %v", n, err)
	}
	for deadline := time.Now().Add(time.Minute); l.Written() < 100; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d written, %d pending, %d dropped with room again", l.Written(), l.Pending(), l.Dropped())
		}
	}
	if err := l.Close(); err != nil || l.Dropped() != 0 {
		t.Errorf("%d dropped, %v", l.Dropped(), err)
	}
}

func BenchmarkAddRequests(b *testing.B) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "x.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	storetest.BenchmarkAddRequests(b, s)
}
