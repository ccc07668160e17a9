package loadgen

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// simulated is a server inside a synctest bubble, where time is exact, so the test knows when its answers come.
type simulated struct {
	plan func(n int, now time.Time) []time.Duration // returns when each token of request n is sent, after its arrival

	mu    sync.Mutex
	start time.Time
	sent  map[int][]time.Duration // times of tokens by request, since start
	dials int
}

func (s *simulated) client(t *testing.T) *Client {
	t.Helper()
	s.start, s.sent = time.Now(), map[int][]time.Duration{}
	o := ClientOptions{Clock: TimerClock{}}
	o.Dial = func(context.Context, string, string) (net.Conn, error) {
		s.mu.Lock()
		s.dials++
		s.mu.Unlock()
		ours, theirs := net.Pipe()
		go s.serve(theirs)
		return ours, nil
	}
	c, err := NewClient("http://simulated", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		time.Sleep(time.Minute) // the server notices closed connections when it writes
	})
	return c
}

func (s *simulated) serve(c net.Conn) {
	defer c.Close()
	br := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		var q struct{ N int }
		if body, err := io.ReadAll(req.Body); err != nil || json.Unmarshal(body, &q) != nil {
			return
		}
		arrived := time.Now()
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+
			event(nullChunk+`{"delta":{"role":"assistant","content":""}}]}`))
		for _, at := range s.plan(q.N, arrived) {
			time.Sleep(time.Until(arrived.Add(at)))
			s.mu.Lock()
			s.sent[q.N] = append(s.sent[q.N], time.Since(s.start))
			s.mu.Unlock()
			if _, err := c.Write(nullEvent); err != nil {
				return
			}
		}
		if _, err := io.WriteString(c, nullFinish+nullTail); err != nil {
			return
		}
	}
}

func simJob(n int) Job {
	return Job{Prompt: "p", Body: fmt.Appendf(nil, `{"stream":true,"n":%d}`, n)}
}

// TestMeasuresASimulatedServerToTheSample: with exact time, every figure of every record must equal what the server
// did.
func TestMeasuresASimulatedServerToTheSample(t *testing.T) {
	for _, kind := range []testcases.Kind{testcases.KindOpen, testcases.KindClosed, testcases.KindBatch} {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 1))
			const n = 400
			tokens := make([][]time.Duration, n)
			for i := range tokens {
				at := time.Duration(rng.ExpFloat64() * 2e8)
				for range 1 + rng.IntN(30) {
					tokens[i] = append(tokens[i], at.Truncate(time.Microsecond))
					at += time.Duration(rng.ExpFloat64() * 2e7)
				}
			}
			s := &simulated{plan: func(n int, _ time.Time) []time.Duration { return tokens[n] }}
			c := s.client(t)
			var records []evidence.Request
			var inFlight atomic.Int64
			p := Plan{
				ID: "sim", Kind: kind, Offsets: Poisson(3, 100, 0, n), Concurrency: 10, Requests: n, Make: simJob,
				InFlight: &inFlight,
				Sink:     func(r evidence.Request) { records = append(records, r) },
			}
			p.Make = func(i int) Job { return simJob(i % n) } // the one request that is made in excess is never sent
			phase, err := Run(t.Context(), c, s.start, p)
			if err != nil {
				t.Fatal(err)
			}
			if phase.Issued != n || phase.CutShort != "" || len(records) != n || inFlight.Load() != 0 {
				t.Fatalf("%s: phase %+v, %d records, %d in flight", kind, phase, len(records), inFlight.Load())
			}
			for _, r := range records {
				checkSimulated(t, kind, &r, tokens[r.N], s.sent[r.N])
				if kind == testcases.KindOpen && r.Scheduled != phase.Start+int64(p.Offsets[r.N]) {
					t.Fatalf("request %d was due at %v, recorded %v", r.N, p.Offsets[r.N],
						time.Duration(r.Scheduled-phase.Start))
				}
			}
		})
	}
}

// checkSimulated compares a record with what the server planned and did.
func checkSimulated(t *testing.T, kind testcases.Kind, r *evidence.Request, plan, sent []time.Duration) {
	t.Helper()
	last := len(plan) - 1
	switch {
	case !r.OK():
		t.Fatalf("%s: %+v", kind, r)
	case r.Issued != r.Scheduled:
		t.Fatalf("%s: request %d issued %v late", kind, r.N, time.Duration(r.Issued-r.Scheduled))
	case r.First != int64(sent[0]) || r.Last != int64(sent[last]) || r.Done != r.Last:
		t.Fatalf("%s: request %d: first %d last %d done %d, truly %d %d", kind, r.N, r.First, r.Last, r.Done, sent[0],
			sent[last])
	case r.Last-r.Issued != int64(plan[last]) || r.First-r.Issued != int64(plan[0]):
		t.Fatalf("%s: request %d took %v, truly %v", kind, r.N, time.Duration(r.Last-r.Issued), plan[last])
	case r.Chunks != len(plan) || len(r.Gaps) != last || r.TextBytes != len(plan)*len(nullToken):
		t.Fatalf("%s: request %d: %d chunks, %d gaps, %d bytes for %d tokens", kind, r.N, r.Chunks, len(r.Gaps),
			r.TextBytes, len(plan))
	}
	for i, g := range r.Gaps {
		if want := (plan[i+1] - plan[i]).Microseconds(); int64(g) != want {
			t.Fatalf("%s: request %d: gap %d is %d µs, truly %d", kind, r.N, i, g, want)
		}
	}
}

// stalling answers in 20 ms, except that it sends nothing for 1.4 s every 10 s.
func stalling(start time.Time) func(int, time.Time) []time.Duration {
	return func(_ int, now time.Time) []time.Duration {
		in := (now.Sub(start) + 5*time.Second) % (10 * time.Second) // the first stall begins at 5 s
		if in < 1400*time.Millisecond {
			return []time.Duration{1400*time.Millisecond - in + 20*time.Millisecond}
		}
		return []time.Duration{20 * time.Millisecond}
	}
}

// TestNoCoordinatedOmission: in the open loop a stall counts for every request that should have been sent in it, as
// for users. The closed loop waits with the server, and only one of its requests sees each stall.
func TestNoCoordinatedOmission(t *testing.T) {
	slow := func(kind testcases.Kind) (n, slow int, worst time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			s := &simulated{}
			s.plan = stalling(time.Now())
			c := s.client(t)
			_, err := Run(t.Context(), c, s.start, Plan{
				ID: "stall", Kind: kind, Offsets: Constant(50, 30*time.Second, 0), Concurrency: 1,
				MinDuration: 30 * time.Second, Make: simJob,
				Sink: func(r evidence.Request) {
					n++
					latency := time.Duration(r.Last - r.Scheduled)
					if latency > 200*time.Millisecond {
						slow++
					}
					worst = max(worst, latency)
				},
			})
			if err != nil {
				t.Fatal(err)
			}
		})
		return n, slow, worst
	}
	// Arrivals are 20 ms apart, the first 5 ms after the beginning of a stall. Those more than 220 ms before its end
	// wait for over 200 ms: 61 in each of three stalls. The first of them waits longest.
	if n, over, worst := slow(testcases.KindOpen); n != 1500 || over != 3*61 || worst != 1415*time.Millisecond {
		t.Errorf("open loop: %d of %d requests slow, the worst %v", over, n, worst)
	}
	if n, over, _ := slow(testcases.KindClosed); n < 1000 || over != 3 {
		t.Errorf("closed loop: %d of %d requests slow; it should have seen each stall once", over, n)
	}
}

func TestWarmConnectionsAreUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &simulated{plan: func(int, time.Time) []time.Duration { return []time.Duration{time.Second} }}
		c := s.client(t)
		if err := c.Warm(t.Context(), 30); err != nil {
			t.Fatal(err)
		}
		if err := c.Warm(t.Context(), 20); err != nil { // opens none, because enough are open
			t.Fatal(err)
		}
		const open = 30 + 7 + 2 // including the spare ones
		batch := func(n int) {
			t.Helper()
			if _, err := Run(t.Context(), c, s.start, Plan{Kind: testcases.KindBatch, Requests: n,
				Make: simJob}); err != nil {
				t.Fatal(err)
			}
		}
		if batch(30); s.dials != open {
			t.Errorf("%d connections for 30 warmed and used, want %d", s.dials, open)
		}
		if batch(open + 5); s.dials != open+5 {
			t.Errorf("%d connections for %d at once", s.dials, open+5)
		}
		// One request after the other: a connection rests while the next request uses another.
		if _, err := Run(t.Context(), c, s.start, Plan{Kind: testcases.KindClosed, Concurrency: 40, Requests: 120,
			Make: simJob}); err != nil {
			t.Fatal(err)
		}
		if s.dials > 80 {
			t.Errorf("%d connections for a closed loop of 40", s.dials)
		}
	})
}

func TestInterruptedRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &simulated{plan: func(n int, _ time.Time) []time.Duration {
			return []time.Duration{time.Duration(n+1) * 300 * time.Millisecond}
		}}
		c := s.client(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		classes := map[evidence.Failure]int{}
		phase, err := Run(ctx, c, s.start, Plan{
			Kind: testcases.KindOpen, Offsets: Constant(10, 2*time.Second, 0), Make: simJob,
			Sink: func(r evidence.Request) { classes[r.Fail]++ },
		})
		if err != nil {
			t.Fatal(err)
		}
		if phase.CutShort != "interrupted" || phase.Planned != 20 || phase.End != int64(time.Second) {
			t.Errorf("phase %+v", phase)
		}
		if classes[""] == 0 || classes[evidence.FailCanceled] == 0 ||
			classes[""]+classes[evidence.FailCanceled] != phase.Issued {
			t.Errorf("classes %v of %d issued", classes, phase.Issued)
		}
	})
}
