package evidence

import "strings"

// TargetKind says where the server under test comes from.
type TargetKind string

// Kinds of target.
const (
	TargetEmbedded TargetKind = "embedded" // started by the run
	TargetURL      TargetKind = "url"      // it ran already
)

// CutReason says why a phase ended before its plan; empty: it did not. Beside the constants it may be the message of
// an error.
type CutReason string

// Reasons for the early end of a phase.
const (
	CutMaxTime     CutReason = "max_s"       // the phase's own limit of time
	CutInterrupted CutReason = "interrupted" // the run was stopped
	CutTargetLost  CutReason = "target lost" // the server went away
	CutUnanswered  CutReason = "unanswered"  // the warm-up had no answer
	CutSilent      CutReason = "silent"      // request after request timed out
	CutDrain       CutReason = "drain_s"     // a step of a sweep: what was not answered by then was broken off
)

// Failure is the class of a request's failure; empty: it was answered.
type Failure string

// Classes of failure.
const (
	FailConnect   Failure = "connect"   // no connection, or reset before a response
	FailTimeout   Failure = "timeout"   // no end within the limit
	FailStatus    Failure = "status"    // HTTP status other than 2xx
	FailProtocol  Failure = "protocol"  // against the API: broken JSON, no choices, a stream without [DONE]
	FailTruncated Failure = "truncated" // the stream broke off
	FailEmpty     Failure = "empty"     // no content at all
	FailCanceled  Failure = "canceled"  // the run was interrupted: not counted
	FailThinking  Failure = "thinking"  // only reasoning came until max_tokens: the case's limit, not the server
	FailClient    Failure = "client"    // this client had no file, port or memory left
	FailTooLong   Failure = "too_long"  // refused as longer than the model's context: the case's, not the server's
	FailFiltered  Failure = "filtered"  // a content filter held the answer back: no matter of speed or honesty
)

// Blameless says that a failure of this class is not the server's.
func (f Failure) Blameless() bool {
	return f == FailThinking || f == FailClient || f == FailFiltered || f == FailTooLong
}

// ScrapeLabel says when a scrape was made: a moment of the run, or a place at a phase such as "before sustained".
type ScrapeLabel string

// ScrapeStart is the first scrape of a run, before any phase.
const ScrapeStart ScrapeLabel = "start"

// ScrapePlace is where a scrape lies relative to a phase.
type ScrapePlace string

// Places of scrapes.
const (
	ScrapeBefore ScrapePlace = "before"
	ScrapeDuring ScrapePlace = "during"
	ScrapeAfter  ScrapePlace = "after"
	ScrapeIdle   ScrapePlace = "idle" // during a phase without load
)

// Of makes the label of a scrape at this place of a phase.
func (p ScrapePlace) Of(phase string) ScrapeLabel { return ScrapeLabel(string(p) + " " + phase) }

// At gives the phase that the label names, if it lies at that place of it.
func (l ScrapeLabel) At(p ScrapePlace) (phase string, ok bool) {
	return strings.CutPrefix(string(l), string(p)+" ")
}

// ConditionID names a precondition.
type ConditionID string

// Preconditions, in the order in which they are checked.
const (
	ConditionReady       ConditionID = "ready"       // the server answers
	ConditionModel       ConditionID = "model"       // its model answers
	ConditionLengths     ConditionID = "lengths"     // the case's lengths fit the model's context
	ConditionPrompts     ConditionID = "prompts"     // the prompts are those of the case
	ConditionMetrics     ConditionID = "metrics"     // the metrics can be read
	ConditionResources   ConditionID = "resources"   // memory and CPU can be read
	ConditionEnvironment ConditionID = "environment" // cores and memory of this machine
	ConditionClient      ConditionID = "client"      // the load generator's own error is small enough
	ConditionLimits      ConditionID = "limits"      // this machine has files and ports enough for the load
	ConditionBaseline    ConditionID = "baseline"    // the warm-up was answered
)

// AuditID names a test of the server's honesty.
type AuditID string

// Audits, in the order in which they are made.
const (
	AuditCache        AuditID = "cache"             // a repeated prompt is computed again
	AuditUsage        AuditID = "usage"             // as many tokens as usage claims
	AuditEmptyFirst   AuditID = "empty-first-token" // no empty chunk that looks like a fast first token
	AuditMaxTokens    AuditID = "max-tokens"        // max_tokens is kept
	AuditFinishReason AuditID = "finish-reason"     // finish_reason is true
	AuditDeterminism  AuditID = "determinism"       // the same answer at temperature 0; reported only
)

// HostServer says where the server of a Host is.
type HostServer string

// Places of the server.
const (
	HostServerCounted HostServer = "counted"   // on this machine: Own counts it
	HostServerRemote  HostServer = "elsewhere" // on another machine
	// on this machine, but its processes are not known: what others use cannot be told from what it uses
	HostServerUnknown HostServer = "unknown"
)
