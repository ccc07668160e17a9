package loadgen

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestRequestsAreMadeAhead: requests come in order. The number and the size of those that are ready are bounded, and
// none is made after the end.
func TestRequestsAreMadeAhead(t *testing.T) {
	for name, c := range map[string]struct{ size, most, rounds int }{
		"small": {10, readyRequests + 1, 3 * readyRequests},
		"large": {1 << 20, readyBytes>>20 + 1, 40},
		"huge":  {readyBytes + 1, 1, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, err := NewClient("http://127.0.0.1:1", ClientOptions{Clock: TimerClock{}})
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				var count atomic.Int64
				body := bytes.Repeat([]byte(" "), c.size)
				a := makeAhead(client, func(n int) Job {
					count.Add(1)
					return Job{Prompt: fmt.Sprint(n), Body: body}
				}, false)
				for n := range c.rounds {
					synctest.Wait()
					if ready := count.Load() - int64(n); ready < 1 || ready > int64(c.most) {
						t.Fatalf("%d requests are ready, want 1 to %d", ready, c.most)
					}
					if x := a.next(); x.job.Prompt != fmt.Sprint(n) || len(x.request.body) != c.size {
						t.Fatalf("request %d is %s with %d bytes", n, x.job.Prompt, len(x.request.body))
					}
				}
				a.end()
				made := count.Load()
				synctest.Wait()
				if count.Load() != made {
					t.Errorf("%d requests were made after the end", count.Load()-made)
				}
			})
		})
	}
}
