//go:build (amd64 || arm64) && !race

package loadgen

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// awayConn is a connection whose reader goes away before a read, until it is called back.
type awayConn struct {
	arrivalConn
	reads, from int
	back        chan struct{}
}

func (c *awayConn) Read(p []byte) (int, error) {
	if c.reads++; c.reads == c.from {
		<-c.back
	}
	return c.arrivalConn.Read(p)
}

// TestAStalledClientKnowsWhatItMissed: a client that could not read for 200 ms gets the chunks of that time at once,
// and the kernel kept few of their times. It counts the others, also where it comes back just behind the last of them;
// one that reads in time counts none.
func TestAStalledClientKnowsWhatItMissed(t *testing.T) {
	const chunks, gap = 30, 10 * time.Millisecond
	for name, from := range map[string]int{"in time": 0, "away from the first chunk on": 1, "away later": 8} {
		in, out := socketPair(t)
		a := &awayConn{arrivalConn: stampArrivals(in, SystemClock()), from: from, back: make(chan struct{})}
		go func() {
			fmt.Fprint(out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
			for range chunks {
				time.Sleep(gap)
				fmt.Fprint(out, `data: {"choices":[{"index":0,"delta":{"content":"x"}}]}`+"\n\n")
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
		wrong := 0 // gaps that are far from true
		for _, g := range r.Gaps {
			if d := time.Duration(g) * time.Microsecond; d < gap/2 || d > 3*gap {
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

// TestSmallReadsTellNoMore: the kernel joins chunks while they wait to be read, so that reading them one by one does
// not give each its own time: 20 of them, 10 ms apart, have two or three stamps left. Where a kernel gives more, the
// client can use them.
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
