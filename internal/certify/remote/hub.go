package remote

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

const (
	tickEvery = 50 * time.Millisecond

	// startLead is the time between the order to start and the start, in addition to two round trips. A generator
	// needs it to begin.
	startLead = 200 * time.Millisecond

	// stopWithin is the time limit for generators to report that they have stopped. A generator that does not is lost.
	stopWithin = 800 * time.Millisecond
)

// HubOptions say which generators a coordinator uses.
type HubOptions struct {
	Addresses []string
	Key       []byte
	// authorities that must have signed the generators' certificates; nil: only the key is checked
	Roots   *x509.CertPool
	Version string
	Wait    time.Duration // how long to wait for generators that do not listen yet
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Lost    func(name, why string) // called once for each generator that is lost after Join
}

// Hub has the coordinator's connections to its generators. Only one goroutine may call its methods, except InFlight.
type Hub struct {
	o     HubOptions
	epoch time.Time

	mu      sync.Mutex
	state   *coordinator
	joined  bool
	change  chan struct{} // closed when the state changes
	refused []bool

	links  []*link
	inbox  *inbox
	folds  []*Fold // used only by the goroutine of takeIn
	record time.Time

	stop context.CancelFunc
	all  sync.WaitGroup
}

// link is one connection.
type link struct {
	conn net.Conn
	out  *outbox
	read chan struct{} // closed when nothing is read from it any more
}

func newLink(c net.Conn) *link { return &link{c, newOutbox(), make(chan struct{})} }

// Join connects to all generators and waits for their greetings. The error names each generator that failed; it
// matches ErrKey, ErrRefused, ErrLost or the error of the connection.
func Join(ctx context.Context, o HubOptions) (*Hub, error) {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext
	}
	h := &Hub{o: o, epoch: time.Now(), change: make(chan struct{}), inbox: newInbox(),
		links: make([]*link, len(o.Addresses)), refused: make([]bool, len(o.Addresses))}
	h.state = newCoordinator(len(o.Addresses), o.Version, 0)
	errs := make([]error, len(o.Addresses))
	var dialling sync.WaitGroup
	for i, address := range o.Addresses {
		dialling.Go(func() { h.links[i], errs[i] = h.dial(ctx, address) })
	}
	dialling.Wait()
	running, stop := context.WithCancel(context.Background())
	h.stop = stop
	if err := errors.Join(errs...); err != nil {
		h.Close("")
		return nil, err
	}
	for i, l := range h.links {
		h.all.Go(func() { h.read(i, l) })
		h.all.Go(func() {
			if err := l.out.write(l.conn, Silence); err != nil {
				h.apply(h.locked(func(int64) []action { return h.state.gone(i, err) }))
			}
		})
	}
	h.all.Go(func() { h.tick(running) })
	h.all.Go(h.takeIn)
	if err := h.settle(ctx, greeted, Silence); err != nil {
		h.Close("")
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.joined = true
	return h, nil
}

// dial connects to a generator. It tries again for HubOptions.Wait if the generator does not listen yet.
func (h *Hub) dial(ctx context.Context, address string) (*link, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("generator %q: %w", address, err)
	}
	deadline := time.Now().Add(h.o.Wait)
	for {
		raw, err := h.o.Dial(ctx, "tcp", address)
		if err == nil {
			c, err := connect(ctx, raw, host, h.o.Key, h.o.Roots)
			if err != nil {
				raw.Close()
				return nil, fmt.Errorf("generator %s: %w", address, err)
			}
			return newLink(c), nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil, fmt.Errorf("generator %s: %w", address, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// now is the time of the hub's own clock, in nanoseconds.
func (h *Hub) now() int64 { return time.Since(h.epoch).Nanoseconds() }

// locked calls the coordinator under the lock, and wakes the goroutines that wait for a change.
func (h *Hub) locked(ask func(now int64) []action) []action {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := ask(h.now())
	close(h.change)
	h.change = make(chan struct{})
	for _, a := range out {
		if a.refused {
			h.refused[a.to] = true
		}
	}
	return out
}

// apply carries out the coordinator's actions.
func (h *Hub) apply(out []action) {
	for _, a := range out {
		switch {
		case a.send != nil:
			h.links[a.to].out.send(a.send)
		case a.compared != nil:
			h.inbox.put(item{from: a.to, compared: a.compared})
		case a.lost != "":
			h.links[a.to].out.close()
			_ = h.links[a.to].conn.SetReadDeadline(time.Unix(1, 0)) // Close may take seconds to say goodbye
			h.links[a.to].conn.Close()
			if h.o.Lost != nil && h.is(func() bool { return h.joined }) {
				h.o.Lost(h.name(a.to), a.lost)
			}
		}
	}
}

func (h *Hub) name(i int) string { return fmt.Sprintf("generator %d (%s)", i+1, h.o.Addresses[i]) }

// read handles the messages of a generator until its connection ends.
func (h *Hub) read(i int, l *link) {
	defer close(l.read)
	for {
		f, err := readFrame(l.conn, maxEvidence)
		now := h.now()
		var m *Message
		if err == nil && f.kind == frameMessage {
			if m, err = decode(f.data); err == nil && len(f.data) > maxMessage {
				err = fmt.Errorf("%w: a message has %d bytes, at most %d are allowed", ErrProtocol, len(f.data),
					maxMessage)
			}
		}
		if err != nil {
			h.apply(h.locked(func(int64) []action { return h.state.gone(i, err) }))
			return
		}
		if m == nil {
			h.inbox.put(item{from: i, lines: f.data})
			continue
		}
		h.apply(h.locked(func(int64) []action { return h.state.heardOf(i, now, m) }))
	}
}

func (h *Hub) tick(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.apply(h.locked(h.state.tick))
		}
	}
}

// takeIn passes evidence and comparisons to the folds.
func (h *Hub) takeIn() {
	for {
		x, ok := h.inbox.take()
		switch {
		case !ok:
			return
		case x.do != nil:
			x.do()
		case h.folds == nil: // nothing is recorded before the record begins or after it ends
		case x.compared != nil:
			if err := h.folds[x.from].Compare(x.compared); err == nil {
				h.folds[x.from].sink(evidence.Event{At: x.compared.There + x.compared.Offset, Comparison: x.compared})
			}
		default:
			for line := range bytes.Lines(x.lines) {
				e, err := evidence.Decode(line)
				if err == nil && !Foldable(e) {
					err = fmt.Errorf("%w: the generator sent evidence that only a coordinator records", ErrProtocol)
				}
				if err != nil {
					h.apply(h.locked(func(int64) []action { return h.state.gone(x.from, err) }))
					break
				}
				h.folds[x.from].Add(*e)
			}
		}
	}
}

// within waits until everything that was read has been passed to the folds, and then calls do, which may use them.
func (h *Hub) within(do func()) {
	done := make(chan struct{})
	h.inbox.put(item{do: func() { defer close(done); do() }})
	<-done
}

// drain waits until everything that was read has been passed to the folds.
func (h *Hub) drain() { h.within(func() {}) }

// drainLost waits until nothing is read from the generators that are lost.
func (h *Hub) drainLost() {
	for i, l := range h.links {
		if h.is(func() bool { return h.state.peers[i].stage == lost }) {
			<-l.read
		}
	}
}

// until waits until a condition on the coordinator's state holds. It returns false if ctx ends first.
func (h *Hub) until(ctx context.Context, holds func() bool) bool {
	for {
		h.mu.Lock()
		ok, change := holds(), h.change
		h.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-change:
		}
	}
}

// settle waits until all generators are in a stage. It returns an error if a generator is lost, or if the time is
// over.
func (h *Hub) settle(ctx context.Context, in stage, within time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	ok := h.until(limited, func() bool { return h.state.settled(in) || h.state.anyLost() })
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.state.anyLost():
		return h.whoIsLost()
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !ok:
		return fmt.Errorf("%w: not %s within %s: %s", ErrLost, in, within, h.state.waitsFor(in, h.o.Addresses))
	}
	return nil
}

// whoIsLost returns an error that names all lost generators, with the reasons.
func (h *Hub) whoIsLost() error {
	var errs []error
	for i, p := range h.state.peers {
		if p.stage == lost {
			kind := ErrLost
			if h.refused[i] {
				kind = ErrRefused
			}
			errs = append(errs, fmt.Errorf("%s: %w: %s", h.name(i), kind, p.why))
		}
	}
	return errors.Join(errs...)
}

// Close tells the generators that the run is over, and waits until the connections have ended. why is "" for a normal
// end.
func (h *Hub) Close(why string) {
	h.stop()
	for _, l := range h.links {
		if l == nil {
			continue
		}
		l.out.send(&Message{Kind: KindBye, Reason: why})
		l.out.close()
	}
	end := time.Now().Add(time.Second)
	for _, l := range h.links {
		if l == nil {
			continue
		}
		for !l.out.drained() && time.Now().Before(end) {
			time.Sleep(time.Millisecond)
		}
		_ = l.conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
	}
	h.inbox.close()
	h.all.Wait()
	for _, l := range h.links {
		if l != nil {
			l.conn.Close()
		}
	}
}
