package loadgen

import (
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/hostile"
	"github.com/hxp-enterprise/mixtral/internal/base/walltest"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// jumpingClock is a clock whose wall clock jumps by hours at every reading.
type jumpingClock struct {
	TimerClock
	now func() time.Time
}

func (c *jumpingClock) Now() time.Time { return c.now() }

// TestSetClockChangesNoFigure: a load is measured while the wall clock jumps by hours at every reading. All its times
// come from the monotonic clock, so none is before the run, after its end or too long.
func TestSetClockChangesNoFigure(t *testing.T) {
	s, err := NewNullServer(NullOptions{Tokens: 5, Interval: time.Millisecond,
		TTFT: func(int) time.Duration { return time.Millisecond }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	clock := &jumpingClock{now: walltest.Jumping(t)}
	for _, kind := range []testcases.Kind{testcases.KindOpen, testcases.KindClosed} {
		c := newClient(t, s.URL(), ClientOptions{Clock: clock})
		var records []evidence.Request
		p := Plan{ID: "p", Kind: kind, Offsets: Poisson(3, 200, 0, 40), Concurrency: 4, Requests: 40,
			Make: func(int) Job {
				return Job{Prompt: "p", Body: []byte(`{"stream":true,"max_tokens":5}`)}
			}, Sink: func(r evidence.Request) { records = append(records, r) }}
		began := time.Now()
		if _, err := Run(t.Context(), c, began, p); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began).Nanoseconds()
		if len(records) != 40 {
			t.Fatalf("%s: %d records", kind, len(records))
		}
		for _, r := range records {
			if !r.OK() || r.Scheduled < 0 || r.Issued < 0 || r.First < r.Issued || r.Last < r.First ||
				r.Done < r.Last || r.Done > took {
				t.Errorf("%s: of a run of %d ns: %+v", kind, took, r)
			}
			for _, gap := range r.Gaps {
				if gap < 0 || int64(gap) > took/1000 {
					t.Errorf("%s: a gap of %d µs", kind, gap)
				}
			}
		}
	}
	hostile.Survived(t, "the wall clock, set by hours at every look during a load", 2, 2,
		"80 requests, all with times within the run")
}
