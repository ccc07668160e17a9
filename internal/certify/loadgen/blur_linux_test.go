//go:build (amd64 || arm64) && !race

package loadgen

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// TestAStalledClientKnowsWhatItMissed: a client that could not read for 200 ms gets the chunks of that time at once,
// and the kernel kept few of their times. It counts the others; one that reads in time counts none.
func TestAStalledClientKnowsWhatItMissed(t *testing.T) {
	for _, stalled := range []bool{false, true} {
		in, out := socketPair(t)
		const chunks, gap = 20, 10 * time.Millisecond
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			fmt.Fprint(out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
			for range chunks {
				fmt.Fprint(out, `data: {"choices":[{"index":0,"delta":{"content":"x"}}]}`+"\n\n")
				time.Sleep(gap)
			}
			io.WriteString(out, "data: [DONE]\n\n")
			out.Close()
		}()
		epoch := time.Now()
		if stalled {
			<-sent
		}
		a := stampArrivals(in, SystemClock())
		cn := newConn(a, a, nil, SystemClock())
		r := evidence.Request{}
		_, _, err := cn.receive(epoch, &request{stream: true, bounds: boundsOf(0)}, &r)
		wrong := 0 // gaps that are far from true
		for _, g := range r.Gaps {
			if d := time.Duration(g) * time.Microsecond; d < gap/2 || d > 3*gap {
				wrong++
			}
		}
		t.Logf("stalled %v: %d blurred, %d of %d gaps wrong", stalled, r.Blurred, wrong, len(r.Gaps))
		if err != nil && r.Finish != "" || r.Chunks != chunks || stalled != (r.Blurred > chunks/2) ||
			!stalled && r.Blurred > chunks/2 || stalled && wrong > 2*r.Blurred {
			t.Errorf("stalled %v: %+v, %v", stalled, r, err)
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
		t.Errorf("%d of %d chunks have a time of their own: chunks need not be counted as blurred", len(stamps), chunks)
	}
}
