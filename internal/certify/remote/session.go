package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

const (
	// emitEvery is how long evidence is collected before it is sent. statusEvery is how often the number of requests
	// in flight is sent, which is as often as resources are sampled.
	emitEvery   = 100 * time.Millisecond
	statusEvery = 100 * time.Millisecond

	// mostGuests bounds the connections that have not proven the key yet.
	mostGuests = 16

	// endsWithin is how long a session may take at its end to send its remaining evidence.
	endsWithin = time.Second
)

// Worker makes the load of one run on a generator. Its methods are not called at the same time, except InFlight. Run
// is called at most once after each Prepare.
type Worker interface {
	// Accept sets the plan, and returns the digest of what the worker made of it.
	Accept(ctx context.Context, p *Plan) (digest string, err error)
	// Check checks whether this machine can make the load, and emits the results.
	Check(ctx context.Context)
	// Prepare prepares a phase, and returns the digest of the worker's part of the schedule.
	Prepare(ctx context.Context, x *Prepare) (digest string, err error)
	// Run makes the load of the phase, from an instant of the session's clock on. It returns nil if the worker has no
	// part in the phase.
	Run(ctx context.Context, start int64) *evidence.Phase
	// InFlight is the number of requests in flight.
	InFlight() int
	// Close ends the run.
	Close()
}

// Guest is the session as its worker sees it.
type Guest interface {
	Now() int64            // the session's clock, in nanoseconds
	Emit(e evidence.Event) // sends evidence
}

// ServerOptions configure a generator.
type ServerOptions struct {
	Key         []byte
	Certificate *tls.Certificate // nil: a self-signed one
	Hello       Hello
	Now         func() int64 // the clock of the sessions, in nanoseconds
	Worker      func(Guest) Worker
	Note        func(string) // called with a line for each event, for a log
	Once        bool         // end after the first run
	Keep        bool         // the worker keeps a record of its own, so evidence that cannot be sent is not lost
}

// Serve takes part in one run after another until ctx ends. A run that is under way then is ended.
func Serve(ctx context.Context, l net.Listener, o ServerOptions) error {
	if o.Certificate == nil {
		own, err := ownCertificate()
		if err != nil {
			return err
		}
		o.Certificate = own
	}
	s := &server{o: o, guests: make(chan struct{}, mostGuests)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		raw, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		all.Go(func() {
			if s.serve(ctx, raw) && o.Once {
				cancel()
			}
		})
	}
}

// server is a generator that accepts connections.
type server struct {
	o      ServerOptions
	guests chan struct{}
	busy   sync.Mutex
}

// serve handles a connection. ran says whether there was a run.
func (s *server) serve(ctx context.Context, raw net.Conn) (ran bool) {
	defer raw.Close()
	select {
	case s.guests <- struct{}{}:
	default:
		return false
	}
	c, err := accept(raw, s.o.Certificate, s.o.Key)
	<-s.guests
	if err != nil {
		s.o.Note(fmt.Sprintf("%s was turned away: %v", raw.RemoteAddr(), err))
		return false
	}
	if !s.busy.TryLock() {
		b := appendFrame(nil, frameMessage, encode(&Message{Kind: KindRefused,
			Reason: "it makes the load of another run: one at a time"}))
		_ = c.SetDeadline(time.Now().Add(time.Second))
		_, _ = c.Write(b)
		return false
	}
	defer s.busy.Unlock()
	x := &session{o: s.o, conn: c, out: newOutbox(), state: newGenerator(s.o.Now()), over: make(chan struct{})}
	x.run(ctx)
	return x.ran
}

// session is the thin loop around a generator's state.
type session struct {
	o    ServerOptions
	conn net.Conn
	out  *outbox

	mu     sync.Mutex
	state  *generator
	cancel context.CancelFunc // cancels what is under way
	ended  bool

	worker Worker
	work   sync.WaitGroup
	over   chan struct{}
	ran    bool
	why    string
	last   *Message

	lines   sync.Mutex
	batch   []byte
	waiting int // number of events in batch
	unsent  int
}

func (x *session) run(ctx context.Context) {
	x.worker = x.o.Worker(x)
	defer x.worker.Close()
	var all sync.WaitGroup
	all.Go(func() {
		if err := x.out.write(x.conn, Silence); err != nil {
			x.apply(ctx, x.locked(func() []do { return x.state.finish(err.Error(), nil) }))
		}
	})
	hello := x.o.Hello
	hello.Protocol = Protocol
	x.out.send(&Message{Kind: KindHello, Hello: &hello})
	all.Go(func() { x.tick(ctx) })
	all.Go(func() { x.read(ctx) })
	<-x.over
	x.work.Wait() // it was canceled
	x.flush()
	if x.last != nil {
		x.out.sendLast(x.last)
	}
	x.out.close()
	for end := time.Now().Add(endsWithin); !x.out.drained() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if x.out.drained() { // the other end reads the rest and closes the connection
		_ = x.conn.SetDeadline(time.Now().Add(endsWithin))
		if c, ok := x.conn.(*tls.Conn); ok {
			_ = c.CloseWrite()
		}
	} else {
		x.conn.Close()
	}
	all.Wait()
	if x.why != "" {
		x.o.Note("the run has ended: " + x.why)
	} else {
		x.o.Note("the run has ended")
	}
}

// locked calls the state machine under the lock.
func (x *session) locked(ask func() []do) []do {
	x.mu.Lock()
	defer x.mu.Unlock()
	return ask()
}

// read handles the messages of the coordinator. Only a plan may be large.
func (x *session) read(ctx context.Context) {
	most := maxPlan
	for {
		f, err := readFrame(x.conn, most)
		now := x.o.Now()
		var m *Message
		if err == nil && f.kind != frameMessage {
			err = fmt.Errorf("%w: the coordinator sent evidence, which only generators send", ErrProtocol)
		}
		if err == nil {
			m, err = decode(f.data)
		}
		if err != nil {
			x.apply(ctx, x.locked(func() []do {
				return x.state.finish(fmt.Sprintf("the connection to the coordinator ended: %v", err), nil)
			}))
			return
		}
		if m.Kind == KindPlan {
			most = maxMessage
		}
		x.apply(ctx, x.locked(func() []do { return x.state.heardOf(now, m) }))
	}
}

// tick sends the collected evidence, and tells the state machine the time.
func (x *session) tick(ctx context.Context) {
	tick := time.NewTicker(emitEvery)
	defer tick.Stop()
	told := 0
	for {
		select {
		case <-x.over:
			return
		case <-ctx.Done():
			x.apply(ctx, x.locked(func() []do { return x.state.interrupted("the generator was told to stop") }))
			return
		case <-tick.C:
		}
		x.flush()
		if n := x.worker.InFlight(); n != told {
			told = n
			x.out.send(&Message{Kind: KindStatus, InFlight: n})
		}
		x.apply(ctx, x.locked(func() []do { return x.state.tick(x.o.Now()) }))
	}
}

// apply carries out the state machine's decisions.
func (x *session) apply(ctx context.Context, list []do) {
	for _, d := range list {
		switch {
		case d.send != nil:
			if d.send.Kind == KindPong {
				d.send.Left = x.o.Now()
			}
			x.out.send(d.send)
		case d.end != nil:
			x.end(*d.end, d.last)
		case d.last != nil:
			x.flush()
			x.out.sendLast(d.last)
		case d.cancel:
			x.mu.Lock()
			if x.cancel != nil {
				x.cancel()
			}
			x.mu.Unlock()
		case d.accept != nil:
			x.ran = true
			x.begin(ctx, func(ctx context.Context) []do {
				digest, err := x.worker.Accept(ctx, d.accept)
				return x.locked(func() []do { return x.state.accepted(digest, err) })
			})
		case d.check:
			x.begin(ctx, func(ctx context.Context) []do {
				x.worker.Check(ctx)
				return x.locked(x.state.checked)
			})
		case d.prepare != nil:
			x.begin(ctx, func(ctx context.Context) []do {
				digest, err := x.worker.Prepare(ctx, d.prepare)
				return x.locked(func() []do { return x.state.isPrepared(digest, err) })
			})
		case d.run:
			x.begin(ctx, func(ctx context.Context) []do { return x.load(ctx, d.start) })
		}
	}
}

// begin runs work in a goroutine of its own.
func (x *session) begin(ctx context.Context, work func(context.Context) []do) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return
	}
	doing, cancel := context.WithCancel(ctx)
	x.cancel = cancel
	x.work.Go(func() {
		defer cancel()
		x.apply(ctx, work(doing))
	})
}

func (x *session) end(why string, last *Message) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return
	}
	x.ended, x.why, x.last = true, why, last
	if x.cancel != nil {
		x.cancel()
	}
	close(x.over)
}

// load makes the load of a phase.
func (x *session) load(ctx context.Context, start int64) []do {
	x.lines.Lock()
	x.unsent = 0
	x.lines.Unlock()
	phase := x.worker.Run(ctx, start)
	x.flush()
	part := &evidence.Part{}
	if phase != nil {
		*part = evidence.Part{Phase: phase.ID, Planned: phase.Planned, Issued: phase.Issued,
			MaxInFlight: phase.MaxInFlight, CapHit: phase.CapHit, CutShort: phase.CutShort}
	}
	x.lines.Lock()
	part.Unsent = x.unsent
	x.lines.Unlock()
	return x.locked(func() []do { return x.state.ended(part, phase) })
}

// Now is the time of the session's clock, in nanoseconds.
func (x *session) Now() int64 { return x.o.Now() }

// Emit sends evidence within emitEvery, together with other evidence.
func (x *session) Emit(e evidence.Event) {
	line, err := evidence.Encode(&e)
	if err != nil {
		line = nil // the event is missing then, and the record shows how many are
	}
	x.lines.Lock()
	x.batch = append(x.batch, line...)
	x.waiting++
	full := len(x.batch) >= flushBytes
	x.lines.Unlock()
	if full {
		x.flush()
	}
}

// flush queues the collected evidence. If too much waits already, the evidence is not sent if the worker keeps it.
// Otherwise the session ends, because an incomplete record is useless.
func (x *session) flush() {
	x.lines.Lock()
	defer x.lines.Unlock()
	if len(x.batch) == 0 {
		return
	}
	lines, n := x.batch, x.waiting
	x.batch, x.waiting = nil, 0
	err := x.out.evidence(lines)
	switch {
	case err == nil:
	case x.o.Keep:
		x.unsent += n
	case errors.Is(err, errSlow):
		go x.apply(context.Background(), x.locked(func() []do { return x.state.refuse("%v", err) }))
	}
}
