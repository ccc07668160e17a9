package judge

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// fewestWaiting is how many requests must wait for a silence to be the server's as a whole: one or two may each be in
// a long prefill, ten at once are not unless nothing runs.
const fewestWaiting = 10

// stalls finds the longest time in which nothing arrived, no token and no end of any answer, while requests waited. A
// mean hides a server that stands still for a second every ten; those who wait then do not.
func stalls(r *run, c *testcases.Check, p *phase) outcome {
	limit, err := r.value(c, r.c.Limits.StallMS)
	if err != nil {
		return invalid("%v", err)
	}
	if limit <= 0 {
		return invalid("the case sets no limit for a stall")
	}
	if len(p.judged) == 0 {
		return invalid("no request was judged")
	}
	silences := p.silences()
	longest, over, excused, whose := int64(0), 0, 0, ""
	for _, s := range silences {
		longest = max(longest, s[1]-s[0])
		if ms(s[1]-s[0]) <= limit {
			continue
		}
		over++
		if taken, why := r.takenOf(s[0], s[1]); ms(s[1]-s[0])-taken*1000 <= limit {
			excused, whose = excused+1, why
		}
	}
	o := outcome{measured: ptr(ms(longest)), op: "<=", target: ptr(limit), unit: "ms", verdict: report.Pass,
		reason: fmt.Sprintf("the longest time in which nothing arrived while %d requests or more waited",
			fewestWaiting)}
	if over > 0 {
		o.verdict = report.Fail
		o.reason = fmt.Sprintf("%s longer than %s ms in which nothing arrived while %d requests or more waited",
			plural(over, "silence", "silences"), num(limit), fewestWaiting)
	}
	if over > 0 && over == excused {
		return distrusted(o, "without what others took of them they are within the limit; in the last one "+whose)
	}
	return o
}

// What happens on the wire, in the order in which things of the same moment count.
const (
	wireContent = iota
	wireDone
	wireIssue
)

type wireEvent struct {
	ns   int64
	what int
}

// silences are the stretches between two arrivals in the steady window, each from when anybody waited at all, that
// ended with enough requests waiting.
func (p *phase) silences() [][2]int64 {
	var out [][2]int64
	waiting, since := 0, int64(0) // since the last arrival, or since somebody began to wait
	for e := range p.wire() {
		if e.what == wireIssue {
			if waiting == 0 {
				since = e.ns
			}
			waiting++
			continue
		}
		if waiting >= fewestWaiting && e.ns > p.from && e.ns <= p.to {
			out = append(out, [2]int64{max(since, p.from), e.ns})
		}
		since = e.ns
		if e.what == wireDone {
			waiting--
		}
	}
	return out
}

// wireBatch is how many requests' events are sorted at once.
const wireBatch = 4096

// wire goes through what happened on the wire, in order. There are as many events as tokens, so that only those of
// requests that may still overlap are in memory.
func (p *phase) wire() iter.Seq[wireEvent] {
	byIssue := slices.Clone(p.requests)
	slices.SortStableFunc(byIssue, func(a, b *request) int { return cmp.Compare(a.Issued, b.Issued) })
	return func(yield func(wireEvent) bool) {
		var events []wireEvent
		for i, q := range byIssue {
			events = append(events, wireEvent{q.Issued, wireIssue}, wireEvent{max(q.Done, q.Issued), wireDone})
			events = appendContent(events, q)
			last := i == len(byIssue)-1
			if !last && (i+1)%wireBatch != 0 {
				continue
			}
			slices.SortFunc(events, func(a, b wireEvent) int {
				return cmp.Or(cmp.Compare(a.ns, b.ns), cmp.Compare(a.what, b.what))
			})
			n := len(events)
			if !last { // nothing of later requests comes before the next one is issued
				n, _ = slices.BinarySearchFunc(events, byIssue[i+1].Issued, func(e wireEvent, t int64) int {
					return cmp.Compare(e.ns, t)
				})
			}
			for _, e := range events[:n] {
				if !yield(e) {
					return
				}
			}
			events = slices.Delete(events, 0, n)
		}
	}
}

// appendContent adds when a request's chunks arrived, from the first on by their gaps.
func appendContent(events []wireEvent, q *request) []wireEvent {
	if q.First <= 0 {
		return events
	}
	t := q.First
	events = append(events, wireEvent{t, wireContent})
	for gap := range q.Gaps() {
		if t += int64(gap) * 1000; gap < 0 || t > q.Done {
			break // a clock that steps or a record that lies
		}
		events = append(events, wireEvent{t, wireContent})
	}
	return events
}
