package judge

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// fewestWaiting is the number of requests that must be waiting before a silence counts as a stall of the whole server.
// One or two may each be in a long prefill. Ten at once are silent only if nothing runs.
const fewestWaiting = 10

// stalls finds the longest time in which no token and no end of any answer arrived while requests waited. A mean would
// hide a server that stops for one second in every ten, but its users notice.
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

// The kinds of events on the wire. Events of the same moment are taken in this order.
const (
	wireContent = iota
	wireDone
	wireIssue
)

type wireEvent struct {
	ns   int64
	what int
}

// silences lists the times between two arrivals in the steady window at whose end enough requests were waiting. A
// silence begins with the arrival before it, or when the first request began to wait if that was later.
func (p *phase) silences() [][2]int64 {
	var out [][2]int64
	waiting, since := 0, int64(0) // the last arrival, or when a request began to wait
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

// wireBatch is the number of requests whose events are sorted at once.
const wireBatch = 4096

// wire iterates over the events on the wire in the order of time. There are as many events as tokens, so only those of
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
			if !last { // events of later requests come after the next one is issued
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

// appendContent adds the arrivals of a request's chunks, computed from the first and the gaps.
func appendContent(events []wireEvent, q *request) []wireEvent {
	if q.First <= 0 {
		return events
	}
	t := q.First
	events = append(events, wireEvent{t, wireContent})
	for gap := range q.Gaps() {
		if t += int64(gap) * 1000; gap < 0 || t > q.Done {
			break // the clock stepped, or the record is wrong
		}
		events = append(events, wireEvent{t, wireContent})
	}
	return events
}
