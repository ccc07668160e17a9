package testcases

// Loop says whether phases of this kind are open or closed loops. Only loops have a steady state, so only their
// latencies and rates are judged.
func (k Kind) Loop() bool { return k == KindOpen || k == KindClosed }

// CutReason says why a phase ended before its plan was complete; empty if it did not. Besides the constants it may be
// the message of an error.
type CutReason string

// Reasons for the early end of a phase. Two are the keys of a case that set the limit.
const (
	CutMaxTime     CutReason = "max_s"       // the phase's own time limit
	CutInterrupted CutReason = "interrupted" // somebody stopped the run
	CutTargetLost  CutReason = "target lost" // the server stopped answering
	CutUnanswered  CutReason = "unanswered"  // the warm-up had no answer
	CutSilent      CutReason = "silent"      // several requests in a row timed out
	CutDrain       CutReason = "drain_s"     // a step of a sweep: requests not answered within that time were canceled
)
