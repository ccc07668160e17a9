package evidence

import (
	"time"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// Times are the request's times.
func (r *Request) Times() Times {
	return Times{Scheduled: r.Scheduled, Issued: r.Issued, First: r.First, FirstAny: r.FirstAny, Last: r.Last,
		Done: r.Done}
}

// Begins is when the first token of any kind came; 0 if that is not known.
func (r *Request) Begins() int64 { return r.Times().Begins() }

// Begin is the time from which latencies count in a phase of this kind.
func (r *Request) Begin(kind testcases.Kind) int64 { return r.Times().Begin(kind) }

// End is the time at which the request's latency ends.
func (r *Request) End() int64 { return r.Times().End(r.OK()) }

// Latency is the end-to-end latency in a phase of this kind.
func (r *Request) Latency(kind testcases.Kind) time.Duration { return r.Times().Latency(kind, r.OK()) }

// PerToken is the time per output token after the first, in milliseconds. ok is false if the request was not answered,
// or if the answer has no such time.
func (r *Request) PerToken() (ms float64, ok bool) {
	if !r.OK() {
		return 0, false
	}
	return r.Times().PerToken(r.Shown())
}

// Times are the times of a request. Its methods are the only definition of a latency, of the time to the first token
// and of the time per output token.
type Times struct {
	Scheduled, Issued, First, FirstAny, Last, Done int64 // nanoseconds, as in Request
}

// Begins is when the first token of any kind came; 0 if that is not known.
func (t Times) Begins() int64 {
	if t.FirstAny != 0 {
		return t.FirstAny
	}
	return t.First
}

// Begin is the time from which latencies count in a phase of this kind. In an open loop it is Scheduled, so that the
// wait for a stalled server counts. In other phases it is Issued.
func (t Times) Begin(kind testcases.Kind) int64 {
	if kind == testcases.KindOpen {
		return t.Scheduled
	}
	return t.Issued
}

// End is the time at which the request's latency ends: at the last token of an answer, not at the last byte of its
// stream. A failed request (answered is false) ends with its failure, and an answer that was not streamed with its
// body.
func (t Times) End(answered bool) int64 {
	if answered && t.Last != 0 {
		return t.Last
	}
	return t.Done
}

// Latency is the end-to-end latency in a phase of this kind, from Begin to End.
func (t Times) Latency(kind testcases.Kind, answered bool) time.Duration {
	return time.Duration(t.End(answered) - t.Begin(kind))
}

// FirstToken is the time from Begin to the first content. ok is false if none came, or if the answer was not streamed.
// The duration then means nothing.
func (t Times) FirstToken(kind testcases.Kind) (d time.Duration, ok bool) {
	return time.Duration(t.First - t.Begin(kind)), t.First > 0
}

// FirstAnyToken is the time from Begin to the first token of any kind, reasoning included. ok is false if none came.
func (t Times) FirstAnyToken(kind testcases.Kind) (d time.Duration, ok bool) {
	return time.Duration(t.Begins() - t.Begin(kind)), t.Begins() > 0
}

// PerToken is the time per output token after the first, in milliseconds, of an answer of which the client received
// shown tokens. It is a mean over all tokens: where chunks hold several tokens, it is not the time between any two of
// them. Reasoning that is shown counts as it does in usage. Reasoning that is billed but not shown does not, because
// it came before the first token. ok is false if the answer has fewer than two tokens, or no times of them.
func (t Times) PerToken(shown int) (ms float64, ok bool) {
	if shown < 2 || t.Begins() == 0 || t.Last < t.Begins() {
		return 0, false
	}
	return float64(t.Last-t.Begins()) / float64(time.Millisecond) / float64(shown-1), true
}
