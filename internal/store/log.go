package store

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// LogOptions tune a request log; zero values mean what the comments say.
type LogOptions struct {
	Connect func(context.Context) (*DB, error) // opens the database; called again whenever it was lost
	Buffer  int                                // requests kept while the database is slow or away; 0: 10,000 (about 2 MB)
	Batch   int                                // most requests in one insert; 0: 500
	Every   time.Duration                      // longest time a request waits for its batch; 0: 1 s
	Timeout time.Duration                      // of one attempt; 0: 5 s
	Logger  *slog.Logger                       // nil: silent
}

// Log writes the request log in the background. Add never blocks and never fails: while the database is away requests
// wait in a bounded buffer, and when that is full the oldest are dropped and counted.
type Log struct {
	o       LogOptions
	mu      sync.Mutex
	queue   queue
	wake    chan struct{}
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once
	written atomic.Int64
	dropped atomic.Int64
	failed  atomic.Int64
}

// NewLog starts the background writer. Nothing need be reachable yet.
func NewLog(o LogOptions) *Log {
	if o.Buffer <= 0 {
		o.Buffer = 10_000
	}
	if o.Batch <= 0 {
		o.Batch = 500
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{o: o, queue: queue{limit: o.Buffer}, wake: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{})}
	go l.run()
	return l
}

// Add hands a request to the log.
func (l *Log) Add(r Request) {
	l.mu.Lock()
	dropped, full := l.queue.add(r), len(l.queue.items) >= l.o.Batch
	l.mu.Unlock()
	l.dropped.Add(int64(dropped))
	if full {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Written, Dropped and Failures count since the start: requests stored, requests lost, attempts that failed.
func (l *Log) Written() int64 { return l.written.Load() }

// Dropped counts requests that were lost because the buffer was full or the log closed before the database came back.
func (l *Log) Dropped() int64 { return l.dropped.Load() }

// Failures counts attempts to connect or to write that failed.
func (l *Log) Failures() int64 { return l.failed.Load() }

// Pending is the number of requests that wait for the database.
func (l *Log) Pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue.items)
}

// Close writes what is left, for at most one attempt, and stops. A second Close is harmless.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.stop) })
	<-l.stopped
	return nil
}

// backoff grows from 0.1 s to 10 s: quick enough after a restart of the database, gentle on one that is down.
func backoff(failures int) time.Duration {
	return min(100*time.Millisecond<<min(failures, 7), 10*time.Second)
}

func (l *Log) run() {
	defer close(l.stopped)
	var db *DB
	defer func() {
		if db != nil {
			db.Close()
		}
	}()
	failures := 0
	for closing := false; !closing; {
		wait := l.o.Every
		if failures > 0 {
			wait = backoff(failures)
		}
		timer := time.NewTimer(wait)
		select {
		case <-l.stop:
			closing = true
		case <-timer.C:
		case <-l.wakeUnless(failures > 0):
		}
		timer.Stop()
		ok := true
		for ok && l.Pending() > 0 {
			db, ok = l.flush(db)
		}
		switch {
		case ok && failures > 0:
			l.o.Logger.Info("request log: database is back", "pending", l.Pending(), "dropped", l.Dropped())
			failures = 0
		case !ok:
			failures++
		}
	}
	l.dropped.Add(int64(l.Pending()))
}

// wakeUnless gives the channel that a full batch wakes, or none while the database is away.
func (l *Log) wakeUnless(away bool) <-chan struct{} {
	if away {
		return nil
	}
	return l.wake
}

// flush makes one attempt to write one batch. A connection that failed is closed: the next attempt opens another.
func (l *Log) flush(db *DB) (*DB, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), l.o.Timeout)
	defer cancel()
	var err error
	if db == nil {
		if db, err = l.o.Connect(ctx); err != nil {
			l.failed.Add(1)
			l.o.Logger.Warn("request log: cannot connect", "err", err)
			return nil, false
		}
	}
	l.mu.Lock()
	batch := l.queue.take(l.o.Batch)
	l.mu.Unlock()
	if err = db.AddRequests(ctx, batch); err != nil {
		l.failed.Add(1)
		l.o.Logger.Warn("request log: cannot write", "err", err)
		db.Close()
		l.mu.Lock()
		dropped := l.queue.giveBack(batch)
		l.mu.Unlock()
		l.dropped.Add(int64(dropped))
		return nil, false
	}
	l.written.Add(int64(len(batch)))
	return db, true
}

// queue is the bounded buffer: oldest first, oldest dropped.
type queue struct {
	limit int
	items []Request
}

// add appends and says how many were dropped to make room.
func (q *queue) add(r Request) (dropped int) {
	if len(q.items) >= q.limit {
		n := len(q.items) - q.limit + 1
		q.items = append(q.items[:0], q.items[n:]...)
		dropped = n
	}
	q.items = append(q.items, r)
	return dropped
}

// take removes up to n of the oldest.
func (q *queue) take(n int) []Request {
	n = min(n, len(q.items))
	batch := append([]Request(nil), q.items[:n]...)
	q.items = append(q.items[:0], q.items[n:]...)
	return batch
}

// giveBack puts a batch that could not be written before the others; the oldest that find no room are dropped.
func (q *queue) giveBack(batch []Request) (dropped int) {
	all := append(batch, q.items...)
	dropped = max(0, len(all)-q.limit)
	q.items = append([]Request(nil), all[dropped:]...)
	return dropped
}
