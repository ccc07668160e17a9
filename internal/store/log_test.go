package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestQueueLosesOnlyWhatItCounts: whatever is added, taken and given back, the queue holds the newest and counts the rest.
func TestQueueLosesOnlyWhatItCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := queue{limit: rapid.IntRange(1, 8).Draw(t, "limit")}
		added, dropped, written := 0, 0, 0
		var out []Request
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				dropped += q.add(Request{ID: fmt.Sprint(added)})
				added++
			},
			"take": func(t *rapid.T) {
				if len(out) == 0 {
					out = q.take(rapid.IntRange(1, 5).Draw(t, "n"))
				}
			},
			"written": func(t *rapid.T) { written, out = written+len(out), nil },
			"failed":  func(t *rapid.T) { dropped, out = dropped+q.giveBack(out), nil },
			"": func(t *rapid.T) {
				if len(q.items) > q.limit {
					t.Fatalf("%d items, limit %d", len(q.items), q.limit)
				}
				if added != written+dropped+len(out)+len(q.items) {
					t.Fatalf("%d added, %d written, %d dropped, %d out, %d queued", added, written, dropped, len(out), len(q.items))
				}
				if n := len(q.items); n > 0 && q.items[n-1].ID != fmt.Sprint(added-1) {
					t.Fatalf("the newest is %s of %d", q.items[n-1].ID, added)
				}
			},
		})
	})
}

func TestAddNeverWaits(t *testing.T) {
	hang := make(chan struct{})
	l := NewLog(LogOptions{Buffer: 10, Every: time.Millisecond, Timeout: time.Hour, Connect: func(context.Context) (*DB, error) {
		<-hang
		return nil, errors.New("no")
	}})
	for range 1000 {
		l.Add(Request{})
	}
	if l.Dropped() != 990 || l.Pending() != 10 {
		t.Errorf("%d dropped, %d pending", l.Dropped(), l.Pending())
	}
	close(hang)
	l.Close()
	if l.Dropped() != 1000 || l.Failures() == 0 {
		t.Errorf("%d dropped, %d failures", l.Dropped(), l.Failures())
	}
}

func TestBackoffIsBounded(t *testing.T) {
	if a, b := backoff(1), backoff(1000); a < 100*time.Millisecond || b != 10*time.Second {
		t.Errorf("%v, %v", a, b)
	}
}
