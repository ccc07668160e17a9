package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/store/postgres/pgtest"
	"github.com/hxp-enterprise/mixtral/internal/base/store/storetest"
)

var shared *pgtest.Cluster

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	shared, err = pgtest.Make()
	if errors.Is(err, pgtest.ErrMissing) && os.Getenv("CI") == "" {
		fmt.Fprintln(os.Stderr, "skipped:", err)
		return 0, nil
	}
	if err != nil {
		return 1, err
	}
	defer shared.Remove()
	if err := shared.Start(); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func(context.Context) (*store.DB, error) {
		url := shared.Database(t)
		return func(ctx context.Context) (*store.DB, error) { return Open(ctx, url) }
	})
}

// TestTheLogOutlivesTheDatabase: down at the start, then up, then gone in the middle, then back: nothing is lost
// while the buffer has room, and what finds none is counted.
func TestTheLogOutlivesTheDatabase(t *testing.T) {
	c := pgtest.New(t)
	l := store.NewLog(store.LogOptions{Connect: func(ctx context.Context) (*store.DB,
		error) {
		return Open(ctx, c.URL("postgres"))
	},
		Every: 5 * time.Millisecond, Timeout: 2 * time.Second, Buffer: 100})
	add := func(n int) {
		for i := range n {
			l.Add(store.Request{ID: fmt.Sprint(i), Received: time.Now()})
		}
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d written, %d pending, %d dropped, %d failures", what, l.Written(), l.Pending(),
					l.Dropped(), l.Failures())
			}
		}
	}
	add(50)
	until("down at the start", func() bool { return l.Failures() > 0 })
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	until("came up", func() bool { return l.Written() == 50 })
	c.Stop()
	failures := l.Failures()
	add(130)
	until("went away", func() bool { return l.Failures() > failures })
	if l.Dropped() != 30 || l.Pending() != 100 {
		t.Errorf("%d dropped, %d pending: want 30 and 100", l.Dropped(), l.Pending())
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	until("came back", func() bool { return l.Written() == 150 })
	db, err := Open(t.Context(), c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := db.Requests(t.Context(), time.Time{}, 999)
	if err != nil || len(list) != 150 {
		t.Errorf("%d stored, %v", len(list), err)
	}
	db.Close()
	c.Stop()
	add(3)
	l.Close() // with the database away: one attempt, then it gives up
	if l.Dropped() != 33 {
		t.Errorf("%d dropped after close, want 33", l.Dropped())
	}
}

// TestARefusedRequestHoldsUpNoOther: the database works, but takes some requests never, here by a constraint that its
// operator added. They are dropped and counted, one by one, and the rest of their batches is stored.
func TestARefusedRequestHoldsUpNoOther(t *testing.T) {
	url := shared.Database(t)
	db, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	shared.Exec(t, url, "ALTER TABLE requests ADD CHECK (status <> 418)")
	list := make([]store.Request, 300)
	for i := range list {
		list[i] = store.Request{ID: fmt.Sprint(i), Received: time.Now(), Status: 200}
		if i%100 == 50 {
			list[i].Status = 418
		}
	}
	if err := db.AddRequests(t.Context(), list); !errors.Is(err, store.ErrRefused) {
		t.Errorf("got %v", err)
	}
	l := store.NewLog(store.LogOptions{Connect: func(ctx context.Context) (*store.DB,
		error) {
		return Open(ctx, url)
	}, Every: time.Hour, Batch: 200})
	for _, r := range list {
		l.Add(r)
	}
	l.Close()
	got, err := db.Requests(t.Context(), time.Time{}, 999)
	if err != nil || len(got) != 297 || l.Written() != 297 || l.Dropped() != 3 || l.Failures() != 0 {
		t.Errorf("%d stored, %d written, %d dropped, %d failures, %v", len(got), l.Written(), l.Dropped(),
			l.Failures(), err)
	}
}

func TestErrorsHideThePassword(t *testing.T) {
	for _, url := range []string{"postgres://u:s3cret@127.0.0.1:1/x", "postgres://u:s3cret@host:port/x"} {
		_, err := Open(t.Context(), url)
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func BenchmarkAddRequests(b *testing.B) {
	s, err := Open(b.Context(), shared.Database(b))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	storetest.BenchmarkAddRequests(b, s)
}
