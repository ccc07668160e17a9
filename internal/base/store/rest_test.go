package store

import (
	"context"
	"database/sql"
	"testing"
	"testing/synctest"
	"time"
)

// restTrace lets a log write to a database that takes a time for each batch and for each request in it, while requests
// come one after the other, in simulated time. It gives the longest time that one of them waited until it was stored,
// and how many batches there were.
func restTrace(t *testing.T, o LogOptions, batch, each, between, lasts time.Duration) (waited time.Duration,
	batches int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		bulk := func(_ context.Context, _, _ string, columns []string, rows [][]any) error {
			time.Sleep(batch + time.Duration(len(rows))*each)
			batches++
			for _, row := range rows {
				for i, c := range columns {
					if c == "received_us" {
						waited = max(waited, time.Since(fromMicros(row[i].(int64))))
					}
				}
			}
			return nil
		}
		o.Connect = func(context.Context) (*DB, error) { return &DB{sql: sql.OpenDB(nowhere{}), bulk: bulk}, nil }
		l := NewLog(o)
		time.Sleep(time.Second) // the writer waits for a request
		n := int64(0)
		for began := time.Now(); time.Since(began) < lasts; n++ {
			l.Add(Request{Received: time.Now()})
			time.Sleep(between)
		}
		l.Close()
		if l.Written() != n || l.Dropped() != 0 {
			t.Errorf("%d requests, %d written, %d dropped", n, l.Written(), l.Dropped())
		}
	})
	return waited, batches
}

// TestRequestsWaitABoundedTime: how long a request waits until it is stored, which is what a process that is killed
// loses, grows as the time of a write does and not faster: also where the writer has to wait for a processor, so that
// each write takes many times as long. Requests that come together are written together.
func TestRequestsWaitABoundedTime(t *testing.T) {
	const us, ms = time.Microsecond, time.Millisecond
	for _, test := range []struct {
		name                 string
		batch, each, between time.Duration
		most                 time.Duration // that a request waits
		batches              int           // in ten seconds, at most
	}{
		// SQLite's times on one core: see rest
		{"few", 100 * us, 10 * us, 300 * ms, 200 * us, 34},
		{"many", 100 * us, 10 * us, 400 * us, 6 * ms, 2000},
		{"many more", 100 * us, 10 * us, 50 * us, 15 * ms, 2000},
		// with a thirtieth of it
		{"few, starved", 3 * ms, 300 * us, 300 * ms, 4 * ms, 34},
		{"many, starved", 3 * ms, 300 * us, 1 * ms, 30 * ms, 1000},
		{"nearly too many, starved", 3 * ms, 300 * us, 500 * us, 250 * ms, 200},
		{"a database far away", 100 * ms, 10 * us, 2 * ms, 260 * ms, 69},
		{"a database that hangs", 900 * ms, 10 * us, 100 * ms, 1860 * ms, 13},
	} {
		t.Run(test.name, func(t *testing.T) {
			waited, batches := restTrace(t, LogOptions{}, test.batch, test.each, test.between, 10*time.Second)
			t.Logf("waited %v, %d batches", waited, batches)
			if waited > test.most || batches > test.batches {
				t.Errorf("a request waited %v in %d batches, want %v in %d at most", waited, batches, test.most,
					test.batches)
			}
		})
	}
}

// TestOldRequestsGoUnderLoad: a service that always has something to write deletes old requests all the same. Here the
// database refuses that, which shows as a failure.
func TestOldRequestsGoUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bulk := func(context.Context, string, string, []string, [][]any) error {
			time.Sleep(time.Millisecond)
			return nil
		}
		l := NewLog(LogOptions{Keep: time.Hour, Connect: func(context.Context) (*DB, error) {
			return &DB{sql: sql.OpenDB(nowhere{}), bulk: bulk}, nil
		}})
		defer l.Close()
		l.Add(Request{}) // before the writer first looks
		for range 1000 {
			l.Add(Request{})
			time.Sleep(time.Millisecond)
		}
		if l.Failures() == 0 {
			t.Error("old requests were never deleted")
		}
	})
}
