package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// ErrMeasure matches errors of MeasureClient.
var ErrMeasure = errors.New("client error not measured")

// MeasureOptions say under which load the client's own error is measured. At least one of Streams and RPS must be set.
type MeasureOptions struct {
	Streams       int           // streams in flight at all times, in a closed loop that starts at once
	RPS           float64       // Poisson arrivals per second, in addition to the streams
	TokenInterval time.Duration // time between the tokens of an answer; 0: none
	Tokens        int           // tokens per answer; 0: 16
	TTFT          time.Duration // mean of the true times to the first token, which vary by ±20 %; 0: at once
	Duration      time.Duration // no request is sent after it; 0: 1 s
	Seed          uint64
}

// MeasureClient measures the client's own error on this machine: Client and Run send requests to a server in the same
// process that keeps its true times. The error of a TTFT is |(first − issued) − (sent − received)|, and that of a gap
// |measured − true|. Both include the network stack of the loopback, and the time for which the server waits for a
// processor between taking a time and writing. So the figures are upper bounds. Connections are opened before. Errors
// match ErrMeasure.
func MeasureClient(ctx context.Context, o MeasureOptions) (evidence.Client, error) {
	out := evidence.Client{Streams: o.Streams, RPS: o.RPS}
	if o.Streams <= 0 && !(o.RPS > 0) {
		return out, fmt.Errorf("%w: neither Streams nor RPS is given", ErrMeasure)
	}
	if o.Duration <= 0 {
		o.Duration = time.Second
	}
	if o.Tokens <= 0 {
		o.Tokens = 16
	}
	s, err := NewNullServer(NullOptions{Interval: o.TokenInterval, Tokens: o.Tokens, TTFT: spread(o.TTFT)})
	if err != nil {
		return out, fmt.Errorf("%w: %w", ErrMeasure, err)
	}
	defer s.Close()
	c, err := NewClient(s.URL(), ClientOptions{Conns: math.MaxInt})
	if err != nil {
		return out, fmt.Errorf("%w: %w", ErrMeasure, err)
	}
	defer c.Close()
	records, epoch, err := measureLoad(ctx, c, o)
	if err != nil {
		return out, fmt.Errorf("%w: %w", ErrMeasure, err)
	}
	if ctx.Err() != nil {
		return out, fmt.Errorf("%w: %w", ErrMeasure, ctx.Err())
	}
	return clientError(out, s, records, epoch)
}

// spread returns a function whose times are spread evenly within ±20 % of mean. It has no state.
func spread(mean time.Duration) func(int) time.Duration {
	return func(n int) time.Duration {
		_, f := math.Modf(float64(n) * math.Phi) // the golden ratio fills an interval evenly
		return time.Duration(float64(mean) * (0.8 + 0.4*f))
	}
}

// measureLoad runs the closed and the open loop at the same time.
func measureLoad(ctx context.Context, c *Client, o MeasureOptions) (records []evidence.Request, epoch time.Time,
	err error) {
	var mu sync.Mutex
	sink := func(r evidence.Request) {
		mu.Lock()
		defer mu.Unlock()
		records = append(records, r)
	}
	plan := func(id string) Plan {
		return Plan{ID: id, MinDuration: o.Duration, Sink: sink, Make: func(n int) Job {
			user := fmt.Sprintf("%s %d", id, n)
			return Job{Prompt: user,
				Body: fmt.Appendf(nil,
					`{"model":"null","user":%q,"stream":true,"messages":[{"role":"user","content":"hello"}]}`, user)}
		}}
	}
	var plans []Plan
	conns := 0
	if o.Streams > 0 {
		p := plan("streams")
		p.Kind, p.Concurrency = testcases.KindClosed, o.Streams
		plans, conns = append(plans, p), o.Streams
	}
	if o.RPS > 0 {
		p := plan("schedule")
		p.Kind, p.Offsets = testcases.KindOpen, Poisson(o.Seed, o.RPS, o.Duration, 1)
		// Little's law gives the mean number in flight. With four standard deviations and eight more, no connection
		// needs to be opened during the measurement.
		mean := o.RPS * (o.TTFT + time.Duration(o.Tokens)*o.TokenInterval + settle).Seconds()
		plans, conns = append(plans, p), conns+int(mean+4*math.Sqrt(mean))+8
	}
	if err := c.Warm(ctx, conns); err != nil {
		return nil, epoch, err
	}
	epoch = time.Now()
	var wg sync.WaitGroup
	errs := make([]error, len(plans))
	for i, p := range plans {
		wg.Go(func() { _, errs[i] = Run(ctx, c, epoch, p) })
	}
	wg.Wait()
	return records, epoch, errors.Join(errs...)
}

// clientError compares records with the server's true times.
func clientError(out evidence.Client, s *NullServer, records []evidence.Request, epoch time.Time) (evidence.Client,
	error) {
	var delay, ttft, gap []float64
	for _, r := range records {
		if !r.OK() {
			return out, fmt.Errorf("%w: request %q failed: %s: %s", ErrMeasure, r.Prompt, r.Fail, r.Detail)
		}
		t, ok := s.Truth(r.Prompt)
		if !ok || len(t.Sent) != r.Chunks {
			return out, fmt.Errorf("%w: request %q: %d chunks received, %d sent", ErrMeasure, r.Prompt, r.Chunks,
				len(t.Sent))
		}
		if out.RPS == 0 || r.Phase == "schedule" {
			delay = append(delay, float64(r.Issued-r.Scheduled))
		}
		ttft = append(ttft, math.Abs(float64(r.First-r.Issued)-float64(t.Sent[0].Sub(t.Received))))
		for i, g := range r.Gaps {
			gap = append(gap, math.Abs(float64(g)*1e3-float64(t.Sent[i+1].Sub(t.Sent[i]))))
		}
	}
	if len(records) == 0 {
		return out, fmt.Errorf("%w: nothing was sent", ErrMeasure)
	}
	out.IssueP50, out.IssueP99 = p50p99(delay)
	out.TTFTErrorP50, out.TTFTErrorP99 = p50p99(ttft)
	out.GapErrorP50, out.GapErrorP99 = p50p99(gap)
	return out, nil
}

// p50p99 sorts x and returns two percentiles. Both are 0 for an empty sample.
func p50p99(x []float64) (int64, int64) {
	if len(x) == 0 {
		return 0, 0
	}
	slices.Sort(x)
	return int64(stats.Percentile(x, 0.5)), int64(stats.Percentile(x, 0.99))
}
