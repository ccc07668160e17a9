package engine

import (
	"context"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/infer/schedule"
)

// spanTimes is what a traced request's spans say. The loop writes it before the events that it stands for go out:
// whoever has the last event finds all of it there.
type spanTimes struct {
	started, first, last time.Time // of the first step, of the first token, of the last; zero: not yet
	prefills, decodes    int       // steps
	cached, generated    int       // tokens
	preempted            bool
}

// note takes in a step that gave n tokens.
func (o *outbox) note(q *schedule.Seq, began time.Time, n int) {
	if o.spanTimes == nil {
		return
	}
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.spanTimes
	if p.started.IsZero() {
		p.started = began
		p.cached = q.Cached
	}
	if p.first.IsZero() {
		p.prefills++
	} else {
		p.decodes++
	}
	p.preempted = p.preempted || q.Preempted
	if n == 0 {
		return
	}
	if p.first.IsZero() {
		p.first = now
	}
	p.last = now
	p.generated += n
}

// trace makes a request's spans when it is over: the time in the queue, the prompt up to the first token, and the
// tokens after it. A span that was cut off ends now. The loop itself has nothing to do with spans: it would hold up
// all requests.
func (q *request) trace(ctx context.Context, now time.Time) {
	q.out.mu.Lock()
	p := *q.out.spanTimes // a step may still be under way
	q.out.mu.Unlock()
	until := func(t time.Time) time.Time {
		if t.IsZero() {
			return now
		}
		return t
	}
	_, queue := telemetry.Start(ctx, "queue", telemetry.Internal, q.arrived)
	queue.EndAt(until(p.started))
	if p.started.IsZero() {
		return
	}
	_, prefill := telemetry.Start(ctx, "prefill", telemetry.Internal, p.started)
	prefill.Int(telemetry.AttrInputTokens, len(q.ids))
	prefill.Int(telemetry.AttrCachedTokens, p.cached)
	prefill.Int(telemetry.AttrSteps, p.prefills)
	if p.preempted {
		prefill.Bool(telemetry.AttrPreempted, true)
	}
	prefill.EndAt(until(p.first))
	if p.first.IsZero() {
		return
	}
	_, decode := telemetry.Start(ctx, "decode", telemetry.Internal, p.first)
	decode.Int(telemetry.AttrOutputTokens, p.generated)
	decode.Int(telemetry.AttrSteps, p.decodes)
	if p.preempted {
		decode.Bool(telemetry.AttrPreempted, true)
	}
	decode.EndAt(p.last)
}
