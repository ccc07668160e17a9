package faults_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/store/postgres"
	"github.com/hxp-enterprise/mixtral/internal/base/store/postgres/pgtest"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// database is a private PostgreSQL: reached through the proxy, and straight, to see what is really there.
func database(t *testing.T) (p *proxy, through, straight string) {
	t.Helper()
	c := pgtest.New(t)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	straight = c.Database(t)
	u, err := url.Parse(straight)
	if err != nil {
		t.Fatal(err)
	}
	p = newProxy(t, bridge(t, filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")))
	through = fmt.Sprintf("postgres://%s@%s%s?sslmode=disable", u.Query().Get("user"), p.Listen, u.Path)
	return p, through, straight
}

// TestRequestLogOnABadNetwork: while the network to the database is down, cut, hung or slow, the service is not held
// up, and once it is back every request that was logged is stored: at least once, as an answer that is lost on its
// way back makes the writer try again.
func TestRequestLogOnABadNetwork(t *testing.T) {
	p, through, straight := database(t)
	l := store.NewLog(store.LogOptions{Connect: func(ctx context.Context) (*store.DB,
		error) {
		return postgres.Open(ctx, through)
	},
		Every: 5 * time.Millisecond, Timeout: 3 * time.Second, Batch: 50})
	defer l.Close()
	db, err := postgres.Open(t.Context(), straight)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	logged := 0
	add := func(n int) {
		for range n {
			l.Add(store.Request{ID: fmt.Sprint(logged), Received: time.Now(), Status: 200})
			logged++
		}
	}
	add(100)
	llmtest.Until(t, "the first requests", func() bool { return l.Written() == 100 })
	set := func(key string, n int) map[string]any { return map[string]any{key: n} }
	for _, c := range []struct {
		name  string
		fails bool // the writer notices
		do    func()
	}{
		{"slow", false, func() { p.poison(toxic{"latency", set("latency", 60), false}) }},
		{"in crumbs", false, func() {
			p.poison(toxic{"slicer",
				map[string]any{"average_size": 20, "size_variation": 5}, true})
		}},
		{"down", true, func() { p.Stop() }},
		{"reset", true, func() { p.poison(toxic{"reset_peer", set("timeout", 0), true}) }},
		{"hung", true, func() { p.poison(toxic{"timeout", set("timeout", 0), true}) }},
		{"hung on the way back", true, func() { p.poison(toxic{"timeout", set("timeout", 0), false}) }},
		{"cut in a batch", true, func() { p.poison(toxic{"limit_data", set("bytes", 4000), true}) }},
		{"cut in an answer", true, func() { p.poison(toxic{"limit_data", set("bytes", 10), false}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.t = t
			failures := l.Failures()
			c.do()
			add(200)
			if c.fails {
				llmtest.Until(t, "the writer to notice", func() bool { return l.Failures() > failures })
			}
			add(20)
			if !p.Enabled {
				p.start()
			}
			p.heal()
			llmtest.Until(t, "all to be stored", func() bool {
				return l.Pending() == 0 &&
					l.Written() == int64(logged)
			})
			list, err := db.Requests(t.Context(), time.Time{}, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, r := range list {
				seen[r.ID] = true
			}
			// A batch is one statement: it is stored whole or not at all, and comes again at most once for each
			// failure.
			if again := len(list) - len(seen); len(seen) != logged || l.Dropped() != 0 ||
				int64(again) > 50*l.Failures() {
				t.Errorf("%d of %d stored, %d of them again after %d failures, %d dropped", len(seen), logged, again,
					l.Failures(), l.Dropped())
			}
		})
	}
}

// TestRunOnABadNetwork: a certification's result is saved whole or not at all, wherever the connection breaks, and
// saving again makes it whole.
func TestRunOnABadNetwork(t *testing.T) {
	p, through, straight := database(t)
	good, err := postgres.Open(t.Context(), straight)
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	run := &store.Run{ID: "r", TestCase: "TC", Status: "PASS", Started: time.Now(),
		Report: []byte(`{"x":"` + strings.Repeat("y", 20_000) + `"}`)}
	for i := range 40 {
		run.Checks = append(run.Checks, store.Check{ID: fmt.Sprint("check", i), Verdict: "PASS"})
	}
	saved, failed := 0, 0
	for i := range 30 {
		run.ID = fmt.Sprint("r", i)
		p.heal()
		db, err := postgres.Open(t.Context(), through)
		if err != nil {
			t.Fatal(err)
		}
		p.infect(toxic{"limit_data", map[string]any{"bytes": 40 * i * i}, i%2 == 0}) // later and later, to and fro
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		saveErr := db.SaveRun(ctx, run)
		cancel()
		db.Close()
		switch got, err := good.Run(t.Context(), run.ID); {
		case err == nil && len(got.Checks) == 40 && string(got.Report) == string(run.Report):
			// the commit's answer may have been lost
			saved++
		case errors.Is(err, store.ErrNotFound) && saveErr != nil:
			failed++
		default:
			t.Errorf("cut after %d bytes: save says %v, the database has %+v, %v", 40*i*i, saveErr, got, err)
		}
		if err := good.SaveRun(t.Context(), run); err != nil {
			t.Errorf("saved again: %v", err)
		}
	}
	if failed == 0 || saved == 0 {
		t.Errorf("%d saved, %d failed: the cuts missed the interesting part", saved, failed)
	}
}
