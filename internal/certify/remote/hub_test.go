package remote

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// lateConn is a connection from which nothing is read until it is closed. What had come before takes a while to be
// read then.
type lateConn struct {
	net.Conn
	closed chan struct{}
	slow   sync.Once
	came   *bytes.Reader
}

func (c *lateConn) Read(p []byte) (int, error) {
	<-c.closed
	c.slow.Do(func() { time.Sleep(50 * time.Millisecond) })
	return c.came.Read(p)
}

func (c *lateConn) SetReadDeadline(time.Time) error { return nil }

func (c *lateConn) Close() error {
	close(c.closed)
	return nil
}

// TestNothingComesAfterAPhase: what is read from a generator while it is given up belongs to the phase that ends with
// it. Whoever waits for the phase does not expect evidence afterwards.
func TestNothingComesAfterAPhase(t *testing.T) {
	line, err := evidence.Encode(&evidence.Event{Request: &evidence.Request{Phase: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(&lateConn{closed: make(chan struct{}), came: bytes.NewReader(appendFrame(nil, frameEvidence, line))})
	h := &Hub{state: idlers(t, 1), change: make(chan struct{}), inbox: newInbox(), links: []*link{l},
		refused: make([]bool, 1)}
	h.state.prepare(&Prepare{}, []string{""})
	h.state.heardOf(0, 3, &Message{Kind: KindPrepared, Seq: 1})
	h.state.start(0)
	var got []evidence.Event
	h.folds = []*Fold{NewFold(1, func(e evidence.Event) { got = append(got, e) })}
	h.all.Go(func() { h.read(0, l) })
	h.all.Go(h.takeIn)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended := h.Wait(ctx)
	if len(got) != 1 || len(ended) != 1 || ended[0].Part.Lost != errStopped.Error() {
		t.Errorf("%d events had come by the end of the phase, want 1: %+v", len(got), ended)
	}
	h.inbox.close()
	h.all.Wait()
}
