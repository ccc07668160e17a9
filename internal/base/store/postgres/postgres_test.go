package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/hostile"
	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/store/postgres/pgtest"
	"github.com/hxp-enterprise/mixtral/internal/base/store/storetest"
)

var shared *pgtest.Cluster

func TestMain(m *testing.M) { leak.Main(withCluster{m}) }

// withCluster runs tests beside a database of their own.
type withCluster struct{ m *testing.M }

func (w withCluster) Run() int {
	code, err := run(w.m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
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
		Every: 5 * time.Millisecond, Timeout: time.Minute, Buffer: 100})
	add := func(n int) {
		for i := range n {
			l.Add(store.Request{ID: fmt.Sprint(i), Received: time.Now()})
		}
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
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

// TestKilledDatabase kills the server of the request log at any moment while lines come: each line is there once when
// it is back.
func TestKilledDatabase(t *testing.T) {
	rng := rand.New(rand.NewPCG(property.Seed(t, "MIXTRAL_CHAOS_SEED"), 0))
	c := pgtest.New(t)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	l := store.NewLog(store.LogOptions{Connect: func(ctx context.Context) (*store.DB, error) {
		return Open(ctx, c.URL("postgres"))
	}, Every: 2 * time.Millisecond, Timeout: time.Minute, Buffer: 1 << 20})
	stop, stopped, added := make(chan struct{}), make(chan struct{}), 0
	go func() {
		defer close(stopped)
		for ; ; added++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				l.Add(store.Request{ID: fmt.Sprint(added), Received: time.Now()})
			}
		}
	}()
	rounds, writing := hostile.Kills(t, 3), 0
	for range rounds {
		time.Sleep(time.Duration(rng.IntN(200)) * time.Millisecond)
		if l.Pending() > 0 {
			writing++
		}
		c.Stop()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	<-stopped
	for deadline := time.Now().Add(time.Minute); l.Pending() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d written, %d pending", l.Written(), l.Pending())
		}
	}
	l.Close()
	db, err := Open(t.Context(), c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	list, err := db.Requests(t.Context(), time.Time{}, added+1)
	if err != nil || len(list) != added || l.Dropped() != 0 || int(l.Written()) != added {
		t.Errorf("%d lines of %d, %d written, %d dropped, %v", len(list), added, l.Written(), l.Dropped(), err)
	}
	hostile.Survived(t, "PostgreSQL, under a request log", rounds, writing, "%d lines of %d, each once", len(list),
		added)
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
	}, Every: time.Hour, Timeout: time.Minute, Batch: 200})
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
