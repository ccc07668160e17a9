package evidence

import (
	"fmt"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// TestTimesOfARequest: the verdict, the pages and the terminal all take a request's times from here, so each
// definition is held by an example.
func TestTimesOfARequest(t *testing.T) {
	const ms = int64(time.Millisecond)
	full := Request{Scheduled: 10 * ms, Issued: 15 * ms, First: 110 * ms, Last: 510 * ms, Done: 600 * ms,
		OutputTokens: 11}
	with := func(change func(*Request)) Request {
		q := full
		change(&q)
		return q
	}
	for name, x := range map[string]struct {
		q    Request
		want string // latency, time to the first token, to the first of any kind, per token
	}{
		"an answer":         {full, "500 100 100 40"},
		"a failed request":  {with(func(q *Request) { q.Fail = FailTruncated }), "590 100 100 -"},
		"without a stream":  {with(func(q *Request) { q.First, q.Last = 0, 0 }), "590 - - -"},
		"of a single token": {with(func(q *Request) { q.OutputTokens = 1 }), "500 100 100 -"},
		"reasoning that is shown": {with(func(q *Request) { q.FirstAny, q.Thoughts, q.ReasoningTokens = 60*ms, 4, 5 }),
			"500 100 50 45"},
		"reasoning that is not shown": {with(func(q *Request) { q.ReasoningTokens = 6 }), "500 100 100 100"},
	} {
		got := fmt.Sprint(x.q.Latency(testcases.KindOpen).Milliseconds())
		for _, of := range []func(testcases.Kind) (time.Duration, bool){x.q.Times().FirstToken,
			x.q.Times().FirstAnyToken} {
			if d, ok := of(testcases.KindOpen); ok {
				got += fmt.Sprint(" ", d.Milliseconds())
			} else {
				got += " -"
			}
		}
		if v, ok := x.q.PerToken(); ok {
			got += fmt.Sprint(" ", v)
		} else {
			got += " -"
		}
		if got != x.want {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
	if d := full.Latency(testcases.KindClosed); d != 495*time.Millisecond {
		t.Errorf("in a closed loop the latency is %s, must count from Issued", d)
	}
}

// TestStepsHaveIDs: the page of a running certification finds the sweep of a step by the ids that the run gives.
func TestStepsHaveIDs(t *testing.T) {
	for _, n := range []int{1, 12, 130} {
		if id := StepID("load", n); !IsStep(id, "load") || IsStep(id, "lo") || IsStep(id, id) {
			t.Errorf("%s is not found as a step of load alone", id)
		}
	}
	for _, id := range []string{"load", "load-", "load-test", "load-01-01", "01"} {
		if IsStep(id, "load") {
			t.Errorf("%s is taken for a step of load", id)
		}
	}
}
