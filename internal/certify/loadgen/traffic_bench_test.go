package loadgen

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/traffic"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// BenchmarkTraffic measures the client's own error for each kind of traffic, with about a thousand answers in flight:
// 650 requests/s that take 1.5 s each. Errors are in milliseconds.
func BenchmarkTraffic(b *testing.B) {
	const rate, length = 650.0, 4.0
	to := 2 * rate
	phase := func(ph testcases.Phase) []time.Duration {
		ph.DurationS = length
		return traffic.Arrivals(1, ph, rate)
	}
	trace := make([]time.Duration, int(rate*length)) // a trace whose clock ticks every 100 ms: 65 arrive at once
	for i := range trace {
		trace[i] = (time.Duration(float64(i) / rate * float64(time.Second))).Truncate(100 * time.Millisecond)
	}
	poisson := Poisson(1, rate, length*time.Second, 1)
	for _, c := range []struct {
		name    string
		offsets []time.Duration // nil: a closed loop of a thousand
		prompt  int             // bytes
		turns   int
	}{
		{"poisson", poisson, 400, 1},
		{"constant", Constant(rate, length*time.Second, 1), 400, 1},
		{"gamma-0.2", phase(testcases.Phase{Arrivals: testcases.ArrivalsGamma, Burstiness: 0.2}), 400, 1},
		{"ramp", phase(testcases.Phase{Stages: []testcases.Stage{{DurationS: length, ToRPS: &to}}}), 400, 1},
		{"trace", trace, 400, 1},
		{"long-prompts", poisson, 32 << 10, 1},
		{"conversations", Poisson(1, rate/3, length*time.Second, 1), 4 << 10, 3},
		{"closed", nil, 400, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			var got evidence.Client
			for b.Loop() {
				got = measureTraffic(b, c.offsets, c.prompt, c.turns)
			}
			ms := func(ns int64) float64 { return float64(ns) / 1e6 }
			b.ReportMetric(ms(got.IssueP50), "issue-p50-ms")
			b.ReportMetric(ms(got.IssueP99), "issue-p99-ms")
			b.ReportMetric(ms(got.TTFTErrorP50), "ttft-p50-ms")
			b.ReportMetric(ms(got.TTFTErrorP99), "ttft-p99-ms")
			b.ReportMetric(ms(got.GapErrorP50), "gap-p50-ms")
			b.ReportMetric(ms(got.GapErrorP99), "gap-p99-ms")
		})
	}
}

// measureTraffic sends one kind of traffic to a null server.
func measureTraffic(b *testing.B, offsets []time.Duration, prompt, turns int) evidence.Client {
	s, err := NewNullServer(NullOptions{Interval: 20 * time.Millisecond, Tokens: 64,
		TTFT: spread(200 * time.Millisecond)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c, err := NewClient(s.URL(), ClientOptions{Conns: math.MaxInt})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	text := strings.Repeat("word ", prompt/5)
	job := func(n, turn int) Job {
		user := fmt.Sprintf("schedule %d %d", n, turn)
		j := Job{Prompt: user, Turn: turn, Body: fmt.Appendf(nil,
			`{"model":"null","user":%q,"stream":true,"messages":[{"role":"user","content":%q}]}`, user,
			strings.Repeat(text, turn+1))}
		if turns > 1 {
			j.Session = fmt.Sprint(n)
		}
		return j
	}
	var mu sync.Mutex
	var records []evidence.Request
	p := Plan{ID: "schedule", Kind: testcases.KindOpen, Offsets: offsets, MinDuration: 4 * time.Second,
		Make: func(n int) Job { return job(n, 0) },
		Sink: func(r evidence.Request) {
			mu.Lock()
			defer mu.Unlock()
			records = append(records, r)
		}}
	if offsets == nil {
		p.Kind, p.Concurrency = testcases.KindClosed, 1000
	}
	if turns > 1 {
		p.Then = func(q *evidence.Request) (Job, time.Duration, bool) {
			var n int
			if _, err := fmt.Sscan(q.Session, &n); err != nil || q.Turn+1 == turns {
				return Job{}, 0, false
			}
			return job(n, q.Turn+1), 300 * time.Millisecond, true
		}
	}
	if err := c.Warm(b.Context(), 1200); err != nil {
		b.Fatal(err)
	}
	epoch := time.Now()
	if _, err := Run(b.Context(), c, epoch, p); err != nil {
		b.Fatal(err)
	}
	got, err := clientError(evidence.Client{}, s, records, epoch)
	if err != nil {
		b.Fatal(err)
	}
	return got
}
