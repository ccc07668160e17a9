package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// LogOptions tune a request log; zero values mean what the comments say.
type LogOptions struct {
	Connect func(context.Context) (*DB, error) // opens the database; called again whenever it was lost
	Buffer  int                                // most requests that wait while the database is slow or away; 0: 10,000
	Bytes   int64                              // most memory that they take; 0: 64 MiB
	Batch   int                                // most requests in one insert; 0: 500
	Every   time.Duration                      // longest time the writer rests between two inserts; 0: 50 ms; see rest
	Timeout time.Duration                      // of one attempt, and of all that Close still does; 0: 5 s
	Keep    time.Duration                      // requests older than this are deleted, once an hour; 0: none is
	Logger  *slog.Logger                       // nil: silent
}

func (o *LogOptions) defaults() {
	if o.Buffer <= 0 {
		o.Buffer = 10_000 // 2 to 4 MB without prompts: minutes of a busy service
	}
	if o.Bytes <= 0 {
		o.Bytes = 64 << 20
	}
	if o.Batch <= 0 {
		o.Batch = 500
	}
	if o.Every <= 0 {
		o.Every = 50 * time.Millisecond
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Log writes the request log in the background. Add never blocks and never fails: while the database is away requests
// wait in a bounded buffer, and when that is full the oldest are dropped and counted.
type Log struct {
	o        LogOptions
	name     string // of this log; with a number it names a line
	mu       sync.Mutex
	added    uint64
	queue    queue
	closed   bool
	wake     chan struct{} // something waits
	full     chan struct{} // a whole batch waits
	stop     chan struct{}
	stopped  chan struct{}
	once     sync.Once
	ctx      context.Context // of all attempts; over Timeout after Close
	giveUp   context.CancelFunc
	written  atomic.Int64
	dropped  atomic.Int64
	failed   atomic.Int64
	db       *DB       // of the writer; nil: away
	forgot   time.Time // when the writer last deleted old requests
	reported int64     // drops that the writer has told of
}

// NewLog starts the background writer. Nothing need be reachable yet.
func NewLog(o LogOptions) *Log {
	o.defaults()
	l := &Log{o: o, name: newName(), queue: queue{limit: o.Buffer, maxBytes: o.Bytes}, wake: make(chan struct{}, 1),
		full: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{})}
	l.ctx, l.giveUp = context.WithCancel(context.Background())
	go l.run()
	return l
}

// newName is unlike that of any other log, of whichever process and machine. The time comes first, so that lines lie
// in an index as they were written.
func newName() string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return fmt.Sprintf("%011x%x", time.Now().UnixMilli(), random)
}

// Add hands a request to the log.
func (l *Log) Add(r Request) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		l.dropped.Add(1)
		return
	}
	l.added++
	r.Line = fmt.Sprintf("%s-%010x", l.name, l.added)
	dropped, waiting := l.queue.add(r), l.queue.len()
	l.mu.Unlock()
	l.dropped.Add(int64(dropped))
	signal(l.wake)
	if waiting >= l.o.Batch {
		signal(l.full)
	}
}

// signal sets a flag that its reader takes down.
func signal(flag chan struct{}) {
	select {
	case flag <- struct{}{}:
	default:
	}
}

// Written counts requests that the database has taken.
func (l *Log) Written() int64 { return l.written.Load() }

// Dropped counts requests that were lost: the buffer was full, the database refused them, or the log closed before it
// came back.
func (l *Log) Dropped() int64 { return l.dropped.Load() }

// Failures counts attempts to connect or to write that failed.
func (l *Log) Failures() int64 { return l.failed.Load() }

// Pending is the number of requests that wait for the database.
func (l *Log) Pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.len()
}

// Close writes what is left, for at most Timeout, and stops. A second Close is harmless.
func (l *Log) Close() error {
	l.once.Do(func() {
		close(l.stop)
		timer := time.AfterFunc(l.o.Timeout, l.giveUp)
		<-l.stopped
		timer.Stop()
		l.giveUp()
	})
	<-l.stopped
	return nil
}

// backoff grows from 0.1 s to 10 s: quick enough after a restart of the database, gentle on one that is down.
func backoff(failures int) time.Duration {
	return min(100*time.Millisecond<<min(failures, 7), 10*time.Second)
}

// run is the writer's loop. Its first attempt is at once, so that a wrong URL shows when the service starts.
func (l *Log) run() {
	defer close(l.stopped)
	began := time.Now()
	failures := l.tell(0, l.flush())
	for l.wait(failures, time.Since(began)) {
		began = time.Now()
		failures = l.tell(failures, l.flush())
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.tell(failures, l.flush())
	l.dropped.Add(int64(l.Pending()))
	l.lose()
}

// rest is how long the writer rests after writing for a while: as long as it wrote, at least 5 ms, and at most every.
// Requests that come together then share a transaction (one costs SQLite 0.1 ms, and each request in it 0.01 ms), and
// at least half of the time, up to every, the database is free for other programs. It must not be several times as
// long: most of what a write takes is the requests in it, so each rest would make the next write longer, until whole
// batches wait; and a writer that has to wait for a processor would rest for as many times that wait.
func rest(took, every time.Duration) time.Duration {
	const least = 5 * time.Millisecond
	return min(max(took, least), every)
}

// wait lets the writer rest, unless a whole batch waits, and then waits for a request; while the database is away it
// waits for the next attempt's time. It is false when the log closes.
func (l *Log) wait(failures int, took time.Duration) bool {
	pause, full := rest(took, l.o.Every), l.full
	if failures > 0 {
		pause, full = backoff(failures), nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-l.stop:
		return false
	case <-timer.C:
	case <-full:
	}
	if failures > 0 || l.Pending() > 0 {
		return true
	}
	timer.Reset(time.Hour) // old requests are to be deleted
	select {
	case <-l.stop:
		return false
	case <-timer.C:
	case <-l.wake:
	}
	return true
}

// tell says what changed, once for each outage and not once an attempt, and gives the number of failures in a row.
func (l *Log) tell(failures int, err error) int {
	lost := l.Dropped() - l.reported
	switch {
	case err != nil && failures == 0:
		l.o.Logger.Warn("request log: database is away; requests wait in memory", "err", err, "buffer", l.o.Buffer)
	case err == nil && failures > 0:
		l.o.Logger.Info("request log: database is back")
	}
	if lost > 0 && (l.reported == 0 || err == nil) {
		l.reported += lost
		l.o.Logger.Warn("request log: requests dropped", "count", lost)
	}
	if err != nil {
		return failures + 1
	}
	return 0
}

// flush connects if need be, writes what waits, and deletes what is old. What comes meanwhile is for the next time:
// under load there would be no end of it, a request at a time. After an error the connection is given up: the next
// attempt opens another.
func (l *Log) flush() error {
	err := l.connect()
	for left := l.Pending(); err == nil && left > 0; {
		l.mu.Lock()
		batch := l.queue.take(min(left, l.o.Batch))
		l.mu.Unlock()
		if len(batch) == 0 {
			break // they were dropped meanwhile
		}
		left -= len(batch)
		var done int
		if done, err = l.write(batch); err != nil {
			l.mu.Lock()
			dropped := l.queue.giveBack(batch[done:])
			l.mu.Unlock()
			l.dropped.Add(int64(dropped))
		}
	}
	if err == nil {
		err = l.forget()
	}
	if err != nil {
		l.failed.Add(1)
		l.lose()
	}
	return err
}

func (l *Log) connect() (err error) {
	if l.db != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.o.Timeout)
	defer cancel()
	l.db, err = l.o.Connect(ctx)
	return err
}

// lose closes the connection, if there is one.
func (l *Log) lose() {
	if l.db != nil {
		l.db.Close()
		l.db = nil
	}
}

// write stores a batch and says how many of its first are dealt with. A request that the database refuses must not
// hold up the others for ever: the batch is halved until it stands alone, and then it is dropped.
func (l *Log) write(batch []Request) (done int, err error) {
	bounded, cancel := context.WithTimeout(l.ctx, l.o.Timeout)
	err = l.db.AddRequests(bounded, batch)
	cancel()
	switch {
	case err == nil:
		l.written.Add(int64(len(batch)))
		return len(batch), nil
	case !errors.Is(err, ErrRefused):
		return 0, err
	case len(batch) == 1:
		l.dropped.Add(1)
		return 1, nil
	}
	half := len(batch) / 2
	if done, err = l.write(batch[:half]); err != nil {
		return done, err
	}
	more, err := l.write(batch[half:])
	return done + more, err
}

// forget deletes old requests, where that is asked for and due.
func (l *Log) forget() error {
	if l.o.Keep <= 0 || time.Since(l.forgot) < time.Hour {
		return nil
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.o.Timeout)
	defer cancel()
	_, err := l.db.Forget(ctx, time.Now().Add(-l.o.Keep))
	if err == nil {
		l.forgot = time.Now()
	}
	return err
}
