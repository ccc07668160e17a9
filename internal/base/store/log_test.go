package store

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

func TestMain(m *testing.M) { leak.Main(m) }

// TestQueueLosesOnlyWhatItCounts: whatever is added, taken and given back, the queue holds the newest within its
// bounds and counts the rest.
func TestQueueLosesOnlyWhatItCounts(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		room := rapid.IntRange(1, 8).Draw(t, "room")
		q := queue{limit: rapid.IntRange(1, 8).Draw(t, "limit"), maxBytes: int64(room) * (fixed + 10)}
		added, dropped, written := 0, 0, 0
		var out []Request
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				r := Request{ID: fmt.Sprint(added)}
				if rapid.Bool().Draw(t, "large") {
					text := strings.Repeat("x", rapid.IntRange(0, 3*fixed).Draw(t, "prompt"))
					r.Prompt = &text
				}
				dropped += q.add(r)
				added++
			},
			"take": func(t *rapid.T) {
				if len(out) == 0 {
					out = q.take(rapid.IntRange(1, 5).Draw(t, "n"))
				}
			},
			"written": func(t *rapid.T) {
				n := rapid.IntRange(0, len(out)).Draw(t, "done")
				written, dropped, out = written+n, dropped+q.giveBack(out[n:]), nil
			},
			"": func(t *rapid.T) {
				var bytes int64
				held := q.items[q.head:]
				for i := range held {
					bytes += held[i].size()
				}
				if q.len() > q.limit || bytes != q.bytes || bytes > q.maxBytes && q.len() > 1 {
					t.Fatalf("%d items of %d bytes (%d counted), limits %d and %d", q.len(), bytes, q.bytes, q.limit,
						q.maxBytes)
				}
				if added != written+dropped+len(out)+q.len() {
					t.Fatalf("%d added, %d written, %d dropped, %d out, %d queued", added, written, dropped, len(out),
						q.len())
				}
				// in order; one that was out may be older than one that was dropped
				for i, last := 0, -1; i < len(held); i++ {
					id, err := strconv.Atoi(held[i].ID)
					if err != nil || id <= last || i == len(held)-1 && id != added-1 {
						t.Fatalf("place %d of %d holds %q after %d; %d were added", i, len(held), held[i].ID, last,
							added)
					}
					last = id
				}
			},
		})
	})
}

// TestQueueGivesMemoryBack: what waited through an outage leaves no large buffer behind, and a small one stays.
func TestQueueGivesMemoryBack(t *testing.T) {
	for _, test := range []struct {
		waited int
		kept   bool
	}{{100, true}, {10_000, false}} {
		q := queue{limit: 10_000, maxBytes: 64 << 20}
		for range test.waited {
			q.add(Request{})
		}
		q.giveBack(q.take(50))
		for q.len() > 0 {
			q.take(50)
		}
		if kept := cap(q.items) > 0; kept != test.kept || cap(q.items) > roomy {
			t.Errorf("after %d requests the queue keeps room for %d", test.waited, cap(q.items))
		}
		q.add(Request{ID: "later"})
		if batch := q.take(2); len(batch) != 1 || batch[0].ID != "later" {
			t.Errorf("after %d requests: %v", test.waited, batch)
		}
	}
}

func TestFixedIsTheSizeOfARequest(t *testing.T) {
	if got := int(reflect.TypeFor[Request]().Size()); got > fixed || got < fixed-64 {
		t.Errorf("a Request has %d bytes, fixed says %d", got, fixed)
	}
}

// nowhere is a database that can only be closed.
type nowhere struct{}

func (nowhere) Connect(context.Context) (driver.Conn, error) { return nil, ErrUnavailable }
func (nowhere) Driver() driver.Driver                        { return nil }

// TestABatchThatWasStoredAndBroke: the answer to a batch is lost after it was stored. It is sent again, line by line
// under the same names, so that a database can tell.
func TestABatchThatWasStoredAndBroke(t *testing.T) {
	var sent [][]string
	bulk := func(_ context.Context, _, unique string, columns []string, rows [][]any) error {
		at := slices.Index(columns, unique)
		var lines []string
		for _, row := range rows {
			lines = append(lines, *row[at].(*string))
		}
		if sent = append(sent, lines); len(sent) == 1 {
			return errors.New("connection reset")
		}
		return nil
	}
	l := NewLog(LogOptions{Every: time.Millisecond, Connect: func(context.Context) (*DB,
		error) {
		return &DB{sql: sql.OpenDB(nowhere{}), bulk: bulk}, nil
	}})
	for range 3 {
		l.Add(Request{ID: "same"})
	}
	for l.Written() < 3 {
		time.Sleep(time.Millisecond)
	}
	l.Close()
	if len(sent) < 2 || !slices.Equal(sent[0], sent[1][:len(sent[0])]) {
		t.Fatalf("sent %q", sent)
	}
	names := map[string]bool{}
	for _, batch := range sent[1:] {
		for _, line := range batch {
			names[line] = true
		}
	}
	if len(names) != 3 || l.Failures() != 1 {
		t.Errorf("%d names of 3 lines, %d failures", len(names), l.Failures())
	}
}

func TestNoTwoLogsNameALineAlike(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		seen[newName()] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d names of 1000", len(seen))
	}
}

// BenchmarkAddToAFullBuffer is what a request pays while the database is away.
func BenchmarkAddToAFullBuffer(b *testing.B) {
	l := NewLog(LogOptions{Connect: func(context.Context) (*DB, error) { return nil, ErrUnavailable }})
	defer l.Close()
	r := Request{ID: "req-0123456789abcdef01234567", Model: "mixtral"}
	for range 20_000 {
		l.Add(r)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Add(r)
	}
}

func TestAddNeverWaits(t *testing.T) {
	hang := make(chan struct{})
	l := NewLog(LogOptions{Buffer: 10, Every: time.Millisecond, Timeout: time.Hour,
		Connect: func(context.Context) (*DB, error) {
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
	l.Add(Request{})
	if l.Dropped() != 1001 || l.Failures() == 0 {
		t.Errorf("%d dropped, %d failures", l.Dropped(), l.Failures())
	}
}

// TestAnOutageIsToldOnce: an operator's log says that the database went and came back, not each attempt between.
func TestAnOutageIsToldOnce(t *testing.T) {
	var out bytes.Buffer
	l := &Log{o: LogOptions{Logger: slog.New(slog.NewTextHandler(&out, nil))}}
	failures := 0
	for range 5 {
		failures = l.tell(failures, ErrUnavailable)
	}
	l.dropped.Add(7)
	failures = l.tell(failures, ErrUnavailable)
	l.dropped.Add(7)
	failures = l.tell(failures, ErrUnavailable)
	if failures != 7 {
		t.Errorf("%d failures", failures)
	}
	if l.tell(l.tell(failures, nil), nil) != 0 {
		t.Error("failures after success")
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		_, msg, _ := strings.Cut(line, "msg=")
		got = append(got, strings.TrimSpace(strings.Split(msg, " err=")[0]))
	}
	want := []string{`"request log: database is away; requests wait in memory"`,
		`"request log: requests dropped" count=7`,
		`"request log: database is back"`, `"request log: requests dropped" count=7`}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestBackoffIsBounded(t *testing.T) {
	if a, b := backoff(1), backoff(1000); a < 100*time.Millisecond || b != 10*time.Second {
		t.Errorf("%v, %v", a, b)
	}
}
