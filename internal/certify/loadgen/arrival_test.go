package loadgen

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestStampedReadsFailLikeReads(t *testing.T) {
	for _, clock := range []Clock{SystemClock(), TimerClock{}} {
		in, out := socketPair(t)
		a := stampArrivals(in, clock)
		if n, err := a.Read(nil); n != 0 || err != nil {
			t.Errorf("%T: read of nothing: %d, %v", a, n, err)
		}
		if err := a.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		if _, err := a.Read(make([]byte, 1)); Classify(t.Context(), err, true) != "timeout" ||
			a.arrived().Before(before) {
			t.Errorf("%T: at the deadline: %v, stamped %v", a, err, a.arrived().Sub(before))
		}
		if err := a.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		out.Close()
		if n, err := a.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%T: at the end: %d, %v", a, n, err)
		}
		in, out = socketPair(t)
		a = stampArrivals(in, clock)
		reset(out)
		if _, err := a.Read(make([]byte, 1)); Classify(t.Context(), err, true) != "truncated" {
			t.Errorf("%T: after a reset: %v", a, err)
		}
		in.Close()
		if _, err := a.Read(make([]byte, 1)); Classify(t.Context(), err, true) != "truncated" {
			t.Errorf("%T: closed: %v", a, err)
		}
	}
}

// socketPair is two ends of a connection over the loopback.
func socketPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}
