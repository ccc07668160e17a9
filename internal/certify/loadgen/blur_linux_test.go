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
		go func() {
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
			time.Sleep(chunks*gap + 50*time.Millisecond)
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
