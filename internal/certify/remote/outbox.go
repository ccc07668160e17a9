package remote

import (
	"errors"
	"net"
	"sync"
	"time"
)

// flushBytes is the size of a frame of evidence, so that the answer to a ping never waits for more. mostWaits bounds
// the evidence that waits to be sent: that of ten thousand requests.
const (
	flushBytes = 64 << 10
	mostWaits  = 64 << 20
)

// errSlow says that evidence cannot be sent, because the network or the other side is slower than the load produces
// it.
var errSlow = errors.New("the connection is too slow for the evidence")

// outbox has what waits to be sent over a connection. Messages are sent before evidence, except those that must come
// after it. One goroutine writes, so that no other one waits for the network.
type outbox struct {
	mu      sync.Mutex
	more    sync.Cond
	urgent  [][]byte
	bulk    [][]byte
	waits   int  // bytes in bulk
	writing bool // a frame was taken and is being sent
	closed  bool
}

func newOutbox() *outbox {
	o := &outbox{}
	o.more.L = &o.mu
	return o
}

// send queues a message to be sent before evidence.
func (o *outbox) send(m *Message) {
	b := appendFrame(nil, frameMessage, encode(m))
	o.mu.Lock()
	defer o.mu.Unlock()
	o.urgent = append(o.urgent, b)
	o.more.Signal()
}

// sendLast queues a message to be sent after the evidence that waits.
func (o *outbox) sendLast(m *Message) {
	b := appendFrame(nil, frameMessage, encode(m))
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bulk, o.waits = append(o.bulk, b), o.waits+len(b)
	o.more.Signal()
}

// evidence queues lines. It returns errSlow if too many wait.
func (o *outbox) evidence(lines []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waits+len(lines) > mostWaits {
		return errSlow
	}
	b := appendFrame(nil, frameEvidence, lines)
	o.bulk, o.waits = append(o.bulk, b), o.waits+len(b)
	o.more.Signal()
	return nil
}

// close lets write end when everything has been sent.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.more.Broadcast()
}

// next takes the next frame, and waits for one if there is none. ok is false when the outbox is closed and empty. The
// frame before it has been sent.
func (o *outbox) next() (b []byte, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing = false
	for len(o.urgent) == 0 && len(o.bulk) == 0 {
		if o.closed {
			return nil, false
		}
		o.more.Wait()
	}
	o.writing = true
	if len(o.urgent) > 0 {
		b, o.urgent = o.urgent[0], o.urgent[1:]
		return b, true
	}
	b, o.bulk = o.bulk[0], o.bulk[1:]
	o.waits -= len(b)
	return b, true
}

// write sends what is queued, until the outbox is closed and empty or the connection fails. It fails if sending
// flushBytes takes longer than silence.
func (o *outbox) write(c net.Conn, silence time.Duration) error {
	defer o.idle()
	for {
		b, ok := o.next()
		if !ok {
			return nil
		}
		for len(b) > 0 {
			n := min(len(b), flushBytes)
			if err := c.SetWriteDeadline(time.Now().Add(silence)); err != nil {
				return err
			}
			if _, err := c.Write(b[:n]); err != nil {
				return err
			}
			b = b[n:]
		}
	}
}

// idle notes that nothing is being sent.
func (o *outbox) idle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing = false
}

// drained says whether nothing waits to be sent or is being sent.
func (o *outbox) drained() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.urgent) == 0 && len(o.bulk) == 0 && !o.writing
}
