package store

import (
	"context"
	"database/sql"
	"testing"
	"testing/synctest"
	"time"
)

// restTrace runs a log in simulated time. Its database takes batch for each batch and each for each request in it, and
// a request arrives every between. It returns the longest time that a request waited until it was stored, and the
// number of batches.
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
		time.Sleep(time.Second) // until the writer waits for a request
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

// TestRequestsWaitABoundedTime: a process that is killed loses the requests that wait to be stored. So that wait may
// grow only in proportion to the time of a write, even if the writer has to wait for a processor and each write takes
// many times as long. Requests that arrive together are written together.
func TestRequestsWaitABoundedTime(t *testing.T) {
	const us, ms = time.Microsecond, time.Millisecond
	for _, test := range []struct {
		name                 string
		batch, each, between time.Duration
		most                 time.Duration // the longest wait of a request
		batches              int           // at most, in ten seconds
	}{
		// SQLite's times on one core: see the comment on rest.
		{"few", 100 * us, 10 * us, 300 * ms, 200 * us, 34},
		{"many", 100 * us, 10 * us, 400 * us, 6 * ms, 2000},
		{"many more", 100 * us, 10 * us, 50 * us, 15 * ms, 2000},
		// The same with a thirtieth of a core.
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

// TestOldRequestsGoUnderLoad: a service that always has something to write still deletes old requests. The database of
// this test refuses to delete, so each attempt shows as a failure.
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
