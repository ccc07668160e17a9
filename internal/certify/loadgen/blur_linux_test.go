//go:build (amd64 || arm64) && !race

package loadgen

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// awayConn is a connection whose reader can be stopped before a read, and continued later.
type awayConn struct {
	arrivalConn
	reads, from int
	back        chan struct{}
	read        atomic.Int64 // bytes
	away        atomic.Bool
}

func (c *awayConn) Read(p []byte) (int, error) {
	if c.reads++; c.reads == c.from {
		c.away.Store(true)
		<-c.back
	}
	n, err := c.arrivalConn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// TestAStalledClientKnowsWhatItMissed: a client that could not read for 200 ms gets the chunks of that time at once,
// and the kernel has kept only a few of their times. The client counts the others, even if it reads just after the
// last one arrived. A client that reads in time counts none.
func TestAStalledClientKnowsWhatItMissed(t *testing.T) {
	const chunks, gap = 30, 10 * time.Millisecond
	for name, from := range map[string]int{"in time": 0, "away from the first chunk on": 1, "away later": 8} {
		in, out := socketPair(t)
		a := &awayConn{arrivalConn: stampArrivals(in, SystemClock()), from: from, back: make(chan struct{})}
		sent := make([]time.Time, chunks)
		go func() {
			written := int64(0)
			write := func(text string) { // returns when the text was read, however busy the machine is
				n, _ := io.WriteString(out, text)
				for written += int64(n); a.read.Load() != written && !a.away.Load(); {
					time.Sleep(time.Millisecond)
				}
			}
			write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
			for i := range sent {
				time.Sleep(gap)
				sent[i] = time.Now()
				write(`data: {"choices":[{"index":0,"delta":{"content":"x"}}]}` + "\n\n")
			}
			if from == 1 { // later than the last packet
				time.Sleep(gap)
			}
			close(a.back)
			time.Sleep(gap)
			io.WriteString(out, "data: [DONE]\n\n")
			out.Close()
		}()
		epoch := time.Now()
		cn := newConn(a, a, nil, SystemClock())
		r := evidence.Request{}
		_, _, err := cn.receive(epoch, &request{stream: true, bounds: boundsOf(0)}, &r)
		wrong := 0 // gaps that are far from the true ones
		for i, g := range r.Gaps {
			if d := time.Duration(g)*time.Microsecond - sent[i+1].Sub(sent[i]); d.Abs() > gap/2 {
				wrong++
			}
		}
		t.Logf("%s: %d blurred, %d of %d gaps wrong", name, r.Blurred, wrong, len(r.Gaps))
		away := from > 0
		if err != nil && r.Finish != "" || r.Chunks != chunks || away != (r.Blurred > chunks/3) ||
			away && wrong > 2*r.Blurred {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// TestSmallReadsTellNoMore: the kernel joins chunks while they wait to be read, so reading them one by one does not
// give each its own time. Of 20 chunks, 10 ms apart, two or three stamps are left. If this test fails because a kernel
// keeps more, the client can use them.
func TestSmallReadsTellNoMore(t *testing.T) {
	in, out := socketPair(t)
	const chunks, size = 20, 60
	a := kernelArrivals(in)
	for range chunks {
		if _, err := out.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	stamps := map[time.Duration]bool{}
	begun := time.Now()
	for range chunks {
		if _, err := io.ReadFull(a, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		stamps[begun.Sub(a.arrived()).Round(2*time.Millisecond)] = true
	}
	t.Logf("%d of %d chunks have a time of their own", len(stamps), chunks)
	if len(stamps) > chunks/2 {
		t.Errorf("%d of %d chunks have a time of their own: none need be counted as blurred", len(stamps), chunks)
	}
}
